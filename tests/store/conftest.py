"""What the store's tests share: an empty store, cycles as they end, and processes that act at the same moment."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from domain.cycle import CycleRequest, CycleStatus, DesignerKind, Outcome, StrategyRef
from domain.gates import GateThresholds, backtest_gate, training_gate
from domain.results import (
    Assessment,
    BacktestResult,
    Costs,
    Figures,
    Hypothesis,
    LossCurve,
    Part,
    PartName,
    Task,
    TrainingResult,
    Verdict,
)
from store.cycles import Store
from store.strategies import DesignFacts

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
EURUSD_BARS = "e" * 64


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The URL of a database that does not exist yet."""
    return f"sqlite:///{tmp_path / 'home' / 'research.db'}"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """An empty store."""
    opened = Store.open(url, migrate=True)
    yield opened
    opened.close()


@pytest.fixture
def training() -> TrainingResult:
    """A training that passes its gate."""
    part = Part(name=PartName.TRAIN, start=NOON, end=NOON, bars=3112)
    return TrainingResult(
        model_id="0" * 64,
        model_path="cyc/training/model.npz",
        history_path="cyc/training/history.json",
        task=Task.CLASSIFICATION,
        classes=3,
        epochs=40,
        best_epoch=30,
        train_loss=LossCurve(initial=1.1, final=0.8, best=0.8),
        validation_loss=LossCurve(initial=1.1, final=0.9, best=0.88),
        model_loss=0.88,
        baseline_loss=1.0,
        train_accuracy=0.48,
        validation_accuracy=0.45,
        features=("1h_rsi_14",),
        parts=(part,),
        bars_used=4000,
        data_sha256=EURUSD_BARS,
        seed=7,
        seconds=3.0,
    )


@pytest.fixture
def backtest() -> BacktestResult:
    """A backtest that passes its gate."""
    figures = {"total_return": 0.12, "annual_return": 0.6, "sharpe_ratio": 0.7310585786300049, "sortino_ratio": 3.0}
    return BacktestResult(
        **figures,
        sharpe_interval=None,
        max_drawdown=0.05,
        win_rate=0.55,
        profit_factor=1.4,
        total_trades=80,
        exposure=0.7,
        turnover=200.0,
        costs=Costs(commission=0.00002, half_spread=0.00003, total=0.01),
        gross=Figures(**figures, max_drawdown=0.05),
        benchmark_return=0.01,
        excess_sharpe=2.0,
        excess_sharpe_interval=None,
        trials=3,
        expected_max_sharpe=0.3,
        deflated_low=-0.3,
        minimum_provable_sharpe=1.5,
        equity_path="cyc/backtest/equity.parquet",
        trades_path="cyc/backtest/trades.parquet",
        part=Part(name=PartName.BACKTEST, start=NOON, end=NOON, bars=1245),
        data_sha256=EURUSD_BARS,
        seconds=1.0,
    )


MakeCycle = Callable[..., CycleStatus]


@pytest.fixture
def ended() -> MakeCycle:
    """Makes an ended cycle; by default one whose training gate said no."""

    def make(cycle_id: str = "cycle-1", run_id: str | None = None, **changes: Any) -> CycleStatus:
        request = CycleRequest(
            symbol=changes.pop("symbol", "EURUSD"), timeframe="1h", designer=DesignerKind.OFFLINE, seed=7
        )
        values: dict[str, Any] = {
            "cycle_id": cycle_id,
            "run_id": run_id or f"run-of-{cycle_id}",
            "request": request,
            "outcome": Outcome.REJECTED,
            "strategy": StrategyRef(name="offline_1", sha256="b" * 64, path="offline_1.yaml"),
            "started_at": NOON,
            "ended_at": NOON,
        }
        return CycleStatus.model_validate(values | changes)

    return make


@pytest.fixture
def assessed(ended: MakeCycle, training: TrainingResult, backtest: BacktestResult) -> MakeCycle:
    """Makes a cycle that went all the way."""

    def make(cycle_id: str = "cycle-1", **changes: Any) -> CycleStatus:
        values: dict[str, Any] = {
            "outcome": Outcome.COMPLETED,
            "training": training,
            "backtest": backtest,
            "gates": (training_gate(training, GateThresholds()), backtest_gate(backtest, GateThresholds())),
            "assessment": Assessment(
                verdict=Verdict.NEUTRAL,
                strengths=("It gained.",),
                weaknesses=("One stretch of bars.",),
                hypotheses=(
                    Hypothesis(text="Another seed gains too.", rationale="One was tried."),
                    Hypothesis(text="It gains on AAPL.", rationale="Luck is not excluded."),
                ),
            ),
            "tokens": 12_345,
            "cost_usd": Decimal("0.1000000000000000055511151231"),
        }
        return ended(cycle_id, **(values | changes))

    return make


@pytest.fixture
def facts() -> Callable[[str], DesignFacts]:
    """Makes the facts of a design with the given canonical hash."""
    return lambda strategy_hash: DesignFacts(
        text="name: offline_1\n", strategy_hash=strategy_hash, parameters='{"label":"zigzag"}'
    )


@pytest.fixture
def at_once() -> Callable[[str, Sequence[Sequence[str]]], list[str]]:
    """Runs a script in one process for each argument list, all released at the same moment; what each printed."""

    def run(script: str, arguments: Sequence[Sequence[str]]) -> list[str]:
        waiting = f"import sys\nprint('ready', flush=True)\nsys.stdin.readline()\n{script}"
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", waiting, *each], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for each in arguments
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        printed = [process.communicate(timeout=60)[0].strip() for process in processes]
        assert [process.returncode for process in processes] == [0] * len(processes)
        return printed

    return run
