"""The files that a cycle's results name, read for a report. What is there is checked; what is not says why.

A file may be gone, on another machine, cut short, or edited by hand. None of that ends a report: the part that needed
it says what is the matter with it.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from pyarrow import parquet
from pydantic import TypeAdapter, ValidationError

from domain.results import Fraction, Frozen
from domain.symbols import is_symbol

MOST_BYTES = 64 * 2**20
"""Of one file. Ten years of minutes stay below it; what is larger is no file of ours."""

MOST_ROWS = 5_000_000
"""Of one table, by its own word: packed rows may be many in a small file."""

EARLIER = (".csv", ".csv.gz")
"""How the names of a backtest's files end that an earlier version wrote."""

EQUITY_COLUMNS = {"time": "time", "equity": "figure", "equity_gross": "figure", "buy_and_hold": "figure"}
TRADE_COLUMNS = {"entry_time": "time", "exit_time": "time", "symbol": "word", "side": "word"} | dict.fromkeys(
    ("entry_price", "exit_price", "return_net", "profit"), "figure"
)
_KINDS: Mapping[str, Callable[[pa.DataType], bool]] = {
    "time": lambda kind: pa.types.is_timestamp(kind) and kind.tz == "UTC",
    "figure": pa.types.is_floating,
    "word": pa.types.is_string,
}


@dataclass(frozen=True)
class Missing:
    """Why something is not there, in a sentence for the reader."""

    why: str


class Epoch(Frozen):
    """One line of a training's history: losses and accuracies after the epoch."""

    epoch: int
    learning_rate: float
    train_loss: float
    validation_loss: float
    train_accuracy: Fraction
    validation_accuracy: Fraction


@dataclass(frozen=True)
class Equity:
    """The curves of a backtest at each open, in multiples of what they began with."""

    times: tuple[datetime, ...]
    net: tuple[float, ...]
    gross: tuple[float, ...]
    hold: tuple[float, ...]


@dataclass(frozen=True)
class Trade:
    """One closed trade. return_net is of the value staked, profit in multiples of the initial capital."""

    entered: datetime
    left: datetime
    symbol: str
    long: bool
    entry_price: float
    exit_price: float
    return_net: float
    profit: float


Read = TypeVar("Read")


def equity_in(artifacts: Path, path: str) -> Equity | Missing:
    """The equity file of a backtest."""
    return _earlier(artifacts, path) if path.endswith(EARLIER) else _read(artifacts, path, _equity)


def trades_in(artifacts: Path, path: str) -> tuple[Trade, ...] | Missing:
    """The trades file of a backtest, in the order of their entries."""
    return _earlier(artifacts, path) if path.endswith(EARLIER) else _read(artifacts, path, _trades)


def epochs_in(artifacts: Path, path: str) -> tuple[Epoch, ...] | Missing:
    """The history file of a training."""
    return _read(artifacts, path, _epochs)


def _earlier(artifacts: Path, path: str) -> Missing:
    return Missing(
        f"{artifacts / path} was made by an earlier version, as CSV; this one reads Parquet alone. The figures of the "
        "record stand. Start the cycle again for its curves and trades."
    )


def _read(artifacts: Path, path: str, parse: Callable[[bytes], Read]) -> Read | Missing:
    whole = artifacts / path
    try:
        # A link inside the folder may point anywhere; what is shown has to lie under the folder itself.
        real = whole.resolve(strict=True)
        if not real.is_relative_to(artifacts.resolve()):
            return Missing(f"{whole} leads out of {artifacts}, and is not read.")
        return parse(_bytes(real))
    except FileNotFoundError:
        return Missing(f"{whole} is not on this machine. Make the report where the cycle's engine keeps its files.")
    except OSError as error:
        return Missing(f"{whole} cannot be read: {error.strerror or error}.")
    except (ValueError, KeyError, OverflowError, RuntimeError) as error:
        return Missing(f"{whole} is not what the engine wrote: {_brief(error)}.")


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES // 2**20} MiB")
    return content


def _columns(content: bytes, wanted: Mapping[str, str]) -> dict[str, list[Any]]:
    """The wanted columns of a table, each of its kind and without a gap. Raises ValueError that says what is wrong."""
    try:
        file = parquet.ParquetFile(pa.BufferReader(content))
        if file.metadata.num_rows > MOST_ROWS:
            raise ValueError(f"it has more than {MOST_ROWS:,} rows")
        kinds = {field.name: field.type for field in file.schema_arrow}
        for name, kind in wanted.items():
            if name not in kinds:
                raise ValueError(f"it has no column {name}")
            if not _KINDS[kind](kinds[name]):
                raise ValueError(f"its column {name} is of {str(kinds[name])[:40]}")
        table = file.read(columns=list(wanted), use_threads=False)
    except (pa.ArrowException, OSError, RuntimeError) as error:
        raise ValueError("it is damaged, or no Parquet file") from error
    return {name: _values(name, kind, table[name]) for name, kind in wanted.items()}


def _values(name: str, kind: str, column: pa.ChunkedArray) -> list[Any]:
    if column.null_count:
        raise ValueError(f"its column {name} has gaps")
    if kind == "figure" and not np.isfinite(column.to_numpy()).all():
        raise ValueError(f"its column {name} has a value that is no figure")
    values: list[Any] = column.to_pylist()
    return [value.astimezone(UTC) for value in values] if kind == "time" else values


def _equity(content: bytes) -> Equity:
    found = _columns(content, EQUITY_COLUMNS)
    times = found["time"]
    if len(times) < 2:
        raise ValueError("it has fewer than two bars")
    if any(later <= earlier for earlier, later in pairwise(times)):
        raise ValueError("its times do not rise")
    net, gross, hold = (tuple(found[name]) for name in ("equity", "equity_gross", "buy_and_hold"))
    return Equity(times=tuple(times), net=net, gross=gross, hold=hold)


def _trades(content: bytes) -> tuple[Trade, ...]:
    found = _columns(content, TRADE_COLUMNS)
    if not all(map(is_symbol, set(found["symbol"]))):
        raise ValueError("its column symbol has a word that is no symbol")
    rows = zip(*(found[name] for name in TRADE_COLUMNS), strict=True)
    return tuple(
        Trade(
            entered=entered,
            left=left,
            symbol=symbol,
            long={"long": True, "short": False}[side],
            entry_price=entry,
            exit_price=out,
            return_net=net,
            profit=profit,
        )
        for entered, left, symbol, side, entry, out, net, profit in rows
    )


def _epochs(content: bytes) -> tuple[Epoch, ...]:
    epochs = TypeAdapter(tuple[Epoch, ...]).validate_python(json.loads(content))
    if not epochs:
        raise ValueError("it has no epochs")
    return epochs


def _brief(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        return f"{'.'.join(str(part) for part in first['loc'])[:80] or 'the whole'}: {first['msg'][:120]}"
    if isinstance(error, KeyError):
        return f"{error.args[0]!r:.40} is no side"
    return str(error)[:200] or type(error).__name__
