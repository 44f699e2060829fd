"""Oscillators: how fast the price moves, and where it stands in what it has covered.

rsi, stochastic and aroon's lines run from 0 to 100, williamsr from -100 to 0, aroon's oscillator from -100 to 100,
roc is in per cent, momentum in units of its source; rvi, cci and fisher are pure numbers around 0.
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
    highest,
    lowest,
    ratio,
    shifted,
    source,
    window_sums,
)

_FISHER_LIMIT = 0.999
"""The transform is infinite at 1; ktrdr's limit."""


def rsi(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    """Wilder's relative strength index, by TA-Lib; 0 while nothing moves."""
    return {None: talib.RSI(source(indicator, frame), timeperiod=indicator.whole("period"))}


def roc(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    """Change over `period` bars in per cent, by TA-Lib."""
    return {None: talib.ROC(source(indicator, frame), timeperiod=indicator.whole("period"))}


def momentum(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    """Change over `period` bars, by TA-Lib."""
    return {None: talib.MOM(source(indicator, frame), timeperiod=indicator.whole("period"))}


def cci(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    """Lambert's commodity channel index, by TA-Lib; 0 while nothing moves."""
    return {None: talib.CCI(*high_low_close(frame), timeperiod=indicator.whole("period"))}


def williamsr(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    """Williams's %R, by TA-Lib; 0 where the window has no range."""
    high, low, close = high_low_close(frame)
    period = indicator.whole("period")
    if period == 1:  # TA-Lib's begins at 2
        return {None: ratio(-100.0 * (high - close), high - low, 0.0)}
    return {None: talib.WILLR(high, low, close, timeperiod=period)}


def stochastic(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    """Lane's slow stochastic with simple averages, by TA-Lib; 0 where the window has no range."""
    high, low, close = high_low_close(frame)
    k, d = talib.STOCH(
        high,
        low,
        close,
        fastk_period=indicator.whole("k_period"),
        slowk_period=indicator.whole("smooth_k"),
        slowd_period=indicator.whole("d_period"),
    )
    return {"k": k, "d": d}


def rvi(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    """Ehlers's relative vigor index (Stocks & Commodities, January 2002), with ktrdr's simple average as its signal.

    Close - open over high - low, each weighted 1-2-2-1 over four bars and summed over `period`; 0 where no bar of the
    window has a range.
    """
    period = indicator.whole("period")
    vigor = window_sums(_weighted(column(frame, "close") - column(frame, "open")), period)
    reach = window_sums(_weighted(column(frame, "high") - column(frame, "low")), period)
    index = ratio(vigor, reach, 0.0)
    signal_period = indicator.whole("signal_period")
    return {"rvi": index, "signal": window_sums(index, signal_period) / signal_period}


def _weighted(values: Column) -> Column:
    return (values + 2.0 * shifted(values, 1) + 2.0 * shifted(values, 2) + shifted(values, 3)) / 6.0


def fishertransform(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    """Ehlers's Fisher transform (Stocks & Commodities, November 2002) in ktrdr's form; the signal is one bar behind.

    The middle of the bar's range is placed between -1 and 1 in the range of the last `period` bars (0 where there is
    none), transformed by artanh, and the outcome averaged exponentially, where Ehlers averages before and after.
    """
    high, low = column(frame, "high"), column(frame, "low")
    top, bottom = highest(high, indicator.whole("period")), lowest(low, indicator.whole("period"))
    place = 2.0 * ratio((high + low) / 2.0 - bottom, top - bottom, 0.5) - 1.0
    fisher = exponential(
        np.arctanh(np.clip(place, -_FISHER_LIMIT, _FISHER_LIMIT)), indicator.whole("smoothing"), adjust=False
    )
    return {"fisher": fisher, "signal": shifted(fisher, 1)}


def aroon(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    """Chande's Aroon, by TA-Lib: `period` bars back and this one, the latest of equal extremes."""
    high, low = column(frame, "high"), column(frame, "low")
    period = indicator.whole("period")
    if period > 1:
        down, up = talib.AROON(high, low, timeperiod=period)
    else:  # TA-Lib's begins at 2
        before_high, before_low = shifted(high, 1), shifted(low, 1)
        up = np.where(np.isnan(before_high), np.nan, 100.0 * (high >= before_high))
        down = np.where(np.isnan(before_low), np.nan, 100.0 * (low <= before_low))
    return {"up": up, "down": down, "oscillator": up - down}


MOMENTUM: Mapping[str, Compute] = {
    "aroon": aroon,
    "cci": cci,
    "fishertransform": fishertransform,
    "momentum": momentum,
    "roc": roc,
    "rsi": rsi,
    "rvi": rvi,
    "stochastic": stochastic,
    "williamsr": williamsr,
}
