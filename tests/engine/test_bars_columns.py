"""Columns and times under the names and in the forms of the field, in CSV and Parquet; what could be two is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from domain.errors import ResearchError
from engine.bars import load_bars
from engine.bars_columns import parse_columns
from engine.bars_import import import_bars
from engine.bars_kept import hash_of
from engine.bars_times import TimeZoneNeeded

Frame = pd.DataFrame


@pytest.fixture
def bars(tmp_path: Path) -> Frame:
    """200 hours of EURUSD."""
    return load_bars("EURUSD", "1h", tmp_path).frame.iloc[:200]


def _plain(frame: Frame) -> Frame:
    return frame.reset_index(names="timestamp")


def _named(frame: Frame, names: str, time: pd.Index | pd.Series) -> Frame:
    table = _plain(frame)
    table["timestamp"] = np.asarray(time)
    return table.set_axis(names.split(","), axis=1)


def _since_1970(frame: Frame, ns: int) -> pd.Index:
    return pd.Index(pd.DatetimeIndex(frame.index).as_unit("ns").asi8 // ns)


TABLES: dict[str, Callable[[Frame], Frame]] = {
    "one letter": lambda f: _named(f, "t,o,h,l,c,v", f.index.strftime("%Y-%m-%dT%H:%MZ")),
    "words": lambda f: _named(f, "Open Time,open_price,High-Price,PRICE LOW,Close,Vol", f.index.strftime("%FT%TZ")),
    "Dukascopy": lambda f: _named(f, "Gmt time,Open,High,Low,Close,Volume", f.index.strftime("%d.%m.%Y %H:%M:%S.000")),
    "seconds": lambda f: _named(f, "unix,open,high,low,close,volume", _since_1970(f, 10**9)),
    "milliseconds": lambda f: _named(f, "timestamp,open,high,low,close,volume", _since_1970(f, 10**6)),
    "microseconds": lambda f: _named(f, "ts,open,high,low,close,volume", _since_1970(f, 10**3)),
    "nanoseconds": lambda f: _named(f, "time,open,high,low,close,volume", _since_1970(f, 1)),
    "adjusted close beside": lambda f: _plain(f).assign(**{"Adj Close": 0.5}),
}


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("make", TABLES.values(), ids=TABLES.keys())
def test_usual_names_and_times_give_the_same_bars(
    tmp_path: Path, bars: Frame, make: Callable[[Frame], Frame], suffix: str
) -> None:
    table, path = make(bars), tmp_path / "anything.bin"
    table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path)

    assert import_bars(path, tmp_path / "data", "MINE", "1h", "fx").sha256 == hash_of(bars)


def test_date_and_time_of_a_terminal_are_one_time_in_the_zone_that_is_given(tmp_path: Path, bars: Frame) -> None:
    local = pd.DatetimeIndex(bars.index).tz_convert("Europe/Berlin")
    table = bars.assign(**{"<DATE>": local.strftime("%Y.%m.%d"), "<TIME>": local.strftime("%H:%M:%S")})
    table = table.rename(columns=lambda name: name if "<" in name else f"<{name.upper()}>")
    table.to_csv(tmp_path / "mt.csv", index=False, sep="\t")

    info = import_bars(tmp_path / "mt.csv", tmp_path / "data", "MINE", "1h", "fx", "Europe/Berlin")

    assert info.sha256 == hash_of(bars)


@pytest.mark.parametrize("aware", [True, False])
def test_the_index_of_a_parquet_file_is_its_time(tmp_path: Path, bars: Frame, aware: bool) -> None:
    index = pd.DatetimeIndex(bars.index, name=None)
    table = bars.set_axis(index.tz_convert("Asia/Tokyo") if aware else index.tz_localize(None))
    table.to_parquet(tmp_path / "mine.parquet")

    if not aware:
        with pytest.raises(TimeZoneNeeded, match="say with --timezone"):
            import_bars(tmp_path / "mine.parquet", tmp_path / "data", "MINE", "1h", "fx")
    info = import_bars(tmp_path / "mine.parquet", tmp_path / "data", "MINE", "1h", "fx", None if aware else "UTC")

    assert info.sha256 == hash_of(bars)


@pytest.mark.parametrize("time", ["%Y%m%d", "%Y-%m-%d", "date"])
def test_days_in_parquet_and_without_hyphens_are_days_in_utc(tmp_path: Path, time: str) -> None:
    days = load_bars("AAPL", "1d", tmp_path).frame.iloc[:300]
    index = pd.DatetimeIndex(days.index)
    table = days.assign(date=index.date if time == "date" else index.strftime(time))
    table.to_parquet(tmp_path / "mine.parquet", index=False)

    assert import_bars(tmp_path / "mine.parquet", tmp_path / "data", "MINE", "1d", "equity").sha256 == hash_of(days)


def test_what_could_be_two_columns_is_refused_and_taken_when_named(tmp_path: Path, bars: Frame) -> None:
    _plain(bars).assign(o=9.0, tickvol=1.0).to_csv(tmp_path / "mine.csv", index=False)

    with pytest.raises(ResearchError, match="the open could be 'open' or 'o'; the volume could be") as error:
        import_bars(tmp_path / "mine.csv", tmp_path / "data", "MINE", "1h", "fx")
    named = parse_columns("open=open,volume=Volume")
    info = import_bars(tmp_path / "mine.csv", tmp_path / "data", "MINE", "1h", "fx", columns=named)

    assert "--columns timestamp=NAME" in error.value.message
    assert info.sha256 == hash_of(bars)


@pytest.mark.parametrize(
    ("text", "told"),
    [("open", "names no columns"), ("open=,high=h", "names no columns"), ("price=x", "which is none of timestamp")],
)
def test_columns_that_name_nothing_are_refused(tmp_path: Path, bars: Frame, text: str, told: str) -> None:
    _plain(bars).to_csv(tmp_path / "mine.csv", index=False)

    with pytest.raises(ResearchError, match=told):
        import_bars(tmp_path / "mine.csv", tmp_path / "data", "M", "1h", "fx", columns=parse_columns(text))


SPOILT: dict[str, tuple[Callable[[Frame], Frame], str]] = {
    "no price": (lambda f: f.assign(open=f["open"].where(f.index != 7)), "row 8, open: is empty"),
    "infinity": (lambda f: f.assign(high=f["high"].where(f.index != 7, np.inf)), "row 8, high: 'inf' is not a number"),
    "no time": (lambda f: f.assign(timestamp=f["timestamp"].where(f.index != 7)), "row 8, timestamp: is empty"),
    "a time twice": (lambda f: pd.concat([f[:9], f[8:]]), "row 10, timestamp: the same time as the line before"),
    "text for prices": (lambda f: f.assign(close=f["close"].astype(str)), "its column close holds .*string"),
    "truth for times": (lambda f: f.assign(timestamp=True), "its times are bool"),
    "times of no calendar": (lambda f: f.assign(timestamp=f["timestamp"].astype(str) + "x" * 99), "long text"),
}


@pytest.mark.parametrize(("spoil", "told"), SPOILT.values(), ids=SPOILT.keys())
def test_a_bad_value_in_parquet_is_refused_by_row(
    tmp_path: Path, bars: Frame, spoil: Callable[[Frame], Frame], told: str
) -> None:
    spoil(_plain(bars)).to_parquet(tmp_path / "mine.parquet", index=False)

    with pytest.raises(ResearchError, match=told):
        import_bars(tmp_path / "mine.parquet", tmp_path / "data", "MINE", "1h", "fx")
    assert not (tmp_path / "data").exists()
