"""Trainings and backtests at a service over HTTP, behind the same interface as the embedded engine."""

import asyncio
import hashlib
import json
from collections.abc import Mapping
from typing import Final

from domain.errors import ErrorCode, ResearchError
from domain.results import BacktestResult, TrainingResult
from domain.strategy import Strategy
from engine.attempts import Kind
from engine.costs import DEFAULT_COSTS
from engine.embedded import job_hash
from engine.interface import BacktestJob, Operation, Places, Progress, Report, TrainJob
from engine.service.answers import Broken
from engine.service.client import Service
from engine.service.following import BACKTEST, TRAINING, UNTOLD, Following, broken
from engine.service.periods import NamedPeriods, Periods, periods_of
from engine.service.results import INITIAL_CAPITAL, backtest_result, training_result
from engine.strategy_file import kept_strategy

POLL_INTERVAL: Final = 5.0
"""Seconds between two polls."""

COSTS: Final = (0.001, 0.0005)
"""Commission and slippage for a symbol that we have no bars of, and so do not know the kind of: the service's own."""


class ServiceEngine:
    """An `Engine` whose work is done by the service. What runs there goes on when this process ends.

    A training's id is ours, made of the job and of what is asked for it: whoever asks again finds it running, or done.
    A backtest's id is the service's: it is reported before the first poll, and an attempt that is given it goes on.
    """

    def __init__(
        self,
        service: Service,
        places: Places,
        periods: NamedPeriods | None = None,
        poll_interval: float = POLL_INTERVAL,
    ) -> None:
        """`service` is the caller's to close; poll_interval in seconds."""
        self._service = service
        self._places = places
        self._periods = periods or NamedPeriods()
        self._interval = poll_interval

    async def train(self, job: TrainJob, report: Report, earlier: Progress | None = None) -> TrainingResult:
        """Train a model at the service, once. Errors as the interface has them."""
        strategy, periods = await asyncio.to_thread(self._prepared, job)
        body: dict[str, object] = {
            "strategy_name": job.strategy.name,
            "symbols": [job.symbol],
            "timeframes": list(strategy.training_data.timeframes),
            "start_date": periods.training.start.isoformat(),
            "end_date": periods.training.end.isoformat(),
            "detailed_analytics": False,
        }

        async def post(own_id: str | None) -> str:
            return await self._service.start_training(body | {"task_id": own_id})

        following = Following(self._service, TRAINING, report, earlier, self._interval)
        finished = await following.to_its_end(post, operation_name(job, body))
        try:
            return training_result(job, strategy, periods, finished)
        except Broken as error:
            raise broken(TRAINING, error) from None

    async def backtest(self, job: BacktestJob, report: Report, earlier: Progress | None = None) -> BacktestResult:
        """Backtest a model of the service at the service. Errors as the interface has them."""
        if job.service_model is None:
            raise ResearchError(
                ErrorCode.BACKTEST_FAILED,
                "The model was trained by the embedded engine, and this worker has its backtests done by the service "
                f"at {self._service.url}, which does not have it. Start a new cycle, or unset KTRDR_API_URL.",
            )
        _, periods = await asyncio.to_thread(self._prepared, job)
        commission, half_spread = _costs(job, periods)
        body: dict[str, object] = {
            "strategy_name": job.strategy.name,
            "start_date": periods.backtest.start.isoformat(),
            "end_date": periods.backtest.end.isoformat(),
            "symbol": job.symbol,
            "timeframe": job.timeframe,
            "initial_capital": INITIAL_CAPITAL,
            "commission": commission,
            "slippage": half_spread,
            "model_path": job.service_model,
        }

        async def post(_: str | None) -> str:
            return await self._service.start_backtest(body)

        finished = await Following(self._service, BACKTEST, report, earlier, self._interval).to_its_end(post)
        try:
            return backtest_result(job, periods, commission, half_spread, finished)
        except Broken as error:
            raise broken(BACKTEST, error) from None

    async def withdraw(self, operation: Operation) -> str | None:
        """End an operation at the service; None once it has ended there, else what may still run and why."""
        if operation.id == UNTOLD:
            return "a backtest may have begun at the service whose id nobody was told: look for it there"
        reason = "the research cycle that began it was cancelled"
        answer = await self._service.delete(operation.id, reason, unclear=operation.unclear)
        if answer is None:
            return None
        return (
            f"operation {operation.id} may still run at the service, which was asked to end it and answered: {answer}"
        )

    def _prepared(self, job: TrainJob | BacktestJob) -> tuple[Strategy, Periods]:
        """The strategy, which the service reads by its name from the same folder, and the days to use."""
        strategy = kept_strategy(job.strategy, self._places)
        if job.timeframe != strategy.training_data.base_timeframe:
            raise ResearchError(
                ErrorCode.INVALID_STRATEGY,
                f"the cycle wants bars of {job.timeframe}, but {job.strategy.name} is made for "
                f"{strategy.training_data.base_timeframe}. Start it with that timeframe.",
            )
        return strategy, periods_of(strategy, job.symbol, job.timeframe, self._places, self._periods)


def operation_name(job: TrainJob, body: Mapping[str, object]) -> str:
    """A training's id at the service: of the cycle, and of all that its result depends on."""
    asked = json.dumps(body, sort_keys=True)
    digest = hashlib.sha256(f"{job_hash(Kind.TRAINING, job)}\n{asked}".encode()).hexdigest()
    return f"{job.cycle_id}-{digest[:12]}"


def _costs(job: BacktestJob, periods: Periods) -> tuple[float, float]:
    """Commission and half the spread that every fill pays, as fractions of the price."""
    commission, half_spread = COSTS if periods.asset_class is None else DEFAULT_COSTS[periods.asset_class]
    return (
        commission if job.costs.commission is None else job.costs.commission,
        half_spread if job.costs.half_spread is None else job.costs.half_spread,
    )
