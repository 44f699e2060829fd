"""CSV and Parquet with bytes changed, cut, doubled or put in: a whole set of bars or a refusal, never half of one."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st

from domain.errors import ErrorCode, ResearchError
from engine.bars import AssetClass, encode_parquet, file_name, load_bars
from engine.bars_import import import_bars
from engine.bars_report import report_on_file

from .conftest import Tried

CELLS = [b"", b"nan", b"1e999", b"-1", b"0", b"9" * 400, b"'", b"99999999999999999999", b"\xf0\x9f\x92\xa9", b"\x1b[2J"]
MARKS = [b'"', b"\n", b"\r", b",", b";", b"\0", b"\xff", b"PAR1"]
TIMES = [b"Z", b"+25:00", b"-", b"2017-02-30T00:00:00Z", b"9999-12-31", b"0000-00-00"]
ODD = st.sampled_from([*CELLS, *MARKS, *TIMES])
CUTS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), ODD | st.binary(max_size=12)), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return load_bars("EURUSD", "1h", tmp_path_factory.mktemp("none")).frame.iloc[:120]


def _changed(content: bytes, cuts: list[tuple[float, int, bytes]]) -> bytes:
    for where, length, put in cuts:
        at = int(where * len(content))
        content = content[:at] + put + content[at + length :]
    return content


def _refusal(ask: Callable[[], object]) -> ResearchError | None:
    try:
        ask()
    except ResearchError as error:
        return error
    return None


def _whole_or_refused(folder: Path, content: bytes) -> None:
    path, data = folder / "mine", folder / "data"
    path.write_bytes(content)
    refused = _refusal(lambda: import_bars(path, data, "MINE", "1h", "fx", "UTC", replace=True))
    kept = list(data.glob("*"))
    if refused is None:
        frame = load_bars("MINE", "1h", data).frame
        assert kept == [data / file_name("MINE", "1h", ".parquet")]
        assert np.isfinite(frame.to_numpy()).all()
        assert (frame["low"] > 0).all()
        kept[0].unlink()
    else:
        assert kept == []
        assert refused.code is ErrorCode.DATA_UNAVAILABLE
        assert len(refused.message) < 10_000
    checked = _refusal(lambda: report_on_file(path, "1h", "fx", "UTC"))
    assert refused is not None or checked is None


def test_a_csv_that_was_changed_is_whole_or_refused(tmp_path: Path, tried: Tried, frame: pd.DataFrame) -> None:
    whole = frame.to_csv().encode()

    tried(lambda cuts: _whole_or_refused(tmp_path, _changed(whole, cuts)), CUTS, examples=60)


@pytest.mark.parametrize("compression", ["snappy", "none"])
def test_parquet_that_was_changed_is_whole_or_refused(
    tmp_path: Path, tried: Tried, frame: pd.DataFrame, compression: str
) -> None:
    out = io.BytesIO()
    frame.to_parquet(out, compression=None if compression == "none" else "snappy")

    tried(lambda cuts: _whole_or_refused(tmp_path, _changed(out.getvalue(), cuts)), CUTS, examples=60)


def test_a_kept_set_that_was_changed_is_as_it_was_or_told_by_its_path(
    tmp_path: Path, tried: Tried, frame: pd.DataFrame
) -> None:
    info, whole = encode_parquet(
        frame, symbol="MINE", timeframe="1h", asset_class=AssetClass.FX, source="s", licence="l"
    )
    path = tmp_path / file_name("MINE", "1h", ".parquet")

    def check(cuts: list[tuple[float, int, bytes]]) -> None:
        path.write_bytes(_changed(whole, cuts))
        told = _refusal(lambda: load_bars("MINE", "1h", tmp_path))
        if told is None:
            assert load_bars("MINE", "1h", tmp_path).sha256 == info.sha256
            assert load_bars("MINE", "1h", tmp_path).frame.equals(frame)
        else:
            assert path.name in told.message

    tried(check, CUTS, examples=60)
