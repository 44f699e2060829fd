"""Bars split by time: train 50 %, validation 15 %, backtest 20 %, lockbox 15 %, with an embargo between the parts.

The lockbox is the last 15 % of the bars at hand, whatever days a strategy names: a strategy that could move it by its
date range would bring to light what is sealed. The date range cuts the bars before it, and those are divided 50 : 15 :
20. A file's own data_split or validation_split divides train and validation anew, and nothing else.

The embargo is the end of the earlier part: bars whose labels may look into it, but which no part uses.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import reduce

import pandas as pd

from domain.errors import ErrorCode, ResearchError
from domain.results import Part, PartName
from domain.strategy import Strategy

TRAIN = 0.50
VALIDATION = 0.15
BACKTEST = 0.20
LOCKBOX = 0.15
MIN_TRAIN = 100
MIN_VALIDATION = 50
MIN_BACKTEST = 50


@dataclass(frozen=True)
class Split:
    """Where the parts lie. Positions count from the first bar of the strategy's date range, which is at `first`.

    train starts after the history that the strategy wants for its indicators. `validation_zone` and `train_zone` are
    the parts with their embargo: labels may look that far.
    """

    first: int
    train: slice
    validation: slice
    backtest: slice
    lockbox: slice
    embargo: int

    @property
    def train_zone(self) -> slice:
        """Train and the embargo after it."""
        return slice(self.train.start, self.validation.start)

    @property
    def validation_zone(self) -> slice:
        """Validation and the embargo after it."""
        return slice(self.validation.start, self.backtest.start)


def split_bars(strategy: Strategy, index: pd.DatetimeIndex) -> Split:
    """Divide the bars of one symbol, known by their opening times alone, as a strategy wants them.

    Raises ResearchError DATA_UNAVAILABLE, with the numbers, if the date range holds no bars or too few of them.
    """
    return split_symbols(strategy, {"": index})[""]


def split_symbols(strategy: Strategy, indexes: Mapping[str, pd.DatetimeIndex]) -> dict[str, Split]:
    """Divide the bars of several symbols at the same moments, so that no part of one reaches into a later one of
    another: what moves one moves the others too. The moments are those that divide all their bars' times, each counted
    once. Errors as for split_bars, with the symbol's name.
    """
    times = reduce(pd.DatetimeIndex.union, indexes.values())
    data = strategy.training_data
    sealed = round(len(times) * (1.0 - LOCKBOX))
    first = int(times.searchsorted(_midnight(data.start_date))) if data.start_date else 0
    last = sealed
    if data.end_date:
        last = min(sealed, int(times.searchsorted(_midnight(data.end_date + timedelta(days=1)))))
    bars = max(last - first, 0)
    backtest = first + round(bars * (TRAIN + VALIDATION) / (TRAIN + VALIDATION + BACKTEST))
    validation = first + round((backtest - first) * (1.0 - _validation_share(strategy)))
    bounds = (first, validation, backtest, max(last, first), sealed)
    splits: dict[str, Split] = {}
    for symbol, index in indexes.items():
        at = [int(index.searchsorted(times[bound])) if bound < len(times) else len(index) for bound in bounds]
        splits[symbol] = _split(strategy, index, *at)
        bars, several = at[3] - at[0], len(indexes) > 1
        _refuse_too_few(strategy, splits[symbol], bars, index, at[4], symbol, several=several)
    return splits


def _split(
    strategy: Strategy, index: pd.DatetimeIndex, first: int, validation: int, backtest: int, last: int, sealed: int
) -> Split:
    """One symbol's parts, from the positions where they begin and the date range ends."""
    embargo = strategy.training.labels.lookahead
    return Split(
        first=first,
        train=slice(strategy.training_data.history_required, validation - first - embargo),
        validation=slice(validation - first, backtest - first - embargo),
        backtest=slice(backtest - first, last - first - embargo),
        lockbox=slice(sealed - first, len(index) - first),
        embargo=embargo,
    )


def training_bars(frame: pd.DataFrame, split: Split) -> pd.DataFrame:
    """The bars that a training may read: from the date range's first bar to the last before the backtest part."""
    return frame.iloc[split.first : split.first + split.backtest.start]


def backtest_bars(frame: pd.DataFrame, split: Split) -> pd.DataFrame:
    """The bars that a backtest may read: from the same first bar (indicators warm up on them) to the part's end."""
    return frame.iloc[split.first : split.first + split.backtest.stop]


def describe(split: Split, index: pd.DatetimeIndex) -> tuple[Part, ...]:
    """The parts with their dates and number of bars. Of the lockbox only the calendar is read."""
    return tuple(
        _part(name, index[split.first + part.start : split.first + part.stop])
        for name, part in (
            (PartName.TRAIN, split.train),
            (PartName.VALIDATION, split.validation),
            (PartName.BACKTEST, split.backtest),
            (PartName.LOCKBOX, split.lockbox),
        )
    )


def describe_symbols(splits: Mapping[str, Split], indexes: Mapping[str, pd.DatetimeIndex]) -> tuple[Part, ...]:
    """The parts of several symbols together: from the first bar of any to the last of any, and all their bars."""
    described = [describe(splits[symbol], index) for symbol, index in indexes.items()]
    return tuple(
        Part(
            name=parts[0].name,
            start=min(part.start for part in parts),
            end=max(part.end for part in parts),
            bars=sum(part.bars or 0 for part in parts),
        )
        for parts in zip(*described, strict=True)
    )


def _part(name: PartName, times: pd.DatetimeIndex) -> Part:
    return Part(name=name, start=times[0].to_pydatetime(), end=times[-1].to_pydatetime(), bars=len(times))


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _validation_share(strategy: Strategy) -> float:
    """Validation's share of train and validation together."""
    training = strategy.training
    if training.data_split is not None:
        return training.data_split.validation / (training.data_split.train + training.data_split.validation)
    if training.validation_split is not None:
        return training.validation_split
    return VALIDATION / (TRAIN + VALIDATION)


def _refuse_too_few(
    strategy: Strategy, split: Split, bars: int, index: pd.DatetimeIndex, sealed: int, symbol: str, *, several: bool
) -> None:
    wanted = (
        ("train", split.train, MIN_TRAIN),
        ("validation", split.validation, MIN_VALIDATION),
        ("backtest", split.backtest, MIN_BACKTEST),
    )
    short = [
        f"{name} has {max(part.stop - part.start, 0)} bars and needs {least}"
        for name, part, least in wanted
        if part.stop - part.start < least
    ]
    if not short:
        return
    data = strategy.training_data
    days = f" from {data.start_date or 'the first'} to {data.end_date or 'the last'}" if _has_days(strategy) else ""
    of = f" of {symbol}" if symbol else ""
    together = " Symbols are divided at the same moments: their bars have to cover the same time." if several else ""
    there_is = f"{len(index)} bars, {index[0]:%Y-%m-%d} to {index[-1]:%Y-%m-%d}" if len(index) else "no bars"
    opened = f", of which those before {index[sealed]:%Y-%m-%d} are open to a cycle" if sealed < len(index) else ""
    raise ResearchError(
        ErrorCode.DATA_UNAVAILABLE,
        f"too few bars{of}: there are {there_is}{opened}, and the strategy's dates{days} leave {bars} of them. "
        f"With {data.history_required} bars of history and an embargo of {split.embargo} bars between the parts, "
        f"{'; '.join(short)}.{together} Widen the strategy's dates, lower history_required or the labels' look-ahead, "
        "or import more bars.",
    )


def _has_days(strategy: Strategy) -> bool:
    return bool(strategy.training_data.start_date or strategy.training_data.end_date)
