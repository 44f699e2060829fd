"""Averages and followers of trends.

adx's outputs run from 0 to 100, distancefromma is in per cent of the average, supertrend's direction is 1 (rising) or
-1 (falling); everything else is in units of the price.
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


def sma(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    """Simple average, by TA-Lib."""
    return {None: talib.SMA(source(indicator, frame), timeperiod=indicator.whole("period"))}


def wma(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    """Average with weights 1 to `period`, the latest bar's the largest, by TA-Lib."""
    return {None: talib.WMA(source(indicator, frame), timeperiod=indicator.whole("period"))}


def ema(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    """Exponential average as pandas has it: TA-Lib's starts from a simple average and knows no `adjust`."""
    adjust = indicator.flag("adjust")
    return {None: exponential(source(indicator, frame), indicator.whole("period"), adjust=adjust)}


def macd(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    """Appel's distance of two exponential averages, by TA-Lib."""
    prices = source(indicator, frame)
    fast, slow, signal = (indicator.whole(name) for name in ("fast_period", "slow_period", "signal_period"))
    if fast > 1:
        line, average, histogram = talib.MACD(prices, fastperiod=fast, slowperiod=slow, signalperiod=signal)
    else:
        # TA-Lib's MACD refuses a fast period of 1, which is the price itself.
        line = prices - talib.EMA(prices, timeperiod=slow)
        average = talib.EMA(line, timeperiod=signal)
        histogram = line - average
    return {"line": line, "signal": average, "histogram": histogram}


def adx(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    """Wilder's directional movement, by TA-Lib."""
    high, low, close = high_low_close(frame)
    period = indicator.whole("period")
    return {
        "adx": talib.ADX(high, low, close, timeperiod=period),
        "plus_di": talib.PLUS_DI(high, low, close, timeperiod=period),
        "minus_di": talib.MINUS_DI(high, low, close, timeperiod=period),
    }


def parabolicsar(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    """Wilder's stop and reverse, by TA-Lib's extended form, which alone knows an initial factor beside the step."""
    initial, step, most = (indicator.real(name) for name in ("initial_af", "step_af", "max_af"))
    stops = talib.SAREXT(
        column(frame, "high"),
        column(frame, "low"),
        accelerationinitlong=initial,
        accelerationlong=step,
        accelerationmaxlong=most,
        accelerationinitshort=initial,
        accelerationshort=step,
        accelerationmaxshort=most,
    )
    return {None: np.abs(stops)}  # the extended form marks a falling trend by a minus


def ichimoku(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    """Hosoda's lines, each the middle of the range of its window; chikou, which looks ahead, is not among them.

    The spans are seen where they are drawn: on bar t stands what was computed on bar t - displacement.
    """
    high, low = column(frame, "high"), column(frame, "low")

    def middle(name: str) -> Column:
        period = indicator.whole(name)
        return (highest(high, period) + lowest(low, period)) / 2.0

    tenkan, kijun, ahead = middle("tenkan_period"), middle("kijun_period"), indicator.whole("displacement")
    return {
        "tenkan": tenkan,
        "kijun": kijun,
        "senkou_a": shifted((tenkan + kijun) / 2.0, ahead),
        "senkou_b": shifted(middle("senkou_b_period"), ahead),
    }


def supertrend(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    """Seban's trailing bands of `multiplier` average true ranges (Wilder's) around the middle of the bar.

    The rules of TradingView's ta.supertrend, whose direction has the other sign: falling before the first bar, turned
    by a close beyond the band, and a close on it turns nothing.
    """
    high, low, close = high_low_close(frame)
    period = indicator.whole("period")
    reach = indicator.real("multiplier") * talib.ATR(high, low, close, timeperiod=period)
    middle = (high + low) / 2.0
    trend, direction = np.full_like(close, np.nan), np.full_like(close, np.nan)
    trend[period:], direction[period:] = trailing_bands(
        (middle + reach)[period:].tolist(), (middle - reach)[period:].tolist(), close[period:].tolist()
    )
    return {"trend": trend, "direction": direction}


def trailing_bands(uppers: list[float], lowers: list[float], closes: list[float]) -> tuple[list[float], list[float]]:
    """The band that the close is held against, and the direction, of each bar."""
    # Each band depends on the one before, so this is a loop; over lists, which are several times faster than arrays.
    trend: list[float] = []
    direction: list[float] = []
    upper, lower, before, rising = float("inf"), float("-inf"), 0.0, False
    for new_upper, new_lower, close in zip(uppers, lowers, closes, strict=True):
        if new_upper < upper or before > upper:
            upper = new_upper
        if new_lower > lower or before < lower:
            lower = new_lower
        rising = close >= lower if rising else close > upper
        trend.append(lower if rising else upper)
        direction.append(1.0 if rising else -1.0)
        before = close
    return trend, direction


def distancefromma(indicator: Indicator, frame: pd.DataFrame) -> Outputs:
    """100 (source - average) / average, and 0 where the average is 0; EMA is the grammar's `ema`, adjusted."""
    prices, period = source(indicator, frame), indicator.whole("period")
    if indicator.word("ma_type") == "EMA":
        average = exponential(prices, period, adjust=True)
    else:
        average = window_sums(prices, period) / period
    return {None: 100.0 * ratio(prices - average, average, 0.0)}


TREND: Mapping[str, Compute] = {
    "adx": adx,
    "distancefromma": distancefromma,
    "ema": ema,
    "ichimoku": ichimoku,
    "macd": macd,
    "parabolicsar": parabolicsar,
    "sma": sma,
    "supertrend": supertrend,
    "wma": wma,
}
