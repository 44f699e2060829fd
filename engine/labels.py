"""What the network is to learn, bar by bar. Labels look ahead; nothing here is ever an input.

Every function sees one part of the bars alone, so that no label of one part depends on a bar of the next.
"""

from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

import numpy as np
import pandas as pd
import talib
from numpy.typing import NDArray

from domain.errors import ErrorCode, ResearchError
from domain.strategy import ForwardReturnLabels, Labels, TripleBarrierLabels, ZigzagLabels

Prices = NDArray[np.float64]
Targets = NDArray[np.float64]
"""One target a bar: a class id or a return. NaN where there is none."""


class SignalClass(IntEnum):
    """The classes that a classification tells apart."""

    BUY = 0
    HOLD = 1
    SELL = 2


TRADED = (SignalClass.BUY, SignalClass.SELL)


def compute_labels(labels: Labels, bars: pd.DataFrame) -> Targets:
    """The target of each bar of one part, from that part's high, low and close.

    Raises ResearchError INVALID_STRATEGY for labels that this engine does not compute.
    """
    return labels_and_weights(labels, bars)[0]


def labels_and_weights(labels: Labels, bars: pd.DataFrame) -> tuple[Targets, NDArray[np.float64]]:
    """The target of each bar of one part, and how much it counts: 1, or its uniqueness where the labels ask for that.

    Errors as for compute_labels.
    """
    high, low, close = (bars[name].to_numpy(dtype=np.float64) for name in ("high", "low", "close"))
    if isinstance(labels, TripleBarrierLabels):
        found = triple_barrier(labels, high, low, close)
        return found.targets, uniqueness(found.touched) if labels.compute_weights else np.ones(len(close))
    if isinstance(labels, ZigzagLabels):
        return zigzag(close, labels.zigzag_threshold), np.ones(len(close))
    if isinstance(labels, ForwardReturnLabels):
        return forward_return(close, labels.horizon), np.ones(len(close))
    raise ResearchError(
        ErrorCode.INVALID_STRATEGY,
        f"training.labels.source: the embedded engine does not compute {labels.source}; "
        "it computes zigzag, forward_return and triple_barrier.",
    )


@dataclass(frozen=True)
class Barriers:
    """What each bar met first. touched: the bar where it did; -1 where there is no label."""

    targets: Targets
    touched: NDArray[np.int64]


def triple_barrier(labels: TripleBarrierLabels, high: Prices, low: Prices, close: Prices) -> Barriers:
    """The first of take-profit (BUY), stop (SELL) and time (HOLD) after each bar's close.

    The barriers lie at multiples of the volatility known at that close: the average true range over `vol_span` bars,
    or for the method close the exponentially weighted deviation of returns over that span, times the close. Which of
    two barriers within one bar was met first is not known: the stop is taken. Bars without a full look-ahead have no
    label, though they may meet a barrier: those that do soon would be the only ones.
    """
    targets, touched = np.full(len(close), np.nan), np.full(len(close), -1, dtype=np.int64)
    volatility = _volatility(labels, high, low, close)
    longest = labels.max_holding_period
    with np.errstate(invalid="ignore"):
        known = volatility > 0
    known[max(len(close) - longest, 0) :] = False
    upper, lower = close + labels.pt_multiplier * volatility, close - labels.sl_multiplier * volatility
    waiting = np.flatnonzero(known)
    for ahead in range(1, longest + 1):
        stopped = low[waiting + ahead] <= lower[waiting]
        met = stopped | (high[waiting + ahead] >= upper[waiting])
        targets[waiting[met]] = np.where(stopped[met], SignalClass.SELL, SignalClass.BUY)
        touched[waiting[met]] = waiting[met] + ahead
        waiting = waiting[~met]
    targets[waiting], touched[waiting] = SignalClass.HOLD, waiting + longest
    return Barriers(targets, touched)


def _volatility(labels: TripleBarrierLabels, high: Prices, low: Prices, close: Prices) -> Prices:
    """In units of the price, at each close from bars up to it; NaN where there is none yet."""
    span = labels.vol_span
    if labels.vol_method == "atr":
        # TA-Lib's range has no value on the first bar, where there is no close before it.
        return np.asarray(talib.ATR(high, low, close, timeperiod=span), dtype=np.float64)
    returns = pd.Series(close).pct_change()
    return returns.ewm(span=span, min_periods=max(span, 2)).std().to_numpy(dtype=np.float64) * close


def uniqueness(touched: NDArray[np.int64]) -> NDArray[np.float64]:
    """How much of its time each label has for itself: the mean over its bars, from the one after it to the one that it
    meets, of one in the number of labels that share the bar. 0 where there is no label.

    Source: Lopez de Prado, Advances in Financial Machine Learning (2018), chapter 4, average uniqueness.
    """
    begun = np.flatnonzero(touched >= 0)
    changes = np.zeros(len(touched) + 2)
    np.add.at(changes, begun + 1, 1.0)
    np.add.at(changes, touched[begun] + 1, -1.0)
    sharing = np.cumsum(changes)[:-1]
    shares = np.concatenate(([0.0], np.cumsum(np.divide(1.0, sharing, out=np.zeros_like(sharing), where=sharing > 0))))
    weights = np.zeros(len(touched))
    weights[begun] = (shares[touched[begun] + 1] - shares[begun + 1]) / (touched[begun] - begun)
    return weights


def forward_return(close: Prices, horizon: int) -> Targets:
    """close[t + horizon] / close[t] - 1, as a fraction; the last `horizon` bars have none."""
    targets = np.full(len(close), np.nan)
    if horizon < len(close):
        targets[:-horizon] = close[horizon:] / close[:-horizon] - 1.0
    return targets


def zigzag(close: Prices, threshold: float) -> Targets:
    """Whole segments between confirmed extremes: rising BUY, falling SELL, the extremes themselves HOLD.

    An extreme is confirmed once the price has turned from it by `threshold`, a fraction of the extreme's price. Bars
    before the first and after the last confirmed extreme belong to no whole segment and have no label.
    """
    targets = np.full(len(close), np.nan)
    extremes = confirmed_extremes(close, threshold)
    for begin, end in pairwise(extremes):
        targets[begin + 1 : end] = SignalClass.BUY if close[end] > close[begin] else SignalClass.SELL
    targets[extremes] = SignalClass.HOLD
    return targets


def confirmed_extremes(close: Prices, threshold: float) -> list[int]:
    """Positions of the confirmed highs and lows, in turn. Of equal prices the first is the extreme."""
    extremes: list[int] = []
    if not len(close):
        return extremes
    high = low = float(close[0])
    high_at = low_at = 0
    seeks_high = seeks_low = True
    for at, price in enumerate(close.tolist()):
        if seeks_high and price > high:
            high, high_at = price, at
        if seeks_low and price < low:
            low, low_at = price, at
        if seeks_high and price <= high * (1.0 - threshold):
            extremes.append(high_at)
            low, low_at = price, at
            seeks_high, seeks_low = False, True
        elif seeks_low and price >= low * (1.0 + threshold):
            extremes.append(low_at)
            high, high_at = price, at
            seeks_high, seeks_low = True, False
    return extremes
