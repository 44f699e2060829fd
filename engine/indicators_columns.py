"""What the indicators' rooms share: columns of bars, and sums, averages and ratios over them that never look ahead.

A value on bar t is computed from bars up to t in an order that does not depend on how many follow, so that computing
a prefix gives the prefix of the whole, bit for bit.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import talib
from numpy.typing import NDArray

from domain.strategy import Indicator

Column = NDArray[np.float64]
Outputs = Mapping[str | None, Column]
"""An indicator's columns by output; the key of a single unnamed output is None."""
Compute = Callable[[Indicator, pd.DataFrame], Outputs]


def column(frame: pd.DataFrame, name: str) -> Column:
    """A column of the bars as the libraries want it: contiguous floats."""
    return np.ascontiguousarray(frame[name].to_numpy(dtype=np.float64))


def source(indicator: Indicator, frame: pd.DataFrame) -> Column:
    """The column that the indicator's `source` names."""
    return column(frame, indicator.word("source"))


def high_low_close(frame: pd.DataFrame) -> tuple[Column, Column, Column]:
    """The three columns of most indicators of ranges."""
    return column(frame, "high"), column(frame, "low"), column(frame, "close")


def typical_price(frame: pd.DataFrame) -> Column:
    """(high + low + close) / 3."""
    high, low, close = high_low_close(frame)
    return (high + low + close) / 3.0


def shifted(values: Column, bars: int) -> Column:
    """What stood there `bars` earlier; NaN where there was nothing yet."""
    moved = np.full_like(values, np.nan)
    moved[bars:] = values[: max(len(values) - bars, 0)]
    return moved


def window_sums(values: Column, period: int) -> Column:
    """The sum of the last `period` values, each window added up anew.

    A running sum would leave a rest of earlier, larger values where a window holds nothing but zeros.
    """
    sums = np.full_like(values, np.nan)
    count = len(values) - period + 1
    if count > 0:
        total = values[:count].copy()
        for lag in range(1, period):
            total += values[lag : lag + count]
        sums[period - 1 :] = total
    return sums


def highest(values: Column, period: int) -> Column:
    """The largest of the last `period` values."""
    return values.copy() if period == 1 else talib.MAX(values, timeperiod=period)  # TA-Lib's begins at 2


def lowest(values: Column, period: int) -> Column:
    """The smallest of the last `period` values."""
    return values.copy() if period == 1 else talib.MIN(values, timeperiod=period)


def exponential(values: Column, period: int, *, adjust: bool) -> Column:
    """pandas's exponential average of that span, from the `period`-th value on."""
    averages = pd.Series(values).ewm(span=period, adjust=adjust, min_periods=period).mean()
    return averages.to_numpy(dtype=np.float64)


def ratio(above: Column, below: Column, otherwise: float) -> Column:
    """above / below, and `otherwise` where that is no finite number because `below` is 0 or next to it."""
    quotient = np.full_like(above, otherwise)
    with np.errstate(over="ignore"):
        np.divide(above, below, out=quotient, where=below != 0.0)
    quotient[np.isinf(quotient)] = otherwise
    return quotient
