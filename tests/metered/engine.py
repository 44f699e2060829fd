"""An engine that has every result at once: what is tested with it is not the engine."""

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
