"""The files that a cycle's results name, read for a report. What is there is checked; what is not says why.

A file may be gone, on another machine, cut short, or edited by hand. None of that ends a report: the part that needed
it says what is the matter with it.
"""

import csv
import gzip
import io
import json
import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from domain.results import Fraction, Frozen

MOST_BYTES = 64 * 2**20
"""Of one file, uncompressed. Ten years of minutes stay below it; what unpacks to more is no file of ours."""

EQUITY_COLUMNS = ["time", "equity", "equity_gross", "buy_and_hold", "position"]
TRADE_COLUMNS = ["entry_time", "exit_time", "side", "entry_price", "exit_price", "return_net", "profit"]


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
    long: bool
    entry_price: float
    exit_price: float
    return_net: float
    profit: float


Read = TypeVar("Read")


def equity_in(artifacts: Path, path: str) -> Equity | Missing:
    """The equity file of a backtest."""
    return _read(artifacts, path, _equity)


def trades_in(artifacts: Path, path: str) -> tuple[Trade, ...] | Missing:
    """The trades file of a backtest, in the order of their entries."""
    return _read(artifacts, path, _trades)


def epochs_in(artifacts: Path, path: str) -> tuple[Epoch, ...] | Missing:
    """The history file of a training."""
    return _read(artifacts, path, _epochs)


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
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return Missing(f"{whole} is damaged: it does not unpack.")
    except OSError as error:
        return Missing(f"{whole} cannot be read: {error.strerror or error}.")
    except (ValueError, KeyError, OverflowError, RuntimeError, csv.Error) as error:
        return Missing(f"{whole} is not what the engine wrote: {_brief(error)}.")


def _bytes(path: Path) -> bytes:
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES // 2**20} MiB")
    return content


def _rows(content: bytes, columns: Sequence[str]) -> list[dict[str, str]]:
    reader = csv.DictReader(io.StringIO(content.decode()), strict=True)
    lacking = [name for name in columns if name not in (reader.fieldnames or ())]
    if lacking:
        raise ValueError(f"it has no column {lacking[0]}")
    rows = list(reader)
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise ValueError(f"line {number} has another number of values than the first")
    return rows


def _equity(content: bytes) -> Equity:
    rows = _rows(content, EQUITY_COLUMNS)
    times = tuple(_time(row["time"]) for row in rows)
    if len(rows) < 2:
        raise ValueError("it has fewer than two bars")
    if any(later <= earlier for earlier, later in pairwise(times)):
        raise ValueError("its times do not rise")
    net, gross, hold = (
        tuple(_finite(row[name]) for row in rows) for name in ("equity", "equity_gross", "buy_and_hold")
    )
    return Equity(times=times, net=net, gross=gross, hold=hold)


def _trades(content: bytes) -> tuple[Trade, ...]:
    return tuple(
        Trade(
            entered=_time(row["entry_time"]),
            left=_time(row["exit_time"]),
            long={"long": True, "short": False}[row["side"]],
            entry_price=_finite(row["entry_price"]),
            exit_price=_finite(row["exit_price"]),
            return_net=_finite(row["return_net"]),
            profit=_finite(row["profit"]),
        )
        for row in _rows(content, TRADE_COLUMNS)
    )


def _epochs(content: bytes) -> tuple[Epoch, ...]:
    epochs = TypeAdapter(tuple[Epoch, ...]).validate_python(json.loads(content))
    if not epochs:
        raise ValueError("it has no epochs")
    return epochs


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]!r} is no figure")
    return value


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"{text[:40]!r} has no time zone")
    return time


def _brief(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        return f"{'.'.join(str(part) for part in first['loc'])[:80] or 'the whole'}: {first['msg'][:120]}"
    if isinstance(error, KeyError):
        return f"{error.args[0]!r:.40} is no side"
    return str(error)[:200] or type(error).__name__
