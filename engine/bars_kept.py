"""A set of bars as a Parquet file: the description in the schema's metadata, the times as nanoseconds UTC.

Five million bars are read in seconds and less than a gigabyte, where text took fourteen seconds.
"""

import hashlib
import io
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

COLUMNS: Final = ("open", "high", "low", "close", "volume")
_KEY: Final = b"bars"
_ROWS_A_GROUP: Final = 1_000_000


class NotKept(Exception):
    """A file that is no set of bars as this module writes it."""


def hash_of(frame: pd.DataFrame) -> str:
    """The SHA-256 of the times, int64 ns, and then each column of float64, little-endian: whatever file they lie in."""
    digest = hashlib.sha256(pd.DatetimeIndex(frame.index).as_unit("ns").asi8.astype("<i8").tobytes())
    for name in COLUMNS:
        digest.update(np.ascontiguousarray(frame[name].to_numpy(dtype="<f8")).tobytes())
    return digest.hexdigest()


def packed(frame: pd.DataFrame, description: bytes) -> bytes:
    """The bytes of the file: the same for the same bars and description, by one version of Arrow."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    moments = pa.array(pd.DatetimeIndex(frame.index).as_unit("ns").asi8).cast(pa.timestamp("ns", "UTC"))
    columns = [moments, *(pa.array(frame[name].to_numpy(dtype=np.float64)) for name in COLUMNS)]
    table = pa.table(columns, names=["timestamp", *COLUMNS]).replace_schema_metadata({_KEY: description})
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd", row_group_size=_ROWS_A_GROUP, use_dictionary=["volume"])
    return out.getvalue()


def description_in(path: Path) -> bytes:
    """The description that the file carries. Raises NotKept."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        found = (pq.read_schema(path).metadata or {}).get(_KEY)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise NotKept from error
    if found is None:
        raise NotKept
    return bytes(found)


def frame_in(path: Path, bars: int) -> pd.DataFrame:
    """The rows, of which there are as many as the description says. Raises NotKept."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(io.BytesIO(path.read_bytes()))
        if file.metadata.num_rows != bars:
            raise NotKept
        table = file.read(columns=["timestamp", *COLUMNS], use_threads=False)
        moments = table.column("timestamp").cast(pa.timestamp("ns", "UTC")).cast(pa.int64()).to_numpy()
        values = {name: table.column(name).cast(pa.float64()).to_numpy() for name in COLUMNS}
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, MemoryError) as error:
        raise NotKept from error
    if len(moments) != bars:
        raise NotKept
    index = pd.DatetimeIndex(pd.to_datetime(moments, unit="ns", utc=True), name="timestamp").as_unit("ns")
    return pd.DataFrame(values, index=index)
