"""Bars from a user's CSV: read as untrusted text, checked line by line, and written as a set of our own or not at all.

A file with one bad line is refused as a whole, with every bad line named (the first 20), because bars that were mended
silently are no longer what their user knows.
"""

import csv
import io
import os
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from domain.errors import ErrorCode, ResearchError
from domain.grammar.values import TIMEFRAMES
from domain.symbols import MAX_SYMBOL, is_symbol
from engine.bars import (
    COLUMNS,
    SAMPLES,
    AssetClass,
    BarsInfo,
    describe,
    encode,
    file_name,
    find_file,
)
from engine.bars_checks import MIN_BARS, Findings, check_times, check_values

MAX_BYTES: Final = 256 * 1024 * 1024
MAX_ROWS: Final = 2_000_000
MAX_PROBLEMS: Final = 20
_TIME_NAMES: Final = ("timestamp", "datetime", "time", "date")
_OFFSET: Final = r"(?:[zZ]|[+-]\d{2}:?\d{2})$"
_ISO: Final = r"^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)? ?(?:[zZ]|[+-]\d{2}:?\d{2})?)?$"
_DATE: Final = r"^\d{4}-\d{2}-\d{2}$"


def import_csv(
    path: Path,
    data_dir: Path,
    symbol: str,
    timeframe: str,
    asset_class: str,
    timezone: str | None = None,
    replace: bool = False,
) -> BarsInfo:
    """Check a CSV of bars and keep it in the data directory; what is odd but usable is in the result's remarks.

    The first line names the columns, in any case and order: open, high, low, close, volume (may be missing: 0), and
    timestamp, datetime, time or date, the bar's opening time in ISO 8601. `timezone` (an IANA name) is needed where
    the times carry no offset; it does not change times that do. Days without a time, in 1d and 1w bars, are UTC.

    Raises ResearchError: DATA_UNAVAILABLE with every problem and its line (lines that do not divide into the columns
    first and alone: what stands in their cells is not known), STORE_UNAVAILABLE if it cannot be written.
    A set of that name, imported or bundled, is kept unless `replace` says otherwise; the synthetic ones always.
    """
    name, kind, zone = _checked_names(symbol, timeframe, asset_class, timezone)
    _check_vacant(name, timeframe, data_dir, replace)
    found = Findings()
    table = _read(path, found)
    bars = _convert(table, timeframe, zone, found)
    check_values(bars, kind, found)
    check_times(bars["timestamp"], timeframe, kind, found)
    if found.problems:
        raise _refused(path, found)
    info, content = encode(
        bars.set_index("timestamp"),
        symbol=name,
        timeframe=timeframe,
        asset_class=kind,
        source=f"imported from {path.name}",
        licence="as its owner says",
        remarks=tuple(found.remarks),
    )
    _write(data_dir, file_name(name, timeframe), content, replace)
    return info


def _checked_names(
    symbol: str, timeframe: str, asset_class: str, timezone: str | None
) -> tuple[str, AssetClass, ZoneInfo | None]:
    name = symbol.upper()
    if not is_symbol(name):
        raise _error(
            f"the symbol {symbol[:64]!r} is not a plain name: at most {MAX_SYMBOL} letters, digits, '_', '-', '=' and "
            "'^', with single dots between them, the first a letter, a digit or '^'. Choose another with --symbol."
        )
    if timeframe not in TIMEFRAMES:
        raise _error(f"the timeframe {timeframe[:32]!r} is not one of {', '.join(TIMEFRAMES)}.")
    if asset_class not in list(AssetClass):
        raise _error(f"the asset class {asset_class[:32]!r} is not one of {', '.join(AssetClass)}.")
    try:
        return name, AssetClass(asset_class), ZoneInfo(timezone) if timezone else None
    except (ValueError, OSError, KeyError) as error:  # whatever ZoneInfo makes of a strange key
        raise _error(f"the time zone {str(timezone)[:64]!r} is unknown: give an IANA name such as UTC.") from error


def _check_vacant(symbol: str, timeframe: str, data_dir: Path, replace: bool) -> None:
    bundled = SAMPLES / file_name(symbol, timeframe)
    if bundled.is_file() and describe(bundled).synthetic:
        raise _error(f"{symbol} {timeframe} is the name of a bundled synthetic control. Choose another with --symbol.")
    there = find_file(symbol, timeframe, data_dir)
    if there is not None and not replace:
        origin = "bundled" if there.parent == SAMPLES else "imported before"
        raise _error(
            f"there are bars of {symbol} {timeframe} already, {origin}. "
            "Give --replace to use yours instead, or choose another name with --symbol."
        )


def _read(path: Path, found: Findings) -> pd.DataFrame:
    """The file's cells as text, a column each of `timestamp` and COLUMNS."""
    header, *rows = _text_of(path).split("\n", MAX_ROWS + 1)
    delimiter = max(",;\t", key=header.count)
    names = [
        cell.strip().lower() for cell in next(csv.reader([header.removesuffix(delimiter)], delimiter=delimiter), [])
    ]
    places = _places(path, names, found)
    if len(rows) > MAX_ROWS:
        raise _error(f"{path.name} was not imported: it has more than {MAX_ROWS:,} lines. Split it by date.")
    if len(rows) < MIN_BARS:
        raise _error(f"{path.name} was not imported: {len(rows)} bars are too few; at least {MIN_BARS} are needed.")
    _check_cells(rows, len(names), delimiter, found)
    if found.problems:
        raise _refused(path, found)
    # Every line divides into the columns by itself, so pandas finds the same lines and the same cells.
    cells = pd.read_csv(
        io.StringIO("\n".join(rows)),
        sep=delimiter,
        header=None,
        names=list(range(len(names))),
        usecols=list(range(len(names))),
        dtype=str,
        keep_default_na=False,
        skip_blank_lines=False,
        index_col=False,
    )
    columns = {
        name: cells[where[0]].str.strip() if len(where) == 1 else cells[where[0]] + " " + cells[where[1]]
        for name, where in places.items()
    }
    return pd.DataFrame({"volume": "0"} | columns)


def _check_cells(rows: list[str], columns: int, delimiter: str, found: Findings) -> None:
    """Refuse lines with more or fewer cells than there are columns; one empty cell more, at the end, is no cell.

    A cell with a line break shows as two lines whose quotes are not closed.
    """
    for number, row in enumerate(rows):
        try:
            cells = (
                next(csv.reader([row], delimiter=delimiter, strict=True), []) if '"' in row else row.split(delimiter)
            )
        except csv.Error:
            found.refuse(np.array([number]), "quotes", "a cell's quotes have to end it, and on the line they began on")
            continue
        if len(cells) != columns and not (len(cells) == columns + 1 and not cells[-1].strip()):
            there_are = f"there are {len(cells)}, and line 1 names {columns}" if row.strip() else "the line is empty"
            hint = " (1,234 is two: write 1234)" if len(cells) > columns and delimiter == "," else ""
            found.refuse(np.array([number]), "cells", there_are + hint)


def _text_of(path: Path) -> str:
    try:
        if not path.is_file():
            raise _error(f"{path} is not a file. Give the path of a CSV.")
        if path.stat().st_size > MAX_BYTES:
            raise _error(f"{path.name} was not imported: it is larger than {MAX_BYTES >> 20} MiB. Split it by date.")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise _error(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise _error(
            f"{path.name} was not imported: it is not text in UTF-8 (byte {error.start}). Give a plain CSV, unpacked."
        ) from error
    if "\0" in text:
        raise _error(f"{path.name} was not imported: it is no text (it holds a NUL). Give a plain CSV, unpacked.")
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n ")


def _places(path: Path, names: list[str], found: Findings) -> dict[str, list[int]]:
    """Where each column stands; `date` and `time` beside each other are one timestamp."""
    problems = [f"the column {name!r} occurs twice" for name in dict.fromkeys(names) if names.count(name) > 1]
    problems += [f"no column is named {name!r}" for name in ("open", "high", "low", "close") if name not in names]
    times = [name for name in _TIME_NAMES if name in names]
    if not times:
        problems.append(f"no column is named {', '.join(map(repr, _TIME_NAMES[:-1]))} or {_TIME_NAMES[-1]!r}")
    if problems:
        listed = ", ".join(map(repr, names[:12]))[:300]
        raise _error(f"{path.name} was not imported: line 1: {'; '.join(problems)}. Its columns are {listed}.")
    if "volume" not in names:
        found.remarks.append("there is no volume: it is taken as 0")
    chosen = ["date", "time"] if {"date", "time"} == set(times) else times[:1]
    places = {name: [names.index(name)] for name in COLUMNS if name in names}
    return places | {"timestamp": [names.index(name) for name in chosen]}


def _convert(table: pd.DataFrame, timeframe: str, zone: ZoneInfo | None, found: Findings) -> pd.DataFrame:
    """Numbers and aware UTC times; a cell that is neither becomes NaN or NaT and a problem."""
    bars = pd.DataFrame({"timestamp": _times(table["timestamp"], timeframe, zone, found)})
    for column in COLUMNS:
        numbers = pd.to_numeric(table[column], errors="coerce").astype("float64")
        bars[column] = numbers.where(np.isfinite(numbers))
        for row in np.flatnonzero(bars[column].isna()):
            cell = str(table[column].iloc[int(row)])
            found.refuse(np.array([row]), column, f"{cell[:40]!r} is not a number" if cell else "is empty")
    return bars


def _times(cells: pd.Series, timeframe: str, zone: ZoneInfo | None, found: Findings) -> pd.Series:
    well_formed = cells.str.match(_ISO)
    times = pd.to_datetime(cells.where(well_formed), format="ISO8601", utc=True, errors="coerce")
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
    if zone is None:
        found.refuse_all("the times carry no UTC offset: say with --timezone what they mean (UTC, America/New_York)")
        return times
    # The clock's double hour in autumn has two meanings and its lost hour in spring none: both are refused.
    local = times.dt.tz_localize(None).dt.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
    found.refuse(
        np.flatnonzero(local.isna() & times.notna()),
        "timestamp",
        f"is no single moment in {zone.key}, where the clock changes: give times with a UTC offset",
    )
    return local.dt.tz_convert("UTC")


def _write(data_dir: Path, name: str, content: bytes, replace: bool) -> None:
    """Appears whole or not at all, and without `replace` never over a file that another import made meanwhile."""
    temporary = data_dir / f".{name}.{uuid.uuid4().hex}.tmp"
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritten(data_dir, error) from error
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            temporary.replace(data_dir / name)
        else:
            (data_dir / name).hardlink_to(temporary)
    except FileExistsError as error:
        raise _error(f"{name} was imported by someone else just now. Give --replace to use yours instead.") from error
    except OSError as error:
        raise _unwritten(data_dir, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _unwritten(data_dir: Path, error: OSError) -> ResearchError:
    return ResearchError(
        ErrorCode.STORE_UNAVAILABLE,
        f"the bars could not be written to {data_dir}: {error.strerror}. Mend that and import them again.",
    )


def _refused(path: Path, found: Findings) -> ResearchError:
    problems = sorted(found.problems)
    lines = [f"line {line}, {column}: {text}" if line else text for line, column, text in problems[:MAX_PROBLEMS]]
    more = [f"and {len(problems) - MAX_PROBLEMS} more"] if len(problems) > MAX_PROBLEMS else []
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return _error("\n  ".join([f"{path.name} was not imported, it has {count}:", *lines, *more]))


def _error(message: str) -> ResearchError:
    return ResearchError(ErrorCode.DATA_UNAVAILABLE, message)
