"""Times as files of bars hold them, ISO 8601 and its usual relatives, made aware UTC or refused by row."""

from datetime import timedelta
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from domain.errors import ErrorCode, ResearchError
from domain.grammar.values import TIMEFRAMES
from engine.bars_checks import Findings

_OFFSET: Final = r"(?:[zZ]|[+-]\d{2}:?\d{2})$"
_ISO: Final = r"^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)? ?(?:[zZ]|[+-]\d{2}:?\d{2})?)?$"
_DATE: Final = r"^\d{4}-\d{2}-\d{2}$"
_TO_ISO: Final = (
    (r"^((?:19|20)\d{2})(\d{2})(\d{2})$", r"\1-\2-\3"),
    (r"^((?:19|20)\d{2})(\d{2})(\d{2})[T ]?(\d{2}):?(\d{2})$", r"\1-\2-\3T\4:\5"),
    (r"^((?:19|20)\d{2})(\d{2})(\d{2})[T ]?(\d{2}):?(\d{2}):?(\d{2})$", r"\1-\2-\3T\4:\5:\6"),
    (r"^(\d{4})[./](\d{2})[./](\d{2})((?:[T ].*)?)$", r"\1-\2-\3\4"),
    (r"^(\d{2})\.(\d{2})\.(\d{4})((?:[T ].*)?)$", r"\3-\2-\1\4"),
)
"""20170131, 20170131 2200, 2017.01.31 22:00, 31.01.2017 22:00: each has one meaning, 01/02/2017 two."""
_EPOCH: Final = r"^\d{9,19}(?:\.0*)?$"
_UNITS: Final = ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3), (2**63, 1))
"""Seconds, milliseconds, microseconds, nanoseconds since 1970: below which value, and how many ns each."""
_SAMPLE: Final = 1_000


class TimeZoneNeeded(ResearchError):
    """The times carry no UTC offset and nobody has said what they mean."""

    def __init__(self, file: str) -> None:
        super().__init__(
            ErrorCode.DATA_UNAVAILABLE,
            f"{file} cannot be imported, it has 1 problem:\n"
            "  the times carry no UTC offset: say with --timezone what they mean (UTC, America/New_York)",
        )


def times_of_text(cells: pd.Series, timeframe: str, zone: ZoneInfo | None, found: Findings) -> pd.Series:
    """Aware UTC times; what is none becomes NaT and a problem. Whole numbers are time since 1970."""
    sample = cells.iloc[:_SAMPLE]
    if sample.str.match(_EPOCH).mean() > 0.5 and not _as_iso(sample).str.match(_ISO).any():
        return _epoch_cells(cells, found)
    cells = cells if sample.str.match(_ISO).all() else _as_iso(cells)
    well_formed = cells.str.match(_ISO)
    times = pd.to_datetime(cells.where(well_formed), format="ISO8601", utc=True, errors="coerce").dt.as_unit("ns")
    for row in np.flatnonzero(times.isna()):
        cell = str(cells.iloc[int(row)])
        text = f"{cell[:40]!r} is not a time in ISO 8601 (2024-01-31T16:00:00Z)" if cell else "is empty"
        found.refuse(np.array([row]), "timestamp", text)
    only_days = bool(cells.str.match(_DATE).all()) and TIMEFRAMES[timeframe] >= timedelta(days=1)
    offset = cells.str.contains(_OFFSET) & ~cells.str.match(_DATE)
    if offset.all() or only_days:
        return times
    if offset.any():
        found.refuse(np.flatnonzero(well_formed & ~offset), "timestamp", "has no UTC offset, while others have one")
        return times
    return localised(times.dt.tz_localize(None), zone, found)


def localised(times: pd.Series, zone: ZoneInfo | None, found: Findings) -> pd.Series:
    """Naive times of a zone in UTC. The double hour of autumn has two meanings, the lost hour of spring none: both are
    refused. Without a zone the whole file waits for one.
    """
    if zone is None:
        found.needs_zone = True
        return pd.Series(times.dt.tz_localize("UTC"))
    local = times.dt.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
    found.refuse(
        np.flatnonzero(local.isna() & times.notna()),
        "timestamp",
        f"is no single moment in {zone.key}, where the clock changes: give times with a UTC offset",
    )
    moments: pd.Series = local.dt.tz_convert("UTC")
    return moments


def times_of_numbers(numbers: pd.Series, found: Findings) -> pd.Series:
    """Whole numbers since 1970 UTC (int64) as times. The largest says which unit they all have."""
    largest = max(abs(int(numbers.max())), abs(int(numbers.min()))) if len(numbers) else 0
    factor = next(ns for below, ns in _UNITS if largest < below or ns == 1)
    limit = (2**63 - 1) // factor
    outside = (numbers > limit) | (numbers < -limit)
    found.refuse(np.flatnonzero(outside), "timestamp", "is no time since 1970 in the unit of the others")
    return pd.Series(pd.to_datetime(numbers.where(~outside, 0) * factor, unit="ns", utc=True), index=numbers.index)


def _as_iso(cells: pd.Series) -> pd.Series:
    for pattern, iso in _TO_ISO:
        cells = cells.str.replace(pattern, iso, regex=True)
    return cells


def _epoch_cells(cells: pd.Series, found: Findings) -> pd.Series:
    bad = ~cells.str.match(_EPOCH)
    for row in np.flatnonzero(bad):
        found.refuse(np.array([row]), "timestamp", f"{str(cells.iloc[int(row)])[:40]!r} is no time since 1970")
    digits = cells.where(~bad, "0").str.replace(r"\..*$", "", regex=True)
    numbers = pd.Series([min(int(cell), 2**63 - 1) for cell in digits], dtype="int64", index=cells.index)
    times = times_of_numbers(numbers, found)
    return times.where(~bad)
