"""Bars of a higher timeframe from those of a lower one, and which of them a lower bar has seen closed.

A bar begins where its length divides the time since midnight UTC (1w: on Mondays) and is closed by the clock, a length
later, whether its last hours had any trade or not. So what a bar will be is never seen before it is that.
"""

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from domain.grammar.values import TIMEFRAMES

_MONDAY: Final = pd.Timestamp("1970-01-05", tz="UTC").value
"""The origin of all timeframes in ns, since every one divides a week."""


def resample(frame: pd.DataFrame, timeframe: str) -> pd.DataFrame:
    """The bars (open, high, low, close, volume) at a higher timeframe, by opening time; the last may yet be open.

    A length of time without bars makes none. Raises KeyError for a timeframe that there is not.
    """
    index = pd.DatetimeIndex(frame.index)
    length = TIMEFRAMES[timeframe] // pd.Timedelta(1, "ns")
    times = index.as_unit("ns").asi8
    opened = (times - _MONDAY) // length * length + _MONDAY
    first = np.flatnonzero(np.diff(opened, prepend=opened[0] - 1)) if len(frame) else np.zeros(0, dtype=np.int64)
    last = np.append(first[1:], len(frame)) - 1 if len(first) else first
    column = {name: frame[name].to_numpy(dtype=np.float64) for name in ("open", "high", "low", "close", "volume")}
    return pd.DataFrame(
        {
            "open": column["open"][first],
            "high": np.maximum.reduceat(column["high"], first) if len(first) else column["high"],
            "low": np.minimum.reduceat(column["low"], first) if len(first) else column["low"],
            "close": column["close"][last],
            "volume": np.add.reduceat(column["volume"], first) if len(first) else column["volume"],
        },
        index=pd.DatetimeIndex(opened[first], name=index.name).tz_localize("UTC"),
    )


def last_closed(base: pd.DatetimeIndex, timeframe: str, higher: pd.DatetimeIndex, of: str) -> NDArray[np.int64]:
    """The position in `higher` (opening times at the timeframe `of`) of the last bar that has closed when each bar of
    `base` (opening times at `timeframe`) closes; -1 where none has.
    """
    closes = base + TIMEFRAMES[timeframe]
    return np.asarray((higher + TIMEFRAMES[of]).searchsorted(closes, side="right"), dtype=np.int64) - 1
