"""What people read says what the JSON says."""

import re
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from client.output import WIDTH_OFF_TERMINAL
from client.pending import Live
from client.refusal import refusal_mend, refusal_message
from client.render_cycle import progress_line, render_bar, render_cycle, render_list, render_status, render_story
from client.render_results import render_figures, render_gate, render_places, render_training, render_verdict
from client.render_values import clean, duration, moment, money, percent
from client.views import ListedCycle, Places, Started, StatusView, view
from domain.cycle import Admission, AdmissionState, CycleStatus, Failure, Outcome, Phase
from domain.errors import ErrorCode
from domain.gates import GateThresholds, training_gate
from domain.results import BacktestResult, TrainingResult
from tests.domain.usual_results import backtest_at_a_service, training_at_a_service

T0 = "2026-03-01T12:00:00Z"


def text_of(renderable: RenderableType, width: int = 120) -> str:
    """As a console prints it, without colour."""
    out = StringIO()
    Console(file=out, width=width, markup=False, highlight=False, emoji=False).print(renderable, crop=False)
    return out.getvalue()


def words_of(renderable: RenderableType) -> str:
    """The same on one line, each gap one space."""
    return " ".join(text_of(renderable).split())


@pytest.mark.parametrize(("fraction", "filled", "shown"), [(0.0, 0, "0%"), (0.65, 19, "65%"), (1.0, 30, "100%")])
def test_the_bar_has_thirty_cells(fraction, filled, shown):
    assert render_bar(fraction).plain == "[" + "█" * filled + "░" * (30 - filled) + f"] {shown}"


def test_net_stands_beside_gross_and_every_figure_is_that_of_the_json(backtest: BacktestResult):
    words = words_of(render_figures(backtest))

    for line in (
        "Total return -1.23 % 1.23 %",
        "Sharpe ratio -0.31 0.33",
        "Max drawdown 4.56 % 3.01 %",
        "Sharpe, 95 % interval -1.90 to 1.20",
        "Buy and hold 1.89 %",
        "Trades 1,234, win rate 43.2 %, profit factor 0.93",
        "2.46 % of the capital; 0.0020 % commission and 0.0030 % half spread a fill",
        "Sharpe 1.87 expected of 17 without skill; lower bound less that: -3.97",
        "Sharpe 2.40 and above",
    ):
        assert line in words


def test_a_figure_that_is_undefined_is_a_dash_and_not_a_zero(backtest: BacktestResult):
    undefined = {"sharpe_ratio": None, "sharpe_interval": None, "win_rate": None, "total_trades": 0}

    words = words_of(render_figures(backtest.model_copy(update=undefined)))

    assert "Sharpe ratio - 0.33" in words
    assert "Trades 0, win rate -" in words


def test_what_a_service_does_not_tell_is_said_and_no_zero_stands_for_it() -> None:
    training, backtest = training_at_a_service(), backtest_at_a_service()
    gate = text_of(render_gate(training_gate(training, GateThresholds())))
    assert re.search(r"\? +loss ratio to guessing +not told", gate)
    told = text_of(render_training(training)) + text_of(render_figures(backtest))
    assert "operation op_1" in told
    assert "operation op_2" in told
    assert "gross" not in told
    assert "Buy and hold" not in told


def test_a_gate_tells_every_value_and_bound_and_which_failed(training: TrainingResult):
    gate = training_gate(training, GateThresholds(training_min_skill=0.10))

    lines = text_of(render_gate(gate)).splitlines()

    assert lines[0] == "Training gate said no"
    assert re.fullmatch(r"  ✗  balanced accuracy +54.12 % +at least 60.00 % *", lines[1])
    assert re.fullmatch(r"  ✓  loss ratio to guessing +0.9493 +at most 1.0500 *", lines[2])
    assert lines[3].startswith("  ✓  train loss decrease")


def test_training_tells_accuracy_and_final_loss(training: TrainingResult):
    words = words_of(render_training(training))

    assert "Accuracy 54.1 % in validation, 58.0 % in train" in words
    assert "Final Loss 0.6100 in train, 0.6600 in validation" in words


def test_a_verdict_comes_with_what_decided_it(completed: CycleStatus):
    words = words_of(render_verdict(completed))

    assert words.startswith("Verdict poor decided by Sharpe ratio -0.31 below 0 strength gains before costs")
    assert "hypothesis With half the trades it gains" in words


def test_a_rejected_cycle_tells_where_and_why(completed: CycleStatus):
    rejected = completed.model_copy(
        update={
            "outcome": Outcome.REJECTED,
            "stopped_in": Phase.TRAINING,
            "reason": "training gate: balanced accuracy 0.5, at least 0.52",
            "assessment": None,
        }
    )

    assert words_of(render_verdict(rejected)) == (
        "Outcome rejected in training: training gate: balanced accuracy 0.5, at least 0.52"
    )
    assert "✗ training" in text_of(render_cycle(view(rejected)))
    assert view(rejected).progress == pytest.approx(0.65)  # what the training gate looks at is done


def test_a_failed_cycle_tells_its_code_and_its_message(completed: CycleStatus):
    failure = Failure(phase=Phase.TRAINING, code=ErrorCode.TRAINING_FAILED, message="the loss became NaN")
    failed = completed.model_copy(
        update={"outcome": Outcome.FAILED, "stopped_in": Phase.TRAINING, "failure": failure, "assessment": None}
    )

    assert words_of(render_verdict(failed)) == "Outcome failed in training: training_failed: the loss became NaN"


def test_the_status_screen_tells_phase_progress_step_and_strategy(completed: CycleStatus):
    running = completed.model_copy(
        update={"phase": Phase.TRAINING, "outcome": None, "assessment": None, "gates": (), "ended_at": None}
    )
    live = Live(activity="train", attempt=1, started=True, fraction=0.5, step="epoch 30 of 60, validation loss 0.66")

    text = text_of(render_cycle(view(running, live)))

    assert text.startswith("Active Research Cycle\n  Operation: cycle-20260301-120000-ab12\n  Phase: training\n")
    assert "Progress: [████████████░░░░░░░░░░░░░░░░░░] 42%" in text
    assert "Step: epoch 30 of 60, validation loss 0.66" in text
    assert "Strategy: offline_1234abcd" in text
    assert "Training Result" not in text
    assert "Training Result" in text_of(render_cycle(view(running, live), verbose=True))


def test_work_that_no_worker_has_taken_waits_for_an_engine_worker(queued: CycleStatus):
    training = queued.model_copy(update={"phase": Phase.TRAINING})
    live = Live(activity="train", attempt=1, started=False)

    assert "Step: waiting for an engine worker" in text_of(render_cycle(view(training, live)))


def test_a_retry_tells_its_last_error_and_its_next_attempt(queued: CycleStatus):
    live = Live(
        activity="backtest",
        attempt=3,
        max_attempts=5,
        started=False,
        last_failure_code="store_unavailable",
        last_failure="the disk is full",
        next_attempt_at=queued.started_at,
    )

    text = text_of(render_cycle(view(queued.model_copy(update={"phase": Phase.BACKTESTING}), live)))

    assert "Retry: attempt 3 of 5 after store_unavailable: the disk is full; next attempt " in text
    assert moment(queued.started_at) in text


def test_an_activity_whose_worker_has_gone_waits_for_another_and_its_old_step_is_not_told(queued: CycleStatus):
    live = Live(activity="train", attempt=2, started=False, step="epoch 12 of 60", last_failure="no heartbeat")

    text = text_of(render_cycle(view(queued.model_copy(update={"phase": Phase.TRAINING}), live)))

    assert "Step: waiting for an engine worker" in text
    assert "epoch 12" not in text


def test_an_idle_screen_without_a_ledger_says_only_that_nothing_runs():
    assert text_of(render_status(StatusView(status="idle"))) == "No active research cycle\n"


def test_the_whole_story_holds_request_results_gates_and_places(completed: CycleStatus):
    places = Places(strategy=Path("/home/me/strategies/offline_1234abcd.yaml"), web_ui="http://127.0.0.1:8233/x")
    text = text_of(render_story(view(completed, None, places)))

    for words in ("Seed: 7", "Training Result", "Backtest Result", "Backtest gate passed", "Verdict poor"):
        assert words in text
    assert "training 2 min 05 s" in text


def test_paths_and_ids_are_never_cut(completed: CycleStatus):
    path = Path("/home") / ("x" * 200) / "model.eqx"
    cycle = ListedCycle(cycle_id=f"cycle-{'9' * 80}", run_id="r", started_at=completed.started_at)

    assert str(path) in text_of(render_places(Places(model=path)), width=60)
    assert cycle.cycle_id in text_of(render_list([cycle]), width=WIDTH_OFF_TERMINAL)


def test_an_untrusted_text_cannot_command_the_terminal(completed: CycleStatus):
    hostile = "\x1b[2J[red]gone[/red]\x9b31m\r\x07"
    text = text_of(render_story(view(completed.model_copy(update={"hypothesis": hostile}))))

    assert "[red]gone[/red]" in text
    assert not set("\x1b\x9b\r\x07") & set(text)


def test_a_plain_follower_reads_one_line_a_change(queued: CycleStatus):
    live = Live(activity="train", attempt=1, started=True, fraction=0.0, step="epoch 1 of 3")
    line = progress_line(view(queued.model_copy(update={"phase": Phase.TRAINING}), live))

    assert line == " 20%  training  epoch 1 of 3"


REFUSALS = {
    "budget_exhausted": (
        Admission(
            state=AdmissionState.REFUSED,
            reason="budget_exhausted",
            used=480_000,
            remaining=20_000,
            deficit=100_000,
            limit=500_000,
            next_reset="2026-03-02T00:00:00Z",
        ),
        "short of 100,000 tokens (limit 500,000, used 480,000, remaining 20,000); it resets ",
        "research budget set --tokens 600000",
    ),
    "budget_exhausted below what is held": (
        Admission(
            state=AdmissionState.REFUSED,
            reason="budget_exhausted",
            message="Too few. `research budget set --tokens 240000` makes room.",
            used=0,
            remaining=0,
            deficit=120_000,
            limit=1_000,
            next_reset="2026-03-02T00:00:00Z",
        ),
        "short of 120,000 tokens (limit 1,000, used 0, remaining 0); it resets ",
        "research budget set --tokens 240000",
    ),
    "budget_exhausted in dollars": (
        Admission(
            state=AdmissionState.REFUSED,
            reason="budget_exhausted",
            message="$2 are needed and $1 of $5 are free. `research budget set --usd 6` makes room now.",
            used=480_000,
            remaining=20_000,
            deficit=0,
            limit=500_000,
        ),
        "was refused: $2 are needed and $1 of $5 are free. `research budget set --usd 6` makes room now.",
        "`research budget` shows the day",
    ),
    "active_operation_exists": (
        Admission(state=AdmissionState.REFUSED, reason="active_operation_exists", active_ids=("cycle-1",)),
        "cycle-1 is active",
        "research cancel cycle-1",
    ),
    "budget_paused": (
        Admission(state=AdmissionState.REFUSED, reason="budget_paused", message="paused: holidays"),
        "paused: holidays",
        "research budget resume",
    ),
}


@pytest.mark.parametrize(("admission", "words", "mend"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_tells_what_was_missing_and_the_command_that_mends_it(admission, words, mend):
    started = Started(cycle_id="cycle-2", run_id="r", admission=admission)

    assert words in refusal_message(started)
    assert mend in refusal_mend(admission)


@pytest.mark.parametrize(("limit", "waits"), [(500_000, True), (100_000, False)])
def test_waiting_is_offered_only_where_a_new_day_would_suffice(limit: int, waits: bool):
    admission = REFUSALS["budget_exhausted"][0].model_copy(update={"limit": limit})

    assert ("--queue" in refusal_mend(admission)) is waits


def test_values_are_written_as_people_write_them():
    assert percent(0.123) == "12.3 %"
    assert money(Decimal("1234.5")) == "$1,234.50"
    assert money(Decimal("0.0012")) == "$0.0012"
    assert [duration(timedelta(seconds=s)) for s in (0.44, 59.6, 125, 7_800)] == [
        "0.4 s",
        "1 min 00 s",
        "2 min 05 s",
        "2 h 10 min",
    ]
    assert clean("a\x00b\nc") == "a�b\nc"
