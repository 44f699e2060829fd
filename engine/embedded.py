"""The embedded engine: trainings and backtests in processes of this machine."""

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

from domain.errors import ErrorCode, ResearchError
from domain.results import BacktestResult, Frozen, TrainingResult
from engine.attempts import Attempt, JobFiles, Kind, Superseded, Unreadable, remove_abandoned
from engine.interface import BacktestJob, Places, Progress, Report, TrainJob
from engine.pool import JobPool, JobRaised, ProcessDied

logger = logging.getLogger(__name__)

ENGINE_VERSION = 2
"""Raised with every change after which the same job gives another result; results of other versions are not reused."""

R = TypeVar("R", bound=Frozen)


@dataclass(frozen=True)
class _Work(Generic[R]):
    """What tells a training from a backtest here."""

    kind: Kind
    function: str
    result_type: type[R]
    failed: ErrorCode
    unavailable: ErrorCode
    resumes: bool


class EmbeddedEngine:
    """An `Engine` that runs each job in a process of the pool and keeps its files below `places.artifacts`.

    A job that is done is never done again: equal jobs, one after the other, at once, or after a crash, have one
    training. An interrupted training goes on from its last checkpoint; a backtest takes seconds and starts again.

    A process that died by itself (killed, out of memory, crashed) is `training_service_unavailable` or
    `backtest_service_unavailable`: another attempt may succeed. An exception of the job is `training_failed` or
    `backtest_failed`: another attempt would end the same way.
    """

    def __init__(
        self,
        pool: JobPool,
        places: Places,
        *,
        training: str = "engine.training:run_training",
        backtest: str = "engine.backtest:run_backtest",
    ) -> None:
        """`training` and `backtest` name what is called in the process, as "module:function".

        Their keyword arguments: job, places, workdir, final, report; a training's also resume_from. What jobs that
        failed or were cancelled left long ago below `places.artifacts` is deleted.
        """
        remove_abandoned(places.artifacts)
        self._pool = pool
        self._places = places
        self._training = _Work(
            Kind.TRAINING,
            training,
            TrainingResult,
            ErrorCode.TRAINING_FAILED,
            ErrorCode.TRAINING_SERVICE_UNAVAILABLE,
            resumes=True,
        )
        self._backtest = _Work(
            Kind.BACKTEST,
            backtest,
            BacktestResult,
            ErrorCode.BACKTEST_FAILED,
            ErrorCode.BACKTEST_SERVICE_UNAVAILABLE,
            resumes=False,
        )
        self._locks: WeakValueDictionary[PurePosixPath, asyncio.Lock] = WeakValueDictionary()

    async def train(self, job: TrainJob, report: Report, earlier: Progress | None = None) -> TrainingResult:
        """Train a model, or give the result of the same training done before."""
        return await self._once(self._training, job, report)

    async def backtest(self, job: BacktestJob, report: Report, earlier: Progress | None = None) -> BacktestResult:
        """Backtest a model, or give the result of the same backtest done before."""
        return await self._once(self._backtest, job, report)

    async def _once(self, work: _Work[R], job: TrainJob | BacktestJob, report: Report) -> R:
        files = JobFiles(self._places.artifacts, job.cycle_id, work.kind, job_hash(work.kind, job))
        try:
            async with self._locks.setdefault(files.final, asyncio.Lock()):
                published = await asyncio.to_thread(files.published, work.result_type)
                if published is not None:
                    return published
                attempt = await asyncio.to_thread(files.open_attempt)
                result = await self._run(work, job, attempt, report)
                if not isinstance(result, work.result_type):
                    raise TypeError(f"{work.function} returned {type(result).__name__}")
                return await asyncio.to_thread(attempt.publish, result)
        except (ProcessDied, JobRaised, Superseded, Unreadable, MemoryError, OSError) as error:
            raise _failure(work, error) from error

    async def _run(self, work: _Work[R], job: TrainJob | BacktestJob, attempt: Attempt, report: Report) -> object:
        try:
            return await self._pool.run(work.function, self._arguments(work, job, attempt), report)
        except (OSError, JobRaised):
            # Its folder was moved away under it: not the disk's fault, nor the job's.
            if not attempt.is_current:
                raise Superseded from None
            raise

    def _arguments(self, work: _Work[R], job: TrainJob | BacktestJob, attempt: Attempt) -> Mapping[str, object]:
        arguments: dict[str, object] = {
            "job": job,
            "places": self._places,
            "workdir": attempt.folder,
            "final": attempt.job.final,
        }
        return arguments | ({"resume_from": attempt.resume_from} if work.resumes else {})


def job_hash(kind: Kind, job: TrainJob | BacktestJob) -> str:
    """The job's name: sha256 in hex of all that its result depends on."""
    text = f"{ENGINE_VERSION}\n{kind}\n{job.model_dump_json()}"
    return hashlib.sha256(text.encode()).hexdigest()


def _failure(work: _Work[R], error: Exception) -> ResearchError:
    """The same failure in the words and the code that the cycle shows."""
    job = work.kind
    match error:
        case ProcessDied():
            return ResearchError(work.unavailable, f"The {job} was interrupted: {error}. {_TRIED_AGAIN}")
        case MemoryError():
            return ResearchError(work.unavailable, f"The {job} was interrupted: it ran out of memory. {_TRIED_AGAIN}")
        case Superseded():
            return ResearchError(
                work.unavailable, f"A later attempt at this {job} took over; this one changed nothing."
            )
        case JobRaised():
            logger.error("%s ended with an exception\n%s", job, error.trace)
            return ResearchError(work.failed, f"The {job} ended with {error.message}. {_SEE_LOG}")
        case Unreadable():
            return ResearchError(ErrorCode.STORE_UNAVAILABLE, f"A finished {job} was lost: {error}. {_MOVE_AWAY}")
        case _:
            return ResearchError(
                ErrorCode.STORE_UNAVAILABLE, f"The {job} could not use its files: {error}. {_CHECK_DISK}"
            )


_TRIED_AGAIN = "It is tried again, from its last checkpoint. If it happens every time, give the machine more memory."
_SEE_LOG = "The log of the engine's worker has the traceback."
_MOVE_AWAY = "Move its folder away; the next attempt makes it anew."
_CHECK_DISK = "Check that the disk is not full and that the folder can be written. It is tried again."
