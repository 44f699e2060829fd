"""The gates' arithmetic: each check at, just above and just below its bound; nothing passes for want of a value."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, nextafter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.gates import Bound, Check, GateName, GateResult, GateThresholds, backtest_gate, training_gate
from domain.results import BacktestResult, LossCurve, Task, TrainingResult

from . import usual_results
from .usual_results import backtest

USUAL = GateThresholds()
NAMES = {
    GateName.TRAINING: ("balanced accuracy", "loss ratio to guessing", "train loss decrease"),
    GateName.BACKTEST: ("win rate", "max drawdown", "Sharpe ratio", "trades"),
}


def training(**changes: Any) -> TrainingResult:
    """A training that passes every check, with figures whose quotients are exact."""
    exact = {"train_loss": curve(1.0, 0.75), "model_loss": 0.9, "baseline_loss": 1.0, "validation_accuracy": 0.6}
    return usual_results.training(**(exact | changes))


def curve(initial: float, final: float) -> LossCurve:
    return LossCurve(initial=initial, final=final, best=min(initial, final))


@dataclass(frozen=True)
class Row:
    """One check of a gate: how a measured value comes into it, and the bound it has to keep."""

    check: str
    kind: Bound
    bound: float
    gate: Callable[[float], GateResult]
    whole: bool = False

    def beyond(self, towards: Bound) -> float:
        """The next value above the bound (at least), or below it (at most)."""
        if self.whole:
            return self.bound + (1 if towards is Bound.AT_LEAST else -1)
        return nextafter(self.bound, inf if towards is Bound.AT_LEAST else -inf)


def _accuracy(task: Task, classes: int, skill: float = 0.02) -> Callable[[float], GateResult]:
    bounds = GateThresholds(training_min_skill=skill)
    return lambda value: training_gate(training(task=task, classes=classes, validation_accuracy=value), bounds)


def _backtest(field: str, **bounds: float) -> Callable[[float], GateResult]:
    held_against = USUAL.model_copy(update=bounds)
    return lambda value: backtest_gate(backtest(**{field: value}), held_against)


ROWS = [
    Row("balanced accuracy", Bound.AT_LEAST, 1 / 2 + 0.02, _accuracy(Task.CLASSIFICATION, 2)),
    Row("balanced accuracy", Bound.AT_LEAST, 1 / 3 + 0.02, _accuracy(Task.CLASSIFICATION, 3)),
    Row("balanced accuracy", Bound.AT_LEAST, 1 / 3 + 0.25, _accuracy(Task.CLASSIFICATION, 3, skill=0.25)),
    Row("directional accuracy", Bound.AT_LEAST, 0.5 + 0.02, _accuracy(Task.REGRESSION, 0)),
    Row(
        "loss ratio to guessing",
        Bound.AT_MOST,
        1.05,
        lambda value: training_gate(training(model_loss=value, baseline_loss=1.0), USUAL),
    ),
    Row(
        "loss ratio to guessing",
        Bound.AT_MOST,
        0.75,
        lambda value: training_gate(
            training(model_loss=value * 4, baseline_loss=4.0), GateThresholds(training_max_loss_ratio=0.75)
        ),
    ),
    Row("win rate", Bound.AT_LEAST, 0.10, _backtest("win_rate")),
    Row("max drawdown", Bound.AT_MOST, 0.40, _backtest("max_drawdown")),
    Row("Sharpe ratio", Bound.AT_LEAST, -0.5, _backtest("sharpe_ratio")),
    Row("Sharpe ratio", Bound.AT_LEAST, 1.25, _backtest("sharpe_ratio", backtest_min_sharpe=1.25)),
    Row("trades", Bound.AT_LEAST, 5, _backtest("total_trades"), whole=True),
    Row("trades", Bound.AT_LEAST, 30, _backtest("total_trades", backtest_min_trades=30), whole=True),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.check} {row.kind.value} {row.bound:.3g}")
def test_a_check_passes_at_its_bound_and_on_one_side_of_it_alone(row: Row) -> None:
    found = [row.gate(row.beyond(Bound.AT_MOST)), row.gate(row.bound), row.gate(row.beyond(Bound.AT_LEAST))]

    checks = [_named(gate, row.check) for gate in found]
    wanted = [False, True, True] if row.kind is Bound.AT_LEAST else [True, True, False]
    assert [check.passed for check in checks] == wanted
    assert [gate.passed for gate in found] == wanted
    assert {(check.kind, check.bound) for check in checks} == {(row.kind, row.bound)}
    assert checks[1].value == row.bound


@pytest.mark.parametrize(("least", "final"), [(0.0, 1.0), (0.5, 0.5), (-0.25, 1.25), (-1.0, 2.0)])
def test_a_train_loss_may_end_at_its_bound_and_lower_but_no_higher(least: float, final: float) -> None:
    """From 1 on, so that the difference is exact; the step is one of the loss, which is coarser than the decrease."""
    bounds = GateThresholds(training_min_loss_decrease=least)
    gates = [
        training_gate(training(train_loss=curve(1.0, last)), bounds)
        for last in (nextafter(final, -inf), final, nextafter(final, inf))
    ]
    assert [_named(gate, "train loss decrease").passed for gate in gates] == [True, True, False]
    assert [gate.passed for gate in gates] == [True, True, False]
    assert _named(gates[1], "train loss decrease").bound == least


def test_the_loss_decrease_is_a_share_of_the_first_epochs_loss() -> None:
    check = _named(training_gate(training(train_loss=curve(4.0, 3.0)), USUAL), "train loss decrease")
    assert check.value == 0.25


@pytest.mark.parametrize("classes", [2, 3, 4, 5])
def test_chance_is_one_share_of_the_classes_that_occur(classes: int) -> None:
    check = _named(training_gate(training(classes=classes), USUAL), "balanced accuracy")
    assert check.bound == 1 / classes + 0.02


@pytest.mark.parametrize("classes", [0, 1])
def test_with_fewer_than_two_classes_no_accuracy_is_a_skill(classes: int) -> None:
    gate = training_gate(training(classes=classes, validation_accuracy=1.0), USUAL)
    assert not gate.passed
    assert _named(gate, "balanced accuracy").bound > 1


def test_a_regressions_chance_is_a_half_whatever_the_classes_say() -> None:
    for classes in (0, 1, 3):
        gate = training_gate(training(task=Task.REGRESSION, classes=classes), USUAL)
        assert gate.checks[0].name == "directional accuracy"
        assert gate.checks[0].bound == 0.5 + 0.02


OPEN = GateThresholds(
    training_min_skill=0.0,
    training_max_loss_ratio=1e9,
    training_min_loss_decrease=-1.0,
    backtest_min_win_rate=0.0,
    backtest_max_drawdown=1.0,
    backtest_min_sharpe=-1e9,
    backtest_min_trades=0,
)


@pytest.mark.parametrize(
    ("gate", "check"),
    [
        (backtest_gate(backtest(win_rate=None, total_trades=0), OPEN), "win rate"),
        (backtest_gate(backtest(sharpe_ratio=None), OPEN), "Sharpe ratio"),
        (training_gate(training(baseline_loss=0.0), OPEN), "loss ratio to guessing"),
        (training_gate(training(baseline_loss=-1.0), OPEN), "loss ratio to guessing"),
        (training_gate(training(train_loss=curve(0.0, 0.0)), OPEN), "train loss decrease"),
        (training_gate(training(train_loss=curve(-1.0, -2.0)), OPEN), "train loss decrease"),
    ],
)
def test_a_missing_value_passes_no_bound_however_low(gate: GateResult, check: str) -> None:
    assert _named(gate, check).value is None
    assert [failed.name for failed in gate.checks if not failed.passed] == [check]
    assert not gate.passed
    assert gate.reason.startswith(f"{check} none, at ")


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (training, "validation_accuracy"),
        (training, "model_loss"),
        (training, "baseline_loss"),
        (backtest, "win_rate"),
        (backtest, "max_drawdown"),
        (backtest, "sharpe_ratio"),
    ],
)
@pytest.mark.parametrize("value", [float("nan"), inf, -inf])
def test_no_result_with_a_figure_that_is_no_number_reaches_a_gate(make: Any, field: str, value: float) -> None:
    with pytest.raises(ValidationError, match=field):
        make(**{field: value})


def test_what_a_service_does_not_tell_decides_nothing_and_is_said_so() -> None:
    result = usual_results.training_at_a_service(validation_accuracy=0.6)
    gate = training_gate(result, GateThresholds())
    accuracy, ratio = [check for check in gate.checks if not check.told]
    assert (gate.passed, accuracy.value, ratio.value) == (True, 0.6, None)
    assert str(ratio) == "loss ratio to guessing none, at most 1.05: the service does not tell enough to decide"
    assert not training_gate(result.model_copy(update={"validation_accuracy": 0.3}), GateThresholds()).passed


def test_a_plain_accuracy_is_held_against_the_share_of_the_commonest_class() -> None:
    told = {"BUY": 0.1, "HOLD": 0.8, "SELL": 0.1}
    result = usual_results.training_at_a_service(validation_accuracy=0.8).model_copy(update={"class_balance": told})
    check = training_gate(result, GateThresholds(training_min_skill=0.02)).checks[0]
    assert (check.name, check.passed) == ("accuracy", False)
    assert check.bound == pytest.approx(0.82)


def test_every_check_is_told_and_not_only_the_first_that_failed() -> None:
    worst_training = training(
        validation_accuracy=0.2, model_loss=3.0, baseline_loss=1.0, train_loss=curve(1.0, 2.0), classes=2
    )
    worst_backtest = backtest(win_rate=0.05, max_drawdown=0.9, sharpe_ratio=-2.0, total_trades=1)
    for gate in (training_gate(worst_training, USUAL), backtest_gate(worst_backtest, USUAL)):
        assert tuple(check.name for check in gate.checks) == NAMES[gate.gate]
        assert not any(check.passed for check in gate.checks)
        assert gate.reason.count("; ") == len(gate.checks) - 1


def test_the_reason_names_what_failed_with_value_and_bound_and_nothing_else() -> None:
    gate = backtest_gate(backtest(win_rate=0.05, sharpe_ratio=-0.75), USUAL)
    assert gate.reason == "win rate 0.05, at least 0.1; Sharpe ratio -0.75, at least -0.5"


def test_a_gate_that_passed_gives_no_reason_and_all_its_checks() -> None:
    for gate in (training_gate(training(), USUAL), backtest_gate(backtest(), USUAL)):
        assert gate.passed
        assert gate.reason == ""
        assert tuple(check.name for check in gate.checks) == NAMES[gate.gate]


_LOSSES = st.floats(0, 100)
_FRACTIONS = st.floats(0, 1)
_BOUNDS = st.builds(
    GateThresholds,
    training_min_skill=_FRACTIONS,
    training_max_loss_ratio=st.floats(0.01, 100),
    training_min_loss_decrease=st.floats(-1, 1),
    backtest_min_win_rate=_FRACTIONS,
    backtest_max_drawdown=_FRACTIONS,
    backtest_min_sharpe=st.floats(-10, 10),
    backtest_min_trades=st.integers(0, 100),
)
_TRAININGS = st.builds(
    training,
    task=st.sampled_from(Task),
    classes=st.integers(0, 5),
    validation_accuracy=_FRACTIONS,
    model_loss=_LOSSES,
    baseline_loss=_LOSSES.filter(lambda loss: loss == 0 or loss > 1e-6),
    train_loss=st.builds(curve, _LOSSES.filter(lambda loss: loss == 0 or loss > 1e-6), _LOSSES),
)
_BACKTESTS = st.builds(
    backtest,
    win_rate=st.none() | _FRACTIONS,
    max_drawdown=_FRACTIONS,
    sharpe_ratio=st.none() | st.floats(-20, 20),
    total_trades=st.integers(0, 200),
)


@given(result=_TRAININGS | _BACKTESTS, bounds=_BOUNDS)
def test_a_gate_says_yes_exactly_when_every_value_keeps_its_bound(
    result: TrainingResult | BacktestResult, bounds: GateThresholds
) -> None:
    gate = training_gate(result, bounds) if isinstance(result, TrainingResult) else backtest_gate(result, bounds)
    assert gate.passed == all(_keeps(check) for check in gate.checks)
    assert [check.passed for check in gate.checks] == [_keeps(check) for check in gate.checks]
    assert (gate.reason == "") == gate.passed
    assert GateResult.model_validate_json(gate.model_dump_json()) == gate


def _keeps(check: Check) -> bool:
    if check.value is None:
        return False
    return check.value >= check.bound if check.kind is Bound.AT_LEAST else check.value <= check.bound


def _named(gate: GateResult, name: str) -> Check:
    found = [check for check in gate.checks if check.name == name]
    assert len(found) == 1
    return found[0]
