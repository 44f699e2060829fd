"""The border: a service's results become ours here, in our units, or are refused with the name of the field.

What a service may leave out is None in our result, and never a zero. Units there: losses and ratios plain numbers,
money in the account's currency, and fractions as decimals from 0 to 1, also where the name says _pct. A percentage
given as a fraction is refused where its size says so, and below 1 where another figure of the same answer does.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from domain.grammar.values import TIMEFRAMES
from domain.results import (
    SECONDS_PER_YEAR,
    BacktestResult,
    Costs,
    LossCurve,
    PartName,
    ServiceRun,
    Task,
    TrainingResult,
)
from domain.strategy import RegimeLabels, Strategy
from engine.interface import BacktestJob, TrainJob
from engine.labels import SignalClass
from engine.service.answers import Answer, Broken, read
from engine.service.periods import Periods
from engine.statistics import expected_max_sharpe, minimum_provable_sharpe

INITIAL_CAPITAL: Final = 100_000.0
"""What every backtest begins with, in the account's currency."""

UNBOUNDED: Final = 999_999.0
"""What the service writes for infinity."""

MAX_COUNT: Final = 10_000_000
"""The most epochs or trades that are believed: beyond any real run, and far below what no float can hold."""

_REGIMES: Final = 4
_TOLERANCE: Final = 0.05
_ROUNDING: Final = 1e-4

MAX_CLASSES: Final = 16
"""The most classes whose shares are read."""


def _of_few(value: object) -> object:
    """Before its values are looked at: each wrong one of many would cost an error of its own."""
    if isinstance(value, dict) and len(value) > MAX_CLASSES:
        raise PydanticCustomError("too_many", "There should be at most {most} classes", {"most": MAX_CLASSES})
    return value


_Fraction = Annotated[float, Field(ge=0, le=1)]
_ClassName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_ .-]{1,64}$")]
_Shares = Annotated[dict[_ClassName, _Fraction] | None, BeforeValidator(_of_few)]


class _TrainingMetrics(Answer):
    final_train_loss: float
    final_val_loss: float
    final_train_accuracy: _Fraction
    final_val_accuracy: _Fraction
    epochs_completed: int = Field(ge=1, le=MAX_COUNT)
    best_epoch: int | None = Field(None, ge=1, le=MAX_COUNT)
    balanced_train_accuracy: _Fraction | None = None
    balanced_val_accuracy: _Fraction | None = None
    baseline_loss: float | None = None
    class_balance: _Shares = None


class _TrainingSummary(Answer):
    training_metrics: _TrainingMetrics
    model_path: str = Field(max_length=512, pattern=r"^[^\x00-\x1f\x7f]+$")


class _Epoch(Answer):
    train_loss: float
    val_loss: float


class _Epochs(Answer):
    """fail_fast, as there may be very many, and each wrong one would cost errors of its own."""

    epochs: list[_Epoch] = Field(min_length=1, fail_fast=True)


class _TrainingData(Answer):
    result_summary: _TrainingSummary
    metrics: _Epochs


class _TrainingAnswer(Answer):
    data: _TrainingData


class _BacktestMetrics(Answer):
    """total_return and max_drawdown in the account's currency; the others are fractions, ratios and counts."""

    sharpe_ratio: float
    win_rate: _Fraction
    max_drawdown_pct: _Fraction
    total_return: float
    total_trades: int = Field(ge=0, le=MAX_COUNT)
    total_return_pct: float | None = None
    max_drawdown: float | None = Field(None, ge=0)
    winning_trades: int | None = Field(None, ge=0, le=MAX_COUNT)
    annualized_return: float | None = Field(None, ge=-1)
    sortino_ratio: float | None = None
    profit_factor: float | None = Field(None, ge=0)


class _BacktestSummary(Answer):
    metrics: _BacktestMetrics


class _BacktestData(Answer):
    result_summary: _BacktestSummary


class _BacktestAnswer(Answer):
    data: _BacktestData


@dataclass(frozen=True)
class Finished:
    """A completed operation: its id, the whole answer, and how long it was watched, in seconds."""

    operation_id: str
    content: bytes
    seconds: float


def training_result(job: TrainJob, strategy: Strategy, periods: Periods, finished: Finished) -> TrainingResult:
    """A training's result. Raises Broken, which names what is missing or wrong; Away for half an answer."""
    data = read(_TrainingAnswer, finished.content).data
    told = data.result_summary.training_metrics
    if told.best_epoch is not None and told.best_epoch > told.epochs_completed:
        raise Broken(f"best_epoch is {told.best_epoch}, and epochs_completed {told.epochs_completed}")
    regression = strategy.decisions.output_format == "regression"
    balanced = told.balanced_val_accuracy is not None and told.balanced_train_accuracy is not None
    return TrainingResult(
        model_id=finished.operation_id,
        model_path=None,
        history_path=None,
        service=ServiceRun(operation_id=finished.operation_id, model_path=data.result_summary.model_path),
        task=Task.REGRESSION if regression else Task.CLASSIFICATION,
        classes=_classes(strategy),
        epochs=told.epochs_completed,
        best_epoch=told.best_epoch or told.epochs_completed,
        train_loss=_curve([epoch.train_loss for epoch in data.metrics.epochs], told.final_train_loss),
        validation_loss=_curve([epoch.val_loss for epoch in data.metrics.epochs], told.final_val_loss),
        model_loss=told.final_val_loss,
        baseline_loss=told.baseline_loss,
        train_accuracy=told.balanced_train_accuracy if balanced else told.final_train_accuracy,
        validation_accuracy=told.balanced_val_accuracy if balanced else told.final_val_accuracy,
        balanced=balanced or regression,
        class_balance=told.class_balance or {},
        features=tuple(feature.name for feature in strategy.features),
        parts=(periods.training.part(PartName.TRAIN),),
        bars_used=None,
        data_sha256=None,
        seed=job.seed,
        seconds=finished.seconds,
    )


def backtest_result(
    job: BacktestJob, periods: Periods, commission: float, half_spread: float, finished: Finished
) -> BacktestResult:
    """A backtest's result, after the costs that were asked for. Raises as training_result."""
    told = read(_BacktestAnswer, finished.content).data.result_summary.metrics
    _refuse_contradictions(told)
    years = periods.backtest.years
    bars_per_year = SECONDS_PER_YEAR / TIMEFRAMES[job.timeframe].total_seconds()
    return BacktestResult(
        total_return=told.total_return / INITIAL_CAPITAL,
        annual_return=_bounded(told.annualized_return),
        sharpe_ratio=_bounded(told.sharpe_ratio),
        sharpe_interval=None,
        sortino_ratio=_bounded(told.sortino_ratio),
        max_drawdown=told.max_drawdown_pct,
        win_rate=told.win_rate if told.total_trades else None,
        profit_factor=_bounded(told.profit_factor) if told.total_trades else None,
        total_trades=told.total_trades,
        exposure=None,
        turnover=None,
        costs=Costs(commission=commission, half_spread=half_spread, total=None),
        gross=None,
        benchmark_return=None,
        excess_sharpe=None,
        excess_sharpe_interval=None,
        trials=job.trials,
        expected_max_sharpe=expected_max_sharpe(job.trials, years),
        deflated_low=None,
        minimum_provable_sharpe=minimum_provable_sharpe(math.ceil(years * bars_per_year), bars_per_year),
        equity_path=None,
        trades_path=None,
        service=ServiceRun(operation_id=finished.operation_id, model_path=job.service_model),
        part=periods.backtest.part(PartName.BACKTEST),
        data_sha256=None,
        seconds=finished.seconds,
    )


def _classes(strategy: Strategy) -> int:
    """How many classes the labels tell apart; 0 for a regression."""
    if strategy.decisions.output_format == "regression":
        return 0
    return _REGIMES if isinstance(strategy.training.labels, RegimeLabels) else len(SignalClass)


def _curve(losses: list[float], final: float) -> LossCurve:
    return LossCurve(initial=losses[0], final=final, best=min(*losses, final))


def _bounded(value: float | None) -> float | None:
    """The figure, unless the service says by it that there is no bound."""
    return None if value is None or abs(value) >= UNBOUNDED else value


def _refuse_contradictions(told: _BacktestMetrics) -> None:
    """Find a percentage that was given as a fraction, also one below 1, by the figures that have to agree with it."""
    gain = told.total_return / INITIAL_CAPITAL
    if told.total_return_pct is not None and not _agree(told.total_return_pct, gain):
        raise Broken(
            f"total_return_pct is {told.total_return_pct:g}, and total_return {told.total_return:g} of "
            f"{INITIAL_CAPITAL:g} is {gain:g}: one of them is not in its unit. The first has to be a fraction"
        )
    if told.winning_trades is not None and told.total_trades:
        share = told.winning_trades / told.total_trades
        if not _agree(told.win_rate, share):
            raise Broken(
                f"win_rate is {told.win_rate:g}, and winning_trades {told.winning_trades} of total_trades "
                f"{told.total_trades} is {share:g}: the first has to be a fraction"
            )
    if told.max_drawdown is not None:
        _refuse_drawdown(told.max_drawdown_pct, told.max_drawdown, told.total_return)


def _refuse_drawdown(fraction: float, money: float, gain: float) -> None:
    """The fall in money is the fraction of a peak, which is no lower than the start and explains the end."""
    least = fraction * INITIAL_CAPITAL
    highest = (INITIAL_CAPITAL + gain) / (1 - fraction) if fraction < 1 else math.inf
    most = fraction * max(highest, INITIAL_CAPITAL)
    slack = _ROUNDING * INITIAL_CAPITAL
    if money < least * (1 - _TOLERANCE) - slack or money > most * (1 + _TOLERANCE) + slack:
        raise Broken(
            f"max_drawdown_pct is {fraction:g}, and max_drawdown {money:g} in the account's currency, where with a "
            f"start of {INITIAL_CAPITAL:g} and a total_return of {gain:g} it lies between {least:g} and {most:g}: "
            "one of them is not in its unit. The first has to be a fraction"
        )


def _agree(one: float, other: float) -> bool:
    return abs(one - other) <= _TOLERANCE * max(abs(one), abs(other)) + _ROUNDING
