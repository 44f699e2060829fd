"""Holes between bars: those that a market's own hours make, told apart from holidays and from bars that are missing."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.bars import AssetClass

NEW_YORK: Final = ZoneInfo("America/New_York")
_FX_CLOSE: Final = timedelta(hours=17)
"""In New York: on Friday currencies stop, on Sunday they begin, whatever summer time does to UTC."""
_EARLY_OR_LATE: Final = timedelta(hours=1)
"""How much sooner than that a source may end its week, or later begin it."""
_LONGEST_HOLIDAY: Final = timedelta(days=5)
_MOST_WEEKENDS: Final = 60
_FRIDAY: Final = 4


class HoleKind(StrEnum):
    """Why bars are not there."""

    CLOSED = "closed"  # a night, a weekend, the exchange's daily pause
    HOLIDAY = "holiday"  # Christmas or New Year lies in it
    UNEXPLAINED = "unexplained"


@dataclass(frozen=True)
class Holes:
    """Holes, one an element: the row after each, the close of the bar before it, the opening of the one after."""

    rows: NDArray[np.int64]
    begin: pd.DatetimeIndex
    end: pd.DatetimeIndex
    missing: NDArray[np.int64]  # bars; Saturdays and Sundays are none in days, nor is the weekend of currencies
    kinds: NDArray[np.str_]

    @property
    def lengths(self) -> pd.TimedeltaIndex:
        """How long each lasts."""
        return self.end - self.begin

    @property
    def total(self) -> int:
        """The bars that are missing in all of them."""
        return int(self.missing.sum())

    def of(self, *kinds: HoleKind) -> "Holes":
        """Those of these kinds alone."""
        kept = np.isin(self.kinds, [kind.value for kind in kinds])
        return Holes(self.rows[kept], self.begin[kept], self.end[kept], self.missing[kept], self.kinds[kept])


def find_holes(times: pd.Series, step: timedelta, asset_class: AssetClass) -> Holes:
    """Where two neighbouring bars lie more than one and a half steps apart. Times are aware UTC; NaT is passed over."""
    rows = np.flatnonzero(times.diff() > step * 1.5)
    begin = pd.DatetimeIndex(times.iloc[rows - 1]) + step
    end = pd.DatetimeIndex(times.iloc[rows])
    if asset_class is AssetClass.FX and step < timedelta(days=1):
        closed, shut = _weekends(begin, end)
    elif step >= timedelta(days=1):
        closed, shut = np.asarray((end - begin) + step <= pd.Timedelta(max(timedelta(days=5), step * 1.5))), None
    else:
        closed, shut = _out_of_hours(times, begin - step, end), None
    lost = (end - begin) if shut is None else (end - begin) - shut
    bars = np.rint(np.asarray(lost / step, dtype=np.float64)).astype(np.int64)
    if step == timedelta(days=1):
        first, last = (times.tz_localize(None).to_numpy().astype("datetime64[D]") for times in (begin, end))
        bars = np.asarray(np.busday_count(first, last), dtype=np.int64)
    missing = np.maximum(bars, 1)
    kinds = np.where(closed, HoleKind.CLOSED, np.where(_holidays(begin, end), HoleKind.HOLIDAY, HoleKind.UNEXPLAINED))
    return Holes(rows, begin, end, missing, kinds.astype(np.str_))


def _weekends(begin: pd.DatetimeIndex, end: pd.DatetimeIndex) -> tuple[NDArray[np.bool_], pd.TimedeltaIndex]:
    """Which holes are a weekend of currencies and nothing else, and how long the market was closed in each."""
    local = begin.tz_convert(NEW_YORK).tz_localize(None)
    friday = local.normalize() + pd.to_timedelta(_FRIDAY - local.day_of_week, unit="D") + _FX_CLOSE
    opens = _in_utc(friday + timedelta(days=2))
    closes = _in_utc(friday)
    weekend = (begin >= closes - _EARLY_OR_LATE) & (end <= opens + _EARLY_OR_LATE) & (end > closes)
    shut = np.zeros(len(begin), dtype=np.int64)
    weeks = int(max((end - begin).days, default=0)) // 7 + 2
    for week in range(min(weeks, _MOST_WEEKENDS)):
        first = np.maximum(_ns(_in_utc(friday + timedelta(days=7 * week))), _ns(begin))
        last = np.minimum(_ns(_in_utc(friday + timedelta(days=7 * week + 2))), _ns(end))
        shut += np.maximum(last - first, 0)
    return np.asarray(weekend), pd.TimedeltaIndex(shut.astype("timedelta64[ns]"))


def _ns(times: pd.DatetimeIndex) -> NDArray[np.int64]:
    return np.asarray(times.as_unit("ns").asi8, dtype=np.int64)


def _in_utc(local: pd.DatetimeIndex) -> pd.DatetimeIndex:
    # 17:00 is never the hour that a clock loses or repeats.
    return local.tz_localize(NEW_YORK).tz_convert("UTC")


def _out_of_hours(times: pd.Series, before: pd.DatetimeIndex, after: pd.DatetimeIndex) -> NDArray[np.bool_]:
    """Which holes are a night, a weekend or the exchange's daily pause; `before` and `after` are opening times."""
    same_day = before.normalize() == after.normalize()
    overnight = ~same_day & ((after - before) <= pd.Timedelta(days=4, hours=12))
    # A pause at the same time on a fifth of the days or more is the exchange's (Tokyo's lunch), not the data's.
    clock = pd.Series((before - before.normalize()).asi8)
    days = max(times.dt.normalize().nunique(), 1)
    pause = (clock.map(clock.value_counts()) >= max(days * 0.2, 2)).to_numpy(dtype=np.bool_)
    return np.asarray(overnight | (pause & same_day), dtype=np.bool_)


def _holidays(begin: pd.DatetimeIndex, end: pd.DatetimeIndex) -> NDArray[np.bool_]:
    """Which holes have some of 25 December or 1 January in them, New York's day, and are not longer than a holiday."""
    if not len(begin):
        return np.zeros(0, dtype=np.bool_)
    first, last = (times.tz_convert(NEW_YORK).tz_localize(None) for times in (begin, end))
    inside = np.zeros(len(begin), dtype=np.bool_)
    for year in range(int(first.year.min()), int(last.year.max()) + 1):
        for day in (pd.Timestamp(year, 12, 25), pd.Timestamp(year, 1, 1)):
            inside |= np.asarray((first < day + timedelta(days=1)) & (last > day))
    return inside & np.asarray((end - begin) <= pd.Timedelta(_LONGEST_HOLIDAY))
