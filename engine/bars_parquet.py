"""A user's Parquet file as a table of bars: untrusted, and bounded before it is unpacked."""

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from domain.errors import ResearchError
from engine.bars import MAX_ROWS
from engine.bars_checks import MIN_BARS, Findings, unusable
from engine.bars_columns import TIMESTAMP, find_columns, says_utc
from engine.bars_kept import COLUMNS
from engine.bars_times import localised, times_of_numbers, times_of_text

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

MAGIC: Final = b"PAR1"
_MOST_COLUMNS: Final = 1_000
_MOST_UNPACKED: Final = 2 * 1024**3
_LONGEST_TIME: Final = 64


def read_parquet(
    content: bytes, name: str, timeframe: str, zone: ZoneInfo | None, asked: Mapping[str, str], found: Findings
) -> pd.DataFrame:
    """The columns timestamp (aware UTC) and COLUMNS (float64); what is neither is NaT or NaN, and a problem.

    Raises ResearchError DATA_UNAVAILABLE where this is no Parquet of enough rows with such columns.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(io.BytesIO(content))
        names = list(file.schema_arrow.names)
        _check_size(file.metadata, name)
        places = find_columns(name, names, asked)
        kept = list(dict.fromkeys(names[at] for where in places.values() for at in where))
        texts = [each for each in kept if _is_text(file.schema_arrow.field(each).type)]
        file = pq.ParquetFile(io.BytesIO(content), read_dictionary=texts)
        table = file.read(columns=kept, use_threads=False, use_pandas_metadata=False)
    except ResearchError:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError, IndexError, TypeError, MemoryError) as error:
        raise unusable(f"{name} cannot be imported: it is Parquet that cannot be read. Write it anew.") from error
    if "volume" not in places:
        found.remarks.append("there is no volume: it is taken as 0")
    bars = pd.DataFrame({column: np.zeros(table.num_rows) for column in COLUMNS})
    for column in COLUMNS:
        if column in places:
            bars[column] = _numbers(table.column(kept.index(names[places[column][0]])), column, name, found)
    parts = [table.column(kept.index(names[at])) for at in places[TIMESTAMP]]
    utc = ZoneInfo("UTC") if says_utc(names, places) else zone
    bars.insert(0, TIMESTAMP, _times(parts, timeframe, utc, name, found))
    return bars


def _check_size(metadata: "pq.FileMetaData", name: str) -> None:
    if metadata.num_rows > MAX_ROWS:
        raise unusable(f"{name} cannot be imported: it has more than {MAX_ROWS:,} rows. Split it by date.")
    if metadata.num_rows < MIN_BARS:
        raise unusable(
            f"{name} cannot be imported: {metadata.num_rows} bars are too few; at least {MIN_BARS} are needed."
        )
    unpacked = sum(metadata.row_group(at).total_byte_size for at in range(metadata.num_row_groups))
    if metadata.num_columns > _MOST_COLUMNS or unpacked > _MOST_UNPACKED:
        raise unusable(f"{name} cannot be imported: it is too large unpacked. Keep the six columns of bars alone.")


def _is_text(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _numbers(column: "pa.ChunkedArray", name: str, file: str, found: Findings) -> NDArray[np.float64]:
    import pyarrow as pa

    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise unusable(f"{file} cannot be imported: its column {name} holds {str(kind)[:40]} and no numbers.")
    try:
        cast = column.cast(pa.float64(), safe=False)
    except pa.ArrowException as error:
        raise unusable(f"{file} cannot be imported: the {str(kind)[:40]} of its column {name} is no number.") from error
    values = np.array(cast.to_numpy(), dtype=np.float64)
    missing = np.array(column.is_null().to_numpy(), dtype=np.bool_)
    bad = np.flatnonzero(~np.isfinite(values))
    found.refuse(bad, name, lambda row: "is empty" if missing[row] else f"{str(values[row])!r} is not a number")
    values[bad] = np.nan
    return values


def _times(
    parts: "list[pa.ChunkedArray]", timeframe: str, zone: ZoneInfo | None, file: str, found: Findings
) -> pd.Series:
    import pyarrow as pa

    kinds = [part.type for part in parts]
    try:
        if all(pa.types.is_dictionary(kind) for kind in kinds):
            first, *clock = [_texts(part, file) for part in parts]
            for text in clock:
                first = first + " " + text
            return times_of_text(first, timeframe, zone, found)
        if len(parts) == 1 and pa.types.is_integer(kinds[0]):
            numbers = _whole(parts[0].cast(pa.int64()), found)
            return times_of_numbers(numbers, found)
        if len(parts) == 1 and pa.types.is_date(kinds[0]):
            days = pd.Series(parts[0].cast(pa.date32()).cast(pa.int32()).fill_null(0).to_numpy())
            _refuse_empty(parts[0], found)
            text = pd.Series(pd.to_datetime(days, unit="D")).dt.strftime("%Y-%m-%d")
            return times_of_text(text, timeframe, zone, found)
        if len(parts) == 1 and pa.types.is_timestamp(kinds[0]):
            moments = parts[0].cast(pa.timestamp("ns", kinds[0].tz)).cast(pa.int64())
            times = pd.Series(pd.to_datetime(_whole(moments, found), unit="ns", utc=True))
            times = times.mask(parts[0].is_null().to_numpy())
            return times if kinds[0].tz else _naive(times, timeframe, zone, found)
    except (pa.ArrowException, ValueError, OverflowError) as error:
        raise unusable(f"{file} cannot be imported: its times lie outside of the years 1678 to 2261.") from error
    held = " and ".join(str(kind)[:40] for kind in kinds)
    raise unusable(
        f"{file} cannot be imported: its times are {held}. Timestamps, dates, text in ISO 8601, or whole numbers since "
        "1970 are read; --columns timestamp=NAME names another column."
    )


def _naive(times: pd.Series, timeframe: str, zone: ZoneInfo | None, found: Findings) -> pd.Series:
    """As in a CSV: midnights of days are UTC, all else is in the zone that was given."""
    naive = times.dt.tz_localize(None)
    if timeframe in ("1d", "1w") and zone is None and bool((naive.dropna() == naive.dropna().dt.normalize()).all()):
        return times
    return localised(naive, zone, found)


def _whole(column: "pa.ChunkedArray", found: Findings) -> pd.Series:
    _refuse_empty(column, found)
    return pd.Series(column.fill_null(0).to_numpy(), dtype="int64")


def _refuse_empty(column: "pa.ChunkedArray", found: Findings) -> None:
    found.refuse(np.flatnonzero(column.is_null().to_numpy()), TIMESTAMP, "is empty")


def _texts(column: "pa.ChunkedArray", file: str) -> pd.Series:
    """Text that is short enough to be a time; it was read as a dictionary, so that none is unpacked that is not."""
    import pyarrow as pa

    for chunk in column.chunks:
        if any(len(word) > _LONGEST_TIME for word in chunk.dictionary.to_pylist() if word is not None):
            raise unusable(f"{file} cannot be imported: its column of times holds long text, which is no time.")
    cells = pd.Series(column.cast(pa.string()).fill_null("").to_pandas(), dtype="str")
    return cells.str.strip()
