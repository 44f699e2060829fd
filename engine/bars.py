"""Bars: price series with their origin, one gzipped CSV a set, the description of the set in its first line.

Bundled sets lie beside this module in `samples/`; imported ones in a data directory, where a set of the same name
comes before the bundled one. The hash in the description is that of the rows below it, so a file that somebody edited
is refused instead of being taken for what it was.
"""

import gzip
import hashlib
import io
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import pandas as pd
from pydantic import AfterValidator, Field, ValidationError

from domain.errors import ErrorCode, ResearchError
from domain.grammar.values import TIMEFRAMES
from domain.results import Frozen
from domain.symbols import Symbol, is_symbol

SAMPLES: Final = Path(__file__).resolve().parent / "samples"
COLUMNS: Final = ("open", "high", "low", "close", "volume")
_SUFFIX: Final = ".csv.gz"
_CACHED_SETS: Final = 8


class AssetClass(StrEnum):
    """What is traded: it decides the default costs, and which holes in time are no gaps."""

    FX = "fx"
    EQUITY = "equity"
    INDEX = "index"


def _in_capitals(symbol: str) -> str:
    if symbol != symbol.upper():
        raise ValueError(f"{symbol} is not in capital letters")
    return symbol


class BarsInfo(Frozen):
    """A set of bars without its rows: the first line of its file. Start and end are opening times of bars."""

    symbol: Annotated[Symbol, AfterValidator(_in_capitals)]
    timeframe: str = Field(pattern=r"^(1m|5m|15m|30m|1h|4h|1d|1w)$")
    asset_class: AssetClass
    bars: int = Field(ge=1)
    start: datetime
    end: datetime
    source: str
    licence: str
    synthetic: bool = False
    remarks: tuple[str, ...] = Field(default=(), description="what the import found odd, and took all the same")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="of the rows as the file holds them, uncompressed")


@dataclass(frozen=True)
class Bars:
    """A set of bars. The frame's index is the aware UTC opening time, ascending and unique; columns are float64."""

    symbol: str
    timeframe: str
    asset_class: AssetClass
    sha256: str
    frame: pd.DataFrame
    source: str = ""
    licence: str = ""
    synthetic: bool = False


def load_bars(symbol: str, timeframe: str, data_dir: Path) -> Bars:
    """The bars of a symbol at a timeframe, an imported set before a bundled one.

    Raises ResearchError DATA_UNAVAILABLE, which names the sets that there are, if there is none, or if the file was
    changed by another hand than ours.
    """
    path = find_file(symbol, timeframe, data_dir)
    if path is None:
        raise ResearchError(ErrorCode.DATA_UNAVAILABLE, _what_there_is(symbol, timeframe, data_dir))
    info, rows = _read(path)
    return Bars(
        symbol=info.symbol,
        timeframe=info.timeframe,
        asset_class=info.asset_class,
        sha256=info.sha256,
        frame=_cached_frame(info, rows, path),
        source=info.source,
        licence=info.licence,
        synthetic=info.synthetic,
    )


def list_bars(data_dir: Path) -> list[BarsInfo]:
    """Every set that load_bars would give, sorted by symbol and then from the finest timeframe to the coarsest.

    Files that are no sets are passed over, so that one of them costs no other set; unreadable_bars names them.
    """
    order = list(TIMEFRAMES)
    found = (_described(path) for path in _files(data_dir))
    return sorted(filter(None, found), key=lambda info: (info.symbol, order.index(info.timeframe)))


def unreadable_bars(data_dir: Path) -> list[Path]:
    """The files among the sets that are none: damaged, edited by hand, or under a name that is not theirs."""
    return [path for path in _files(data_dir) if _described(path) is None]


def find_file(symbol: str, timeframe: str, data_dir: Path) -> Path | None:
    """The file that holds a set, or None. What is no symbol, in capital letters, is never made into a path."""
    if not is_symbol(symbol) or symbol != symbol.upper() or timeframe not in TIMEFRAMES:
        return None
    candidates = (folder / file_name(symbol, timeframe) for folder in (data_dir, SAMPLES))
    return next((path for path in candidates if path.is_file()), None)


def describe(path: Path) -> BarsInfo:
    """The first line of a set's file.

    Raises ResearchError DATA_UNAVAILABLE where there is none to be read, or it is that of another set.
    """
    try:
        with gzip.open(path, "rb") as file:
            return _checked(file.readline(65_536), path)
    except (OSError, EOFError, zlib.error) as error:
        raise _broken(path) from error


def file_name(symbol: str, timeframe: str) -> str:
    """The name of a set's file."""
    return f"{symbol}_{timeframe}{_SUFFIX}"


def encode(
    frame: pd.DataFrame,
    *,
    symbol: str,
    timeframe: str,
    asset_class: AssetClass,
    source: str,
    licence: str,
    synthetic: bool = False,
    remarks: tuple[str, ...] = (),
) -> tuple[BarsInfo, bytes]:
    """A set's description and the bytes of its file. The same bars give the same bytes, at any time."""
    times = pd.DatetimeIndex(frame.index).strftime("%Y-%m-%dT%H:%M:%SZ")
    table = frame.loc[:, list(COLUMNS)].set_axis(times, axis=0)
    rows = table.to_csv(index_label="timestamp", lineterminator="\n").encode()
    info = BarsInfo(
        symbol=symbol,
        timeframe=timeframe,
        asset_class=asset_class,
        bars=len(frame),
        start=frame.index[0].to_pydatetime(),
        end=frame.index[-1].to_pydatetime(),
        source=source,
        licence=licence,
        synthetic=synthetic,
        remarks=remarks,
        sha256=hashlib.sha256(rows).hexdigest(),
    )
    content = b"# " + info.model_dump_json().encode() + b"\n" + rows
    return info, gzip.compress(content, compresslevel=9, mtime=0)


_frames: OrderedDict[str, pd.DataFrame] = OrderedDict()


def _cached_frame(info: BarsInfo, rows: bytes, path: Path) -> pd.DataFrame:
    if info.sha256 not in _frames:
        _frames[info.sha256] = _parse(info, rows, path)
        if len(_frames) > _CACHED_SETS:
            _frames.popitem(last=False)
    _frames.move_to_end(info.sha256)
    # A shallow copy: pandas copies on write, so what one caller does to its frame no other sees.
    return _frames[info.sha256].copy(deep=False)


def _parse(info: BarsInfo, rows: bytes, path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(io.BytesIO(rows), index_col="timestamp")
        index = pd.DatetimeIndex(pd.to_datetime(table.index, utc=True, format="ISO8601")).as_unit("ns")
        frame = table.loc[:, list(COLUMNS)].astype("float64").set_axis(index, axis=0)
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        # The hash of the rows says that this is what was written, though not by us, or not by this version.
        raise _broken(path) from error
    frame.index.name = "timestamp"
    if (
        len(frame) != info.bars
        or not (index.is_monotonic_increasing and index.is_unique)
        or not np.isfinite(frame.to_numpy()).all()
    ):
        raise _broken(path)
    return frame


def _read(path: Path) -> tuple[BarsInfo, bytes]:
    try:
        first, _, rows = gzip.decompress(path.read_bytes()).partition(b"\n")
    except (OSError, EOFError, zlib.error) as error:
        raise _broken(path) from error
    info = _checked(first, path)
    if hashlib.sha256(rows).hexdigest() != info.sha256:
        raise _broken(path)
    return info, rows


def _files(data_dir: Path) -> list[Path]:
    """The files that hold sets by their name; of two with one name the imported one, which load_bars takes too."""
    files = {path.name: path for folder in (SAMPLES, data_dir) for path in folder.glob(f"[!.]*{_SUFFIX}")}
    return sorted(files.values())


def _described(path: Path) -> BarsInfo | None:
    try:
        return describe(path)
    except ResearchError:
        return None


def _checked(first_line: bytes, path: Path) -> BarsInfo:
    try:
        info = BarsInfo.model_validate_json(first_line.removeprefix(b"# "))
    except ValidationError as error:
        raise _broken(path) from error
    if path.name != file_name(info.symbol, info.timeframe):
        raise _broken(path)
    return info


def _broken(path: Path) -> ResearchError:
    return ResearchError(
        ErrorCode.DATA_UNAVAILABLE,
        f"{path} is not a set of bars as the import writes it (incomplete, or edited since). "
        "Import the bars again with --replace, or delete the file.",
    )


def _what_there_is(symbol: str, timeframe: str, data_dir: Path) -> str:
    sets = list_bars(data_dir)
    names = [f"{info.symbol} {info.timeframe}" for info in sets]
    wanted = f"{symbol} {timeframe}".upper()
    close = get_close_matches(wanted, [name.upper() for name in names], n=1, cutoff=0.6)
    hint = f" Did you mean {names[[name.upper() for name in names].index(close[0])]}?" if close else ""
    return (
        f"there are no bars of {symbol[:64]!r} at {timeframe[:16]!r}.{hint} There is: {', '.join(names)}. "
        "`research data import FILE` brings your own."
    )
