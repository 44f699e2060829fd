"""What is in a set of bars, or in a file before its import: the checks of the import, and what they leave untold."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from pydantic import Field

from domain.grammar.values import TIMEFRAMES
from domain.results import Frozen
from engine.bars import AssetClass, Bars
from engine.bars_checks import Fault, Findings, check_times, check_values, usual_distance
from engine.bars_columns import TIMESTAMP
from engine.bars_holes import HoleKind, Holes
from engine.bars_import import checked_names, read_file

MOST_SHOWN: Final = 20
_SPIKE: Final = 10.0
_NORMAL_OVER_MAD: Final = 1.4826


class HoleFound(Frozen):
    """Bars that are not there between two that are; the times are those bars' opening times, UTC."""

    after: datetime
    before: datetime
    missing: int = Field(description="bars, without those of a weekend that lies in the hole")
    holiday: bool = Field(description="Christmas or New Year lies in it: probably a holiday")


class SpikeFound(Frozen):
    """A bar whose return, from close to close as a fraction, is far from what is usual in the set."""

    time: datetime
    change: float
    deviations: float = Field(description="from the median return, in robust standard deviations (1.4826 MAD)")


class BarsReport(Frozen):
    """What was found. Lists hold MOST_SHOWN at most: the longest holes, the furthest spikes, the first problems."""

    source: str
    symbol: str | None
    timeframe: str
    asset_class: AssetClass
    usable: bool = Field(description="whether an import takes it, and a cycle can use it")
    bars: int
    start: datetime | None
    end: datetime | None
    problems_found: int
    problems: tuple[str, ...]
    remarks: tuple[str, ...]
    closures: int = Field(description="nights, weekends and daily pauses of the market, which are no holes")
    holes_found: int
    bars_missing: int
    holes: tuple[HoleFound, ...]
    duplicates: int
    out_of_order: int
    prices_not_above_zero: int
    ranges_wrong: int = Field(description="highs below, or lows above, another price of their bar")
    spikes_found: int
    spikes: tuple[SpikeFound, ...]
    without_volume: int = Field(description="bars whose volume is 0")


def report_on_set(bars: Bars) -> BarsReport:
    """A set that load_bars gave."""
    table = bars.frame.reset_index(names=TIMESTAMP)
    found = Findings(unit="row", first=1)
    check_values(table, bars.asset_class, found)
    holes = check_times(table[TIMESTAMP], bars.timeframe, bars.asset_class, found)
    return _report(table, holes, found, bars.source, bars.symbol, bars.timeframe, bars.asset_class)


def report_on_file(
    path: Path,
    timeframe: str | None,
    asset_class: str,
    timezone: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> BarsReport:
    """A user's CSV or Parquet. Without a timeframe it is the one whose length is how far apart bars usually lie.

    Raises ResearchError as read_file of the import does: where this is no table of bars at all.
    """
    kind, zone = checked_names(timeframe or "1d", asset_class, timezone)
    read = read_file(path, timeframe or "1d", kind, zone, columns or {})
    if timeframe is None and not read.bars.empty:
        timeframe = _timeframe_of(read.bars[TIMESTAMP])
        if timeframe not in (None, "1d"):
            read = read_file(path, str(timeframe), kind, zone, columns or {})
    return _report(read.bars, read.holes, read.found, path.name, None, timeframe or "1d", kind)


def _timeframe_of(times: pd.Series) -> str | None:
    usual = usual_distance(times)
    return next((name for name, length in TIMEFRAMES.items() if length == usual), None)


def _report(
    table: pd.DataFrame,
    holes: Holes | None,
    found: Findings,
    source: str,
    symbol: str | None,
    timeframe: str,
    asset_class: AssetClass,
) -> BarsReport:
    times = pd.DatetimeIndex(table[TIMESTAMP].dropna()) if len(table) else pd.DatetimeIndex([])
    odd = holes.of(HoleKind.UNEXPLAINED, HoleKind.HOLIDAY) if holes is not None else None
    shown, spikes = _spikes(table) if len(table) else ((), 0)
    counts = found.counts
    return BarsReport(
        source=source,
        symbol=symbol,
        timeframe=timeframe,
        asset_class=asset_class,
        usable=not found.total,
        bars=len(table),
        start=times.min().floor("us").to_pydatetime() if len(times) else None,
        end=times.max().floor("us").to_pydatetime() if len(times) else None,
        problems_found=found.total,
        problems=tuple(found.words()),
        remarks=tuple(found.remarks),
        closures=len(holes.of(HoleKind.CLOSED).rows) if holes is not None else 0,
        holes_found=len(odd.rows) if odd is not None else 0,
        bars_missing=odd.total if odd is not None else 0,
        holes=_longest(odd, table[TIMESTAMP]) if odd is not None else (),
        duplicates=counts[Fault.DUPLICATE],
        out_of_order=counts[Fault.ORDER],
        prices_not_above_zero=counts[Fault.PRICE],
        ranges_wrong=counts[Fault.RANGE],
        spikes_found=spikes,
        spikes=shown,
        without_volume=int((table["volume"] == 0).sum()) if len(table) else 0,
    )


def _longest(holes: Holes, times: pd.Series) -> tuple[HoleFound, ...]:
    """By time, those that most bars are missing in."""
    chosen = np.sort(np.argsort(-holes.missing, kind="stable")[:MOST_SHOWN])
    return tuple(
        HoleFound(
            after=times.iloc[holes.rows[at] - 1].floor("us").to_pydatetime(),
            before=times.iloc[holes.rows[at]].floor("us").to_pydatetime(),
            missing=int(holes.missing[at]),
            holiday=bool(holes.kinds[at] == HoleKind.HOLIDAY),
        )
        for at in chosen
    )


def _spikes(table: pd.DataFrame) -> tuple[tuple[SpikeFound, ...], int]:
    """Returns beyond _SPIKE robust deviations; bars without a price, a time or a change of it are passed over."""
    close = table["close"].where(table["close"] > 0)
    change = (close / close.shift(1) - 1).to_numpy(dtype=np.float64)
    moved = change[np.isfinite(change) & (change != 0)]
    if not len(moved):
        return (), 0
    middle = float(np.median(moved))
    scale = _NORMAL_OVER_MAD * float(np.median(np.abs(moved - middle)))
    if scale == 0:
        return (), 0
    far = np.where(np.isfinite(change), np.abs(change - middle) / scale, 0.0)
    rows = np.flatnonzero((far > _SPIKE) & table[TIMESTAMP].notna().to_numpy())
    chosen = np.sort(rows[np.argsort(-far[rows], kind="stable")[:MOST_SHOWN]])
    shown = tuple(
        SpikeFound(
            time=table[TIMESTAMP].iloc[at].floor("us").to_pydatetime(),
            change=float(change[at]),
            deviations=float(far[at]),
        )
        for at in chosen
    )
    return shown, len(rows)
