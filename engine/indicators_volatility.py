"""Ranges and bands.

bollingerbandwidth and squeezeintensity are fractions; everything else is in units of the price.
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
    source,
)

Bands = tuple[Column, Column, Column]
"""Upper, middle and lower."""

_SQUEEZE_ATR_PERIOD = 10
"""The grammar gives squeezeintensity none; this is the default of keltnerchannels."""


def atr(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    """Wilder's average true range, by TA-Lib."""
    return {None: talib.ATR(*high_low_close(frame), timeperiod=indicator.whole("period"))}


def bollingerbands(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    """A simple average and `multiplier` standard deviations (of the population) around it, by TA-Lib."""
    bands = _bollinger(source(indicator, frame), indicator.whole("period"), indicator.real("multiplier"))
    return _named(bands)


def bollingerbandwidth(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    """Bollinger's (upper - lower) / middle; 0 where the middle is 0."""
    upper, middle, lower = _bollinger(source(indicator, frame), indicator.whole("period"), indicator.real("multiplier"))
    return {None: ratio(upper - lower, middle, 0.0)}


def keltnerchannels(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    """Keltner's channels as Raschke redrew them: an exponential average of the close and multiples of the ATR around.

    The average is recursive from the first close on (pandas without `adjust`), the ATR is Wilder's.
    """
    period, atr_period = indicator.whole("period"), indicator.whole("atr_period")
    return _named(_keltner(frame, period, atr_period, indicator.real("multiplier")))


def donchianchannels(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    """Donchian's highest high and lowest low of the last `period` bars, this one among them, and their middle."""
    period = indicator.whole("period")
    upper, lower = highest(column(frame, "high"), period), lowest(column(frame, "low"), period)
    return _named((upper, (upper + lower) / 2.0, lower))


def squeezeintensity(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    """How far Bollinger's bands lie within Keltner's channels (the squeeze of Bollinger and Carter), as ktrdr has it.

    The smaller of the two gaps between them as a fraction of the channels' width, 0.5 at most where both have the
    same middle; 0 where a band is outside, or where the channels have no width.
    """
    upper, _, lower = _bollinger(
        source(indicator, frame), indicator.whole("bb_period"), indicator.real("bb_multiplier")
    )
    top, _, bottom = _keltner(frame, indicator.whole("kc_period"), _SQUEEZE_ATR_PERIOD, indicator.real("kc_multiplier"))
    return {None: ratio(np.maximum(np.minimum(top - upper, lower - bottom), 0.0), top - bottom, 0.0)}


def _bollinger(prices: Column, period: int, multiplier: float) -> Bands:
    upper, middle, lower = talib.BBANDS(prices, timeperiod=period, nbdevup=multiplier, nbdevdn=multiplier)
    return upper, middle, lower


def _keltner(frame: pd.DataFrame, period: int, atr_period: int, multiplier: float) -> Bands:
    high, low, close = high_low_close(frame)
    middle = exponential(close, period, adjust=False)
    reach = multiplier * talib.ATR(high, low, close, timeperiod=atr_period)
    # All three begin together, as Bollinger's do.
    middle = np.where(np.isnan(reach), np.nan, middle)
    return middle + reach, middle, middle - reach


def _named(bands: Bands) -> Outputs:
    return dict(zip(("upper", "middle", "lower"), bands, strict=True))


VOLATILITY: Mapping[str, Compute] = {
    "atr": atr,
    "bollingerbands": bollingerbands,
    "bollingerbandwidth": bollingerbandwidth,
    "donchianchannels": donchianchannels,
    "keltnerchannels": keltnerchannels,
    "squeezeintensity": squeezeintensity,
}
