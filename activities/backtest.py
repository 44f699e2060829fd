"""The activity `backtest`: a trained model meets bars that it has never seen."""

from temporalio import activity

from activities.engine_job import earlier_progress, engine_job
from domain.results import BacktestResult
from engine.handover import BacktestWork
from engine.interface import Engine


class BacktestActivity:
    """Backtests through the engine that the worker was given."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @activity.defn(name="backtest")
    async def backtest(self, work: BacktestWork) -> BacktestResult:
        """Backtest a model. A retry finds the finished backtest, or makes it anew with the same result."""
        earlier = earlier_progress(work)
        async with engine_job(self._engine, earlier) as report:
            return await self._engine.backtest(work.job, report, earlier)
