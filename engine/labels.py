"""What the network is to learn, bar by bar. Labels look ahead; nothing here is ever an input.

Every function sees one part of the bars alone, so that no label of one part depends on a bar of the next.
"""

from enum import IntEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from domain.errors import ErrorCode, ResearchError
from domain.strategy import ForwardReturnLabels, Labels, ZigzagLabels

Prices = NDArray[np.float64]
Targets = NDArray[np.float64]
"""One target a bar: a class id or a return. NaN where there is none."""


class SignalClass(IntEnum):
    """The classes that a classification tells apart."""

    BUY = 0
    HOLD = 1
    SELL = 2


TRADED = (SignalClass.BUY, SignalClass.SELL)


def compute_labels(labels: Labels, close: Prices) -> Targets:
    """The target of each bar of one part, from its closes.

    Raises ResearchError INVALID_STRATEGY for labels that this engine does not compute.
    """
    if isinstance(labels, ZigzagLabels):
        return zigzag(close, labels.zigzag_threshold)
    if isinstance(labels, ForwardReturnLabels):
        return forward_return(close, labels.horizon)
    raise ResearchError(
        ErrorCode.INVALID_STRATEGY,
        f"training.labels.source: the embedded engine does not compute {labels.source}; "
        "it computes zigzag and forward_return.",
    )


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
