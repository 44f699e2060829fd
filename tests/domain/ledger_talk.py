"""A ledger at noon, and what cycles, sweeps and histories say to it, in as few words as a test needs."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from domain.cycle import CallUsage
from domain.ledger import (
    Close,
    Ledger,
    LedgerState,
    Limits,
    Open,
    Record,
    RecordKind,
    Reply,
    RunFate,
    RunReport,
    TopUp,
)

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
TODAY = NOON.date()
TOMORROW = TODAY + timedelta(days=1)


def ledger(tokens: int = 1_000, usd: str | None = None, active: int = 10, now: datetime = NOON) -> Ledger:
    limits = Limits(tokens_per_day=tokens, usd_per_day=Decimal(usd) if usd else None, max_active_cycles=active)
    return Ledger(LedgerState.new(limits, now))


def opening(name: str, tokens: int = 0, usd: str | None = "0", wait: bool = False, at: datetime = NOON) -> Open:
    price = None if usd is None else Decimal(usd)
    return Open(key=name, cycle_id=f"cycle-{name}", run_id=f"run-{name}", tokens=tokens, usd=price, wait=wait, at=at)


def more(name: str, tokens: int, key: str = "more", wait: bool = True) -> TopUp:
    run = f"run-{name}"
    return TopUp(key=key, envelope_key=name, cycle_id=f"cycle-{name}", run_id=run, tokens=tokens, wait=wait, at=NOON)


def call(name: str, seq: int, tokens: int, days: tuple[date, ...] = (TODAY,), lost: bool = False) -> Record:
    return Record(
        envelope_key=name,
        cycle_id=f"cycle-{name}",
        run_id=f"run-{name}",
        seq=seq,
        phase="design",
        kind=RecordKind.CHARGED if lost else RecordKind.SETTLED,
        usage=CallUsage(model="m", input=0 if lost else tokens),
        cost_usd=Decimal(0),
        ceiling_tokens=tokens,
        ceiling_usd=Decimal(0),
        days=days,
        at=NOON,
    )


def closing(name: str, calls: int = 0) -> Close:
    return Close(key=name, cycle_id=f"cycle-{name}", run_id=f"run-{name}", calls=calls, at=NOON)


def only(replies: list[Reply]) -> Reply:
    assert len(replies) == 1
    return replies[0]


def swept(books: Ledger, *ended: str, calls: tuple[Record, ...] | None = None, now: datetime = NOON) -> list[Reply]:
    """A sweep that finds that these runs have ended, and that reads these calls in their histories (None: nothing)."""
    reports = []
    for run in books.begin_sweep():
        fate = RunFate.ENDED if run.run_id in ended else RunFate.RUNNING
        reports.append(RunReport(run_id=run.run_id, fate=fate, calls=calls if run.run_id in ended else None))
    return books.end_sweep(reports, now)
