"""Values for the screens of lists, audits, conversations and help, which need no cycle of their own."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from rich.console import RenderableType
from rich.text import Text

from client.audit_calls import Call
from client.audit_report import Audit, Booked, BookedSums, Difference, SumDifference, Unsaid
from client.help_pages import command_tree, helps
from client.leaderboard import Asked, Board, Ranked
from client.render_audit import render_audit
from client.render_hypotheses import render_hypotheses
from client.render_leaderboard import render_leaderboard
from client.render_schedule import render_schedule, render_schedules
from client.render_transcript import render_transcript
from client.schedules import ListedSchedule, ScheduleView
from client.timing import Timing
from client.transcript import Transcript, Turn
from client.views import ListedCycle
from domain.cycle import CallUsage, CycleStatus, DesignerKind, Outcome
from domain.memory import HypothesisRecord
from domain.results import HypothesisStatus, Verdict
from domain.turns import Message

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DAY = date(2026, 3, 1)
A_CYCLE, ANOTHER = "cycle-20260301-120000-ab12", "cycle-20260301-121500-cd34"
HELP_WIDTH = 80


def more_screens(cycle: CycleStatus) -> dict[str, RenderableType]:
    """By the names under which they are kept. cycle: a completed one, for its figures."""
    helped = dict(helps(command_tree(), HELP_WIDTH))
    return {
        "hypotheses": render_hypotheses(hypotheses()),
        "schedule_list": render_schedules(schedules()),
        "schedule_list_empty": render_schedules([]),
        "schedule_show": render_schedule(schedule(cycle)),
        "verify_equal": render_audit(audit()),
        "verify_different": render_audit(differing()),
        "transcript": render_transcript(conversation()),
        "leaderboard": render_leaderboard(board(cycle)),
        "help": Text(helped["research"]),
        "help_start": Text(helped["research start"]),
        "help_data_import": Text(helped["research data import"]),
    }


def hypotheses() -> list[HypothesisRecord]:
    """One that nobody has tested, and one that a later cycle refuted."""
    untested = HypothesisRecord(
        id="h12",
        text="With half the trades it gains, since costs eat 2.46 % of the capital.",
        rationale="Costs are more than the gross gain.",
        status=HypothesisStatus.UNTESTED,
        symbol="EURUSD",
        timeframe="1h",
        raised_by=ANOTHER,
        raised_at=T0,
    )
    settled = {
        "id": "h3",
        "text": "Stretched prices turn back within a day.",
        "status": HypothesisStatus.REFUTED,
        "raised_by": "cycle-20260214-080000-0f0f",
        "settled_by": A_CYCLE,
        "settled_at": T0,
        "why": "The strategy that bets on it loses before costs as well.",
    }
    return [untested, untested.model_copy(update=settled)]


def schedules() -> list[ListedSchedule]:
    """One that runs, one that is paused, and one that another program has made."""
    nightly = ListedSchedule(
        name="nightly",
        timing=Timing(cron="0 18 * * 1-5", timezone="Europe/Berlin", catch_up=timedelta(hours=1)),
        asked="EURUSD 1h, offline designer, seed 0: Do stretched prices turn back?",
        paused=False,
        note=None,
        next_run=T0.replace(day=2, hour=17),
        last_cycle="cycle-nightly-2026-02-27T17:00:00Z",
    )
    hourly = {
        "name": "hourly",
        "timing": Timing(every=timedelta(hours=1), catch_up=timedelta(hours=1)),
        "asked": "AAPL 1d, offline designer, seed 7",
        "paused": True,
        "last_cycle": None,
    }
    return [nightly.model_copy(update=hourly), nightly, nightly.model_copy(update={"name": "theirs", "timing": None})]


def schedule(cycle: CycleStatus) -> ScheduleView:
    """With everything that one can have."""
    ran = ListedCycle(
        cycle_id="cycle-nightly-2026-02-27T17:00:00Z", run_id="run-1", outcome=Outcome.REJECTED, started_at=T0
    )
    runs = {"cycle_id": "cycle-nightly-2026-03-01T17:00:00Z", "outcome": None, "phase": "training"}
    return ScheduleView(
        name="nightly",
        timing=Timing(
            cron="0 18 * * 1-5",
            timezone="Europe/Berlin",
            jitter=timedelta(minutes=5),
            until=T0.replace(year=2027),
            catch_up=timedelta(hours=1),
        ),
        overlap="skip",
        paused=True,
        note="holidays",
        request=cycle.request.model_copy(update={"brief": "Do stretched prices turn back?"}),
        next_runs=tuple(T0.replace(day=day, hour=17) for day in (2, 3, 4)),
        latest=(ran.model_copy(update=runs), ran),
        started=12,
        skipped=1,
        missed=0,
    )


def audit() -> Audit:
    """A day on which all is as it should be."""
    return Audit(
        day=DAY,
        equal=True,
        complete=True,
        runs_read=3,
        calls=10,
        settled_tokens=40_377,
        charged_tokens=9_000,
        settled_usd=Decimal("0.15"),
        charged_usd=Decimal("0.09"),
        unpriced_tokens=0,
        ledger=BookedSums(
            day=DAY,
            settled_tokens=40_377,
            charged_tokens=9_000,
            held_tokens=80_000,
            settled_usd=Decimal("0.15"),
            charged_usd=Decimal("0.09"),
            calls=10,
        ),
        differences=(),
        sums=(),
        unsaid=(),
        histories_since=T0 - timedelta(days=90),
    )


def differing() -> Audit:
    """The same day with a call booked otherwise, one that is missing, a wrong sum, and one that nobody can check."""
    told = Call(
        cycle_id=A_CYCLE,
        run_id="run-1",
        envelope="run-1",
        seq=2,
        phase="design",
        state="settled",
        model="claude-sonnet-5-5",
        input_tokens=1_332,
        output_tokens=2_344,
        total_tokens=3_676,
        ceiling=12_000,
        at=T0,
        days=(DAY,),
    )
    booked = Booked(
        timestamp=T0,
        operation_id=A_CYCLE,
        run_id="run-1",
        seq=2,
        phase="design",
        model="claude-sonnet-5-5",
        state="settled",
        input_tokens=1_339,
        cache_write_tokens=0,
        cache_read_tokens=0,
        output_tokens=2_344,
        total_tokens=3_683,
        ceiling=12_000,
        days=(DAY,),
    )
    changed = Difference(
        kind="changed",
        cycle_id=A_CYCLE,
        run_id="run-1",
        seq=2,
        phase="design",
        figures=("input_tokens", "total_tokens"),
        history=told,
        ledger=booked,
    )
    missing = {
        "kind": "missing",
        "seq": 1,
        "figures": (),
        "ledger": None,
        "because": "the ledger was told of it",
    }
    sums = SumDifference(name="settled tokens", made_of="its entries", expected=Decimal(36_499), ledger=Decimal(36_492))
    flight = Unsaid(reason="in_flight", message="a call is under way", cycle_id=ANOTHER, calls=1, tokens=12_000)
    found = {
        "equal": False,
        "complete": False,
        "differences": (changed, changed.model_copy(update=missing)),
        "sums": (sums,),
        "unsaid": (flight,),
    }
    return audit().model_copy(update=found)


def conversation() -> Transcript:
    """A turn with a tool, a call that was lost, and an assessment's end."""
    asked = Message(role="user", blocks=({"type": "text", "text": "Design one strategy for EURUSD at 1h."},))
    looks = Message(
        role="assistant",
        blocks=(
            {"type": "text", "text": "I look at one indicator first."},
            {"type": "tool_use", "id": "t1", "name": "get_indicator", "input": {"name": "rsi", "parameters": [14]}},
        ),
    )
    told = Message(
        role="user", blocks=({"type": "tool_result", "tool_use_id": "t1", "content": "quartiles 41.2, 50.3, 58.8"},)
    )
    usage = CallUsage(model="claude-sonnet-5-5", input=900, cache_read=21_000, output=310)
    return Transcript(
        cycle_id=A_CYCLE,
        turns=(
            Turn(phase="design", turn=1, usage=usage, messages=(asked, looks, told)),
            Turn(phase="design", turn=2, failure="anthropic_timeout: no whole answer within 120 s"),
            Turn(phase="design", turn=2),
        ),
    )


def board(cycle: CycleStatus) -> Board:
    """The best of two on the same bars, one that a gate stopped, and the only one on other bars."""
    backtest = cycle.backtest
    assert backtest
    best = Ranked(
        rank=1,
        cycle_id=A_CYCLE,
        strategy="offline_1234abcd",
        symbol="EURUSD",
        timeframe="1h",
        designer=DesignerKind.OFFLINE,
        outcome=Outcome.COMPLETED,
        verdict=Verdict.NEUTRAL,
        sharpe_ratio=1.23,
        sharpe_interval=backtest.sharpe_interval,
        total_return=0.0312,
        max_drawdown=0.0456,
        total_trades=1_234,
        trial=2,
        years=0.2,
        trials=2,
        luck=1.26,
        deflated_low=-2.02,
        ended_at=T0,
        report=None,
    )
    stopped = {
        "rank": 2,
        "cycle_id": ANOTHER,
        "strategy": "claude_turns_back",
        "outcome": Outcome.REJECTED,
        "verdict": None,
        "sharpe_ratio": None,
        "sharpe_interval": None,
        "deflated_low": None,
        "total_return": -0.011,
        "total_trades": 3,
    }
    other = {
        "rank": 3,
        "cycle_id": "cycle-20260302-080000-ef56",
        "symbol": "AAPL",
        "timeframe": "1d",
        "trials": 1,
        "luck": 0.0,
        "verdict": Verdict.POOR,
    }
    return Board(Asked(), (best, best.model_copy(update=stopped), best.model_copy(update=other)))
