"""Daily bars of two indices that the package arch ships: read where it is installed, and copied nowhere.

Prices are the unadjusted ones (the file's adjusted close equals its close). What is said here of each set is checked
when it is loaded, so listing the sets neither imports the package nor reads a file.
"""

import gzip
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Final

import pandas as pd

SOURCE: Final = "as shipped in the Python package arch (arch.data.{package}), unadjusted"
LICENCE: Final = "that of arch (NCSA), Copyright (c) 2017 Kevin Sheppard; it names no other for the data"


@dataclass(frozen=True)
class Shipped:
    """A set as arch 8 has it; start and end are opening times of bars, and the hash is that of engine.bars_kept."""

    package: str
    sha256: str
    bars: int = 5_031
    start: datetime = datetime(1999, 1, 4, tzinfo=UTC)
    end: datetime = datetime(2018, 12, 31, tzinfo=UTC)


SHIPPED: Final[Mapping[tuple[str, str], Shipped]] = {
    ("NASDAQ", "1d"): Shipped("nasdaq", "52cc75bafbdcc4de6902e7529c4f0fad197613528b9216c7ef9300d8404e5694"),
    ("SP500", "1d"): Shipped("sp500", "e3f66b289a281b95b15b1b2a5e51c27e26eb4bc3472a5302cb8dcad4afc03aae"),
}


class NotShipped(Exception):
    """The installed arch has no such file, or another than was expected."""


def frame_of(package: str) -> pd.DataFrame:
    """The bars of `sp500` or `nasdaq`, days being midnight UTC. Raises NotShipped."""
    try:
        path = Path(str(metadata.distribution("arch").locate_file(f"arch/data/{package}/{package}.csv.gz")))
        with gzip.open(path, "rb") as file:
            table = pd.read_csv(file)
        index = pd.DatetimeIndex(pd.to_datetime(table["Date"], format="%m/%d/%Y", utc=True), name="timestamp")
        columns = {name.lower(): table[name].to_numpy("float64") for name in ("Open", "High", "Low", "Close", "Volume")}
    except (metadata.PackageNotFoundError, OSError, EOFError, zlib.error, ValueError, KeyError) as error:
        raise NotShipped from error
    return pd.DataFrame(columns, index=index.as_unit("ns"))
