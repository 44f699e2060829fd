"""The command as a person runs it, and values that look like what cycles find."""

import shutil
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from client.connection import connect
from client.dev import server_options
from client.main import run
from domain.cycle import CycleRequest, CycleStatus, DesignerKind, Outcome, Phase, PhaseTiming, StrategyRef
from domain.gates import GateThresholds, backtest_gate, training_gate
from domain.results import (
    Assessment,
    BacktestResult,
    Costs,
    Figures,
    Hypothesis,
    Interval,
    LossCurve,
    Part,
    PartName,
    Stretch,
    Task,
    TrainingResult,
    Verdict,
)
from settings import Settings
from tests.ran import Command, Ran
from worker import working
from workflows import search_attributes

SMALL_STRATEGY = Path(__file__).parent.parent / "workflows" / "small_strategy.yaml"
T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SHA = "ab" * 32


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """`research`, on a home of its own and without a key."""
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)

    def call(*arguments: str) -> Ran:
        capsys.readouterr()
        code = run(["--home", str(tmp_path / "home"), *arguments])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return call


@dataclass(frozen=True)
class Place:
    """A running house that the command can reach."""

    settings: Settings
    flags: tuple[str, ...]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def place(temporal_env: WorkflowEnvironment, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """A real server with real workers, for all tests of the command."""
    client = temporal_env.client
    home = tmp_path_factory.mktemp("home")
    address = client.service_client.config.target_host
    settings = Settings(home=home, temporal_address=address, temporal_namespace=client.namespace)
    async with working(client, settings):
        yield Place(settings, ("--home", str(home), "--address", address, "--namespace", client.namespace))


@pytest.fixture
def reaching(place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """`research` on the running house."""
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)

    def call(*arguments: str) -> Ran:
        capsys.readouterr()
        code = run([*place.flags, *arguments])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return call


@pytest.fixture
async def elsewhere(temporal_env: WorkflowEnvironment, tmp_path: Path) -> Client:
    """A namespace in which nobody has worked yet."""
    name = f"elsewhere-{uuid.uuid4().hex[:8]}"
    await temporal_env.client.workflow_service.register_namespace(
        RegisterNamespaceRequest(namespace=name, workflow_execution_retention_period=Duration(seconds=86_400))
    )
    address = temporal_env.client.service_client.config.target_host
    return await connect(Settings(home=tmp_path, temporal_address=address, temporal_namespace=name))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A strategy file that trains in a second."""
    return Path(shutil.copy(SMALL_STRATEGY, tmp_path / "small.yaml"))


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """A strategy file whose training goes on until somebody ends it."""
    path = tmp_path / "long.yaml"
    text = SMALL_STRATEGY.read_text().replace("name: small", "name: long")
    text = text.replace("epochs: 3", "epochs: 1000").replace("batch_size: 256", "batch_size: 16")
    path.write_text(text)
    return path


@pytest.fixture
def training() -> TrainingResult:
    """A model with a little skill."""
    return TrainingResult(
        model_id=SHA,
        model_path="cycle-a/training/model.eqx",
        history_path="cycle-a/training/history.json",
        task=Task.CLASSIFICATION,
        classes=2,
        epochs=60,
        best_epoch=41,
        train_loss=LossCurve(initial=0.71, final=0.61, best=0.61),
        validation_loss=LossCurve(initial=0.70, final=0.66, best=0.655),
        model_loss=0.655,
        baseline_loss=0.69,
        train_accuracy=0.58,
        validation_accuracy=0.5412,
        features=("1h_rsi_low", "1h_rsi_high"),
        parts=(),
        bars_used=3_500,
        data_sha256=SHA,
        seed=7,
        seconds=12.25,
    )


def stretch(name: str, bars: int, gain: float) -> Stretch:
    """A part of that backtest."""
    return Stretch(
        name=name, bars=bars, total_return=gain, sharpe_ratio=gain * 30, max_drawdown=0.0456, trades=617, exposure=0.51
    )


@pytest.fixture
def backtest() -> BacktestResult:
    """A backtest that gains before costs and loses after them."""
    return BacktestResult(
        total_return=-0.0123,
        annual_return=-0.0371,
        sharpe_ratio=-0.31,
        sharpe_interval=Interval(low=-1.9, high=1.2),
        sortino_ratio=-0.4,
        max_drawdown=0.0456,
        win_rate=0.4321,
        profit_factor=0.93,
        total_trades=1_234,
        exposure=0.51,
        turnover=812.5,
        costs=Costs(commission=0.00002, half_spread=0.00003, total=0.0246),
        gross=Figures(
            total_return=0.0123, annual_return=0.0377, sharpe_ratio=0.33, sortino_ratio=0.5, max_drawdown=0.0301
        ),
        benchmark_return=0.0189,
        excess_sharpe=-0.62,
        excess_sharpe_interval=Interval(low=-2.1, high=0.9),
        trials=17,
        expected_max_sharpe=1.87,
        deflated_low=-3.97,
        minimum_provable_sharpe=2.4,
        probabilistic_sharpe=0.448,
        deflated_sharpe=0.085,
        luck_percentile=0.365,
        luck_median_return=-0.0098,
        luck_draws=200,
        by_year=(stretch("2026", 1_440, -0.0123),),
        by_regime=(
            stretch("trend up, volatility low", 900, 0.0104),
            stretch("trend down, volatility high", 540, -0.0225),
        ),
        regime_rule="The trend is up where the last close is above the mean.",
        equity_path="cycle-a/backtest/equity.parquet",
        trades_path="cycle-a/backtest/trades.parquet",
        part=Part(name=PartName.BACKTEST, start=T0, end=T0 + timedelta(days=60), bars=1_440),
        data_sha256=SHA,
        seconds=3.5,
    )


@pytest.fixture
def queued() -> CycleStatus:
    """A cycle that has just begun."""
    request = CycleRequest(symbol="EURUSD", timeframe="1h", designer=DesignerKind.OFFLINE, seed=7)
    return CycleStatus(cycle_id="cycle-20260301-120000-ab12", run_id="run-1", request=request, started_at=T0)


@pytest.fixture
def completed(queued: CycleStatus, training: TrainingResult, backtest: BacktestResult) -> CycleStatus:
    """A cycle with everything in it."""
    thresholds = GateThresholds(backtest_min_sharpe=-0.5)
    assessment = Assessment(
        verdict=Verdict.POOR,
        decided_by=("Sharpe ratio -0.31 below 0",),
        strengths=("gains before costs",),
        weaknesses=("costs eat more than the gain",),
        suggestions=("trade less often",),
        hypotheses=(Hypothesis(text="With half the trades it gains", rationale="costs are 2.46 %"),),
    )
    return queued.model_copy(
        update={
            "phase": Phase.DONE,
            "outcome": Outcome.COMPLETED,
            "strategy": StrategyRef(name="offline_1234abcd", sha256=SHA, path="offline_1234abcd.yaml"),
            "training": training,
            "backtest": backtest,
            "gates": (training_gate(training, thresholds), backtest_gate(backtest, thresholds)),
            "assessment": assessment,
            "timings": (PhaseTiming(phase=Phase.TRAINING, started_at=T0, ended_at=T0 + timedelta(seconds=125)),),
            "ended_at": T0 + timedelta(minutes=3),
        }
    )


@asynccontextmanager
async def server() -> AsyncIterator[WorkflowEnvironment]:
    """A server of its own."""
    beside_python = Path(sys.executable).parent / "temporal"
    async with await WorkflowEnvironment.start_local(
        data_converter=pydantic_data_converter,
        dev_server_existing_path=str(beside_python) if beside_python.exists() else shutil.which("temporal"),
        dev_server_extra_args=server_options(),
        search_attributes=search_attributes.ALL,
        dev_server_log_level="error",
    ) as env:
        yield env


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def temporal_env() -> AsyncIterator[WorkflowEnvironment]:
    """A server without the cycles of other rooms' tests: the command speaks of all that there are."""
    async with server() as env:
        yield env


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def quiet_env() -> AsyncIterator[WorkflowEnvironment]:
    """A server on which nobody else's cycles run: an audit reads all that there are, and leaves odd ones unsaid."""
    async with server() as env:
        yield env
