"""What makes a table of bars unusable, and what makes it merely odd. Every finding names the line of the file."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import numpy as np
import pandas as pd

from domain.grammar.values import TIMEFRAMES
from engine.bars import AssetClass

MIN_BARS: Final = 100
_FIRST_LINE: Final = 2  # line 1 holds the column names
_PRICES: Final = ("open", "high", "low", "close")
_SHOWN_REMARKS: Final = 5
# A market's own hours leave holes; anything beyond them is a hole in the data. Holidays are told, not refused: no
# calendar of every exchange is at hand.
_LONGEST_HOLE: Final = timedelta(days=14)
_MOST_HOLES: Final = 0.05
_ABSURD_JUMP: Final = {AssetClass.FX: 0.2, AssetClass.EQUITY: 0.5, AssetClass.INDEX: 0.3}


@dataclass
class Findings:
    """Problems refuse the file, remarks do not. A problem's line 0 speaks of the file as a whole."""

    problems: list[tuple[int, str, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def refuse(self, rows: np.ndarray, column: str, text: str) -> None:
        """One problem for each of these rows, which are counted from 0 below the column names."""
        self.problems.extend((int(row) + _FIRST_LINE, column, text) for row in rows)

    def refuse_all(self, text: str) -> None:
        """A problem of the whole file."""
        self.problems.append((0, "", text))

    def remark(self, rows: np.ndarray, text: str) -> None:
        """One remark for all these rows, if there are any."""
        if len(rows):
            lines = ", ".join(str(row + _FIRST_LINE) for row in rows[:_SHOWN_REMARKS])
            more = f" and {len(rows) - _SHOWN_REMARKS} more" if len(rows) > _SHOWN_REMARKS else ""
            self.remarks.append(f"{text} (line {lines}{more})")


def check_values(table: pd.DataFrame, asset_class: AssetClass, found: Findings) -> None:
    """Prices above zero, a volume of at least zero, low <= open, close <= high; a jump beyond belief is remarked.

    Cells that are NaN have been refused before and are passed over.
    """
    for column in _PRICES:
        found.refuse(np.flatnonzero(table[column] <= 0), column, "a price has to be above 0")
    found.refuse(np.flatnonzero(table["volume"] < 0), "volume", "a volume cannot be below 0")
    for column in ("open", "low", "close"):
        found.refuse(np.flatnonzero(table["high"] < table[column]), "high", f"is below the {column}")
    for column in ("open", "close"):
        found.refuse(np.flatnonzero(table["low"] > table[column]), "low", f"is above the {column}")
    bound = _ABSURD_JUMP[asset_class]
    jump = (table["open"] / table["close"].shift(1) - 1).abs()
    within = (table["close"] / table["open"] - 1).abs()
    rows = np.flatnonzero(np.maximum(jump.fillna(0.0), within.fillna(0.0)) > bound)
    found.remark(rows, f"the price jumps by more than {bound:.0%}: a split, or an error?")


def check_times(times: pd.Series, timeframe: str, asset_class: AssetClass, found: Findings) -> None:
    """Ascending, no time twice, the distance of the timeframe, and no holes but the market's own hours.

    Times are aware UTC; those that are NaT have been refused before and are passed over.
    """
    step = TIMEFRAMES[timeframe]
    distance = times.diff()
    backwards = np.flatnonzero(distance < timedelta(0))
    if len(backwards) > len(times) / 2:
        found.refuse_all("the newest bar stands first: sort the file by time, ascending")
        return
    found.refuse(backwards, "timestamp", "is earlier than the line before: sort the file by time, ascending")
    found.refuse(np.flatnonzero(distance == timedelta(0)), "timestamp", "the same time as the line before")
    near = (distance > timedelta(0)) & (distance < step * 0.6)
    usual = pd.Timedelta(distance[distance > timedelta(0)].median())
    if len(times) >= MIN_BARS and (usual < step * 0.6 or usual > step * 1.5):
        found.refuse_all(f"the bars usually lie {_words(usual)} apart, which is not the timeframe {timeframe}")
        return
    found.refuse(np.flatnonzero(near), "timestamp", f"is closer to the line before than a bar of {timeframe} lasts")
    _check_holes(times, step, asset_class, found)


def _check_holes(times: pd.Series, step: timedelta, asset_class: AssetClass, found: Findings) -> None:
    before = times.shift(1)
    hole = (times - before) > step * 1.5
    unexpected = hole & ~_market_hours(before, times, step, asset_class)
    rows = np.flatnonzero(unexpected)
    long = np.flatnonzero(unexpected & ((times - before) > max(_LONGEST_HOLE, step * 3)))
    found.refuse(long, "timestamp", f"bars are missing before it for more than {_words(max(_LONGEST_HOLE, step * 3))}")
    if len(rows) > _MOST_HOLES * len(times):
        found.refuse(rows, "timestamp", "bars are missing before it")
    else:
        lost = int(sum(round(hole / step) - 1 for hole in (times - before)[rows]))
        places = f"{len(rows)} place{'' if len(rows) == 1 else 's'}"
        found.remark(rows, f"bars missing in {places}, up to {lost} of them, that no night or weekend explains")


def _market_hours(before: pd.Series, after: pd.Series, step: timedelta, asset_class: AssetClass) -> pd.Series:
    """Whether the hole between two bars is a night, a weekend, a holiday beside one, or a daily pause."""
    if step >= timedelta(days=1):
        long_weekend: pd.Series = (after - before) <= max(timedelta(days=5), step * 1.5)
        return long_weekend
    if asset_class is AssetClass.FX:
        # Closed from Friday about 21:00 UTC to Sunday about 22:00; an hour of summer time either way.
        friday = before.dt.normalize() + pd.to_timedelta(4 - before.dt.day_of_week, unit="D")
        weekend: pd.Series = (before + step >= friday + timedelta(hours=20)) & (
            after <= friday + timedelta(days=3, hours=2)
        )
        return weekend
    overnight = (before.dt.date != after.dt.date) & ((after - before) <= timedelta(days=4, hours=12))
    # A pause at the same time on a fifth of the days or more is the exchange's (Tokyo's lunch), not the data's.
    clock = before.dt.strftime("%H:%M").where((after - before) > step * 1.5)
    days = max(before.dt.date.nunique(), 1)
    pause = clock.map(clock.value_counts()).fillna(0) >= max(days * 0.2, 2)
    in_hours: pd.Series = overnight | (pause & (before.dt.date == after.dt.date))
    return in_hours


def _words(span: timedelta) -> str:
    minutes = span.total_seconds() / 60
    for unit, size in (("day", 1440), ("hour", 60)):
        if minutes >= size and (minutes % size == 0 or size == 1440):
            return _counted(minutes / size, unit)
    return _counted(minutes, "minute")


def _counted(number: float, unit: str) -> str:
    return f"{number:g} {unit}" if number == 1 else f"{number:g} {unit}s"
