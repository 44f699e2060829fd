"""Scalars of the strategy grammar: how a number, a word or a date may be written, and the bounds on sizes.

A strategy comes from a person or a language model, so a scalar is never trusted: a quoted number is a number, a
boolean is not, NaN and infinity are nowhere allowed. `Problem` is how every part of the grammar says what is wrong.
"""

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from domain.symbols import MAX_SYMBOL, SYMBOL_PATTERN

MAX_INDICATORS = 64
MAX_FUZZY_SETS = 128
MAX_MEMBERSHIPS = 16
MAX_INPUTS = 128
MAX_FEATURES = 1024
MAX_HIDDEN_LAYERS = 8
MAX_UNITS = 1024
MAX_SEQUENCE_LENGTH = 512
MAX_HIDDEN_SIZE = 1024
MAX_RECURRENT_LAYERS = 4
MAX_EPOCHS = 1000
MAX_BATCH_SIZE = 65536
MAX_SYMBOLS = 32
MAX_TIMEFRAMES = 8
MAX_CONTEXT_SERIES = 32
MAX_LOOKAHEAD = 1000
MAX_HISTORY_REQUIRED = 100_000
MAX_NAME_LENGTH = 80
MAX_TEXT_LENGTH = 8192

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_LONGEST_NUMBER = 40

Loc = tuple[str | int, ...]
"""Where something stands: the keys and list positions from the top of the document."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong at `path`, in words; `hint` says what would be right, or is empty."""

    path: Loc
    message: str
    hint: str = ""


def dotted(path: Loc) -> str:
    """`("nn_inputs", 0, "fuzzy_set")` as `nn_inputs[0].fuzzy_set`; the whole document is `(document)`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{shorten(step)}" for step in path)
    return text.removeprefix(".") or "(document)"


def nearest(word: object, known: Iterable[str]) -> str:
    """A hint that names the closest known word, or all of them when none is close."""
    words = sorted(set(known))[:MAX_FUZZY_SETS]
    close = difflib.get_close_matches(str(word)[:MAX_NAME_LENGTH].lower(), [w.lower() for w in words], n=1, cutoff=0.6)
    if close:
        return f"did you mean {next(w for w in words if w.lower() == close[0])!r}?"
    return f"known here: {', '.join(words)}" if words else ""


def shorten(value: object) -> str:
    """The value as text of at most 60 printable characters, so that no message grows with its input."""
    text = value if isinstance(value, str) else repr(value) if _is_small(value) else f"a {type(value).__name__}"
    printable = "".join(c if c.isprintable() else "?" for c in text[:61])
    return printable if len(printable) <= 60 else printable[:57] + "..."


def _is_small(value: object) -> bool:
    if isinstance(value, int):
        return value.bit_length() < 128
    return not isinstance(value, list | tuple | dict | set)


def to_number(value: object) -> int | float:
    """The finite number that `value` is, or writes out as text. ValueError says what stands there instead."""
    if isinstance(value, str):
        text = value.strip()
        if len(text) > _LONGEST_NUMBER or not _NUMBER.fullmatch(text):
            raise ValueError(f"is {shorten(value)!r}, which is not a number")
        value = float(text) if re.search(r"[.eE]", text) else int(text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"is {shorten(value)}, which is not a number")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"is {value}, which is not a finite number")
    return value


def to_whole(value: object) -> int:
    """The whole number that `value` is (14, "14" and 14.0 are); ValueError otherwise."""
    number = to_number(value)
    if number != int(number):
        raise ValueError(f"is {shorten(number)}, which is not a whole number")
    return int(number)


def to_real(value: object) -> float:
    """The finite number that `value` is, as a float; ValueError otherwise, also where it is too large for one."""
    try:
        return float(to_number(value))
    except OverflowError:
        raise ValueError("is too large for a number") from None


def to_flag(value: object) -> bool:
    """true or false, also as the YAML 1.1 words yes, no, on, off; a number is no flag."""
    words = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in words:
        return words[value.strip().lower()]
    raise ValueError(f"is {shorten(value)}, which is neither true nor false")


def _whole(value: object) -> int:
    try:
        return to_whole(value)
    except ValueError as error:
        raise PydanticCustomError("whole", "{why}", {"why": str(error)}) from None


def _real(value: object) -> float:
    try:
        return to_real(value)
    except ValueError as error:
        raise PydanticCustomError("real", "{why}", {"why": str(error)}) from None


def _flag(value: object) -> bool:
    try:
        return to_flag(value)
    except ValueError as error:
        raise PydanticCustomError("flag", "{why}", {"why": str(error)}) from None


def _text(value: object) -> object:
    """Text, also where YAML read `3.0` or `600519` as a number."""
    return str(value) if isinstance(value, float) or (type(value) is int and _is_small(value)) else value


def _prose(value: object) -> object:
    return "" if value is None else _text(value)


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _iso_date(value: object) -> object:
    """Only text such as 2024-01-31: pydantic would take a bare number for seconds since 1970."""
    if isinstance(value, str | date):
        return value
    raise PydanticCustomError("iso_date", "is {given}, which is not a date", {"given": shorten(value)})


def _timeframe(value: object) -> object:
    """1H, 4H, 1D, 1W are the lower-case ones; 1M is not, since it is a month to many."""
    if isinstance(value, str) and not value.endswith("M"):
        return value.strip().lower()
    return value


TIMEFRAMES: Mapping[str, timedelta] = {
    "1m": timedelta(minutes=1),
    "5m": timedelta(minutes=5),
    "15m": timedelta(minutes=15),
    "30m": timedelta(minutes=30),
    "1h": timedelta(hours=1),
    "4h": timedelta(hours=4),
    "1d": timedelta(days=1),
    "1w": timedelta(weeks=1),
}
"""Every timeframe with its length, from the finest to the coarsest."""
PRICE_COLUMNS: tuple[str, ...] = ("open", "high", "low", "close", "volume")


def _known_timeframe(value: object) -> object:
    value = _timeframe(value)
    if not isinstance(value, str) or value not in TIMEFRAMES:
        raise PydanticCustomError(
            "timeframe",
            "is {given}, which is no timeframe",
            {"given": repr(shorten(value)), "hint": f"one of {', '.join(TIMEFRAMES)}"},
        )
    return value


Whole = Annotated[int, BeforeValidator(_whole)]
Real = Annotated[float, BeforeValidator(_real)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Text = Annotated[str, BeforeValidator(_text)]
Prose = Annotated[str, BeforeValidator(_prose), Field(max_length=MAX_TEXT_LENGTH)]
LowerCase = BeforeValidator(_lower)
IsoDate = Annotated[date, BeforeValidator(_iso_date)]
Timeframe = Annotated[str, BeforeValidator(_known_timeframe)]
"""One of 1m 5m 15m 30m 1h 4h 1d 1w, in lower case."""
StrategyName = Annotated[Text, Field(pattern=rf"^[A-Za-z0-9_-]{{1,{MAX_NAME_LENGTH}}}$")]
"""A file name and nothing else: no dot, no slash."""
Version = Annotated[Text, Field(pattern=r"^3(\.[0-9]{1,3})?$")]
Identifier = Annotated[Text, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$")]
"""The id of an indicator, a fuzzy set or a membership; without dots, which stand between an id and its output."""
Symbol = Annotated[Text, Field(max_length=MAX_SYMBOL, pattern=SYMBOL_PATTERN)]
Word = Annotated[Text, Field(min_length=1, max_length=128)]


class Frozen(BaseModel):
    """A value of the grammar: immutable, and with no room for a key that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False)
