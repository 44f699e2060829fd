"""Files of ours that somebody or something changed: read as they were, told by their path, or begun anew."""

import gzip
import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st

from client.exits import ExitCode
from domain.errors import ErrorCode, ResearchError
from domain.results import TrainingResult
from engine.attempts import RESULT, JobFiles, Kind, Unreadable
from engine.bars import SAMPLES, load_bars
from engine.checkpoint import Checkpoint, FitState, read_checkpoint, write_checkpoint
from engine.model import Arrays, unpack
from tests.domain.usual_results import training

from .conftest import Tried, typed
from .trees import changed, cut, odd

WHOLE = json.loads(training().model_dump_json())
HEAD, *ROWS = gzip.decompress((SAMPLES / "AAPL_1d.csv.gz").read_bytes()).split(b"\n")[:150]
DESCRIPTION = json.loads(HEAD.removeprefix(b"# "))
CELLS = st.sampled_from([b"", b"nan", b"1e999", b"-1", b"x", b'"', b"2026-01-01", b",", b"\0", b"9" * 400, b"\xff"])


def test_a_result_that_was_changed_is_whole_or_told_by_its_path(tmp_path: Path, tried: Tried) -> None:
    job = JobFiles(tmp_path, "cycle-1", Kind.TRAINING, "a" * 64)
    (tmp_path / job.final).mkdir(parents=True)

    def check(content: bytes) -> None:
        (tmp_path / job.final / RESULT).write_bytes(content)
        told = ""
        try:
            assert isinstance(job.published(TrainingResult), TrainingResult)
        except Unreadable as error:
            told = str(error)
        assert not told or RESULT in told

    contents = odd(WHOLE).map(json.dumps).map(str.encode) | changed(WHOLE).map(json.dumps).map(str.encode)
    tried(check, contents | cut(json.dumps(WHOLE).encode()), examples=50)


def test_a_checkpoint_that_was_changed_is_whole_or_none(tmp_path: Path, tried: Tried) -> None:
    """Also where its hash was made to fit, as by another version's hand."""
    arrays: dict[str, Arrays] = {"network": {"w": np.arange(6.0).reshape(2, 3)}, "best": {"w": np.zeros(3)}}
    write_checkpoint(tmp_path, "mark", Checkpoint(FitState(epoch=3, learning_rate=0.1), arrays))
    path = tmp_path / "checkpoint-3"
    digest, head, data = path.read_bytes().split(b"\n", 2)
    told = json.loads(head)

    def check(text: bytes, content: bytes, *, fits: bool) -> None:
        whole = text + b"\n" + content
        path.write_bytes((hashlib.sha256(whole).hexdigest().encode() if fits else digest) + b"\n" + whole)
        found = read_checkpoint(tmp_path, "mark")
        assert found is None or isinstance(found, Checkpoint)

    assert read_checkpoint(tmp_path, "mark") is not None
    texts = (odd(told) | changed(told)).map(json.dumps).map(str.encode) | cut(head)
    tried(lambda text, content, fits: check(text, content, fits=fits), texts, cut(data), st.booleans(), examples=100)


def test_arrays_that_cannot_be_unpacked_are_told_as_such() -> None:
    compressed, bare = io.BytesIO(), io.BytesIO()
    np.savez_compressed(compressed, w=np.arange(1_000.0))
    np.save(bare, np.arange(3.0))
    torn = bytearray(compressed.getvalue())
    torn[60:90] = bytes(30)

    for content in (bytes(torn), bare.getvalue(), b"", b"PK\3\4", compressed.getvalue()[:-40]):
        with pytest.raises((ValueError, zipfile.BadZipFile)):
            unpack(content)


@st.composite
def sets_of_bars(draw: st.DrawFn) -> bytes:
    """A set with another description or other rows, whose hash may have been made to fit; or no such file at all."""
    rows = list(ROWS)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(rows) - 1))
        cells = rows[at].split(b",")
        cells[draw(st.integers(0, len(cells) - 1))] = draw(CELLS)
        rows[at] = b",".join(cells)
    rows = rows[: draw(st.sampled_from([0, 1, len(rows) - 1, len(rows), len(rows)]))]
    table = b"\n".join(rows)
    fitted = DESCRIPTION | {"sha256": hashlib.sha256(table).hexdigest(), "bars": max(len(rows) - 1, 1)}
    head = draw(st.just(fitted) | st.just(fitted) | odd(fitted) | changed(fitted))
    content = gzip.compress(b"# " + json.dumps(head).encode() + b"\n" + table, compresslevel=1)
    return draw(st.just(content) | st.just(content) | cut(content) | st.binary(max_size=9))


def test_bars_that_were_changed_are_finite_and_in_order_or_told_by_their_file(home: Path, tried: Tried) -> None:
    data = home / "data"
    data.mkdir(parents=True)

    def check(content: bytes) -> None:
        (data / "AAPL_1d.csv.gz").write_bytes(content)
        try:
            frame = load_bars("AAPL", "1d", data).frame
        except ResearchError as error:
            told = error
        else:
            assert np.isfinite(frame.to_numpy()).all()
            assert frame.index.is_monotonic_increasing
            return
        assert (told.code, "AAPL_1d.csv.gz" in told.message) == (ErrorCode.DATA_UNAVAILABLE, True)

    tried(check, sets_of_bars(), examples=120)


def test_a_changed_set_of_bars_hides_no_other_from_the_list(home: Path, tried: Tried) -> None:
    (home / "data").mkdir(parents=True)

    def check(content: bytes) -> None:
        (home / "data" / "AAPL_1d.csv.gz").write_bytes(content)
        ran = typed("data", "list", "-o", "json")
        assert ran.is_told
        assert ran.code == ExitCode.OK
        assert "EURUSD" in {bars["symbol"] for bars in json.loads(ran.out)}

    tried(check, sets_of_bars(), examples=30)


def test_a_changed_strategy_is_listed_and_shown_or_left_out(home: Path, tried: Tried) -> None:
    strategies = home / "strategies"
    strategies.mkdir(parents=True)
    (strategies / "sound.yaml").write_text("name: sound\n")

    def check(content: bytes) -> None:
        (strategies / "changed.yaml").write_bytes(content)
        listed = typed("strategy", "list", "-o", "json")
        shown = typed("strategy", "show", "changed")
        assert listed.is_told
        assert shown.is_told
        assert "sound" in {one["name"] for one in json.loads(listed.out)}
        assert shown.code in (ExitCode.OK, ExitCode.USAGE)

    tried(check, cut(b"name: changed\n" * 20) | st.binary() | st.just(b"#" * 300_000), examples=40)
