"""What volume says. Sets without volume have zeros there, for which each indicator has a value of its own.

mfi runs from 0 to 100, cmf from -1 to 1, volumeratio is a fraction, vwap is in units of the price; obv, adline's line
and what is made of it are in units of the volume, but roc_10 and relative_strength, which are in per cent.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import talib

from domain.strategy import Indicator
from engine.indicators_columns import (
    Column,
    Compute,
    Outputs,
    column,
    exponential,
    high_low_close,
    ratio,
    shifted,
    typical_price,
    window_sums,
)

# ktrdr fixes these; the grammar has no parameters for them.
_CMF_MOMENTUM, _CMF_SIGNAL = 5, 9
_AD_ROC, _AD_MOMENTUM, _AD_RECENT, _AD_RECENT_LEAST = 10, 21, 50, 20


def obv(_: Indicator, frame: pd.DataFrame) -> Outputs:
    """Granville's on-balance volume, by TA-Lib: from the first bar's volume on."""
    return {None: talib.OBV(column(frame, "close"), column(frame, "volume"))}


def vwap(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    """The price weighted by volume, of the last `period` bars, or of all so far for 0; unweighted without volume."""
    price = typical_price(frame) if indicator.flag("use_typical_price") else column(frame, "close")
    volume, period = column(frame, "volume"), indicator.whole("period")

    def total(values: Column) -> Column:
        return window_sums(values, period) if period else np.cumsum(values)

    plain = total(price) / total(np.ones_like(price))
    weighted = ratio(total(price * volume), total(volume), np.nan)
    return {None: np.where(np.isnan(weighted), plain, weighted)}


def mfi(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    """Quong and Soudack's money flow index; 50 where no money flowed.

    A formula, because TA-Lib's begins at a period of 2 and takes a flow below 1, in any unit, for none.
    """
    price, period = typical_price(frame), indicator.whole("period")
    flow, change = price * column(frame, "volume"), price - shifted(price, 1)
    known = np.where(np.isnan(change), np.nan, flow)
    rising = window_sums(np.where(change > 0.0, known, 0.0 * known), period)
    falling = window_sums(np.where(change < 0.0, known, 0.0 * known), period)
    return {None: 100.0 * ratio(rising, rising + falling, 0.5)}


def cmf(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    """Chaikin's money flow, 0 without volume, and what ktrdr makes of it.

    momentum is the change over 5 bars, signal an exponential average of 9, histogram the distance from it; above_zero
    and below_zero are 1 or 0.
    """
    period = indicator.whole("period")
    multiplier, flow = _money_flow(frame)
    index = ratio(window_sums(flow, period), window_sums(column(frame, "volume"), period), 0.0)
    signal = exponential(index, _CMF_SIGNAL, adjust=False)
    unknown = np.isnan(index)
    return {
        "cmf": index,
        "mf_multiplier": multiplier,
        "mf_volume": flow,
        "momentum": index - shifted(index, _CMF_MOMENTUM),
        "signal": signal,
        "histogram": index - signal,
        "above_zero": np.where(unknown, np.nan, 1.0 * (index > 0.0)),
        "below_zero": np.where(unknown, np.nan, 1.0 * (index < 0.0)),
    }


def adline(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    """Chaikin's accumulation/distribution line, and what ktrdr makes of it.

    Smoothing is a simple average of `line` alone. roc_10, momentum_21 and relative_strength (against the mean of the
    last 50 bars, of at least 20) are of the line itself; the two in per cent are 0 where they would divide by 0.
    """
    multiplier, flow = _money_flow(frame)
    total = np.cumsum(flow)
    smoothing = indicator.whole("smoothing_period")
    smooth = window_sums(total, smoothing) / smoothing if indicator.flag("use_sma_smoothing") else total
    before = shifted(total, _AD_ROC)
    recent = pd.Series(total).rolling(_AD_RECENT, min_periods=_AD_RECENT_LEAST).mean().to_numpy(dtype=np.float64)
    return {
        "line": smooth,
        "mf_multiplier": multiplier,
        "mf_volume": flow,
        "roc_10": 100.0 * ratio(total - before, before, 0.0),
        "momentum_21": total - shifted(total, _AD_MOMENTUM),
        "relative_strength": 100.0 * ratio(total - recent, recent, 0.0),
    }


def volumeratio(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    """Volume over its simple average; 1 where the window has none."""
    volume, period = column(frame, "volume"), indicator.whole("period")
    return {None: ratio(volume, window_sums(volume, period) / period, 1.0)}


def _money_flow(frame: pd.DataFrame) -> tuple[Column, Column]:
    """Where the close lies in the bar, from -1 (low) to 1 (high), 0 in a bar without range; and that times volume."""
    high, low, close = high_low_close(frame)
    multiplier = ratio((close - low) - (high - close), high - low, 0.0)
    return multiplier, multiplier * column(frame, "volume")


VOLUME: Mapping[str, Compute] = {
    "adline": adline,
    "cmf": cmf,
    "mfi": mfi,
    "obv": obv,
    "volumeratio": volumeratio,
    "vwap": vwap,
}
