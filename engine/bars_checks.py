"""What makes a table of bars unusable, and what makes it merely odd. Every finding names the line of the file."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from domain.errors import ErrorCode, ResearchError
from domain.grammar.values import TIMEFRAMES
from engine.bars import AssetClass
from engine.bars_holes import HoleKind, Holes, find_holes

MIN_BARS: Final = 100
MAX_PROBLEMS: Final = 20
PRICES: Final = ("open", "high", "low", "close")
_SHOWN_REMARKS: Final = 5
# Holidays are told, not refused: no calendar of every exchange is at hand.
_LONGEST_HOLE: Final = timedelta(days=14)
_MOST_HOLES: Final = 0.05
_ABSURD_JUMP: Final = {AssetClass.FX: 0.2, AssetClass.EQUITY: 0.5, AssetClass.INDEX: 0.3}

Rows = NDArray[np.int64]


def unusable(message: str) -> ResearchError:
    """The error of what is no table of bars at all."""
    return ResearchError(ErrorCode.DATA_UNAVAILABLE, message)


class Fault(StrEnum):
    """A kind of problem, by which they are counted."""

    CELL = "cell"
    PRICE = "price"
    VOLUME = "volume"
    RANGE = "range"
    DUPLICATE = "duplicate"
    ORDER = "order"
    HOLE = "hole"


@dataclass
class Findings:
    """Problems refuse the file, remarks do not. Rows are counted from 0, and told from `first` on as `unit`.

    Of each kind of problem the first MAX_PROBLEMS rows are kept in words, all are counted. Row -1 is the whole file.
    """

    unit: str = "line"
    first: int = 2  # line 1 of a CSV holds the column names
    problems: list[tuple[int, str, str]] = field(default_factory=list)
    counts: Counter[Fault] = field(default_factory=Counter)
    remarks: list[str] = field(default_factory=list)
    needs_zone: bool = False

    def refuse(self, rows: Rows, column: str, text: str | Callable[[int], str], fault: Fault = Fault.CELL) -> None:
        """One problem for each of these rows."""
        words = text if callable(text) else lambda _: text
        self.problems.extend((int(row), column, words(int(row))) for row in rows[:MAX_PROBLEMS])
        self.counts[fault] += len(rows)

    def refuse_all(self, text: str, fault: Fault = Fault.ORDER) -> None:
        """A problem of the whole file."""
        self.problems.append((-1, "", text))
        self.counts[fault] += 1

    def remark(self, rows: Rows, text: str) -> None:
        """One remark for all these rows, if there are any."""
        if len(rows):
            lines = ", ".join(str(row + self.first) for row in rows[:_SHOWN_REMARKS])
            more = f" and {len(rows) - _SHOWN_REMARKS} more" if len(rows) > _SHOWN_REMARKS else ""
            self.remarks.append(f"{text} ({self.unit} {lines}{more})")

    @property
    def total(self) -> int:
        """How many problems there are."""
        return self.counts.total()

    def words(self) -> list[str]:
        """The first MAX_PROBLEMS problems by row, and how many more there are."""
        shown = [
            f"{self.unit} {row + self.first}, {column}: {text}" if row >= 0 else text
            for row, column, text in sorted(self.problems)[:MAX_PROBLEMS]
        ]
        return shown + ([f"and {self.total - len(shown)} more"] if self.total > len(shown) else [])


def check_values(table: pd.DataFrame, asset_class: AssetClass, found: Findings) -> None:
    """Prices above zero, a volume of at least zero, low <= open, close <= high; a jump beyond belief is remarked.

    Cells that are NaN have been refused before and are passed over.
    """
    for column in PRICES:
        found.refuse(np.flatnonzero(table[column] <= 0), column, "a price has to be above 0", Fault.PRICE)
    found.refuse(np.flatnonzero(table["volume"] < 0), "volume", "a volume cannot be below 0", Fault.VOLUME)
    for column in ("open", "low", "close"):
        rows = np.flatnonzero(table["high"] < table[column])
        found.refuse(rows, "high", f"is below the {column}", Fault.RANGE)
    for column in ("open", "close"):
        rows = np.flatnonzero(table["low"] > table[column])
        found.refuse(rows, "low", f"is above the {column}", Fault.RANGE)
    bound = _ABSURD_JUMP[asset_class]
    opened, closed = table["open"].to_numpy(), table["close"].to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        within = np.abs(closed / opened - 1)
        within[1:] = np.fmax(within[1:], np.abs(opened[1:] / closed[:-1] - 1))
    found.remark(np.flatnonzero(within > bound), f"the price jumps by more than {bound:.0%}: a split, or an error?")


def check_times(times: pd.Series, timeframe: str, asset_class: AssetClass, found: Findings) -> Holes | None:
    """Ascending, no time twice, the distance of the timeframe, and no holes but the market's own hours and holidays.

    Times are aware UTC; those that are NaT have been refused before and are passed over. The holes, unless the order
    of the times is such that there is no sense in any.
    """
    step = TIMEFRAMES[timeframe]
    distance = times.diff()
    backwards = np.flatnonzero(distance < timedelta(0))
    if len(backwards) > len(times) / 2:
        found.refuse_all("the newest bar stands first: sort the file by time, ascending")
        return None
    found.refuse(
        backwards, "timestamp", "is earlier than the line before: sort the file by time, ascending", Fault.ORDER
    )
    same = np.flatnonzero(distance == timedelta(0))
    found.refuse(same, "timestamp", "the same time as the line before", Fault.DUPLICATE)
    near = np.flatnonzero((distance > timedelta(0)) & (distance < step * 0.6))
    usual = usual_distance(times)
    if usual is not None and len(times) >= MIN_BARS and (usual < step * 0.6 or usual > step * 1.5):
        found.refuse_all(f"the bars usually lie {words_of(usual)} apart, which is not the timeframe {timeframe}")
        return None
    found.refuse(near, "timestamp", f"is closer to the line before than a bar of {timeframe} lasts", Fault.ORDER)
    holes = find_holes(times, step, asset_class)
    _check_holes(holes, len(times), step, found)
    return holes


def usual_distance(times: pd.Series) -> timedelta | None:
    """How far apart neighbouring bars usually lie; None without two of them in order."""
    distance = times.diff()
    forwards = distance[distance > timedelta(0)]
    return pd.Timedelta(forwards.median()).to_pytimedelta() if len(forwards) else None


def _check_holes(holes: Holes, bars: int, step: timedelta, found: Findings) -> None:
    unexpected = holes.of(HoleKind.UNEXPLAINED)
    longest = max(_LONGEST_HOLE, step * 3)
    odd = holes.of(HoleKind.UNEXPLAINED, HoleKind.HOLIDAY)
    long = odd.rows[np.asarray(odd.lengths > pd.Timedelta(longest))]
    text = f"bars are missing before it for more than {words_of(longest)}"
    found.refuse(long, "timestamp", text, Fault.HOLE)
    if len(unexpected.rows) > _MOST_HOLES * bars:
        found.refuse(unexpected.rows, "timestamp", "bars are missing before it", Fault.HOLE)
        return
    places = f"{len(unexpected.rows)} place{'' if len(unexpected.rows) == 1 else 's'}"
    text = f"bars missing in {places}, up to {unexpected.total} of them, that no night or weekend explains"
    found.remark(unexpected.rows, text)
    holidays = holes.of(HoleKind.HOLIDAY)
    found.remark(holidays.rows, f"{holidays.total} bars missing at Christmas or New Year, probably holidays")


def words_of(span: timedelta) -> str:
    """A length of time in the largest unit that suits it: `14 days`, `90 minutes`."""
    minutes = span.total_seconds() / 60
    for unit, size in (("day", 1440), ("hour", 60)):
        if minutes >= size and (minutes % size == 0 or size == 1440):
            return _counted(minutes / size, unit)
    return _counted(minutes, "minute")


def _counted(number: float, unit: str) -> str:
    return f"{number:g} {unit}" if number == 1 else f"{number:g} {unit}s"
