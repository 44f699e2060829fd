"""What the tests of the HTTP backend share: a fake service, jobs, and an engine that does not wait long."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from domain.cycle import StrategyRef
from domain.errors import ErrorCode, ResearchError
from engine.interface import BacktestJob, Operation, Places, Progress, TrainJob
from engine.service.client import Service
from engine.service.engine import ServiceEngine
from engine.service.periods import NamedPeriods

from .fake_ktrdr import FakeKtrdr, fake_ktrdr

SMALL = Path(__file__).parent.parent / "workflows" / "small_strategy.yaml"
POLL = 0.005

KINDS = pytest.mark.parametrize("kind", ["training", "backtest"])
FAILED = {"training": ErrorCode.TRAINING_FAILED, "backtest": ErrorCode.BACKTEST_FAILED}
AWAY = {"training": ErrorCode.TRAINING_SERVICE_UNAVAILABLE, "backtest": ErrorCode.BACKTEST_SERVICE_UNAVAILABLE}


def left_at(operation_id: str, lost: int = 0) -> Progress:
    return Progress(fraction=0.4, step="epoch 2 of 3", operation=Operation(id=operation_id, lost=lost))


@pytest.fixture
async def ktrdr() -> AsyncIterator[FakeKtrdr]:
    """A service that does its work well, until a test says otherwise."""
    async with fake_ktrdr() as fake:
        yield fake


@dataclass
class Told:
    """What an engine reported."""

    all: list[Progress] = field(default_factory=list)

    def __call__(self, progress: Progress) -> None:
        self.all.append(progress)

    @property
    def steps(self) -> list[str]:
        return [progress.step for progress in self.all]

    @property
    def last(self) -> Progress:
        return self.all[-1]


@dataclass(frozen=True)
class Bench:
    """An engine on a service, and jobs for it."""

    service: Service
    engine: ServiceEngine
    places: Places
    ktrdr: FakeKtrdr
    told: Told = field(default_factory=Told)

    def training(self, **changes: object) -> TrainJob:
        """A training of the small strategy on the bundled bars."""
        job = TrainJob(cycle_id="cycle-1", strategy=saved(self.places), symbol="EURUSD", timeframe="1h", seed=3)
        return job.model_copy(update=changes)

    def backtest(self, **changes: object) -> BacktestJob:
        """A backtest of the model of such a training."""
        job = BacktestJob(
            cycle_id="cycle-1",
            strategy=saved(self.places),
            symbol="EURUSD",
            timeframe="1h",
            seed=3,
            model_path=None,
            model_id="op_training_1",
            service_model="models/small/1h_v3",
            data_sha256=None,
            trials=4,
        )
        return job.model_copy(update=changes)

    async def refused(self, kind: str, earlier: Progress | None = None) -> ResearchError:
        """The error that the work ends with."""
        with pytest.raises(ResearchError) as refused:
            await self.run(kind, earlier)
        return refused.value

    async def run(self, kind: str, earlier: Progress | None = None):
        """Do the work of this kind."""
        if kind == "training":
            return await self.engine.train(self.training(), self.told, earlier)
        return await self.engine.backtest(self.backtest(), self.told, earlier)


def places_in(root: Path) -> Places:
    for name in ("artifacts", "strategies", "data"):
        (root / name).mkdir(exist_ok=True)
    return Places(artifacts=root / "artifacts", strategies=root / "strategies", data=root / "data")


def saved(places: Places) -> StrategyRef:
    """The small strategy, where the engine and the service look for it."""
    content = SMALL.read_bytes()
    (places.strategies / "small.yaml").write_bytes(content)
    return StrategyRef(name="small", sha256=hashlib.sha256(content).hexdigest(), path="small.yaml")


@asynccontextmanager
async def open_bench(
    ktrdr: FakeKtrdr, root: Path, *, patience: float = 5.0, periods: NamedPeriods | None = None
) -> AsyncIterator[Bench]:
    async with Service(ktrdr.url, patience=patience) as service:
        places = places_in(root)
        yield Bench(service, ServiceEngine(service, places, periods, POLL), places, ktrdr)


@pytest.fixture
async def bench(ktrdr: FakeKtrdr, tmp_path: Path) -> AsyncIterator[Bench]:
    """An engine whose requests have 5 s."""
    async with open_bench(ktrdr, tmp_path) as opened:
        yield opened
