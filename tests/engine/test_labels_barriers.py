"""Triple-barrier labels and their uniqueness, against slow re-implementations from their definitions."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.strategy import TripleBarrierLabels
from engine.labels import SignalClass, labels_and_weights, triple_barrier, uniqueness

BUY, HOLD, SELL = float(SignalClass.BUY), float(SignalClass.HOLD), float(SignalClass.SELL)
PRICES = ("high", "low", "close")


def wilder(frame: pd.DataFrame, span: int) -> np.ndarray:
    """The average true range as Wilder defined it: the first is a mean, and each later one moves by one in `span`."""
    high, low, close = (frame[name].to_numpy() for name in PRICES)
    found = np.full(len(close), np.nan)
    ranges = [
        max(high[t] - low[t], abs(high[t] - close[t - 1]), abs(low[t] - close[t - 1])) for t in range(1, len(close))
    ]
    if len(ranges) >= span:
        found[span] = sum(ranges[:span]) / span
        for t in range(span + 1, len(close)):
            found[t] = (found[t - 1] * (span - 1) + ranges[t - 1]) / span
    return found


def slow_barriers(
    labels: TripleBarrierLabels, frame: pd.DataFrame, volatility: np.ndarray
) -> tuple[list[float], list[int]]:
    high, low, close = (frame[name].to_numpy() for name in PRICES)
    targets, touched = [], []
    for t in range(len(close)):
        target, met = np.nan, -1
        if t + labels.max_holding_period < len(close) and volatility[t] > 0:
            target, met = HOLD, t + labels.max_holding_period
            for later in range(t + 1, t + labels.max_holding_period + 1):
                if low[later] <= close[t] - labels.sl_multiplier * volatility[t]:
                    target, met = SELL, later
                elif high[later] >= close[t] + labels.pt_multiplier * volatility[t]:
                    target, met = BUY, later
                else:
                    continue
                break
        targets.append(target)
        touched.append(met)
    return targets, touched


def bars_of(moves: list[int], wicks: list[int]) -> pd.DataFrame:
    close = 100 + np.cumsum(np.array(moves, dtype=np.float64)) / 4
    wick = np.resize(np.array(wicks, dtype=np.float64), len(close)) / 4
    return pd.DataFrame({"high": close + wick, "low": close - wick, "close": close})


@settings(max_examples=150)
@given(
    moves=st.lists(st.integers(-4, 4), min_size=1, max_size=80),
    wicks=st.lists(st.integers(0, 5), min_size=1, max_size=9),
    up=st.sampled_from([0.5, 1.0, 2.0]),
    down=st.sampled_from([0.5, 1.5]),
    longest=st.integers(1, 20),
    span=st.integers(1, 6),
)
def test_every_bar_has_what_a_walk_ahead_from_it_finds(
    moves: list[int], wicks: list[int], up: float, down: float, longest: int, span: int
) -> None:
    labels = TripleBarrierLabels(pt_multiplier=up, sl_multiplier=down, max_holding_period=longest, vol_span=span)
    frame = bars_of(moves, wicks)
    found = triple_barrier(labels, *(frame[name].to_numpy() for name in PRICES))
    targets, touched = slow_barriers(labels, frame, wilder(frame, span))
    np.testing.assert_array_equal(found.targets, targets)
    np.testing.assert_array_equal(found.touched, touched)


@pytest.mark.parametrize("method", ["atr", "close"])
def test_real_bars_have_all_three_labels_as_the_walk_finds_them(method: str, eurusd: pd.DataFrame) -> None:
    frame = eurusd.iloc[:1500]
    labels = TripleBarrierLabels(vol_method=method)
    if method == "atr":
        volatility = wilder(frame, 14)
    else:
        returns = frame["close"].pct_change()
        volatility = (returns.ewm(span=14, min_periods=14).std() * frame["close"]).to_numpy()
    found, weights = labels_and_weights(labels, frame)
    targets, _ = slow_barriers(labels, frame, volatility)
    np.testing.assert_array_equal(found, targets)
    assert set(np.unique(found[~np.isnan(found)])) == {BUY, HOLD, SELL}
    assert np.isnan(found[-50:]).all()
    assert (weights == 1).all()


def test_of_two_barriers_in_one_bar_the_stop_is_taken() -> None:
    labels = TripleBarrierLabels(pt_multiplier=1, sl_multiplier=1, max_holding_period=1, vol_span=1)
    frame = pd.DataFrame({"high": [101.0, 101, 110, 101], "low": [99.0, 99, 90, 99], "close": [100.0] * 4})
    assert triple_barrier(labels, *(frame[name].to_numpy() for name in PRICES)).targets[1] == SELL


def test_bars_that_never_move_have_no_labels() -> None:
    still = np.full(100, 5.0)
    assert np.isnan(triple_barrier(TripleBarrierLabels(), still, still, still).targets).all()


@given(st.lists(st.integers(0, 12), min_size=1, max_size=60))
def test_uniqueness_is_the_mean_share_of_the_bars_that_a_label_spans(lengths: list[int]) -> None:
    touched = np.array(
        [min(t + n, len(lengths) - 1) if n and t + 1 < len(lengths) else -1 for t, n in enumerate(lengths)]
    )
    spans = [range(t + 1, end + 1) if end >= 0 else range(0) for t, end in enumerate(touched)]
    sharing = [sum(bar in span for span in spans) for bar in range(len(lengths))]
    expected = np.array([sum(1 / sharing[bar] for bar in span) / max(len(span), 1) for span in spans])
    np.testing.assert_allclose(uniqueness(touched), expected, rtol=1e-9, atol=1e-12)


def test_labels_that_ask_for_weights_have_those_of_their_uniqueness(eurusd: pd.DataFrame) -> None:
    frame = eurusd.iloc[:1500]
    labels = TripleBarrierLabels(compute_weights=True)
    targets, weights = labels_and_weights(labels, frame)
    found = triple_barrier(labels, *(frame[name].to_numpy() for name in PRICES))
    np.testing.assert_array_equal(weights, uniqueness(found.touched))
    assert 0 < weights[~np.isnan(targets)].min() < weights.max() <= 1
