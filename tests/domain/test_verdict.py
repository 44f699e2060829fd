"""The offline assessor: its verdict at, above and below every bound, and that it says no more than was measured."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.gates import GateThresholds, backtest_gate, training_gate
from domain.remarks import STRENGTHS, WEAKNESSES
from domain.results import (
    Assessment,
    Costs,
    Figures,
    Verdict,
)
from domain.verdict import POOR, PROMISING, assess, shown

from .usual_results import backtest, backtest_at_a_service, training, training_at_a_service


def test_promising_needs_every_rule_and_quotes_them_all() -> None:
    found = assess(training(), backtest())
    assert found.verdict is Verdict.PROMISING
    assert found.decided_by == (
        "promising: Sharpe ratio 2.5, above 1",
        "promising: max drawdown 0.05, below 0.2",
        "promising: trades 80, above 50",
        "promising: lower bound of the excess Sharpe ratio, deflated 0.3, above 0",
    )


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"sharpe_ratio": 1.0}, Verdict.NEUTRAL),
        ({"sharpe_ratio": 1.0000001}, Verdict.PROMISING),
        ({"sharpe_ratio": 0.9999999}, Verdict.NEUTRAL),
        ({"max_drawdown": 0.20}, Verdict.NEUTRAL),
        ({"max_drawdown": 0.1999999}, Verdict.PROMISING),
        ({"max_drawdown": 0.2000001}, Verdict.NEUTRAL),
        ({"total_trades": 50}, Verdict.NEUTRAL),
        ({"total_trades": 51}, Verdict.PROMISING),
        ({"total_trades": 49}, Verdict.NEUTRAL),
        ({"deflated_low": 0.0}, Verdict.NEUTRAL),
        ({"deflated_low": 1e-9}, Verdict.PROMISING),
        ({"deflated_low": -1e-9}, Verdict.NEUTRAL),
        ({"deflated_low": None}, Verdict.NEUTRAL),
        ({"sharpe_ratio": None}, Verdict.NEUTRAL),
        ({"sharpe_ratio": 0.0}, Verdict.NEUTRAL),
        ({"sharpe_ratio": 1e-9}, Verdict.NEUTRAL),
        ({"sharpe_ratio": -1e-9}, Verdict.POOR),
        ({"max_drawdown": 0.30}, Verdict.NEUTRAL),
        ({"max_drawdown": 0.2999999}, Verdict.NEUTRAL),
        ({"max_drawdown": 0.3000001}, Verdict.POOR),
        ({"total_trades": 20}, Verdict.NEUTRAL),
        ({"total_trades": 21}, Verdict.NEUTRAL),
        ({"total_trades": 19}, Verdict.POOR),
    ],
)
def test_a_bound_of_the_backtest_is_on_neither_side(changes: dict[str, Any], verdict: Verdict) -> None:
    assert assess(training(), backtest(**changes)).verdict is verdict


@pytest.mark.parametrize(
    ("train_accuracy", "verdict"), [(0.64, Verdict.PROMISING), (0.65, Verdict.PROMISING), (0.66, Verdict.POOR)]
)
def test_a_gap_between_train_and_validation_above_its_bound_is_poor(train_accuracy: float, verdict: Verdict) -> None:
    found = assess(training(train_accuracy=train_accuracy, validation_accuracy=0.50), backtest())
    assert found.verdict is verdict


def test_poor_outranks_promising_and_names_each_reason() -> None:
    found = assess(training(train_accuracy=0.9), backtest(total_trades=12))
    assert found.verdict is Verdict.POOR
    assert found.decided_by == (
        "poor: trades 12, below 20",
        "poor: accuracy lost from train to validation 0.45, above 0.15",
    )


def test_neutral_names_what_promising_asks_for_and_did_not_get() -> None:
    found = assess(training(), backtest(sharpe_ratio=0.61, deflated_low=None))
    assert found.decided_by == (
        "not promising: Sharpe ratio 0.61, not above 1",
        "not promising: lower bound of the excess Sharpe ratio, deflated undefined, not above 0",
    )


def test_a_figure_close_to_its_bound_is_not_rounded_onto_it() -> None:
    assert (shown(1.0000001, 1.0), shown(1.0, 1.0), shown(1.23456, 1.0)) == ("1.0000001", "1", "1.235")


def test_costs_that_turn_a_gain_into_a_loss_are_named_with_a_way_to_test_it() -> None:
    result = backtest(total_return=-0.03, costs=Costs(commission=0.0001, half_spread=0.0001, total=0.15))
    found = assess(training(), result)
    assert "Costs turn a gross gain of 12 % into -3 %." in found.weaknesses
    assert any(hypothesis.text.startswith("With a turnover below 100") for hypothesis in found.hypotheses)


def test_a_gate_passed_narrowly_is_a_weakness_with_the_check() -> None:
    close = training(validation_accuracy=0.36, train_accuracy=0.38)
    gates = (training_gate(close, GateThresholds()), backtest_gate(backtest(), GateThresholds()))
    found = assess(close, backtest(), gates)
    assert "Passed a gate narrowly: balanced accuracy 0.36, at least 0.3533." in found.weaknesses


def test_a_backtest_without_trades_is_judged_without_figures() -> None:
    still = {"total_return": 0.0, "annual_return": 0.0, "sharpe_ratio": None, "sortino_ratio": None}
    empty = backtest(
        **still,
        sharpe_interval=None,
        max_drawdown=0.0,
        win_rate=None,
        profit_factor=None,
        total_trades=0,
        exposure=0.0,
        gross=Figures(**still, max_drawdown=0.0),
        deflated_low=None,
    )
    found = assess(training(), empty)
    assert found.verdict is Verdict.POOR
    assert "The strategy never traded, so the backtest says nothing about it." in found.weaknesses
    assert not any("fall from a peak" in strength for strength in found.strengths)


_figure = st.floats(-50, 50)
_maybe = st.none() | _figure
_fraction = st.floats(0, 1)


@given(
    train_accuracy=_fraction,
    validation_accuracy=_fraction,
    changes=st.fixed_dictionaries(
        {
            "total_return": st.floats(-1, 50),
            "sharpe_ratio": _maybe,
            "max_drawdown": _fraction,
            "total_trades": st.integers(0, 10_000),
            "deflated_low": _maybe,
            "exposure": _fraction,
            "benchmark_return": st.floats(-1, 50),
            "minimum_provable_sharpe": st.floats(0, 50),
        }
    ),
)
def test_every_result_gets_a_verdict_by_the_rules_and_words_on_both_sides(
    train_accuracy: float, validation_accuracy: float, changes: dict[str, Any]
) -> None:
    found = assess(
        training(train_accuracy=train_accuracy, validation_accuracy=validation_accuracy), backtest(**changes)
    )
    sharpe, low = changes["sharpe_ratio"], changes["deflated_low"]
    poor = (
        (sharpe is not None and sharpe < 0)
        or changes["max_drawdown"] > 0.30
        or changes["total_trades"] < 20
        or round(train_accuracy - validation_accuracy, 12) > 0.15
    )
    promising = (
        sharpe is not None
        and sharpe > 1
        and changes["max_drawdown"] < 0.20
        and changes["total_trades"] > 50
        and low is not None
        and low > 0
    )
    assert found.verdict is (Verdict.POOR if poor else Verdict.PROMISING if promising else Verdict.NEUTRAL)
    assert found.strengths
    assert found.weaknesses
    assert found.decided_by
    assert found.hypotheses
    assert not _boasts(found)


def _boasts(found: Assessment) -> bool:
    words = " ".join((*found.strengths, *found.weaknesses, *found.suggestions)).lower()
    return any(word in words for word in ("profitable", "proven", "guarantee", "will earn"))


def test_what_a_service_does_not_tell_is_a_weakness_by_name_and_never_promising() -> None:
    assessment = assess(training_at_a_service(), backtest_at_a_service())
    assert assessment.verdict is Verdict.NEUTRAL
    [untold] = [weakness for weakness in assessment.weaknesses if weakness.startswith("The service does not tell")]
    for figure in ("the loss of guessing", "returns before costs", "buy and hold", "the equity bar by bar"):
        assert figure in untold
    assert not any("guessing" in strength for strength in assessment.strengths)
    assert not any("undefined %" in word for word in (*assessment.strengths, *assessment.weaknesses))


def test_rules_of_a_table_have_names_of_their_own() -> None:
    for table in (POOR, PROMISING, STRENGTHS, WEAKNESSES):
        names = [rule.name for rule in table]
        assert len(names) == len(set(names))
