"""One backtest from start to end: bars and model to signals, fills, figures, and the files that hold the curves.

A signal at the close of bar t fills at the open of t+1. Every fill pays the commission and half the spread, as shares
of the price. The account starts flat at the first open of the backtest part and is flat again at its last. A strategy
of several symbols trades each with an equal share of the capital.
"""

import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from domain.errors import ErrorCode, ResearchError
from domain.results import BacktestResult, Costs, Part, PartName
from domain.strategy import Strategy
from engine.bars import Bars
from engine.costs import DEFAULT_COSTS
from engine.curves import EQUITY_FILE, TRADES_FILE, write_equity, write_trades
from engine.feature_cache import features_kept_in
from engine.features import build_features
from engine.interface import BacktestJob, Places, Progress, Report
from engine.model import Model, load_model, predict
from engine.portfolio import Portfolio, Share, returns_of
from engine.signals import Signals, loud_enough, target_positions
from engine.splits import backtest_bars, describe_symbols, split_symbols
from engine.statistics import Returns, doubt, excess_returns, figures
from engine.statistics_luck import luck_of
from engine.statistics_stretches import REGIME_RULE, Traded, by_regime, by_year, regimes_at
from engine.strategy_file import read_strategy
from engine.universe import Universe, load_universe


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
    universe = _universe_of(strategy, job, places)
    if job.model_path is None:
        raise ResearchError(
            ErrorCode.BACKTEST_FAILED,
            "the model lies at a service, where this worker cannot read it. Let the worker that backtests reach the "
            "service too (KTRDR_API_URL), or start the cycle again without it.",
        )
    model = load_model(places.artifacts / job.model_path, job.model_id)
    indexes = {symbol: _times(bars.frame) for symbol, bars in universe.bars.items()}
    splits = split_symbols(strategy, indexes)
    seen = {symbol: backtest_bars(bars.frame, splits[symbol]) for symbol, bars in universe.bars.items()}

    part = next(part for part in describe_symbols(splits, indexes) if part.name is PartName.BACKTEST)
    report(Progress(fraction=0.1, step=f"predicting {part.bars} bars"))
    with features_kept_in(places.cache):
        held = {
            symbol: signal_positions(strategy, model, symbol, frame, splits[symbol].backtest)
            for symbol, frame in seen.items()
        }

    report(Progress(fraction=0.3, step="trading"))
    opens = {symbol: frame["open"].iloc[splits[symbol].backtest] for symbol, frame in seen.items()}
    shares = [_share(bars, opens[symbol], held[symbol], job) for symbol, bars in universe.bars.items()]
    portfolio = Portfolio(shares)

    report(Progress(fraction=0.6, step="resampling the returns"))
    regimes = regimes_at(_market(seen), portfolio.times[:-1])
    result = _result(job, portfolio, regimes, part, final)

    report(Progress(fraction=0.9, step="writing curves and trades"))
    write_equity(portfolio, workdir)
    write_trades(portfolio.trades, workdir)
    report(Progress(fraction=1.0, step=f"{result.total_trades} trades"))
    return result.model_copy(update={"seconds": time.monotonic() - started})


def signal_positions(strategy: Strategy, model: Model, symbol: str, frame: pd.DataFrame, part: slice) -> Signals:
    """The position wanted after the close of each bar of a part, from bars up to that close.

    `frame` begins where the training's bars of that symbol began. Before the part nothing is decided: it starts flat.
    """
    features, _ = build_features(strategy, frame, model.scalers(symbol))
    heard = None
    if strategy.decisions.filters.volume_filter:
        heard = loud_enough(frame["volume"].to_numpy(dtype=np.float64))[part]
    return target_positions(predict(model, features, part), strategy.decisions, heard)


def targets_at_opens(held: Signals) -> Signals:
    """The position to hold from each open on: what the close of the bar before wanted. The first open is flat."""
    return np.concatenate((np.zeros(1, dtype=np.int8), held[:-1]))


def _universe_of(strategy: Strategy, job: BacktestJob, places: Places) -> Universe:
    universe = load_universe(strategy, job.symbol, job.timeframe, places.data)
    if universe.sha256 != job.data_sha256:
        raise ResearchError(
            ErrorCode.DATA_UNAVAILABLE,
            f"the bars of {', '.join(universe.bars)} {job.timeframe} are not those that the model was trained on: "
            "another set was imported since. Start a new cycle on the new bars.",
        )
    return universe


def _share(bars: Bars, opens: pd.Series, held: Signals, job: BacktestJob) -> Share:
    commission, half_spread = DEFAULT_COSTS[bars.asset_class]
    return Share(
        bars.symbol,
        opens,
        targets_at_opens(held),
        commission if job.costs.commission is None else job.costs.commission,
        half_spread if job.costs.half_spread is None else job.costs.half_spread,
    )


def _market(seen: Mapping[str, pd.DataFrame]) -> pd.Series:
    """The closes of the symbols, or where they are several what equal shares in all are worth at each close."""
    closes = [frame["close"] for frame in seen.values()]
    if len(closes) == 1:
        return closes[0]
    grown = pd.concat([close / close.iloc[0] for close in closes], axis=1).ffill().fillna(1.0)
    return pd.Series(grown.to_numpy(dtype=np.float64).mean(axis=1), index=grown.index)


def _result(
    job: BacktestJob, portfolio: Portfolio, regimes: NDArray[np.int8], part: Part, final: PurePosixPath
) -> BacktestResult:
    yearly = portfolio.bars_per_year
    returns, benchmark = returns_of(portfolio.equity), returns_of(portfolio.buy_and_hold)
    net = figures(returns, yearly)
    excess = excess_returns(returns, portfolio.exposure, benchmark)
    believed = doubt(returns, excess, yearly, job.trials, job.seed)
    luck = luck_of(portfolio.shares, job.seed)
    profits = portfolio.trades["profit"].to_numpy(dtype=np.float64)
    losses = -float(profits[profits < 0].sum())
    traded = _traded(portfolio, returns)
    return BacktestResult(
        total_return=net.total_return,
        annual_return=net.annual_return,
        sharpe_ratio=net.sharpe_ratio,
        sharpe_interval=believed.sharpe_interval,
        sortino_ratio=net.sortino_ratio,
        max_drawdown=net.max_drawdown,
        win_rate=float(np.mean(profits > 0)) if len(profits) else None,
        profit_factor=float(profits[profits > 0].sum()) / losses if losses > 0 else None,
        total_trades=len(portfolio.trades),
        exposure=float(np.mean(traded.in_market)),
        turnover=portfolio.turned_over / (len(returns) / yearly),
        costs=Costs(
            commission=portfolio.mean_of(lambda share: share.commission),
            half_spread=portfolio.mean_of(lambda share: share.half_spread),
            total=portfolio.fees,
        ),
        gross=figures(returns_of(portfolio.equity_gross), yearly),
        benchmark_return=float(portfolio.buy_and_hold[-1] - 1),
        excess_sharpe=believed.excess_sharpe,
        excess_sharpe_interval=believed.excess_sharpe_interval,
        trials=job.trials,
        expected_max_sharpe=believed.expected_max_sharpe,
        deflated_low=believed.deflated_low,
        minimum_provable_sharpe=believed.minimum_provable_sharpe,
        probabilistic_sharpe=believed.probabilistic_sharpe,
        deflated_sharpe=believed.deflated_sharpe,
        luck_percentile=luck.percentile if luck else None,
        luck_median_return=luck.median_return if luck else None,
        luck_draws=luck.draws if luck else 0,
        by_year=by_year(traded),
        by_regime=by_regime(traded, regimes),
        regime_rule=REGIME_RULE,
        equity_path=str(final / EQUITY_FILE),
        trades_path=str(final / TRADES_FILE),
        part=part,
        data_sha256=job.data_sha256,
        seconds=0.0,
    )


def _traded(portfolio: Portfolio, returns: Returns) -> Traded:
    times = portfolio.times
    began = times.get_indexer(pd.DatetimeIndex(portfolio.trades["entry_time"]))
    return Traded(
        opened_at=times[:-1],
        returns=returns,
        in_market=portfolio.in_market,
        began=np.bincount(began, minlength=len(times) - 1),
        bars_per_year=portfolio.bars_per_year,
    )


def _times(data: pd.DataFrame | pd.Series) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(data.index)
