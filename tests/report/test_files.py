"""The files of a report, damaged in every way that a disk or a hand can: each is told, and none ends the report."""

import gzip
from pathlib import Path

import pytest

from client import report_files
from client.report_data import gather
from client.report_files import Equity, Missing, epochs_in, equity_in, trades_in

from .cycles import House

EQUITY = "time,equity,equity_gross,buy_and_hold,position\n"
ROW = "2026-01-01T00:00:00Z,1.0,1.0,1.0,0\n"
NEXT = "2026-01-01T01:00:00Z,1.1,1.1,1.0,1\n"
TRADES = "entry_time,exit_time,side,entry_price,exit_price,bars,return_gross,return_net,profit\n"

EQUITIES = {
    "one bar": (EQUITY + ROW, "fewer than two bars"),
    "another column": (EQUITY.replace("equity_gross", "gross") + ROW, "no column equity_gross"),
    "a line cut short": (EQUITY + ROW + "2026-01-01T01:00:00Z,1.1\n", "line 3 has another number of values"),
    "a figure that is none": (EQUITY + ROW + NEXT.replace("1.1", "nan"), "'nan' is no figure"),
    "times that fall": (EQUITY + NEXT + ROW, "its times do not rise"),
    "a time without a zone": (EQUITY + ROW.replace("Z", "") + NEXT, "has no time zone"),
    "no text": (b"\xff\xfe\x00", "is not what the engine wrote"),
}


@pytest.mark.parametrize("name", EQUITIES)
def test_an_equity_file_that_is_none_is_told(tmp_path: Path, name: str):
    content, told = EQUITIES[name]
    (tmp_path / "equity.csv.gz").write_bytes(gzip.compress(content if isinstance(content, bytes) else content.encode()))

    found = equity_in(tmp_path, "equity.csv.gz")

    assert isinstance(found, Missing)
    assert told in found.why


def test_a_good_one_is_read_as_it_is(tmp_path: Path):
    (tmp_path / "equity.csv.gz").write_bytes(gzip.compress((EQUITY + ROW + NEXT).encode()))
    found = equity_in(tmp_path, "equity.csv.gz")
    assert isinstance(found, Equity)
    assert (found.net, found.hold) == ((1.0, 1.1), (1.0, 1.0))


def test_files_that_are_gone_cut_or_elsewhere_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = tmp_path / "artifacts"
    root.mkdir()
    (tmp_path / "outside.json").write_text("[]")
    (root / "link.json").symlink_to(tmp_path / "outside.json")
    (root / "cut.csv.gz").write_bytes(gzip.compress(EQUITY.encode() * 99)[:-12])
    (root / "plain.csv.gz").write_text(EQUITY)
    (root / "folder.csv").mkdir()
    (root / "deep.json").write_text("[" * 100_000)
    (root / "side.csv").write_text(TRADES + "2026-01-01T00:00:00Z,2026-01-01T01:00:00Z,both,1,1,1,0,0,0\n")
    (root / "large.csv").write_text(TRADES)
    told = {
        "is not on this machine": equity_in(root, "none.csv.gz"),
        "leads out of": epochs_in(root, "link.json"),
        "does not unpack": equity_in(root, "cut.csv.gz"),
        "it does not unpack": equity_in(root, "plain.csv.gz"),
        "cannot be read: Is a directory": trades_in(root, "folder.csv"),
        "is not what the engine wrote": epochs_in(root, "deep.json"),
        "'both' is no side": trades_in(root, "side.csv"),
    }
    for words, found in told.items():
        assert isinstance(found, Missing), words
        assert words in found.why
    monkeypatch.setattr(report_files, "MOST_BYTES", 10)
    large = trades_in(root, "large.csv")
    assert isinstance(large, Missing)
    assert "more than" in large.why


async def test_a_strategy_whose_file_is_gone_is_the_one_that_the_store_has(home: House, tmp_path: Path):
    elsewhere = home.settings.model_copy(update={"strategies_dir": tmp_path})

    material = await gather(elsewhere, "cycle-real")

    assert isinstance(material.strategy, str)
    assert "name: planted_edge" in material.strategy
