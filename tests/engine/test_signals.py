"""A position follows from what the model has said so far, by the rules of the strategy's decisions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from domain.strategy import CostModel, Decisions, Filters
from engine.signals import positions, signals_of_classes, signals_of_returns, target_positions

BUY, HOLD, SELL = (0.8, 0.1, 0.1), (0.1, 0.8, 0.1), (0.1, 0.1, 0.8)
NOTHING = (np.nan, np.nan, np.nan)
UNSURE = (0.4, 0.3, 0.3)


def _positions(*said: tuple[float, float, float], **decisions: object) -> list[int]:
    rules = {"confidence_threshold": 0.5, "allow_short_from_flat": True} | decisions
    return [int(position) for position in target_positions(np.array(said), Decisions.model_validate(rules))]


def test_buy_is_long_and_sell_is_short() -> None:
    assert _positions(BUY, SELL, BUY) == [1, -1, 1]


@pytest.mark.parametrize("silence", [HOLD, UNSURE, NOTHING])
def test_hold_doubt_and_a_missing_feature_keep_the_position(silence: tuple[float, float, float]) -> None:
    assert _positions(silence, BUY, silence, silence, SELL, silence) == [0, 1, 1, 1, -1, -1]


def test_a_probability_at_the_threshold_is_acted_on_and_one_below_is_not() -> None:
    assert signals_of_classes(np.array([[0.5, 0.25, 0.25], [0.4999, 0.25, 0.25]]), 0.5).tolist() == [1, 0]


def test_without_leave_to_go_short_a_sell_closes_a_long_and_waits() -> None:
    assert _positions(SELL, BUY, SELL, SELL, BUY, allow_short_from_flat=False) == [0, 1, 0, 0, 1]


def test_two_changes_lie_the_separation_apart_and_a_signal_too_soon_is_lost() -> None:
    held = _positions(BUY, SELL, HOLD, HOLD, SELL, BUY, HOLD, BUY, filters=Filters(min_signal_separation=3))

    assert held == [1, 1, 1, 1, -1, -1, -1, 1]


def test_the_first_signal_needs_no_separation() -> None:
    assert positions(np.array([1], dtype=np.int8), allow_short=True, separation=10).tolist() == [1]


def test_a_predicted_return_is_acted_on_above_the_cost_times_the_multiplier_alone() -> None:
    cost = CostModel(round_trip_cost=0.001, min_edge_multiplier=2.0)

    signals = signals_of_returns(np.array([0.0021, 0.002, -0.002, -0.0021, 0.0, np.nan]), cost)

    assert signals.tolist() == [1, 0, 0, -1, 0, 0]


def test_a_regression_without_a_cost_model_follows_the_sign_and_may_go_short() -> None:
    decisions = Decisions(output_format="regression")

    assert target_positions(np.array([1e-9, -1e-9, 0.0, np.nan]), decisions).tolist() == [1, -1, -1, -1]


@given(
    said=hnp.arrays(np.int8, st.integers(2, 60), elements=st.integers(-1, 1)),
    cut=st.integers(1, 59),
    allow_short=st.booleans(),
    separation=st.integers(0, 5),
)
def test_another_future_leaves_the_positions_before_it_as_they_were(
    said: np.ndarray, cut: int, allow_short: bool, separation: int
) -> None:
    changed = np.concatenate((said[:cut], -said[cut:]))

    whole, other, alone = (
        positions(signals, allow_short=allow_short, separation=separation) for signals in (said, changed, said[:cut])
    )

    assert np.array_equal(whole[:cut], other[:cut])
    assert np.array_equal(whole[:cut], alone)
