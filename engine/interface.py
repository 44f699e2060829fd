"""What stands behind train and backtest. The embedded engine and a service over HTTP are used through this alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from pydantic import Field

from domain.cycle import StrategyRef
from domain.results import ArtifactPath, BacktestResult, Fraction, Frozen, TrainingResult


class Places(Frozen):
    """Where an engine reads and writes. Paths in jobs and results are relative to these."""

    artifacts: Path
    strategies: Path
    data: Path = Field(description="bars that users imported; the bundled bars need no place")
    cache: Path | None = Field(None, description="what can be made again; it may be deleted at any time")


class CostOverride(Frozen):
    """Costs to use instead of the asset class's own, as fractions of the price on every fill."""

    commission: float | None = Field(None, ge=0, le=0.1)
    half_spread: float | None = Field(None, ge=0, le=0.1)


class TrainJob(Frozen):
    """One training. Two equal jobs give the same model, byte for byte."""

    cycle_id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,80}$")
    strategy: StrategyRef
    symbol: str
    timeframe: str
    seed: int


class BacktestJob(Frozen):
    """One backtest of a trained model on the backtest part of the bars it was trained on."""

    cycle_id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,80}$")
    strategy: StrategyRef
    symbol: str
    timeframe: str
    seed: int
    model_path: ArtifactPath | None
    model_id: str
    service_model: str | None = Field(None, max_length=512, description="the model as the service names it")
    data_sha256: str | None
    trials: int = Field(ge=1)
    costs: CostOverride = CostOverride()


class Operation(Frozen):
    """A job at a service: its id there, and how often the service has lost it before.

    unclear: the service was asked to begin it and has not answered, so that it may run, or not, or begin later.
    """

    id: str = Field(pattern=r"^[A-Za-z0-9_.:-]{1,200}$")
    lost: int = Field(0, ge=0)
    unclear: bool = False


class Progress(Frozen):
    """How far a job is: a fraction of it, and the step in words ("epoch 12 of 60, validation loss 0.93")."""

    fraction: Fraction
    step: str
    operation: Operation | None = None


Report = Callable[[Progress], None]


class Engine(Protocol):
    """Trains and backtests.

    Both are idempotent: asked again for a job that is done they give its result, and asked again for one that was
    interrupted they go on where it stopped. Both raise ResearchError with the code that the cycle shows, and stop the
    work at once when they are cancelled. `earlier` is what an earlier attempt at the job reported last.
    """

    async def train(self, job: TrainJob, report: Report, earlier: Progress | None = None) -> TrainingResult:
        """Train a model. Errors: invalid_strategy, data_unavailable, training_failed, training_service_unavailable."""
        ...

    async def backtest(self, job: BacktestJob, report: Report, earlier: Progress | None = None) -> BacktestResult:
        """Backtest a model. Errors as for train, with the codes of a backtest."""
        ...
