"""Promises of the attempts' folders: what is published is whole and never changes."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from process_jobs import result

from domain.results import TrainingResult
from engine.attempts import Attempt, JobFiles, Kind, Superseded, Unreadable, remove_abandoned

JOB_HASH = "0123456789abcdef" * 4


@pytest.fixture
def files(tmp_path: Path) -> JobFiles:
    return JobFiles(tmp_path / "artifacts", "cycle-1", Kind.TRAINING, JOB_HASH)


def finish(attempt: Attempt, state: str = "the model") -> TrainingResult:
    """What a training leaves in its attempt's folder, and its result."""
    (attempt.folder / "model.npz").write_text(state)
    return result(state, attempt.job.final, seed=7)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_job_without_a_result_has_none(files: JobFiles) -> None:
    assert files.published(TrainingResult) is None
    finish(files.open_attempt())
    assert files.published(TrainingResult) is None


def test_a_published_result_is_read_back_with_its_files_under_the_jobs_name(files: JobFiles) -> None:
    attempt = files.open_attempt()
    finished = finish(attempt)
    assert attempt.publish(finished) == finished == files.published(TrainingResult)
    assert str(files.final) == "cycle-1/training-0123456789ab"
    assert (files.artifacts / str(finished.model_path)).read_text() == "the model"


def test_checkpoints_and_attempts_are_gone_after_publishing(files: JobFiles) -> None:
    (files.open_attempt().folder / "checkpoint-1").write_text("1")
    attempt = files.open_attempt()
    (attempt.folder / "checkpoint-1").write_text("2")
    (attempt.folder / "checkpoint-spare").write_text("2")
    attempt.publish(finish(attempt))
    assert set(tree(files.artifacts)) == {
        "cycle-1/.attempts/training-0123456789ab.current",
        "cycle-1/training-0123456789ab/model.npz",
        "cycle-1/training-0123456789ab/result.json",
    }


def test_a_checkpoint_is_kept_until_the_result_is_on_the_disk(files: JobFiles) -> None:
    attempt = files.open_attempt()
    (attempt.folder / "checkpoint-1").write_text("1")
    (attempt.folder / "result.json").mkdir()  # a result that cannot be written
    with pytest.raises(OSError, match="Is a directory"):
        attempt.publish(finish(attempt))
    resume_from = files.open_attempt().resume_from
    assert resume_from is not None
    assert (resume_from / "checkpoint-1").read_text() == "1"


def test_attempts_that_nobody_came_back_to_for_a_week_are_deleted_and_results_stay(files: JobFiles) -> None:
    attempt = files.open_attempt()
    finished = attempt.publish(finish(attempt))
    failed = JobFiles(files.artifacts, files.cycle_id, Kind.BACKTEST, JOB_HASH).open_attempt()
    young = JobFiles(files.artifacts, "cycle-2", Kind.TRAINING, JOB_HASH).open_attempt()
    attempts = failed.folder.parent
    for path in (*attempts.iterdir(), attempts):
        os.utime(path, (1e9, 1e9))
    remove_abandoned(files.artifacts)
    assert not attempts.exists()
    assert young.folder.is_dir()
    assert files.published(TrainingResult) == finished
    assert files.open_attempt().folder.is_dir()


def test_an_attempt_that_still_writes_checkpoints_is_not_abandoned(files: JobFiles) -> None:
    attempt = files.open_attempt()
    attempts = attempt.folder.parent
    for path in (*attempts.iterdir(), attempts):
        os.utime(path, (1e9, 1e9))
    (attempt.folder / "checkpoint-1").write_text("1")
    remove_abandoned(files.artifacts)
    assert attempt.folder.is_dir()


def test_the_next_attempt_resumes_from_the_newest_checkpoint(files: JobFiles) -> None:
    assert files.open_attempt().resume_from is None
    first = files.open_attempt()
    assert first.resume_from is None
    (first.folder / "checkpoint-1").write_text("1")
    second = files.open_attempt()
    assert second.resume_from is not None
    assert (second.resume_from / "checkpoint-1").read_text() == "1"
    (second.folder / "checkpoint-spare").write_text("hal")
    third = files.open_attempt()
    assert third.resume_from == second.resume_from, "an attempt that left no checkpoint hides none"
    (third.folder / "checkpoint-1").write_text("3")
    fourth = files.open_attempt()
    assert fourth.resume_from is not None
    assert (fourth.resume_from / "checkpoint-1").read_text() == "3"


def test_an_overtaken_attempt_finds_its_folder_gone(files: JobFiles) -> None:
    late = files.open_attempt()
    files.open_attempt()
    assert not late.is_current
    with pytest.raises(FileNotFoundError):
        (late.folder / "checkpoint-1").write_text("late")


def test_an_overtaken_attempt_cannot_publish(files: JobFiles) -> None:
    late = files.open_attempt()
    files.open_attempt()
    late.folder.mkdir()  # as a library would that makes the folders it needs
    with pytest.raises(Superseded):
        late.publish(finish(late, "late"))
    assert files.published(TrainingResult) is None


def test_an_overtaken_attempt_gets_the_published_result_and_changes_nothing(files: JobFiles) -> None:
    late = files.open_attempt()
    attempt = files.open_attempt()
    finished = attempt.publish(finish(attempt))
    before = tree(files.artifacts / files.final)
    late.folder.mkdir()
    assert late.publish(finish(late, "late")) == finished
    assert tree(files.artifacts / files.final) == before


def test_a_file_that_a_late_writer_holds_open_is_not_a_file_of_the_next_attempt(files: JobFiles) -> None:
    late = files.open_attempt()
    (late.folder / "checkpoint-1").write_text("1")
    with (late.folder / "model.npz").open("w") as held:
        attempt = files.open_attempt()
        attempt.publish(finish(attempt))
        held.write("late")
    assert (files.artifacts / files.final / "model.npz").read_text() == "the model"


def test_of_two_that_pass_the_fence_the_first_publishes_and_the_other_gets_its_result(files: JobFiles) -> None:
    attempt = files.open_attempt()
    finished = finish(attempt)
    (files.artifacts / files.final).mkdir()
    (files.artifacts / files.final / "result.json").write_text(
        finished.model_copy(update={"seconds": 9}).model_dump_json()
    )
    assert attempt.publish(finished).seconds == 9


def test_cleaning_up_spares_the_attempt_that_has_begun_meanwhile(files: JobFiles) -> None:
    overtaken = files.open_attempt()
    current = files.open_attempt()
    overtaken.job.clean_up()
    assert current.folder.is_dir()


def test_jobs_of_one_cycle_do_not_touch_each_other(files: JobFiles) -> None:
    other = JobFiles(files.artifacts, files.cycle_id, Kind.BACKTEST, JOB_HASH)
    attempt = other.open_attempt()
    mine = files.open_attempt()
    mine.publish(finish(mine))
    assert attempt.is_current
    assert attempt.folder.is_dir()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: text[: len(text) // 2], "is damaged"),
        (lambda text: json.dumps({**json.loads(text), "epochs": "many"}), "is damaged"),
        (lambda text: None, "is missing"),
    ],
)
def test_a_result_that_was_changed_afterwards_is_not_read(
    files: JobFiles, damage: Callable[[str], str | None], words: str
) -> None:
    attempt = files.open_attempt()
    attempt.publish(finish(attempt))
    path = files.artifacts / files.final / "result.json"
    damaged = damage(path.read_text())
    if damaged is None:
        path.unlink()
    else:
        path.write_text(damaged)
    with pytest.raises(Unreadable, match=words):
        files.published(TrainingResult)
