"""What each screen looks like, kept whole, so that a change of any is seen: `--keep-screens` writes them anew, and the
difference is for a person to read.
"""

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console, Group, RenderableType
from rich.text import Text

from client.doctor import Look, State, budget_look
from client.output import WIDTH_OFF_TERMINAL
from client.pending import Live
from client.render_budget import render_budget, render_idle
from client.render_cycle import render_cycle, render_list, render_status, render_story
from client.render_doctor import render_looks
from client.views import ListedCycle, Places, StatusView, view
from domain.cycle import Admission, AdmissionState, CallUsage, CycleStatus, Failure, Fork, Outcome, Phase, PhaseUsage
from domain.errors import ErrorCode
from domain.gates import GateThresholds, training_gate
from domain.ledger import BudgetStatus, LimitsChange
from domain.ledger_messages import Holding, Waiting

from .more_screens import more_screens

SCREENS = Path(__file__).parent / "screens"
T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NAMES = (
    "status_idle",
    "status_training",
    "status_retry",
    "status_queued",
    "status_waiting_for_funds",
    "status_verbose",
    "show_completed",
    "show_rejected",
    "show_failed",
    "show_cancelled",
    "show_fork",
    "list",
    "list_empty",
    "budget",
    "doctor",
    "hypotheses",
    "schedule_list",
    "schedule_list_empty",
    "schedule_show",
    "verify_equal",
    "verify_different",
    "transcript",
    "leaderboard",
    "help",
    "help_start",
    "help_data_import",
)
WIDE = {"list", "hypotheses", "schedule_list", "leaderboard", "verify_equal", "verify_different"}
"""A wide table leaves wrapping to the terminal."""


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times are shown in the reader's zone."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def spent() -> BudgetStatus:
    """A day with everything in it."""
    holding = Holding(
        cycle_id="cycle-20260301-120000-ab12",
        run_id="run-1",
        since=T0,
        granted=120_000,
        settled=31_000,
        charged=9_000,
        held=80_000,
    )
    waits = Waiting(
        cycle_id="cycle-20260301-121500-cd34", run_id="run-2", position=1, top_up=False, tokens=120_000, since=T0
    )
    return BudgetStatus(
        daily_budget=300_000,
        tokens_used_today=140_000,
        tokens_remaining=80_000,
        budget_available=True,
        reset_date=date(2026, 3, 1),
        invocations_today=17,
        tokens_settled=131_000,
        tokens_charged=9_000,
        tokens_held=80_000,
        daily_usd_budget=Decimal("5.00"),
        usd_settled=Decimal("1.2345"),
        usd_charged=Decimal("0.20"),
        usd_held=Decimal("0.90"),
        usd_remaining=Decimal("2.6655"),
        unpriced_tokens=0,
        next_reset=T0.replace(day=2, hour=0, minute=1),
        max_active_cycles=1,
        active=(holding,),
        waiting=(waits,),
        configured=LimitsChange(),
    )


def live(**changes: object) -> Live:
    usual = {"activity": "train", "attempt": 1, "max_attempts": 5, "started": True}
    return Live.model_validate(usual | changes)


def screens(queued: CycleStatus, completed: CycleStatus) -> dict[str, RenderableType]:
    training = queued.model_copy(update={"phase": Phase.TRAINING, "strategy": completed.strategy})
    halfway = live(fraction=0.5, step="epoch 30 of 60, validation loss 0.6612")
    failed_once = live(
        attempt=2,
        started=False,
        last_failure_code="training_service_unavailable",
        last_failure="the service at http://127.0.0.1:8000 does not answer",
        next_attempt_at=T0 + timedelta(seconds=20),
    )
    in_line = Admission(state=AdmissionState.QUEUED, position=2, message="1 of 1 slots is taken")
    strict = GateThresholds(training_min_skill=0.1)
    assert completed.training
    rejected = completed.model_copy(
        update={
            "outcome": Outcome.REJECTED,
            "stopped_in": Phase.TRAINING,
            "reason": "training gate: accuracy 54.12 %, at least 60.00 %",
            "gates": (training_gate(completed.training, strict),),
            "backtest": None,
            "assessment": None,
        }
    )
    failed = queued.model_copy(
        update={
            "phase": Phase.DONE,
            "outcome": Outcome.FAILED,
            "stopped_in": Phase.DESIGNING,
            "failure": Failure(
                phase=Phase.DESIGNING,
                code=ErrorCode.ANTHROPIC_AUTH,
                message="Claude's API refused the key: invalid x-api-key. Set a valid ANTHROPIC_API_KEY",
            ),
            "ended_at": T0 + timedelta(seconds=4),
        }
    )
    cancelled = training.model_copy(
        update={
            "phase": Phase.DONE,
            "outcome": Outcome.CANCELLED,
            "stopped_in": Phase.TRAINING,
            "reason": "enough",
            "ended_at": T0 + timedelta(minutes=1),
        }
    )
    usage = CallUsage(model="claude-sonnet", input=900, cache_read=21_000, output=3_100)
    told = completed.model_copy(
        update={
            "tokens": usage.total,
            "cost_usd": Decimal("0.0712"),
            "usage": {"design": PhaseUsage().and_of(usage)},
            "hypothesis": "Stretched prices turn back.",
        }
    )
    origin = Fork(cycle_id="cycle-20260228-090000-99aa", run_id="run-0", phase=Phase.ASSESSING)
    forked = told.model_copy(
        update={"request": told.request.model_copy(update={"fork": origin, "strategy": told.strategy})}
    )
    home = Path("/home/quant/.research")
    places = Places(
        strategy=home / "strategies/offline_1234abcd.yaml",
        equity=home / "artifacts/cycle-a/backtest/equity.parquet",
        web_ui="http://127.0.0.1:8233/namespaces/research/workflows/cycle-20260301-120000-ab12/run-1",
    )
    rows = [
        ListedCycle(
            cycle_id="cycle-20260301-121500-cd34",
            run_id="run-2",
            phase="training",
            symbol="EURUSD",
            timeframe="1h",
            started_at=T0 + timedelta(minutes=15),
        ),
        ListedCycle(
            cycle_id="cycle-20260301-120000-ab12",
            run_id="run-1",
            phase="done",
            outcome=Outcome.COMPLETED,
            verdict="poor",
            strategy="offline_1234abcd",
            symbol="EURUSD",
            timeframe="1h",
            sharpe_ratio=-0.31,
            started_at=T0,
            ended_at=T0 + timedelta(minutes=3),
        ),
    ]
    looks = [
        Look(name="home", state=State.OK, found="/home/quant/.research, 21.4 GiB free"),
        budget_look(spent(), 120_000),
        Look(
            name="workers",
            state=State.TO_DO,
            found="nobody polls the task queue 'research'",
            mend="start one with `research worker`, or everything on this machine with `research dev`",
        ),
    ]
    waiting = training.model_copy(
        update={
            "phase": Phase.ASSESSING,
            "waiting_for": "12,000 tokens more than the day has left; the next day begins at 2026-03-02 00:01:00 UTC",
        }
    )
    return {
        "status_idle": render_idle(spent()),
        "status_training": render_cycle(view(training, halfway), left=95),
        "status_retry": render_cycle(view(training, failed_once)),
        "status_queued": render_cycle(view(queued.model_copy(update={"admission": in_line}))),
        "status_waiting_for_funds": render_cycle(view(waiting)),
        "status_verbose": render_status(StatusView(status="ended", cycles=(view(told),)), verbose=True),
        "show_completed": render_story(view(told, None, places)),
        "show_rejected": render_story(view(rejected)),
        "show_failed": render_story(view(failed)),
        "show_cancelled": render_story(view(cancelled)),
        "show_fork": render_story(view(forked)),
        "list": render_list(rows),
        "list_empty": render_list([]),
        "budget": Group(render_budget(spent()), Text("")),
        "doctor": render_looks(looks),
        **more_screens(completed),
    }


def drawn(screen: RenderableType, width: int) -> str:
    """As a terminal of this width shows it, without colours and the blanks at the ends of lines."""
    out = StringIO()
    Console(file=out, width=width, markup=False, highlight=False, emoji=False).print(screen, crop=False)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).rstrip() + "\n"


@pytest.mark.parametrize("name", NAMES)
def test_a_screen_is_as_it_was_kept(
    name: str, queued: CycleStatus, completed: CycleStatus, request: pytest.FixtureRequest
) -> None:
    width = WIDTH_OFF_TERMINAL if name in WIDE else 100  # as the command draws it, on any terminal
    told, file = drawn(screens(queued, completed)[name], width), SCREENS / f"{name}.txt"
    if request.config.getoption("keep_screens"):
        file.write_text(told)
    assert told == file.read_text()


def test_every_screen_is_kept_and_no_other(queued: CycleStatus, completed: CycleStatus) -> None:
    assert set(screens(queued, completed)) == set(NAMES) == {path.stem for path in SCREENS.glob("*.txt")}


@pytest.mark.parametrize("width", [40, 60, 200])
def test_no_id_is_cut_however_narrow_the_terminal(width: int, queued: CycleStatus, completed: CycleStatus) -> None:
    found = screens(queued, completed)
    for name in ("status_training", "status_queued", "show_completed", "budget"):
        assert queued.cycle_id in drawn(found[name], width), name
