"""How tests train: in their own process, with a report of their own."""

from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from domain.results import TrainingResult
from engine.interface import Places, Progress, TrainJob
from engine.training import run_training

Prepared = tuple[TrainJob, Places]
Change = Mapping[str, Any]

EPOCHS = 6
"""Of the strategy of conftest.py."""


def nothing(progress: Progress) -> None:
    """A report that nobody reads."""


def train(
    prepared: Prepared,
    workdir: Path,
    final: PurePosixPath,
    report: Callable[[Progress], None] = nothing,
    resume_from: Path | None = None,
) -> TrainingResult:
    workdir.mkdir()
    return run_training(*prepared, workdir, final, report, resume_from)


def model_bytes(workdir: Path) -> bytes:
    return (workdir / "model.npz").read_bytes() + (workdir / "model.json").read_bytes()
