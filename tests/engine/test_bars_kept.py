"""An imported set is kept whole, under a name of its own, and never over another one unasked."""

from pathlib import Path

import pandas as pd
import pytest

from domain.errors import ErrorCode, ResearchError
from engine.bars import SAMPLES, load_bars
from engine.bars_import import import_bars
from engine.bars_kept import packed


@pytest.fixture
def path(tmp_path: Path, lines: list[str]) -> Path:
    """A good CSV of 200 bars."""
    return _write(tmp_path, lines)


def _write(tmp_path: Path, lines: list[str]) -> Path:
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("symbol", ["EURUSD", "MINE"])
def test_an_existing_set_is_only_replaced_when_that_is_asked_for(
    tmp_path: Path, lines: list[str], path: Path, symbol: str
) -> None:
    data = tmp_path / "data"
    if symbol == "MINE":
        import_bars(path, data, symbol, "1h", "fx")
    with pytest.raises(ResearchError, match=f"there are bars of {symbol} 1h already, .*--replace"):
        import_bars(path, data, symbol, "1h", "fx")

    info = import_bars(_write(tmp_path, lines[:150]), data, symbol, "1h", "fx", replace=True)

    assert info.bars == len(load_bars(symbol, "1h", data).frame) == 149


def test_a_broken_set_can_be_replaced_as_its_error_says(tmp_path: Path, path: Path) -> None:
    data = tmp_path / "data"
    import_bars(path, data, "MINE", "1h", "fx")
    (data / "MINE_1h.parquet").write_bytes(b"broken")
    with pytest.raises(ResearchError, match="Import the bars again with --replace"):
        load_bars("MINE", "1h", data)

    import_bars(path, data, "MINE", "1h", "fx", replace=True)

    assert len(load_bars("MINE", "1h", data).frame) == 200


@pytest.mark.parametrize("symbol", ["BTC.PERPETUAL", "eur=x", "^GSPC"])
def test_a_set_is_found_under_every_symbol_that_an_import_takes(tmp_path: Path, path: Path, symbol: str) -> None:
    import_bars(path, tmp_path / "data", symbol, "1h", "fx")

    assert len(load_bars(symbol.upper(), "1h", tmp_path / "data").frame) == 200


def test_the_synthetic_controls_are_never_replaced(tmp_path: Path, path: Path) -> None:
    with pytest.raises(ResearchError, match="is the name of a bundled synthetic control"):
        import_bars(path, tmp_path / "data", "PLANTED", "1h", "fx", replace=True)


def test_a_place_that_cannot_be_written_is_a_fault_of_the_store_and_leaves_nothing(tmp_path: Path, path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")

    with pytest.raises(ResearchError) as error:
        import_bars(path, tmp_path / "data", "MINE", "1h", "fx")

    assert error.value.code is ErrorCode.STORE_UNAVAILABLE
    assert "Mend that and import them again" in error.value.message


def test_an_import_leaves_one_file_and_the_same_bytes_each_time(tmp_path: Path, path: Path) -> None:
    for folder in ("one", "two"):
        import_bars(path, tmp_path / folder, "MINE", "1h", "fx")

    files = [list((tmp_path / folder).iterdir()) for folder in ("one", "two")]
    assert [file.name for (file,) in files] == ["MINE_1h.parquet"] * 2
    assert files[0][0].read_bytes() == files[1][0].read_bytes()
    assert SAMPLES not in files[0][0].parents


@pytest.mark.parametrize("column", ["open", "volume", "time"])
def test_a_kept_set_whose_numbers_were_edited_is_refused(tmp_path: Path, path: Path, column: str) -> None:
    info = import_bars(path, tmp_path / "data", "MINE", "1h", "fx")
    frame = load_bars("MINE", "1h", tmp_path / "data").frame
    if column == "time":
        frame.index = frame.index + pd.Timedelta(minutes=1)
    else:
        frame[column] = frame[column] * 1.00001
    (tmp_path / "data" / "MINE_1h.parquet").write_bytes(packed(frame, info.model_dump_json().encode()))

    with pytest.raises(ResearchError, match=r"MINE_1h\.parquet is not a set of bars"):
        load_bars("MINE", "1h", tmp_path / "data")
