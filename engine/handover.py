"""What the activities `train` and `backtest` are given: a job, and what an attempt at it had reached that was stopped.

A worker that is told to stop ends its attempts in an orderly way, with what they told last. The cycle passes that on.
It is no part of the job, whose equality and hash say that the result is the same.
"""

from collections.abc import Sequence
from typing import Any, Self

from pydantic import Field, ValidationError

from domain.results import Frozen
from engine.interface import BacktestJob, Progress, TrainJob


class Handover(Frozen):
    """What another attempt may go on from."""

    handed_over: Progress | None = Field(None, description="what the stopped attempt told last")

    def after(self, details: Sequence[Any]) -> Self:
        """The same work with what a stopped attempt told last. What an earlier one told stays where this one told
        nothing, or, as a worker of another version, in another form.
        """
        try:
            told = Progress.model_validate(details[0]) if details else self.handed_over
        except ValidationError:
            return self
        return self.model_copy(update={"handed_over": told})


class TrainWork(TrainJob, Handover):
    """A training to be done, or to be gone on with."""

    @property
    def job(self) -> TrainJob:
        """The training alone."""
        return TrainJob.model_validate(self.model_dump(exclude={"handed_over"}))


class BacktestWork(BacktestJob, Handover):
    """A backtest to be done, or to be gone on with."""

    @property
    def job(self) -> BacktestJob:
        """The backtest alone."""
        return BacktestJob.model_validate(self.model_dump(exclude={"handed_over"}))
