"""Results of a cycle that no rule objects to; a test changes what it is about."""

from datetime import UTC, datetime
from typing import Any

from domain.results import (
    BacktestResult,
    Costs,
    Figures,
    Interval,
    LossCurve,
    Part,
    PartName,
    Task,
    TrainingResult,
)

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
        "equity_path": "cyc-1/backtest/equity.csv.gz",
        "trades_path": "cyc-1/backtest/trades.csv",
        "part": PART,
        "data_sha256": "a" * 64,
        "seconds": 1.0,
    }
    return BacktestResult.model_validate(values | changes)
