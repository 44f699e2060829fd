"""A position follows from what the model has said so far, by the rules of the strategy's decisions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from domain.errors import ErrorCode, ResearchError
from domain.strategy import CostModel, Decisions, Filters
from engine.signals import (
    VOLUME_WINDOW,
    loud_enough,
    positions,
    signals_of_classes,
    signals_of_returns,
    target_positions,
)

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


def test_with_awareness_an_opposite_signal_closes_and_a_further_one_opens_the_other_side() -> None:
    said = (BUY, BUY, SELL, HOLD, SELL, SELL, BUY, BUY)

    assert _positions(*said, position_awareness=True) == [1, 1, 0, 0, -1, -1, 0, 1]
    assert _positions(*said, position_awareness=False) == [1, 1, -1, -1, -1, -1, 1, 1]


def test_with_awareness_and_without_leave_to_go_short_a_sell_from_flat_does_nothing() -> None:
    aware = {"position_awareness": True, "allow_short_from_flat": False}

    assert _positions(SELL, BUY, SELL, SELL, BUY, **aware) == [0, 1, 0, 0, 1]


def test_closing_and_opening_the_other_side_lie_the_separation_apart_too() -> None:
    aware = {"position_awareness": True, "filters": Filters(min_signal_separation=2)}

    assert _positions(BUY, SELL, SELL, SELL, SELL, BUY, BUY, **aware) == [1, 1, 0, 0, -1, -1, 0]


def test_a_regression_with_awareness_closes_before_it_goes_short() -> None:
    decisions = Decisions(output_format="regression", position_awareness=True)

    assert target_positions(np.array([0.1, -0.1, -0.1, 0.1]), decisions).tolist() == [1, 0, -1, 0]


def test_a_signal_on_a_bar_that_is_not_heard_says_nothing() -> None:
    decisions = Decisions(confidence_threshold=0.5, allow_short_from_flat=True)
    heard = np.array([False, True, False, True])

    assert target_positions(np.array([BUY, BUY, SELL, SELL]), decisions, heard).tolist() == [0, 1, 1, -1]


def test_a_volume_at_the_average_of_its_last_bars_passes_and_one_below_does_not() -> None:
    steady = np.full(VOLUME_WINDOW, 0.1)
    quiet = np.append(np.full(VOLUME_WINDOW - 1, 100.0), 99.0)
    loud = np.append(np.full(VOLUME_WINDOW - 1, 100.0), 101.0)

    assert [loud_enough(volume).tolist()[-1] for volume in (steady, quiet, loud)] == [True, False, True]
    assert not loud_enough(steady)[:-1].any()


def test_a_bar_without_volume_never_passes_and_bars_without_any_are_refused() -> None:
    volume = np.concatenate((np.ones(5), np.zeros(2 * VOLUME_WINDOW)))

    assert not loud_enough(volume).any()
    with pytest.raises(ResearchError, match="carry no volume") as error:
        loud_enough(np.zeros(100))
    assert error.value.code is ErrorCode.DATA_UNAVAILABLE


@given(
    volume=hnp.arrays(np.float64, st.integers(21, 80), elements=st.sampled_from([0.1, 0.3, 1.0, 7.7, 1e9])),
    cut=st.integers(1, 79),
)
def test_another_future_leaves_the_bars_that_passed_as_they_were(volume: np.ndarray, cut: int) -> None:
    cut = min(cut, len(volume))
    changed = np.concatenate((volume[:cut], 3 * volume[cut:]))

    whole, other, alone = (loud_enough(each) for each in (volume, changed, volume[:cut]))

    assert np.array_equal(whole[:cut], other[:cut])
    assert np.array_equal(whole[:cut], alone)


@given(
    said=hnp.arrays(np.int8, st.integers(2, 60), elements=st.integers(-1, 1)),
    cut=st.integers(1, 59),
    allow_short=st.booleans(),
    separation=st.integers(0, 5),
    aware=st.booleans(),
)
def test_another_future_leaves_the_positions_before_it_as_they_were(
    said: np.ndarray, cut: int, allow_short: bool, separation: int, aware: bool
) -> None:
    changed = np.concatenate((said[:cut], -said[cut:]))

    whole, other, alone = (
        positions(signals, allow_short=allow_short, separation=separation, aware=aware)
        for signals in (said, changed, said[:cut])
    )

    assert np.array_equal(whole[:cut], other[:cut])
    assert np.array_equal(whole[:cut], alone)
