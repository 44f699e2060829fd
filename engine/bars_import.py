"""Bars from a user's CSV or Parquet: read as untrusted, checked row by row, and written as a set of our own or not.

A file with one bad line is refused as a whole, with every bad line named (the first 20), because bars that were mended
silently are no longer what their user knows.
"""

import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import pandas as pd

from domain.errors import ErrorCode, ResearchError
from domain.grammar.values import TIMEFRAMES
from domain.symbols import MAX_SYMBOL, is_symbol
from engine.bars import SAMPLES, AssetClass, BarsInfo, describe, encode_parquet, file_name, find_file
from engine.bars_arch import SHIPPED
from engine.bars_checks import Findings, check_times, check_values, unusable
from engine.bars_columns import TIMESTAMP
from engine.bars_csv import read_csv
from engine.bars_holes import Holes
from engine.bars_parquet import MAGIC, read_parquet
from engine.bars_times import TimeZoneNeeded

MAX_BYTES: Final = 512 * 1024 * 1024


@dataclass(frozen=True)
class Read:
    """A user's file, checked. `bars` has the columns timestamp (aware UTC), open, high, low, close and volume; where
    lines do not divide into the columns it has none. `holes` is None where the times are in no order.
    """

    bars: pd.DataFrame
    found: Findings
    holes: Holes | None


def import_bars(
    path: Path,
    data_dir: Path,
    symbol: str,
    timeframe: str,
    asset_class: str,
    timezone: str | None = None,
    replace: bool = False,
    columns: Mapping[str, str] | None = None,
) -> BarsInfo:
    """Check a CSV or Parquet of bars and keep it in the data directory; what is odd but usable is in the remarks.

    Columns are found by their usual names, in any case and order, or as `columns` says: open, high, low, close, volume
    (may be missing: 0), and the bar's opening time. `timezone` (an IANA name) is needed where the times carry no
    offset; it does not change times that do. Days without a time, in 1d and 1w bars, are UTC.

    Raises ResearchError: DATA_UNAVAILABLE with every problem and its line (lines that do not divide into the columns
    first and alone: what stands in their cells is not known), STORE_UNAVAILABLE if it cannot be written; its child
    TimeZoneNeeded where `timezone` is missing.
    A set of that name, imported or bundled, is kept unless `replace` says otherwise; the synthetic ones always.
    """
    name = symbol.upper()
    if not is_symbol(name):
        raise unusable(
            f"the symbol {symbol[:64]!r} is not a plain name: at most {MAX_SYMBOL} letters, digits, '_', '-', '=' and "
            "'^', with single dots between them, the first a letter, a digit or '^'. Choose another with --symbol."
        )
    kind, zone = checked_names(timeframe, asset_class, timezone)
    _check_vacant(name, timeframe, data_dir, replace)
    read = read_file(path, timeframe, kind, zone, columns or {})
    if read.found.total:
        raise _refused(path, read.found)
    info, content = encode_parquet(
        read.bars.set_index(TIMESTAMP),
        symbol=name,
        timeframe=timeframe,
        asset_class=kind,
        source=f"imported from {path.name}",
        licence="as its owner says",
        remarks=tuple(read.found.remarks),
    )
    _write(data_dir, name, timeframe, content, replace)
    return info


def read_file(
    path: Path, timeframe: str, asset_class: AssetClass, zone: ZoneInfo | None, columns: Mapping[str, str]
) -> Read:
    """A file's bars with all that was found in them. Parquet is known by its first bytes, all else is read as text.

    Raises ResearchError DATA_UNAVAILABLE where it is no table of bars at all, and TimeZoneNeeded.
    """
    content = _content(path)
    if content.startswith(MAGIC):
        found = Findings(unit="row", first=1)
        bars = read_parquet(content, path.name, timeframe, zone, columns, found)
    else:
        found = Findings()
        bars = read_csv(content, path.name, timeframe, zone, columns, found)
    del content
    if found.needs_zone:
        raise TimeZoneNeeded(path.name)
    if bars.empty:
        return Read(bars, found, None)
    check_values(bars, asset_class, found)
    return Read(bars, found, check_times(bars[TIMESTAMP], timeframe, asset_class, found))


def checked_names(timeframe: str, asset_class: str, timezone: str | None) -> tuple[AssetClass, ZoneInfo | None]:
    """What the names mean. Raises ResearchError DATA_UNAVAILABLE for one that means nothing."""
    if timeframe not in TIMEFRAMES:
        raise unusable(f"the timeframe {timeframe[:32]!r} is not one of {', '.join(TIMEFRAMES)}.")
    if asset_class not in list(AssetClass):
        raise unusable(f"the asset class {asset_class[:32]!r} is not one of {', '.join(AssetClass)}.")
    try:
        return AssetClass(asset_class), ZoneInfo(timezone) if timezone else None
    except (ValueError, OSError, KeyError) as error:  # whatever ZoneInfo makes of a strange key
        raise unusable(f"the time zone {str(timezone)[:64]!r} is unknown: give an IANA name such as UTC.") from error


def _check_vacant(symbol: str, timeframe: str, data_dir: Path, replace: bool) -> None:
    bundled = SAMPLES / file_name(symbol, timeframe)
    if bundled.is_file() and describe(bundled).synthetic:
        raise unusable(
            f"{symbol} {timeframe} is the name of a bundled synthetic control. Choose another with --symbol."
        )
    there = find_file(symbol, timeframe, data_dir)
    if (there is not None or (symbol, timeframe) in SHIPPED) and not replace:
        origin = "bundled" if there is None or there.parent == SAMPLES else "imported before"
        raise unusable(
            f"there are bars of {symbol} {timeframe} already, {origin}. "
            "Give --replace to use yours instead, or choose another name with --symbol."
        )


def _content(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise unusable(f"{path} is not a file. Give the path of a CSV or Parquet file.")
        if path.stat().st_size > MAX_BYTES:
            raise unusable(
                f"{path.name} cannot be imported: it is larger than {MAX_BYTES >> 20} MiB. Split it by date."
            )
        return path.read_bytes()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no such name"
        raise unusable(f"{path} cannot be read: {why}.") from error


def _write(data_dir: Path, symbol: str, timeframe: str, content: bytes, replace: bool) -> None:
    """Appears whole or not at all, and without `replace` never over a file that another import made meanwhile."""
    name = file_name(symbol, timeframe, ".parquet")
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
            # A set of this name that is kept as text would come to light again with this one's end.
            (data_dir / file_name(symbol, timeframe)).unlink(missing_ok=True)
        else:
            (data_dir / name).hardlink_to(temporary)
    except FileExistsError as error:
        raise unusable(f"{name} was imported by someone else just now. Give --replace to use yours instead.") from error
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
    count = "1 problem" if found.total == 1 else f"{found.total} problems"
    return unusable("\n  ".join([f"{path.name} cannot be imported, it has {count}:", *found.words()]))
