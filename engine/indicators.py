"""Indicators by TA-Lib: one table from the grammar's type to the function that computes it.

A value on bar t uses bars up to t alone, and the same bars from the same first bar give the same bits whatever
follows them. Leading bars without a value are NaN. Units: rsi, stochastic and adx run from 0 to 100, roc is in per
cent, everything else is in units of the price.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import talib
from numpy.typing import NDArray

from domain.errors import ErrorCode, ResearchError
from domain.strategy import Indicator

Column = NDArray[np.float64]
Outputs = Mapping[str | None, Column]
"""An indicator's columns by output; the key of a single unnamed output is None."""


def compute(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    """Every output of an indicator over bars (columns open, high, low, close, volume), one value a bar.

    Raises ResearchError INVALID_STRATEGY for a type that this engine does not compute.
    """
    function = TABLE.get(indicator.type)
    if function is None:
        raise ResearchError(
            ErrorCode.INVALID_STRATEGY,
            f"indicators.{indicator.id}: the embedded engine does not compute {indicator.type}; "
            f"it computes {', '.join(sorted(TABLE))}.",
        )
    return function(indicator, frame)


def _column(frame: pd.DataFrame, name: str) -> Column:
    return np.ascontiguousarray(frame[name].to_numpy(dtype=np.float64))


def _source(indicator: Indicator, frame: pd.DataFrame) -> Column:
    return _column(frame, indicator.word("source"))


def _range(frame: pd.DataFrame) -> tuple[Column, Column, Column]:
    return _column(frame, "high"), _column(frame, "low"), _column(frame, "close")


def _rsi(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    return {None: talib.RSI(_source(indicator, frame), timeperiod=indicator.whole("period"))}


def _roc(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    return {None: talib.ROC(_source(indicator, frame), timeperiod=indicator.whole("period"))}


def _sma(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    return {None: talib.SMA(_source(indicator, frame), timeperiod=indicator.whole("period"))}


def _ema(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    # TA-Lib's EMA starts from a simple average and knows no `adjust`; the grammar's is pandas's, both ways.
    period = indicator.whole("period")
    averages = pd.Series(_source(indicator, frame)).ewm(
        span=period, adjust=indicator.flag("adjust"), min_periods=period
    )
    return {None: averages.mean().to_numpy(dtype=np.float64)}


def _macd(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    source = _source(indicator, frame)
    fast, slow, signal = (indicator.whole(name) for name in ("fast_period", "slow_period", "signal_period"))
    if fast > 1:
        line, average, histogram = talib.MACD(source, fastperiod=fast, slowperiod=slow, signalperiod=signal)
    else:
        # TA-Lib's MACD refuses a fast period of 1, which is the price itself.
        line = source - talib.EMA(source, timeperiod=slow)
        average = talib.EMA(line, timeperiod=signal)
        histogram = line - average
    return {"line": line, "signal": average, "histogram": histogram}


def _adx(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    high, low, close = _range(frame)
    period = indicator.whole("period")
    return {
        "adx": talib.ADX(high, low, close, timeperiod=period),
        "plus_di": talib.PLUS_DI(high, low, close, timeperiod=period),
        "minus_di": talib.MINUS_DI(high, low, close, timeperiod=period),
    }


def _atr(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    high, low, close = _range(frame)
    return {None: talib.ATR(high, low, close, timeperiod=indicator.whole("period"))}


def _bollingerbands(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    width = indicator.real("multiplier")
    upper, middle, lower = talib.BBANDS(
        _source(indicator, frame), timeperiod=indicator.whole("period"), nbdevup=width, nbdevdn=width
    )
    return {"upper": upper, "middle": middle, "lower": lower}


def _stochastic(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    high, low, close = _range(frame)
    k, d = talib.STOCH(
        high,
        low,
        close,
        fastk_period=indicator.whole("k_period"),
        slowk_period=indicator.whole("smooth_k"),
        slowd_period=indicator.whole("d_period"),
    )
    return {"k": k, "d": d}


TABLE: Mapping[str, Callable[[Indicator, pd.DataFrame], Outputs]] = {
    "adx": _adx,
    "atr": _atr,
    "bollingerbands": _bollingerbands,
    "ema": _ema,
    "macd": _macd,
    "roc": _roc,
    "rsi": _rsi,
    "sma": _sma,
    "stochastic": _stochastic,
}
"""What this engine computes, by the grammar's canonical type."""
