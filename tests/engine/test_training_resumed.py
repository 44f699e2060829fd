"""A training that is interrupted, at whatever epoch and however, ends with the model that it would have ended with."""

import hashlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import psutil
import pytest

from domain.errors import ErrorCode, ResearchError
from engine.checkpoint import Checkpoint, FitState, read_checkpoint, write_checkpoint
from engine.embedded import EmbeddedEngine
from engine.interface import Progress
from engine.pool import JobPool
from tests.engine.trainings import EPOCHS, Change, Prepared, model_bytes, nothing, train

SCHEDULED: Change = {
    "training": {
        "lr_scheduler": {"type": "reduce_on_plateau", "factor": 0.5, "patience": 1},
        "early_stopping": {"enabled": True, "patience": 4, "min_delta": 0.0},
    }
}


class Interrupted(Exception):
    """Stands for whatever ends a process between two epochs."""


def stop_after(epoch: int) -> Callable[[Progress], None]:
    def report(progress: Progress) -> None:
        if progress.step.startswith(f"epoch {epoch} of "):
            raise Interrupted

    return report


def epochs_of(steps: list[Progress]) -> list[Progress]:
    """What was reported of epochs."""
    return [step for step in steps if step.step.startswith("epoch")]


def recurrent(kind: str, layers: int = 2) -> Change:
    small = {"sequence_length": 4, "hidden_size": 4, "num_layers": layers, "dropout": 0.2}
    architecture = {"hidden_layers": None, "activation": None, **small}
    return {"model": {"type": kind, "architecture": architecture}, "training": {"class_weights": "balanced"}}


@pytest.mark.parametrize(
    "change", [{}, SCHEDULED, recurrent("lstm"), recurrent("gru")], ids=["plain", "scheduled", "lstm", "gru"]
)
def test_interrupted_after_any_epoch_and_resumed_it_is_the_same_model(
    job: Callable[..., Prepared], tmp_path: Path, final: PurePosixPath, change: Change
) -> None:
    whole = train(job(change), tmp_path / "whole", final)
    for epoch in range(1, whole.epochs + 1):
        with pytest.raises(Interrupted):
            train(job(change), tmp_path / f"cut-{epoch}", final, stop_after(epoch))
        steps: list[Progress] = []
        resumed = train(job(change), tmp_path / f"on-{epoch}", final, steps.append, tmp_path / f"cut-{epoch}")
        assert len(epochs_of(steps)) == whole.epochs - epoch + 1
        assert model_bytes(tmp_path / f"on-{epoch}") == model_bytes(tmp_path / "whole")
        assert resumed.model_dump(exclude={"seconds"}) == whole.model_dump(exclude={"seconds"})


def test_interrupted_again_and_again_it_is_the_same_model(
    job: Callable[..., Prepared], tmp_path: Path, final: PurePosixPath
) -> None:
    train(job(), tmp_path / "whole", final)
    before: Path | None = None
    for epoch in range(1, EPOCHS + 1):
        with pytest.raises(Interrupted):
            train(job(), tmp_path / f"try-{epoch}", final, stop_after(epoch), before)
        before = tmp_path / f"try-{epoch}"
    train(job(), tmp_path / "last", final, resume_from=before)
    assert model_bytes(tmp_path / "last") == model_bytes(tmp_path / "whole")


def test_a_resumed_attempt_holds_a_checkpoint_before_its_first_epoch(
    job: Callable[..., Prepared], tmp_path: Path, final: PurePosixPath
) -> None:
    with pytest.raises(Interrupted):
        train(job(), tmp_path / "a", final, stop_after(3))
    with pytest.raises(Interrupted):
        train(job(), tmp_path / "b", final, stop_after(3), tmp_path / "a")
    assert (tmp_path / "b" / "checkpoint-3").read_bytes() == (tmp_path / "a" / "checkpoint-3").read_bytes()


@pytest.mark.parametrize("damage", ["gone", "half", "one bit", "nothing in it", "still without its name"])
def test_a_damaged_checkpoint_is_as_none(
    job: Callable[..., Prepared], tmp_path: Path, final: PurePosixPath, damage: str
) -> None:
    train(job(), tmp_path / "whole", final)
    cut = tmp_path / "cut"
    with pytest.raises(Interrupted):
        train(job(), cut, final, stop_after(2))
    checkpoint = cut / "checkpoint-2"
    content = checkpoint.read_bytes()
    match damage:
        case "gone":
            checkpoint.unlink()
        case "half":
            checkpoint.write_bytes(content[: len(content) // 2])
        case "one bit":
            checkpoint.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        case "nothing in it":
            checkpoint.write_bytes(b"")
        case _:
            checkpoint.rename(cut / "checkpoint-spare")
    steps: list[Progress] = []
    train(job(), tmp_path / "on", final, steps.append, cut)
    assert len(epochs_of(steps)) == EPOCHS
    assert model_bytes(tmp_path / "on") == model_bytes(tmp_path / "whole")


def test_where_the_last_checkpoint_is_damaged_the_one_before_it_serves(
    job: Callable[..., Prepared], tmp_path: Path, final: PurePosixPath
) -> None:
    train(job(), tmp_path / "whole", final)
    cut = tmp_path / "cut"
    for epoch in (2, 3):
        with pytest.raises(Interrupted):
            train(job(), tmp_path / f"cut-{epoch}", final, stop_after(epoch))
    cut.mkdir()
    (cut / "checkpoint-2").write_bytes((tmp_path / "cut-2" / "checkpoint-2").read_bytes())
    (cut / "checkpoint-3").write_bytes((tmp_path / "cut-3" / "checkpoint-3").read_bytes()[:-9])
    steps: list[Progress] = []
    train(job(), tmp_path / "on", final, steps.append, cut)
    assert [step.step.split(",")[0] for step in epochs_of(steps)] == [f"epoch {n} of {EPOCHS}" for n in range(2, 7)]
    assert model_bytes(tmp_path / "on") == model_bytes(tmp_path / "whole")


def test_a_checkpoint_is_written_over_a_longer_one(tmp_path: Path) -> None:
    for epoch, size in ((1, 9), (2, 9), (3, 2)):
        arrays = {"network": {"w": np.arange(size, dtype=np.float32)}}
        write_checkpoint(tmp_path, "mark", Checkpoint(FitState(epoch=epoch, learning_rate=0.1), arrays))
    found = read_checkpoint(tmp_path, "mark")
    assert found is not None
    assert found.state.epoch == 3
    assert found.arrays["network"]["w"].tolist() == [0, 1]
    assert [path.name for path in tmp_path.glob("checkpoint-[0-9]*")] == ["checkpoint-3"]


def test_another_jobs_checkpoint_is_not_taken(
    job: Callable[..., Prepared], tmp_path: Path, final: PurePosixPath
) -> None:
    train(job(seed=1), tmp_path / "whole", final)
    with pytest.raises(Interrupted):
        train(job(seed=2), tmp_path / "cut", final, stop_after(3))
    train(job(seed=1), tmp_path / "on", final, resume_from=tmp_path / "cut")
    assert model_bytes(tmp_path / "on") == model_bytes(tmp_path / "whole")


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobPool]:
    """The engine's processes, as a worker has them, for trainings alone."""
    with JobPool(1, tmp_path_factory.mktemp("compiled"), warm=("engine.training",)) as pool:
        yield pool


@pytest.mark.parametrize("kind", ["lstm", "gru"])
async def test_killed_in_mid_training_it_goes_on_to_the_same_model(
    job: Callable[..., Prepared], pool: JobPool, tmp_path: Path, kind: str
) -> None:
    training, places = job(recurrent(kind, layers=1), {"training": {"epochs": 40}})
    engine = EmbeddedEngine(pool, places)

    def kill(progress: Progress) -> None:
        if progress.step.startswith("epoch 3 of "):
            (process,) = (one for one in psutil.Process().children(recursive=True) if not one.children())
            os.kill(process.pid, signal.SIGKILL)

    with pytest.raises(ResearchError, match="SIGKILL") as killed:
        await engine.train(training, kill)
    assert killed.value.code is ErrorCode.TRAINING_SERVICE_UNAVAILABLE
    steps: list[Progress] = []
    resumed = await engine.train(training, steps.append)
    assert 3 <= round(epochs_of(steps)[0].fraction * 40) < 40, "from the last checkpoint, not from the first epoch"
    undisturbed = await EmbeddedEngine(pool, places.model_copy(update={"artifacts": tmp_path / "other"})).train(
        training, nothing
    )
    one, other = places.artifacts / str(resumed.model_path), tmp_path / "other" / str(undisturbed.model_path)
    assert hashlib.sha256(one.read_bytes()).digest() == hashlib.sha256(other.read_bytes()).digest()
    assert resumed.model_dump(exclude={"seconds"}) == undisturbed.model_dump(exclude={"seconds"})
