"""Which days a service trains on and which it backtests on: those of the settings, else those of our own split.

Both ends of a period are included. No day of one is a day of the other, and none is one of the lockbox.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pandas as pd

from domain.errors import ErrorCode, ResearchError
from domain.results import Part, PartName
from domain.strategy import Strategy
from engine.bars import AssetClass, Bars, load_bars
from engine.interface import Places
from engine.splits import describe, split_bars

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Period:
    """Days, both ends included."""

    start: date
    end: date

    def part(self, name: PartName) -> Part:
        """The same as a part of a result. How many bars the service has there it does not tell."""
        return Part(name=name, start=_midnight(self.start), end=_midnight(self.end), bars=None)

    @property
    def years(self) -> float:
        """Its length."""
        return ((self.end - self.start) + _DAY).days / 365.25

    def __str__(self) -> str:
        return f"{self.start} to {self.end}"


@dataclass(frozen=True)
class NamedPeriods:
    """What the settings name; None where they leave it to our bars."""

    training: Period | None = None
    backtest: Period | None = None


def named_periods(training: tuple[date | None, date | None], backtest: tuple[date | None, date | None]) -> NamedPeriods:
    """The settings' periods from their first and last days, of which there are both or neither."""
    return NamedPeriods(*(Period(start, end) if start and end else None for start, end in (training, backtest)))


@dataclass(frozen=True)
class Periods:
    """What a cycle uses. asset_class: of our own bars, where there are any."""

    training: Period
    backtest: Period
    asset_class: AssetClass | None


def periods_of(strategy: Strategy, symbol: str, timeframe: str, places: Places, named: NamedPeriods) -> Periods:
    """The days of a cycle's training and backtest.

    Raises ResearchError DATA_UNAVAILABLE: neither the settings name them nor are there bars of ours; or the backtest
    would begin before the training ends.
    """
    bars, why = _bars(symbol, timeframe, places)
    training, backtest = named.training, named.backtest
    if training is None or backtest is None:
        if bars is None:
            raise ResearchError(
                ErrorCode.DATA_UNAVAILABLE,
                f"which days the service is to train on and to backtest on is not known: {why} Or set "
                "AGENT_TRAINING_START_DATE, AGENT_TRAINING_END_DATE, AGENT_BACKTEST_START_DATE and "
                "AGENT_BACKTEST_END_DATE.",
            )
        ours_trained, ours_tested = _split(strategy, bars)
        training, backtest = training or ours_trained, backtest or ours_tested
    if backtest.start <= training.end:
        raise ResearchError(
            ErrorCode.DATA_UNAVAILABLE,
            f"the backtest ({backtest}) would begin before the training ({training}) ends: nothing may be tested on "
            "what it was trained on. Change AGENT_BACKTEST_START_DATE or AGENT_TRAINING_END_DATE.",
        )
    return Periods(training, backtest, bars.asset_class if bars else None)


def _bars(symbol: str, timeframe: str, places: Places) -> tuple[Bars | None, str]:
    """Our own bars, or why there are none."""
    try:
        return load_bars(symbol, timeframe, places.data), ""
    except ResearchError as error:
        return None, error.message


def _split(strategy: Strategy, bars: Bars) -> tuple[Period, Period]:
    """Our own split in whole days: train and validation for the training, the backtest part for the backtest."""
    index = pd.DatetimeIndex(bars.frame.index)
    parts = {part.name: part for part in describe(split_bars(strategy, index), index)}
    trained = Period(parts[PartName.TRAIN].start.date(), parts[PartName.VALIDATION].end.date())
    # A day that two parts share belongs to the earlier one, and a day with a bar of the lockbox to none.
    first = max(parts[PartName.BACKTEST].start.date(), trained.end + _DAY)
    last = min(parts[PartName.BACKTEST].end.date(), parts[PartName.LOCKBOX].start.date() - _DAY)
    if last <= first:
        raise ResearchError(
            ErrorCode.DATA_UNAVAILABLE,
            f"the backtest part of our bars ({parts[PartName.BACKTEST].start:%Y-%m-%d %H:%M} to "
            f"{parts[PartName.BACKTEST].end:%Y-%m-%d %H:%M}) holds no two whole days. Import more bars, or set "
            "AGENT_BACKTEST_START_DATE and AGENT_BACKTEST_END_DATE.",
        )
    return trained, Period(first, last)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
