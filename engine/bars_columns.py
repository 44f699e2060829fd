"""Which column of a table is the time, the open and so on, by the names that such columns have in the field."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from domain.errors import ErrorCode, ResearchError
from engine.bars_kept import COLUMNS

TIMESTAMP: Final = "timestamp"
ARROW_INDEX: Final = "__index_level_0__"
"""What the nameless index of a frame is called in a Parquet file."""
_NAMES: Final[Mapping[str, frozenset[str]]] = {
    "open": frozenset({"open", "o", "open price", "price open", "opening price"}),
    "high": frozenset({"high", "h", "high price", "price high"}),
    "low": frozenset({"low", "l", "low price", "price low"}),
    "close": frozenset({"close", "c", "close price", "price close", "closing price"}),
    "volume": frozenset({"volume", "v", "vol", "tick volume", "tickvol", "tick vol"}),
}
_UTC_TIMES: Final = frozenset({"gmt time", "utc time", "time utc", "date utc", "datetime utc", "timestamp utc", "utc"})
_TIMES: Final = _UTC_TIMES | {
    *("timestamp", "datetime", "date time", "date", "time", "local time", "open time"),
    *("unix", "unix time", "unix timestamp", "epoch", "ts", "t"),
}
_MOST_SHOWN: Final = 12

Places = dict[str, tuple[int, ...]]
"""The position of each column; a timestamp may stand in two, day and clock. Without a volume there is no `volume`."""


def find_columns(file: str, names: Sequence[str], asked: Mapping[str, str]) -> Places:
    """Where each column stands.

    asked: columns that a person named, `{"open": "O"}`; `timestamp` may be two, `Date+Time`.
    Raises ResearchError DATA_UNAVAILABLE, with what was found, where a column is missing or could be several.
    """
    plain = [_plain(name) for name in names]
    places: Places = {}
    problems = [_no_such(key) for key in asked if key not in (*COLUMNS, TIMESTAMP)]
    for key, wanted in asked.items():
        parts = [wanted] if wanted in names or key != TIMESTAMP else wanted.split("+", 1)
        places[key] = tuple(at for part in parts for at in _named(part, names))
        if len(places[key]) != len(parts):
            what = "no column is" if not places[key] else "not one column is"
            problems.append(f"{what} named {wanted[:40]!r}, which --columns takes for the {key}")
    for key, usual in _NAMES.items():
        if key not in places:
            places[key] = tuple(at for at, name in enumerate(plain) if name in usual)
            problems += _not_one(key, places[key], names)
    if TIMESTAMP not in places:
        places[TIMESTAMP] = _time_columns(plain)
        problems += _not_one(TIMESTAMP, places[TIMESTAMP], names, most=2 if _is_day_and_clock(plain, places) else 1)
    if problems:
        raise _refusal(file, problems, names)
    return {key: where for key, where in places.items() if where}


def says_utc(names: Sequence[str], places: Places) -> bool:
    """Whether the time's column says by its name that it is in UTC."""
    return all(_plain(names[at]) in _UTC_TIMES for at in places[TIMESTAMP])


def parse_columns(text: str) -> dict[str, str]:
    """`open=O,high=H` as a mapping. Raises ResearchError DATA_UNAVAILABLE where it is none."""
    pairs = [part.partition("=") for part in text.split(",")]
    found = {key.strip().lower(): name.strip() for key, _, name in pairs}
    found = {TIMESTAMP if key in ("time", "date", "datetime") else key: name for key, name in found.items()}
    if len(found) != len(pairs) or not all(found.values()):
        raise ResearchError(
            ErrorCode.DATA_UNAVAILABLE,
            f"{text[:80]!r} names no columns. "
            "Give it as --columns timestamp=Date+Time,open=O,high=H,low=L,close=C,volume=V.",
        )
    return found


def _plain(name: str) -> str:
    """`<TICKVOL>`, `Open_Price` and `Date (UTC)` as `tickvol`, `open price` and `date utc`."""
    return re.sub(r"[\s_<>().\-\[\]]+", " ", name[:200]).strip().lower()


def _named(wanted: str, names: Sequence[str]) -> list[int]:
    """The columns of exactly that name, else those of that name in another case."""
    exactly = [at for at, name in enumerate(names) if name == wanted.strip()]
    return exactly or [at for at, name in enumerate(names) if name.strip().lower() == wanted.strip().lower()]


def _time_columns(plain: Sequence[str]) -> tuple[int, ...]:
    found = tuple(at for at, name in enumerate(plain) if name in _TIMES)
    index = tuple(at for at, name in enumerate(plain) if name == _plain(ARROW_INDEX))
    if len(found) == 2 and {plain[at] for at in found} == {"date", "time"}:
        return tuple(sorted(found, key=lambda at: plain[at] == "time"))
    return found or index


def _is_day_and_clock(plain: Sequence[str], places: Places) -> bool:
    return [plain[at] for at in places[TIMESTAMP]] == ["date", "time"]


def _not_one(key: str, where: Sequence[int], names: Sequence[str], most: int = 1) -> list[str]:
    if len(where) > most:
        several = " or ".join(repr(names[at][:40]) for at in where[:_MOST_SHOWN])
        same = len({names[at].strip().lower() for at in where}) == 1
        text = f"the column {names[where[0]][:40]!r} occurs twice" if same else f"the {key} could be {several}"
        return [text]
    if not where and key != "volume":
        return [f"no column is named {key!r}, or as that is often called"]
    return []


def _no_such(key: str) -> str:
    return f"--columns names {key[:40]!r}, which is none of {', '.join((TIMESTAMP, *COLUMNS))}"


def _refusal(file: str, problems: Sequence[str], names: Sequence[str]) -> ResearchError:
    listed = ", ".join(repr(name.strip()[:40]) for name in names[:_MOST_SHOWN])
    return ResearchError(
        ErrorCode.DATA_UNAVAILABLE,
        f"{file} cannot be imported: {'; '.join(problems[:_MOST_SHOWN])}. Its columns are {listed or 'none'}. "
        "Name them with --columns timestamp=NAME,open=NAME,high=NAME,low=NAME,close=NAME,volume=NAME.",
    )
