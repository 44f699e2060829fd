"""A user's CSV as a table of bars: untrusted text, read line by line, so that every bad line is known by its number."""

import csv
import io
import re
from collections.abc import Mapping
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.bars import MAX_ROWS
from engine.bars_checks import MAX_PROBLEMS, MIN_BARS, Fault, Findings, unusable
from engine.bars_columns import TIMESTAMP, Places, find_columns, says_utc
from engine.bars_kept import COLUMNS
from engine.bars_times import times_of_text

_CHUNK: Final = 250_000
"""Lines whose cells are in memory as text at once."""
_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_LONGEST_NUMBER: Final = 64


def read_csv(
    content: bytes, name: str, timeframe: str, zone: ZoneInfo | None, asked: Mapping[str, str], found: Findings
) -> pd.DataFrame:
    """The columns timestamp (aware UTC) and COLUMNS (float64); a cell that is neither is NaT or NaN, and a problem.

    Raises ResearchError DATA_UNAVAILABLE where this is no table of enough lines with these columns.
    """
    header, *rows = _text_of(content, name).split("\n", MAX_ROWS + 1)
    delimiter = max(",;\t", key=header.count)
    names = _names(header.removesuffix(delimiter), delimiter, name)
    places = find_columns(name, names, asked)
    if len(rows) > MAX_ROWS:
        raise unusable(f"{name} cannot be imported: it has more than {MAX_ROWS:,} lines. Split it by date.")
    if len(rows) < MIN_BARS:
        raise unusable(f"{name} cannot be imported: {len(rows)} bars are too few; at least {MIN_BARS} are needed.")
    _check_cells(rows, len(names), delimiter, found)
    if found.total:
        return pd.DataFrame()
    if "volume" not in places:
        found.remarks.append("there is no volume: it is taken as 0")
    chunks = [
        _chunk(rows[at : at + _CHUNK], at, len(names), delimiter, places, found) for at in range(0, len(rows), _CHUNK)
    ]
    del rows
    times = pd.concat([text for text, _ in chunks], ignore_index=True)
    bars = pd.DataFrame(np.concatenate([numbers for _, numbers in chunks]), columns=list(COLUMNS))
    del chunks
    utc = ZoneInfo("UTC") if says_utc(names, places) else zone
    bars.insert(0, TIMESTAMP, times_of_text(times, timeframe, utc, found))
    return bars


def _names(header: str, delimiter: str, name: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([header], delimiter=delimiter), [])]
    except csv.Error as error:  # a cell as long as a file
        raise unusable(f"{name} cannot be imported: its first line names no columns. Give a plain CSV.") from error


def _chunk(
    rows: list[str], at: int, columns: int, delimiter: str, places: Places, found: Findings
) -> tuple[pd.Series, NDArray[np.float64]]:
    """The times as text and the numbers of some lines, which begin at row `at`."""
    # Every line divides into the columns by itself, so pandas finds the same lines and the same cells.
    cells = pd.read_csv(
        io.StringIO("\n".join(rows)),
        sep=delimiter,
        header=None,
        names=list(range(columns)),
        usecols=list({place for where in places.values() for place in where}),
        dtype=str,
        keep_default_na=False,
        skip_blank_lines=False,
        index_col=False,
    )
    first, *clock = places[TIMESTAMP]
    times = cells[first].str.strip()
    for place in clock:
        times = times + " " + cells[place].str.strip()
    numbers = np.zeros((len(rows), len(COLUMNS)))
    for column, name in enumerate(COLUMNS):
        if name in places:
            numbers[:, column] = _numbers(cells[places[name][0]], name, at, found)
    return times, numbers


def _numbers(cells: pd.Series, name: str, at: int, found: Findings) -> NDArray[np.float64]:
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        values = np.array(pc.cast(pa.array(cells), pa.float64()).to_numpy(zero_copy_only=False))
    except pa.ArrowInvalid:
        values = np.array([_number(cell.strip()) for cell in cells])
    bad = np.flatnonzero(~np.isfinite(values))
    values[bad] = np.nan

    def words(row: int) -> str:
        cell = str(cells.iloc[row - at])
        return f"{cell[:40]!r} is not a number" if cell.strip() else "is empty"

    found.refuse(bad + at, name, words)
    return values


def _number(cell: str) -> float:
    return float(cell) if len(cell) <= _LONGEST_NUMBER and _NUMBER.fullmatch(cell) else np.nan


def _check_cells(rows: list[str], columns: int, delimiter: str, found: Findings) -> None:
    """Refuse lines with more or fewer cells than there are columns; one empty cell more, at the end, is no cell.

    A cell with a line break shows as two lines whose quotes are not closed.
    """
    for number, row in enumerate(rows):
        if '"' not in row and row.count(delimiter) == columns - 1 and row.strip():
            continue
        told = _bad_line(row, columns, delimiter)
        if told is not None and found.total < MAX_PROBLEMS:
            found.refuse(np.array([number]), *told)
        elif told is not None:
            found.counts[Fault.CELL] += 1


def _bad_line(row: str, columns: int, delimiter: str) -> tuple[str, str] | None:
    """What is wrong with a line, as a column and words; None where nothing is."""
    try:
        cells = next(csv.reader([row], delimiter=delimiter, strict=True), []) if '"' in row else row.split(delimiter)
    except csv.Error:
        return "quotes", "a cell's quotes have to end it, and on the line they began on"
    if len(cells) == columns or (len(cells) == columns + 1 and not cells[-1].strip()):
        return None
    there_are = f"there are {len(cells)}, and line 1 names {columns}" if row.strip() else "the line is empty"
    return "cells", there_are + (" (1,234 is two: write 1234)" if len(cells) > columns and delimiter == "," else "")


def _text_of(content: bytes, name: str) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise unusable(
            f"{name} cannot be imported: it is not text in UTF-8 (byte {error.start}), nor Parquet. "
            "Give a plain CSV, unpacked."
        ) from error
    if "\0" in text:
        raise unusable(f"{name} cannot be imported: it is no text (it holds a NUL). Give a plain CSV, unpacked.")
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n ")
