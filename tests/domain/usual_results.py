"""Results of a cycle that no rule objects to; a test changes what it is about."""

from datetime import UTC, datetime
from typing import Any

from domain.gates import GateThresholds
from domain.results import (
    BacktestResult,
    Costs,
    Figures,
    Interval,
    LossCurve,
    Part,
    PartName,
    ServiceRun,
    Stretch,
    Task,
    TrainingResult,
)

OPEN_GATES = GateThresholds(
    training_min_skill=0.0,
    training_max_loss_ratio=100.0,
    training_min_loss_decrease=-1.0,
    backtest_min_win_rate=0.0,
    backtest_max_drawdown=1.0,
    backtest_min_sharpe=-1000.0,
    backtest_min_trades=0,
)
"""That every result passes."""

PART = Part(
    name=PartName.BACKTEST, start=datetime(2017, 8, 24, tzinfo=UTC), end=datetime(2017, 11, 6, tzinfo=UTC), bars=1245
)


def training(**changes: Any) -> TrainingResult:
    """A training that no rule objects to."""
    values: dict[str, Any] = {
        "model_id": "0" * 64,
        "model_path": "cyc-1/training/model.npz",
        "history_path": "cyc-1/training/history.json",
        "task": Task.CLASSIFICATION,
        "classes": 3,
        "epochs": 40,
        "best_epoch": 30,
        "train_loss": LossCurve(initial=1.1, final=0.8, best=0.8),
        "validation_loss": LossCurve(initial=1.1, final=0.9, best=0.88),
        "model_loss": 0.88,
        "baseline_loss": 1.0,
        "train_accuracy": 0.48,
        "validation_accuracy": 0.45,
        "class_balance": {"BUY": 0.45, "HOLD": 0.1, "SELL": 0.45},
        "features": ("1h_rsi_14",),
        "parts": (PART,),
        "bars_used": 4000,
        "data_sha256": "a" * 64,
        "seed": 7,
        "seconds": 3.0,
    }
    return TrainingResult.model_validate(values | changes)


def training_at_a_service(**changes: Any) -> TrainingResult:
    """The same, of a service that tells no more than it has to."""
    untold = dict.fromkeys(("model_path", "history_path", "baseline_loss", "bars_used", "data_sha256"))
    service = ServiceRun(operation_id="op_1", model_path="/app/models/small_v1")
    return training(**untold, model_id="op_1", service=service, balanced=False, class_balance={}, **changes)


def backtest_at_a_service(**changes: Any) -> BacktestResult:
    """The same figures, of a service that tells no more than it has to."""
    untold = dict.fromkeys(
        (
            *("sharpe_interval", "excess_sharpe", "excess_sharpe_interval", "deflated_low", "exposure", "turnover"),
            *("gross", "benchmark_return", "equity_path", "trades_path", "data_sha256"),
            *("probabilistic_sharpe", "deflated_sharpe", "luck_percentile", "luck_median_return", "regime_rule"),
        )
    )
    untold |= {"luck_draws": 0, "by_year": (), "by_regime": ()}
    costs = Costs(commission=0.001, half_spread=0.0005, total=None)
    return backtest(**untold, costs=costs, service=ServiceRun(operation_id="op_2"), **changes)


def whole_of(name: str) -> Stretch:
    """All bars of that backtest, as one year or one regime."""
    return Stretch(
        name=name, bars=1244, total_return=0.12, sharpe_ratio=2.5, max_drawdown=0.05, trades=80, exposure=0.7
    )


def backtest(**changes: Any) -> BacktestResult:
    """A backtest that meets every rule of a promising one."""
    figures = {"total_return": 0.12, "annual_return": 0.6, "sharpe_ratio": 2.5, "sortino_ratio": 3.0}
    values: dict[str, Any] = figures | {
        "sharpe_interval": Interval(low=0.4, high=4.2),
        "max_drawdown": 0.05,
        "win_rate": 0.55,
        "profit_factor": 1.4,
        "total_trades": 80,
        "exposure": 0.7,
        "turnover": 200.0,
        "costs": Costs(commission=0.00002, half_spread=0.00003, total=0.01),
        "gross": Figures(**figures, max_drawdown=0.05),
        "benchmark_return": 0.01,
        "excess_sharpe": 2.0,
        "excess_sharpe_interval": Interval(low=0.6, high=3.4),
        "trials": 3,
        "expected_max_sharpe": 0.3,
        "deflated_low": 0.3,
        "minimum_provable_sharpe": 1.5,
        "probabilistic_sharpe": 0.981,
        "deflated_sharpe": 0.973,
        "luck_percentile": 0.965,
        "luck_median_return": -0.011,
        "luck_draws": 200,
        "by_year": (whole_of("2017"),),
        "by_regime": (whole_of("trend up, volatility low"),),
        "regime_rule": "The trend is up where the last close is at or above its mean.",
        "equity_path": "cyc-1/backtest/equity.parquet",
        "trades_path": "cyc-1/backtest/trades.parquet",
        "part": PART,
        "data_sha256": "a" * 64,
        "seconds": 1.0,
    }
    return BacktestResult.model_validate(values | changes)
