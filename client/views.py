"""What commands show: the status of a cycle joined with what it does now. Text and JSON are made from the same view."""

from datetime import datetime
from pathlib import Path

from client.pending import Live
from domain.cycle import Admission, CycleStatus, Outcome, Phase, overall_progress
from domain.ledger import BudgetStatus
from domain.results import Fraction, Frozen


class Started(Frozen):
    """A cycle that was started, and what its admission said."""

    cycle_id: str
    run_id: str
    admission: Admission


class Places(Frozen):
    """Where a cycle's things lie. None for what it has not made."""

    strategy: Path | None = None
    model: Path | None = None
    history: Path | None = None
    equity: Path | None = None
    trades: Path | None = None
    web_ui: str | None = None
    trace: str | None = None


class CycleView(Frozen):
    """A cycle as `status` and `show` tell it. progress: of the whole cycle, a fraction.

    recording: its outcome is certain, but it is still being written down, and holds its place in the ledger.
    """

    cycle: CycleStatus
    progress: Fraction
    live: Live | None = None
    places: Places = Places()
    recording: bool = False


class StatusView(Frozen):
    """The whole status screen: every active cycle, and the day's budget (None while no ledger runs)."""

    status: str
    cycles: tuple[CycleView, ...] = ()
    budget: BudgetStatus | None = None


class ListedCycle(Frozen):
    """One line of the list, as Temporal's visibility knows it."""

    cycle_id: str
    run_id: str
    phase: str | None = None
    outcome: Outcome | None = None
    verdict: str | None = None
    strategy: str | None = None
    symbol: str | None = None
    timeframe: str | None = None
    sharpe_ratio: float | None = None
    tokens: int | None = None
    started_at: datetime
    ended_at: datetime | None = None


class Cancelled(Frozen):
    """What a cancel came to. ended: whether the cycle has ended; else it still cleans up."""

    cycle_id: str
    ended: bool
    stopped_in: Phase | None = None


class SetUp(Frozen):
    """What a namespace has been given, by the names of its search attributes, and what it had."""

    namespace: str
    created: tuple[str, ...]
    already_there: tuple[str, ...]


class DevAddresses(Frozen):
    """Where the local stack can be reached."""

    address: str
    web_ui: str | None
    home: Path
    started_here: bool


def view(
    status: CycleStatus, live: Live | None = None, places: Places | None = None, *, running: bool = False
) -> CycleView:
    """Join a status with what is pending. running: whether the cycle's workflow has yet to close."""
    within = live.fraction if live and live.fraction is not None else 0.0
    if status.outcome is Outcome.REJECTED:
        within = 1.0  # a gate looks at what the phase has finished
    progress = overall_progress(status.stopped_in or status.phase, within)
    return CycleView(
        cycle=status,
        progress=progress,
        live=live,
        places=places or Places(),
        recording=running and status.outcome is not None,
    )
