"""Bars come whole, as they were put there, or not at all."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from domain.errors import ErrorCode, ResearchError
from engine.bars import SAMPLES, AssetClass, BarsInfo, encode, file_name, list_bars, load_bars, unreadable_bars


def _write(folder: Path, name: str, content: bytes) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    ("symbol", "timeframe", "asset_class", "bars", "start", "end"),
    [
        ("EURUSD", "1h", AssetClass.FX, 6_225, "2017-01-01T22:00:00+00:00", "2017-12-29T21:00:00+00:00"),
        ("AAPL", "1d", AssetClass.EQUITY, 11_504, "1980-12-12T00:00:00+00:00", "2026-08-06T00:00:00+00:00"),
        ("AAPL", "1h", AssetClass.EQUITY, 3_479, "2024-08-06T13:30:00+00:00", "2026-08-06T13:30:00+00:00"),
    ],
)
def test_a_bundled_set_has_the_bars_that_its_notice_names(
    tmp_path: Path, symbol: str, timeframe: str, asset_class: AssetClass, bars: int, start: str, end: str
) -> None:
    loaded = load_bars(symbol, timeframe, tmp_path)

    index = loaded.frame.index
    assert (len(index), index[0].isoformat(), index[-1].isoformat()) == (bars, start, end)
    assert loaded.asset_class is asset_class
    assert not loaded.synthetic
    assert f"{bars:,}" in (SAMPLES / "NOTICE.md").read_text()


@pytest.mark.parametrize("name", [("EURUSD", "1h"), ("AAPL", "1d"), ("AAPL", "1h"), ("PLANTED", "1h")])
def test_a_frame_holds_float64_prices_in_order_by_ascending_utc_time(tmp_path: Path, name: tuple[str, str]) -> None:
    frame = load_bars(*name, tmp_path).frame

    assert list(frame.columns) == ["open", "high", "low", "close", "volume"]
    assert set(map(str, frame.dtypes)) == {"float64"}
    assert str(frame.index.dtype) == "datetime64[ns, UTC]"
    assert frame.index.is_monotonic_increasing
    assert frame.index.is_unique
    assert (frame["low"] <= frame[["open", "close"]].min(axis=1)).all()
    assert (frame["high"] >= frame[["open", "close"]].max(axis=1)).all()


def test_every_bundled_market_has_its_copyright_and_licence_beside_it() -> None:
    notice = (SAMPLES / "NOTICE.md").read_text()

    assert "Copyright (c) 2019 Mohammad Amin Haghpanah (EURUSD_1h.csv.gz)" in notice
    assert "Copyright (c) 2025 Furechan (AAPL_1d.csv.gz, AAPL_1h.csv.gz)" in notice
    assert "Permission is hereby granted, free of charge" in notice
    assert all(path.name in notice for path in SAMPLES.glob("*.csv.gz"))


def test_the_list_says_of_each_set_what_loading_it_gives(tmp_path: Path) -> None:
    for info in list_bars(tmp_path):
        bars = load_bars(info.symbol, info.timeframe, tmp_path)
        assert (info.sha256, info.bars) == (bars.sha256, len(bars.frame))
        assert (info.start, info.end) == (bars.frame.index[0], bars.frame.index[-1])
        assert info.synthetic == info.symbol.startswith("PLANTED")


def test_an_unknown_symbol_is_answered_with_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(ResearchError) as error:
        load_bars("EURUSB", "1h", tmp_path)

    assert error.value.code is ErrorCode.DATA_UNAVAILABLE
    assert "Did you mean EURUSD 1h?" in error.value.message
    assert "AAPL 1h, AAPL 1d, EURUSD 1h" in error.value.message


@pytest.mark.parametrize(
    "symbol", ["../outside/EURUSD", "/EURUSD", "..", "", "EUR/USD", "EURUSD\0", "eurusd", "A" * 500]
)
def test_a_symbol_is_never_a_path(tmp_path: Path, symbol: str) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    _write(outside, "EURUSD_1h.csv.gz", (SAMPLES / "EURUSD_1h.csv.gz").read_bytes())

    with pytest.raises(ResearchError, match="there are no bars"):
        load_bars(symbol, "1h", inside)


def test_an_imported_set_comes_before_the_bundled_one_of_its_name(tmp_path: Path) -> None:
    bundled = load_bars("EURUSD", "1h", tmp_path / "none")
    info, content = encode(
        bundled.frame.iloc[:500],
        symbol="EURUSD",
        timeframe="1h",
        asset_class=AssetClass.FX,
        source="mine",
        licence="mine",
    )
    _write(tmp_path, file_name("EURUSD", "1h"), content)

    mine = load_bars("EURUSD", "1h", tmp_path)

    assert mine.sha256 == info.sha256 != bundled.sha256
    assert mine.source == "mine"
    assert [one.source for one in list_bars(tmp_path) if one.symbol == "EURUSD"] == ["mine"]


def _edit_a_price(content: bytes) -> bytes:
    return gzip.compress(gzip.decompress(content).replace(b"1.05236", b"1.15236"))


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(_edit_a_price, id="one price edited"),
        pytest.param(lambda content: content[: len(content) // 2], id="cut off"),
        pytest.param(lambda content: b"timestamp,open\n", id="not gzip"),
        pytest.param(lambda content: gzip.compress(b"timestamp,open\n1,2\n"), id="no description"),
        pytest.param(lambda content: b"", id="empty"),
    ],
)
def test_a_file_that_is_not_as_it_was_written_is_refused_by_name(
    tmp_path: Path, spoil: Callable[[bytes], bytes]
) -> None:
    name = file_name("EURUSD", "1h")
    _write(tmp_path, name, spoil((SAMPLES / name).read_bytes()))

    with pytest.raises(ResearchError, match=r"EURUSD_1h\.csv\.gz is not a set of bars") as error:
        load_bars("EURUSD", "1h", tmp_path)
    assert error.value.code is ErrorCode.DATA_UNAVAILABLE


def test_a_set_under_another_sets_name_is_refused(tmp_path: Path) -> None:
    _write(tmp_path, file_name("GBPUSD", "1h"), (SAMPLES / "EURUSD_1h.csv.gz").read_bytes())

    with pytest.raises(ResearchError, match=r"GBPUSD_1h\.csv\.gz is not a set of bars"):
        load_bars("GBPUSD", "1h", tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.csv.gz", b"not gzip"),
        ("MINE_1h.csv.gz", gzip.compress(b"timestamp,open\n1,2\n", mtime=0)),
        ("EURUSD_1h (copy).csv.gz", (SAMPLES / "EURUSD_1h.csv.gz").read_bytes()),
        ("GBPUSD_1h.csv.gz", (SAMPLES / "EURUSD_1h.csv.gz").read_bytes()),
    ],
)
def test_a_stray_or_damaged_file_costs_no_other_set_and_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    whole = list_bars(tmp_path)
    assert unreadable_bars(tmp_path) == []

    _write(tmp_path, name, content)

    assert list_bars(tmp_path) == whole
    assert unreadable_bars(tmp_path) == [tmp_path / name]
    with pytest.raises(ResearchError, match="there are no bars of 'XAUUSD'"):
        load_bars("XAUUSD", "1h", tmp_path)


def test_a_damaged_set_does_not_give_way_to_the_bundled_one_of_its_name(tmp_path: Path) -> None:
    _write(tmp_path, "EURUSD_1h.csv.gz", b"")

    assert ("EURUSD", "1h") not in [(info.symbol, info.timeframe) for info in list_bars(tmp_path)]


def test_what_one_reader_does_to_its_bars_no_other_sees(tmp_path: Path) -> None:
    first = load_bars("EURUSD", "1h", tmp_path).frame
    price = float(first["open"].iloc[0])

    first.iloc[0, 0] = 99.0

    assert load_bars("EURUSD", "1h", tmp_path).frame["open"].iloc[0] == price


def test_the_same_bars_have_the_same_bytes_and_come_back_bit_for_bit(tmp_path: Path) -> None:
    frame = load_bars("AAPL", "1d", tmp_path).frame

    def written(bars: pd.DataFrame) -> tuple[BarsInfo, bytes]:
        return encode(
            bars, symbol="X", timeframe="1d", asset_class=AssetClass.EQUITY, source="source", licence="licence"
        )

    (info, content), (_, again) = written(frame), written(frame.copy())
    _write(tmp_path, file_name("X", "1d"), content)

    assert content == again
    back = load_bars("X", "1d", tmp_path).frame
    assert np.array_equal(back.to_numpy(), frame.to_numpy())
    assert back.index.equals(frame.index)
    assert info.bars == len(frame)
