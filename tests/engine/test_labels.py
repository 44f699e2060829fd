"""Labels against a slow re-implementation from their definition, and the bars that have none."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import ErrorCode, ResearchError
from domain.strategy import RegimeLabels, Strategy
from engine.dataset import PartRows, prepare
from engine.labels import SignalClass, compute_labels, confirmed_extremes, forward_return, zigzag
from engine.splits import split_bars

BUY, HOLD, SELL = float(SignalClass.BUY), float(SignalClass.HOLD), float(SignalClass.SELL)
NONE = np.nan


def slow_zigzag(close: np.ndarray, threshold: float) -> np.ndarray:
    """By the definition alone: from each extreme the next is where the price stood when it had turned by threshold."""

    def next_extreme(start: int, rising: bool) -> int | None:
        for now in range(start, len(close)):
            so_far = close[start : now + 1]
            best = so_far.max() if rising else so_far.min()
            if (close[now] <= best * (1 - threshold)) if rising else (close[now] >= best * (1 + threshold)):
                return start + int(so_far.argmax() if rising else so_far.argmin())
        return None

    def confirmed_at(rising: bool) -> int:
        for now in range(len(close)):
            so_far = close[: now + 1]
            if close[now] <= so_far.max() * (1 - threshold) if rising else close[now] >= so_far.min() * (1 + threshold):
                return now
        return len(close)

    rising = confirmed_at(rising=True) < confirmed_at(rising=False)
    labels = np.full(len(close), NONE)
    at = next_extreme(0, rising)
    before = None
    while at is not None:
        labels[at] = HOLD
        if before is not None:
            labels[before + 1 : at] = BUY if rising else SELL
        before, rising = at, not rising
        at = next_extreme(before, rising)
    return labels


steps = st.lists(st.integers(-6, 6), min_size=1, max_size=120)


@given(steps, st.sampled_from([0.01, 0.02, 0.035, 0.1]))
def test_zigzag_is_the_slow_definition(moves: list[int], threshold: float) -> None:
    close = 100.0 * np.cumprod(1.0 + np.array(moves, dtype=np.float64) / 400.0, dtype=np.float64)
    np.testing.assert_array_equal(zigzag(close, threshold), slow_zigzag(close, threshold))


def test_zigzag_on_real_bars_is_the_slow_definition(eurusd: pd.DataFrame) -> None:
    close = eurusd["close"].to_numpy()[:800]
    labels = zigzag(close, 0.006)
    np.testing.assert_array_equal(labels, slow_zigzag(close, 0.006))
    assert {BUY, HOLD, SELL} <= set(labels[~np.isnan(labels)])


def test_a_segment_rises_to_its_extreme_and_falls_from_it() -> None:
    close = np.array([100.0, 105, 110, 108, 100, 95, 100, 104, 103])
    expected = [HOLD, BUY, HOLD, SELL, SELL, HOLD, NONE, NONE, NONE]
    np.testing.assert_array_equal(zigzag(close, 0.05), expected)


def test_bars_before_the_first_confirmed_extreme_have_no_label() -> None:
    close = np.array([100.0, 101, 102, 96, 90, 95, 99])
    expected = [NONE, NONE, HOLD, SELL, HOLD, NONE, NONE]
    np.testing.assert_array_equal(zigzag(close, 0.05), expected)


def test_the_tail_has_no_label_until_its_extreme_is_confirmed() -> None:
    rising = np.array([100.0, 90, 95, 100, 105])
    assert np.isnan(zigzag(rising, 0.05)[2:]).all()
    assert zigzag(np.append(rising, 99.0), 0.05)[2:5].tolist() == [BUY, BUY, HOLD]


def test_the_price_has_turned_at_the_very_threshold() -> None:
    assert confirmed_extremes(np.array([100.0, 75.0]), 0.25) == [0]
    assert confirmed_extremes(np.array([100.0, 75.01]), 0.25) == []


def test_of_equal_prices_the_first_is_the_extreme() -> None:
    assert confirmed_extremes(np.array([100.0, 110, 110, 90]), 0.05) == [0, 1]


@pytest.mark.parametrize("close", [[], [1.0], [1.0, 1.0, 1.0]])
def test_bars_without_movement_have_no_labels(close: list[float]) -> None:
    assert np.isnan(zigzag(np.array(close), 0.01)).all()


@given(st.lists(st.floats(0.5, 2), min_size=1, max_size=50), st.integers(1, 60))
def test_forward_return_is_the_return_over_the_horizon(prices: list[float], horizon: int) -> None:
    expected = [prices[t + horizon] / prices[t] - 1 if t + horizon < len(prices) else NONE for t in range(len(prices))]
    np.testing.assert_array_equal(forward_return(np.array(prices), horizon), expected)


def test_labels_that_are_not_computed_are_refused_by_name() -> None:
    with pytest.raises(ResearchError, match="does not compute regime") as refused:
        compute_labels(RegimeLabels(), pd.DataFrame(1.0, index=range(100), columns=["high", "low", "close"]))
    assert refused.value.code is ErrorCode.INVALID_STRATEGY


def seen(rows: PartRows) -> np.ndarray:
    return rows.features[rows.ends]


def test_no_label_depends_on_bars_after_its_part(eurusd: pd.DataFrame, strategy: Callable[..., Strategy]) -> None:
    plain = strategy()
    split = split_bars(plain, pd.DatetimeIndex(eurusd.index))
    changed = eurusd.copy()
    changed.iloc[split.first + split.validation.start :] *= 1.3
    before, after = prepare(plain, {"EURUSD": eurusd}), prepare(plain, {"EURUSD": changed})
    np.testing.assert_array_equal(before.train.targets, after.train.targets)
    np.testing.assert_array_equal(seen(before.train), seen(after.train))
