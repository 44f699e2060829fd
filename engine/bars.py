"""Bars: price series with their origin, one file a set, which begins with a description of the set.

Bundled sets lie beside this module in `samples/` as gzipped CSV, or in the package arch; imported ones as Parquet in a
data directory, where a set of the same name comes before the bundled one. The hash in the description is that of the
rows, so a file that somebody edited is refused instead of being taken for what it was.
"""

import gzip
import hashlib
import io
import zlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
import pandas as pd
from pydantic import AfterValidator, Field, ValidationError

from domain.errors import ErrorCode, ResearchError
from domain.grammar.values import TIMEFRAMES
from domain.results import Frozen
from domain.symbols import Symbol, is_symbol
from engine.bars_arch import LICENCE, SHIPPED, SOURCE, NotShipped, Shipped, frame_of
from engine.bars_kept import COLUMNS, NotKept, description_in, frame_in, hash_of, packed

SAMPLES: Final = Path(__file__).resolve().parent / "samples"
MAX_ROWS: Final = 6_000_000
_TEXT: Final = ".csv.gz"
_PARQUET: Final = ".parquet"
_CACHED_SETS: Final = 8
_CACHED_BARS: Final = 8_000_000


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
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="of the rows: their text in a CSV, their numbers else")


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
    if path is not None:
        info, frame = _read(path)
    elif (symbol, timeframe) in SHIPPED:
        info, frame = _read_shipped(symbol, timeframe)
    else:
        raise ResearchError(ErrorCode.DATA_UNAVAILABLE, _what_there_is(symbol, timeframe, data_dir))
    return Bars(
        symbol=info.symbol,
        timeframe=info.timeframe,
        asset_class=info.asset_class,
        sha256=info.sha256,
        frame=frame,
        source=info.source,
        licence=info.licence,
        synthetic=info.synthetic,
    )


def list_bars(data_dir: Path) -> list[BarsInfo]:
    """Every set that load_bars would give, sorted by symbol and then from the finest timeframe to the coarsest.

    Files that are no sets are passed over, so that one of them costs no other set; unreadable_bars names them.
    """
    order = list(TIMEFRAMES)
    files = _files(data_dir)
    taken = {path.name.removesuffix(_TEXT).removesuffix(_PARQUET) for path in files}
    found = [_described(path) for path in files]
    found += [_shipped_info(*name, shipped) for name, shipped in SHIPPED.items() if "_".join(name) not in taken]
    return sorted(filter(None, found), key=lambda info: (info.symbol, order.index(info.timeframe)))


def unreadable_bars(data_dir: Path) -> list[Path]:
    """The files among the sets that are none: damaged, edited by hand, or under a name that is not theirs."""
    return [path for path in _files(data_dir) if _described(path) is None]


def find_file(symbol: str, timeframe: str, data_dir: Path) -> Path | None:
    """The file that holds a set, or None. What is no symbol, in capital letters, is never made into a path."""
    if not is_symbol(symbol) or symbol != symbol.upper() or timeframe not in TIMEFRAMES:
        return None
    names = [file_name(symbol, timeframe, suffix) for suffix in (_PARQUET, _TEXT)]
    candidates = (folder / name for folder in (data_dir, SAMPLES) for name in names)
    return next((path for path in candidates if path.is_file()), None)


def describe(path: Path) -> BarsInfo:
    """The description in a set's file.

    Raises ResearchError DATA_UNAVAILABLE where there is none to be read, or it is that of another set.
    """
    try:
        if path.name.endswith(_PARQUET):
            return _checked(description_in(path), path)
        with gzip.open(path, "rb") as file:
            return _checked(file.readline(65_536), path)
    except (OSError, EOFError, zlib.error, NotKept) as error:
        raise _broken(path) from error


def file_name(symbol: str, timeframe: str, suffix: Literal[".csv.gz", ".parquet"] = _TEXT) -> str:
    """The name of a set's file."""
    return f"{symbol}_{timeframe}{suffix}"


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
    """A set's description and the bytes of its file as text. The same bars give the same bytes, at any time."""
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


def encode_parquet(
    frame: pd.DataFrame,
    *,
    symbol: str,
    timeframe: str,
    asset_class: AssetClass,
    source: str,
    licence: str,
    remarks: tuple[str, ...] = (),
) -> tuple[BarsInfo, bytes]:
    """A set's description and the bytes of its file as Parquet, from which millions of bars are read in seconds."""
    info = BarsInfo(
        symbol=symbol,
        timeframe=timeframe,
        asset_class=asset_class,
        bars=len(frame),
        start=frame.index[0].floor("us").to_pydatetime(),
        end=frame.index[-1].floor("us").to_pydatetime(),
        source=source,
        licence=licence,
        remarks=remarks,
        sha256=hash_of(frame),
    )
    return info, packed(frame, info.model_dump_json().encode())


_frames: OrderedDict[str, pd.DataFrame] = OrderedDict()


def _read(path: Path) -> tuple[BarsInfo, pd.DataFrame]:
    """A set whose rows are as they were written."""
    if path.name.endswith(_PARQUET):
        info = describe(path)
        try:
            frame = frame_in(path, info.bars)
        except NotKept as error:
            raise _broken(path) from error
        if hash_of(frame) != info.sha256:
            raise _broken(path)
        return info, _kept(info, lambda: _sound(frame, info, path))
    try:
        first, _, rows = gzip.decompress(path.read_bytes()).partition(b"\n")
    except (OSError, EOFError, zlib.error) as error:
        raise _broken(path) from error
    info = _checked(first, path)
    if hashlib.sha256(rows).hexdigest() != info.sha256:
        raise _broken(path)
    return info, _kept(info, lambda: _parse(info, rows, path))


def _read_shipped(symbol: str, timeframe: str) -> tuple[BarsInfo, pd.DataFrame]:
    info = _shipped_info(symbol, timeframe, SHIPPED[symbol, timeframe])

    def read() -> pd.DataFrame:
        try:
            frame = frame_of(SHIPPED[symbol, timeframe].package)
        except NotShipped:
            frame = pd.DataFrame()
        if frame.empty or hash_of(frame) != info.sha256:
            raise ResearchError(
                ErrorCode.DATA_UNAVAILABLE,
                f"the installed package arch has other bars of {symbol} {timeframe} than this version knows, or none. "
                "Install arch 8 again, or bring your own with `research data import FILE`.",
            )
        return frame

    return info, _kept(info, read)


def _shipped_info(symbol: str, timeframe: str, shipped: Shipped) -> BarsInfo:
    return BarsInfo(
        symbol=symbol,
        timeframe=timeframe,
        asset_class=AssetClass.INDEX,
        bars=shipped.bars,
        start=shipped.start,
        end=shipped.end,
        source=SOURCE.format(package=shipped.package),
        licence=LICENCE,
        sha256=shipped.sha256,
    )


def _kept(info: BarsInfo, read: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """The frame of these rows, read once as long as there is room for it."""
    if info.sha256 not in _frames:
        _frames[info.sha256] = read()
    _frames.move_to_end(info.sha256)
    while len(_frames) > 1 and (len(_frames) > _CACHED_SETS or sum(map(len, _frames.values())) > _CACHED_BARS):
        _frames.popitem(last=False)
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
    return _sound(frame, info, path)


def _sound(frame: pd.DataFrame, info: BarsInfo, path: Path) -> pd.DataFrame:
    if (
        len(frame) != info.bars
        or not (frame.index.is_monotonic_increasing and frame.index.is_unique)
        or not np.isfinite(frame.to_numpy()).all()
    ):
        raise _broken(path)
    return frame


def _files(data_dir: Path) -> list[Path]:
    """The files that hold sets by their name; of two with one name the imported one, which load_bars takes too."""
    files: dict[str, Path] = {}
    for folder, suffix in ((SAMPLES, _TEXT), (data_dir, _TEXT), (data_dir, _PARQUET)):
        files |= {path.name.removesuffix(suffix): path for path in folder.glob(f"[!.]*{suffix}")}
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
    if path.name not in (file_name(info.symbol, info.timeframe, suffix) for suffix in (_TEXT, _PARQUET)):
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
