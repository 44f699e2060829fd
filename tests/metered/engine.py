"""An engine that has every result at once: what is tested with it is not the engine."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from domain.results import BacktestResult, TrainingResult
from engine.interface import BacktestJob, Progress, Report, TrainJob
from tests.domain.usual_results import backtest, training


class InstantEngine:
    """Results that no rule objects to."""

    async def train(self, job: TrainJob, report: Report, earlier: Progress | None = None) -> TrainingResult:
        """At once."""
        return training(seed=job.seed)

    async def backtest(self, job: BacktestJob, report: Report, earlier: Progress | None = None) -> BacktestResult:
        """At once."""
        return backtest(trials=job.trials, data_sha256=job.data_sha256)


@dataclass(frozen=True)
class HeldEngine(InstantEngine):
    """One whose trainings say that they have begun, by a file `begun` beside this one, and end once it is there."""

    go: Path

    async def train(self, job: TrainJob, report: Report, earlier: Progress | None = None) -> TrainingResult:
        """When it may."""
        self.go.with_name("begun").touch()
        while not self.go.exists():
            await asyncio.sleep(0.02)
        return await InstantEngine.train(self, job, report, earlier)
