"""One backtest from start to end: bars and model to signals, fills, figures, and the files that hold the curves.

A signal at the close of bar t fills at the open of t+1. Every fill pays the commission and half the spread, as shares
of the price. The account starts flat at the first open of the backtest part and is flat again at its last.
"""

import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from domain.errors import ErrorCode, ResearchError
from domain.results import BacktestResult, Costs, Part, PartName
from domain.strategy import Strategy
from engine.bars import AssetClass, Bars, load_bars
from engine.book import Book, keep_book, trades_of
from engine.costs import DEFAULT_COSTS
from engine.curves import EQUITY_FILE, TRADES_FILE, write_equity, write_trades
from engine.features import build_features
from engine.interface import BacktestJob, Places, Progress, Report
from engine.model import Model, load_model, predict
from engine.signals import Signals, loud_enough, target_positions
from engine.splits import backtest_bars, describe, split_bars
from engine.statistics import doubt, excess_returns, figures, years_between
from engine.statistics_luck import Luck, luck_of
from engine.statistics_stretches import REGIME_RULE, Traded, by_regime, by_year, regimes_before
from engine.strategy_file import read_strategy


@dataclass(frozen=True)
class _Run:
    """The same targets traded with and without costs, beside buy and hold and beside other moments.

    regimes: of each bar, as engine.statistics_stretches numbers them.
    """

    net: Book
    gross: Book
    trades: pd.DataFrame
    benchmark: NDArray[np.float64]
    luck: Luck | None
    regimes: NDArray[np.int8]
    bars_per_year: float
    commission: float
    half_spread: float

    @property
    def years(self) -> float:
        return len(self.benchmark) / self.bars_per_year


def run_backtest(
    job: BacktestJob, places: Places, workdir: Path, final: PurePosixPath, report: Report
) -> BacktestResult:
    """Backtest a model on the backtest part of the bars it was trained on.

    Writes the files of engine.curves into `workdir`; the result names them under `final`, where the directory will be.
    Equal jobs give equal files and equal figures.

    Raises ResearchError: INVALID_STRATEGY, DATA_UNAVAILABLE (no bars, too few, others than those of the training, or
    without the volume that the strategy asks for), BACKTEST_FAILED (the model cannot be used).
    """
    started = time.monotonic()
    report(Progress(fraction=0.0, step="reading bars and model"))
    strategy = read_strategy(job.strategy, places)
    bars = _bars_of(job, places)
    if job.model_path is None:
        raise ResearchError(
            ErrorCode.BACKTEST_FAILED,
            "the model lies at a service, where this worker cannot read it. Let the worker that backtests reach the "
            "service too (KTRDR_API_URL), or start the cycle again without it.",
        )
    model = load_model(places.artifacts / job.model_path, job.model_id)
    split = split_bars(strategy, _times(bars.frame))
    seen = backtest_bars(bars.frame, split)

    report(Progress(fraction=0.1, step=f"predicting {split.backtest.stop - split.backtest.start} bars"))
    held = signal_positions(strategy, model, seen, split.backtest)

    report(Progress(fraction=0.3, step="trading"))
    run = _trade(seen, split.backtest, targets_at_opens(held), bars.asset_class, job)

    report(Progress(fraction=0.6, step="resampling the returns"))
    part = next(part for part in describe(split, _times(bars.frame)) if part.name is PartName.BACKTEST)
    result = _result(job, run, part, final)

    report(Progress(fraction=0.9, step="writing curves and trades"))
    write_equity(run.net, run.gross, workdir)
    write_trades(run.trades, workdir)
    report(Progress(fraction=1.0, step=f"{result.total_trades} trades"))
    return result.model_copy(update={"seconds": time.monotonic() - started})


def signal_positions(strategy: Strategy, model: Model, frame: pd.DataFrame, part: slice) -> Signals:
    """The position wanted after the close of each bar of a part, from bars up to that close.

    `frame` begins where the training's bars began. Before the part nothing is decided: it starts flat.
    """
    features, _ = build_features(strategy, frame, model.scalers)
    heard = None
    if strategy.decisions.filters.volume_filter:
        heard = loud_enough(frame["volume"].to_numpy(dtype=np.float64))[part]
    return target_positions(predict(model, features[part]), strategy.decisions, heard)


def targets_at_opens(held: Signals) -> Signals:
    """The position to hold from each open on: what the close of the bar before wanted. The first open is flat."""
    return np.concatenate((np.zeros(1, dtype=np.int8), held[:-1]))


def _bars_of(job: BacktestJob, places: Places) -> Bars:
    bars = load_bars(job.symbol, job.timeframe, places.data)
    if bars.sha256 != job.data_sha256:
        raise ResearchError(
            ErrorCode.DATA_UNAVAILABLE,
            f"the bars of {job.symbol} {job.timeframe} are not those that the model was trained on: another set was "
            "imported since. Start a new cycle on the new bars.",
        )
    return bars


def _trade(seen: pd.DataFrame, part: slice, targets: Signals, asset_class: AssetClass, job: BacktestJob) -> _Run:
    commission, half_spread = DEFAULT_COSTS[asset_class]
    commission = commission if job.costs.commission is None else job.costs.commission
    half_spread = half_spread if job.costs.half_spread is None else job.costs.half_spread
    fee = commission + half_spread
    opens = seen["open"].iloc[part]
    net = keep_book(opens, targets, fee)
    prices = opens.to_numpy(dtype=np.float64)
    benchmark: NDArray[np.float64] = prices[1:] / prices[:-1] - 1
    return _Run(
        net=net,
        gross=keep_book(opens, targets, 0.0),
        trades=trades_of(net, fee),
        benchmark=benchmark,
        luck=luck_of(prices, targets, fee, job.seed),
        regimes=regimes_before(seen["close"])[part][:-1],
        bars_per_year=len(benchmark) / years_between(_times(opens)),
        commission=commission,
        half_spread=half_spread,
    )


def _result(job: BacktestJob, run: _Run, part: Part, final: PurePosixPath) -> BacktestResult:
    net = figures(run.net.returns, run.bars_per_year)
    excess = excess_returns(run.net.returns, run.net.exposure, run.benchmark)
    believed = doubt(run.net.returns, excess, run.bars_per_year, job.trials, job.seed)
    profits = run.trades["profit"].to_numpy(dtype=np.float64)
    losses = -float(profits[profits < 0].sum())
    equity = run.net.equity
    turned_over = np.divide(run.net.traded, equity, out=np.zeros(len(equity)), where=equity > 0)
    traded = _traded(run)
    return BacktestResult(
        total_return=net.total_return,
        annual_return=net.annual_return,
        sharpe_ratio=net.sharpe_ratio,
        sharpe_interval=believed.sharpe_interval,
        sortino_ratio=net.sortino_ratio,
        max_drawdown=net.max_drawdown,
        win_rate=float(np.mean(profits > 0)) if len(profits) else None,
        profit_factor=float(profits[profits > 0].sum()) / losses if losses > 0 else None,
        total_trades=len(run.trades),
        exposure=float(np.mean(traded.in_market)),
        turnover=float(turned_over.sum()) / run.years,
        costs=Costs(commission=run.commission, half_spread=run.half_spread, total=float(run.net.fees.sum())),
        gross=figures(run.gross.returns, run.bars_per_year),
        benchmark_return=float(np.prod(1 + run.benchmark) - 1),
        excess_sharpe=believed.excess_sharpe,
        excess_sharpe_interval=believed.excess_sharpe_interval,
        trials=job.trials,
        expected_max_sharpe=believed.expected_max_sharpe,
        deflated_low=believed.deflated_low,
        minimum_provable_sharpe=believed.minimum_provable_sharpe,
        probabilistic_sharpe=believed.probabilistic_sharpe,
        deflated_sharpe=believed.deflated_sharpe,
        luck_percentile=run.luck.percentile if run.luck else None,
        luck_median_return=run.luck.median_return if run.luck else None,
        luck_draws=run.luck.draws if run.luck else 0,
        by_year=by_year(traded),
        by_regime=by_regime(traded, run.regimes),
        regime_rule=REGIME_RULE,
        equity_path=str(final / EQUITY_FILE),
        trades_path=str(final / TRADES_FILE),
        part=part,
        data_sha256=job.data_sha256,
        seconds=0.0,
    )


def _traded(run: _Run) -> Traded:
    times = _times(run.net.opens)
    began = times.get_indexer(pd.DatetimeIndex(run.trades["entry_time"]))
    return Traded(
        opened_at=times[:-1],
        returns=run.net.returns,
        in_market=run.net.quantity[:-1] != 0,
        began=np.bincount(began, minlength=len(times) - 1),
        bars_per_year=run.bars_per_year,
    )


def _times(data: pd.DataFrame | pd.Series) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(data.index)
