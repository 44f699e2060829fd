"""The files of a report, damaged in every way that a disk or a hand can: each is told, and none ends the report."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from client import report_files
from client.report_data import gather
from client.report_figures import trades_figure
from client.report_files import Equity, Missing, Trade, epochs_in, equity_in, trades_in

from .cycles import House

Columns = dict[str, list[Any]]

TIMES = [datetime(2026, 1, 1, hour, tzinfo=UTC) for hour in (0, 1)]
EQUITY: Columns = {"time": TIMES, "equity": [1.0, 1.1], "equity_gross": [1.0, 1.1], "buy_and_hold": [1.0, 1.0]}
TRADES: Columns = {"entry_time": TIMES[:1], "exit_time": TIMES[1:], "symbol": ["EURUSD"], "side": ["long"]}
TRADES |= {name: [1.0] for name in ("entry_price", "exit_price", "return_net", "profit")}

EQUITIES: dict[str, tuple[Columns, str]] = {
    "one bar": ({name: values[:1] for name, values in EQUITY.items()}, "fewer than two bars"),
    "another column": ({"gross" if n == "equity_gross" else n: v for n, v in EQUITY.items()}, "no column equity_gross"),
    "words for figures": (EQUITY | {"equity": ["1.0", "1.1"]}, "its column equity is of string"),
    "a figure that is none": (EQUITY | {"equity": [1.0, float("nan")]}, "column equity has a value that is no figure"),
    "a gap": (EQUITY | {"buy_and_hold": [1.0, None]}, "column buy_and_hold has gaps"),
    "times that fall": (EQUITY | {"time": TIMES[::-1]}, "its times do not rise"),
    "a time without a zone": (EQUITY | {"time": [time.replace(tzinfo=None) for time in TIMES]}, "time is of timestamp"),
}


def write(path: Path, columns: Columns) -> bytes:
    parquet.write_table(pa.table(columns), path)
    return path.read_bytes()


@pytest.mark.parametrize("name", EQUITIES)
def test_an_equity_file_that_is_none_is_told(tmp_path: Path, name: str):
    columns, told = EQUITIES[name]
    write(tmp_path / "equity.parquet", columns)

    found = equity_in(tmp_path, "equity.parquet")

    assert isinstance(found, Missing)
    assert told in found.why


def test_a_good_one_is_read_as_it_is(tmp_path: Path):
    write(tmp_path / "equity.parquet", EQUITY)
    found = equity_in(tmp_path, "equity.parquet")
    assert isinstance(found, Equity)
    assert (found.net, found.hold) == ((1.0, 1.1), (1.0, 1.0))
    assert found.times == tuple(TIMES)


def test_files_that_are_gone_cut_or_elsewhere_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = tmp_path / "artifacts"
    root.mkdir()
    (tmp_path / "outside.json").write_text("[]")
    (root / "link.json").symlink_to(tmp_path / "outside.json")
    whole = write(root / "large.parquet", TRADES)
    (root / "cut.parquet").write_bytes(whole[:-12])
    (root / "inside.parquet").write_bytes(whole[:20] + b"\xff" * 200 + whole[220:])
    (root / "text.parquet").write_text("time,equity\n")
    (root / "folder.parquet").mkdir()
    (root / "deep.json").write_text("[" * 100_000)
    write(root / "side.parquet", TRADES | {"side": ["both"]})
    told = {
        "is not on this machine": equity_in(root, "none.parquet"),
        "leads out of": epochs_in(root, "link.json"),
        "it is damaged, or no Parquet file": trades_in(root, "cut.parquet"),
        "no Parquet file": trades_in(root, "inside.parquet"),
        "damaged": equity_in(root, "text.parquet"),
        "cannot be read: Is a directory": trades_in(root, "folder.parquet"),
        "is not what the engine wrote": epochs_in(root, "deep.json"),
        "'both' is no side": trades_in(root, "side.parquet"),
        "equity.csv.gz was made by an earlier version": equity_in(root, "equity.csv.gz"),
        "trades.csv was made by an earlier version": trades_in(root, "trades.csv"),
    }
    for words, found in told.items():
        assert isinstance(found, Missing), words
        assert words in found.why
    for bound, words in (("MOST_ROWS", "more than 0 rows"), ("MOST_BYTES", "more than")):
        monkeypatch.setattr(report_files, bound, 0)
        large = trades_in(root, "large.parquet")
        assert isinstance(large, Missing)
        assert words in large.why


async def test_a_strategy_whose_file_is_gone_is_the_one_that_the_store_has(home: House, tmp_path: Path):
    elsewhere = home.settings.model_copy(update={"strategies_dir": tmp_path})

    material = await gather(elsewhere, "cycle-real")

    assert isinstance(material.strategy, str)
    assert "name: planted_edge" in material.strategy


def test_a_word_that_is_no_symbol_is_told(tmp_path: Path):
    write(tmp_path / "trades.parquet", TRADES | {"symbol": ["<b>EURUSD"]})
    found = trades_in(tmp_path, "trades.parquet")
    assert isinstance(found, Missing)
    assert "a word that is no symbol" in found.why


def test_trades_of_several_symbols_stand_on_what_holding_all_would_be_worth():
    equity = Equity(tuple(TIMES), (1.0, 1.1), (1.0, 1.1), (1.0, 1.25))
    one = Trade(TIMES[0], TIMES[1], "EURUSD", long=True, entry_price=1.5, exit_price=1.6, return_net=0.06, profit=0.03)
    alone = trades_figure(equity, [one])
    both = trades_figure(equity, [one, replace(one, symbol="AAPL", entry_price=190.0, exit_price=200.0)])
    assert list(alone.data[0].y) == [1.5, 1.875]
    assert list(both.data[0].y) == [1.0, 1.25]
    assert {price for price in both.data[1].y if price is not None} == {1.0, 1.25}
    assert "AAPL long" in both.data[1].text[3]
