"""Promises of the embedded engine: a job is done once, whatever happens to the processes that do it."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from process_jobs import EPOCHS, engine_in, hold, journal, places_in, train_job
from process_watch import gone, start_host, stopped, until

from domain.errors import ErrorCode, ResearchError
from domain.results import TrainingResult
from engine.attempts import Kind
from engine.embedded import EmbeddedEngine, job_hash
from engine.interface import Places, Progress
from engine.pool import JobPool


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[JobPool]:
    with JobPool(2, tmp_path / "cache", warm=()) as pool:
        yield pool


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return places_in(tmp_path)


@pytest.fixture
def engine(tmp_path: Path, pool: JobPool) -> EmbeddedEngine:
    return engine_in(tmp_path, pool)


def unheard(progress: Progress) -> None:
    """A report that nobody listens to."""


def model_bytes(places: Places, result: TrainingResult) -> bytes:
    return (places.artifacts / str(result.model_path)).read_bytes()


def epochs(places: Places) -> list[int]:
    return [epoch for _, epoch in journal(places)]


async def undisturbed(root: Path, pool: JobPool) -> tuple[TrainingResult, bytes]:
    """The result and the model of the same training where nothing happens."""
    root.mkdir()
    result = await engine_in(root, pool).train(train_job(), unheard)
    return result, model_bytes(places_in(root), result)


async def test_a_training_reports_its_epochs_and_leaves_its_model_in_the_cycles_folder(
    engine: EmbeddedEngine, places: Places
) -> None:
    heard: list[Progress] = []
    result = await engine.train(train_job(), heard.append)
    assert [progress.step for progress in heard] == [f"epoch {epoch} of {EPOCHS}" for epoch in range(1, EPOCHS + 1)]
    assert str(result.model_path).startswith(f"cycle-1/training-{job_hash(Kind.TRAINING, train_job())[:12]}/")
    assert model_bytes(places, result)


async def test_the_same_job_is_trained_once_one_after_the_other_and_at_once(
    engine: EmbeddedEngine, places: Places
) -> None:
    results = [await engine.train(train_job(), unheard)]
    results += await asyncio.gather(*(engine.train(train_job(), unheard) for _ in range(3)))
    assert len(set(map(TrainingResult.model_dump_json, results))) == 1
    assert epochs(places) == list(range(1, EPOCHS + 1))


async def test_two_equal_jobs_that_start_together_have_one_training(engine: EmbeddedEngine, places: Places) -> None:
    await asyncio.gather(*(engine.train(train_job(), unheard) for _ in range(2)))
    assert epochs(places) == list(range(1, EPOCHS + 1))


async def test_another_seed_is_another_job(engine: EmbeddedEngine, places: Places) -> None:
    first, second = await asyncio.gather(*(engine.train(train_job(seed), unheard) for seed in (1, 2)))
    assert first.model_path != second.model_path
    assert model_bytes(places, first) != model_bytes(places, second)


async def test_a_cancelled_training_goes_on_from_its_checkpoint_to_the_same_bytes(
    engine: EmbeddedEngine, places: Places, pool: JobPool, tmp_path: Path
) -> None:
    hold(places, 4).touch()
    training = asyncio.create_task(engine.train(train_job(), unheard))
    await until(lambda: 4 in epochs(places))
    (process, *_) = {pid for pid, _ in journal(places)}
    training.cancel()
    with pytest.raises(asyncio.CancelledError):
        await training
    assert gone(process)
    hold(places, 4).unlink()
    resumed = await engine.train(train_job(), unheard)
    assert epochs(places) == [1, 2, 3, 4, 4, 5, 6], "the unfinished epoch alone is done again"
    assert (resumed, model_bytes(places, resumed)) == await undisturbed(tmp_path / "other", pool)


async def test_a_killed_process_is_worth_another_attempt_which_resumes(engine: EmbeddedEngine, places: Places) -> None:
    hold(places, 3).touch()
    training = asyncio.create_task(engine.train(train_job(), unheard))
    await until(lambda: 3 in epochs(places))
    os.kill(journal(places)[-1][0], signal.SIGKILL)
    with pytest.raises(ResearchError, match="SIGKILL") as interrupted:
        await training
    assert interrupted.value.code is ErrorCode.TRAINING_SERVICE_UNAVAILABLE
    assert interrupted.value.code.retryable
    hold(places, 3).unlink()
    await engine.train(train_job(), unheard)
    assert epochs(places) == [1, 2, 3, 3, 4, 5, 6]


async def test_a_worker_killed_in_mid_training_leaves_no_process_and_another_ends_its_work(
    engine: EmbeddedEngine, places: Places, pool: JobPool, tmp_path: Path
) -> None:
    hold(places, 5).touch()
    with start_host("host_training", str(tmp_path)) as worker:
        await until(lambda: 5 in epochs(places))
        family = psutil.Process(worker.pid).children(recursive=True)
        worker.kill()
        await until(lambda: all(gone(process.pid) for process in family))
    hold(places, 5).unlink()
    result = await engine.train(train_job(), unheard)
    assert epochs(places) == [1, 2, 3, 4, 5, 5, 6]
    assert (result, model_bytes(places, result)) == await undisturbed(tmp_path / "other", pool)


async def test_a_frozen_worker_that_wakes_late_changes_nothing(
    engine: EmbeddedEngine, places: Places, tmp_path: Path
) -> None:
    hold(places, 3).touch()
    with start_host("host_training", str(tmp_path)) as worker:
        await until(lambda: 3 in epochs(places))
        frozen = [worker.pid, journal(places)[-1][0]]
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        await until(lambda: all(stopped(pid) for pid in frozen))
        hold(places, 3).unlink()
        hold(places, 5).touch()
        training = asyncio.create_task(engine.train(train_job(), unheard))
        await until(lambda: 5 in epochs(places))
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
        word, _ = await asyncio.to_thread(worker.communicate)
        assert word.strip() == "training_service_unavailable"
        hold(places, 5).unlink()
        result = await training
    assert epochs(places).count(6) == 1, "the late one came no further than its next write"
    folders = [path.name for path in (places.artifacts / "cycle-1").iterdir()]
    assert sorted(folders) == [".attempts", Path(str(result.model_path)).parent.name]
    assert [path.suffix for path in (places.artifacts / "cycle-1" / ".attempts").iterdir()] == [".current"]


@pytest.mark.parametrize(
    ("function", "code", "words"),
    [
        ("process_jobs:train_refused", ErrorCode.INVALID_STRATEGY, "BUY has 3 of 900 labels"),
        ("process_jobs:train_broken", ErrorCode.TRAINING_FAILED, "ValueError: no such shape"),
        ("process_jobs:train_disk_full", ErrorCode.STORE_UNAVAILABLE, "No space left on device"),
        ("process_jobs:train_out_of_memory", ErrorCode.TRAINING_SERVICE_UNAVAILABLE, "out of memory"),
    ],
)
async def test_every_way_to_fail_has_its_code_and_says_what_happened(
    tmp_path: Path, pool: JobPool, function: str, code: ErrorCode, words: str
) -> None:
    with pytest.raises(ResearchError, match=words) as failed:
        await engine_in(tmp_path, pool, function).train(train_job(), unheard)
    assert failed.value.code is code


async def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, pool: JobPool, places: Places) -> None:
    (places.artifacts / "cycle-1").write_text("a file where the cycle's folder should be")
    with pytest.raises(ResearchError, match="cycle-1") as failed:
        await engine_in(tmp_path, pool).train(train_job(), unheard)
    assert failed.value.code is ErrorCode.STORE_UNAVAILABLE


async def test_a_damaged_result_is_reported_and_never_returned(engine: EmbeddedEngine, places: Places) -> None:
    result = await engine.train(train_job(), unheard)
    (places.artifacts / str(result.model_path)).with_name("result.json").write_text('{"model_id": "half')
    with pytest.raises(ResearchError, match=r"result\.json is damaged") as lost:
        await engine.train(train_job(), unheard)
    assert lost.value.code is ErrorCode.STORE_UNAVAILABLE
