"""The figures of a return series and how far they can be believed.

Returns are simple returns of consecutive bars, net or gross as the caller says. A figure that does not exist (a ratio
without variance, an interval of two numbers) is None, never NaN and never infinite.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import empyrical
import numpy as np
import pandas as pd
from arch.bootstrap import StationaryBootstrap, optimal_block_length
from numpy.typing import NDArray
from purgedcv import minimum_backtest_length, probabilistic_sharpe_ratio

from domain.results import SECONDS_PER_YEAR, BacktestResult, Figures, Interval

Returns = NDArray[np.float64]

RESAMPLES: Final = 1000
_CONFIDENCE: Final = 0.95
_Z: Final = NormalDist().inv_cdf((1 + _CONFIDENCE) / 2)
# Below this a standard deviation is the rounding of a constant series, and its ratios are noise over noise.
_NO_VARIANCE: Final = 1e-12
_LARGEST: Final = 1e6


@dataclass(frozen=True)
class Doubt:
    """How far a Sharpe ratio can be believed; all ratios annualised, probabilities as fractions."""

    sharpe_interval: Interval | None
    excess_sharpe: float | None
    excess_sharpe_interval: Interval | None
    expected_max_sharpe: float
    deflated_low: float | None
    minimum_provable_sharpe: float
    probabilistic_sharpe: float | None
    deflated_sharpe: float | None


def years_between(index: pd.DatetimeIndex) -> float:
    """Calendar years from the first bar to the last."""
    return float((index[-1] - index[0]).total_seconds()) / SECONDS_PER_YEAR


def figures(returns: Returns, bars_per_year: float) -> Figures:
    """Total and annual return, Sharpe and Sortino ratio (risk-free rate 0) and the largest fall from a peak."""
    equity = np.concatenate(([1.0], np.cumprod(1 + returns)))
    fall = -float(empyrical.max_drawdown(returns)) if len(returns) else 0.0
    years = len(returns) / bars_per_year
    return Figures(
        total_return=float(equity[-1] - 1),
        annual_return=_annual_return(float(equity[-1]), years),
        sharpe_ratio=sharpe(returns, bars_per_year),
        sortino_ratio=_sortino(returns, bars_per_year),
        max_drawdown=min(max(fall, 0.0), 1.0),
    )


def sharpe(returns: Returns, bars_per_year: float) -> float | None:
    """Annualised mean over standard deviation (of a sample: n - 1)."""
    if len(returns) < 2 or float(np.std(returns, ddof=1)) < _NO_VARIANCE:
        return None
    return _real(empyrical.sharpe_ratio(returns, annualization=bars_per_year))


def doubt(returns: Returns, excess: Returns, bars_per_year: float, trials: int, seed: int) -> Doubt:
    """Intervals of the Sharpe ratio and of the excess return's, and what the number of trials takes off.

    `excess` is the return in excess of an equally exposed buy and hold (see excess_returns); `trials` counts every
    backtest known of the symbol and timeframe, this one too. The same seed gives the same intervals.
    """
    years = len(returns) / bars_per_year
    best_by_luck = expected_max_sharpe(trials, years)
    interval = sharpe_interval(excess, bars_per_year, seed)
    return Doubt(
        sharpe_interval=sharpe_interval(returns, bars_per_year, seed),
        excess_sharpe=sharpe(excess, bars_per_year),
        excess_sharpe_interval=interval,
        expected_max_sharpe=best_by_luck,
        deflated_low=interval.low - best_by_luck if interval else None,
        minimum_provable_sharpe=minimum_provable_sharpe(len(returns), bars_per_year),
        probabilistic_sharpe=probabilistic_sharpe(returns, bars_per_year),
        deflated_sharpe=probabilistic_sharpe(returns, bars_per_year, best_by_luck),
    )


def among_trials(result: BacktestResult, trials: int) -> BacktestResult:
    """The same backtest, deflated for so many trials, where these are more than were known when it was made."""
    years = result.part.years
    if trials <= result.trials or years <= 0:
        return result
    best_by_luck = expected_max_sharpe(trials, years)
    low = result.excess_sharpe_interval.low - best_by_luck if result.excess_sharpe_interval else None
    deflated = _deflated(result, best_by_luck)
    changed = {"trials": trials, "expected_max_sharpe": best_by_luck, "deflated_low": low, "deflated_sharpe": deflated}
    return result.model_copy(update=changed)


def excess_returns(returns: Returns, exposure: NDArray[np.float64], benchmark: Returns) -> Returns:
    """A strategy's returns less its mean signed exposure times buy and hold.

    What a constant position of the same average size would have earned is the market's doing; the rest is timing.
    """
    return returns - float(np.mean(exposure)) * benchmark


def sharpe_interval(returns: Returns, bars_per_year: float, seed: int) -> Interval | None:
    """The 95 % percentile interval of the annualised Sharpe ratio by the stationary bootstrap.

    Blocks of random length keep the dependence between neighbouring bars; their mean length is Patton, Politis and
    White's automatic choice.
    """
    if sharpe(returns, bars_per_year) is None or len(returns) < 8:
        return None
    with np.errstate(all="ignore"):
        length = float(optimal_block_length(returns)["stationary"].iloc[0])
    block = min(max(round(length), 1), len(returns) // 4) if math.isfinite(length) else 1
    bootstrap = StationaryBootstrap(block, returns, seed=np.random.default_rng(seed))
    low, high = bootstrap.conf_int(_per_bar_sharpe, reps=RESAMPLES, method="percentile", size=_CONFIDENCE)[:, 0]
    scale = math.sqrt(bars_per_year)
    return Interval(low=float(low) * scale, high=float(high) * scale)


def expected_max_sharpe(trials: int, years: float) -> float:
    """The annualised Sharpe ratio that the best of so many independent trials without skill shows, on average.

    Bailey and Lopez de Prado's approximation of the expected maximum; without skill, the estimate of an annualised
    Sharpe ratio over T years has a standard deviation of 1/sqrt(T). One trial has nothing to choose from: 0.
    """
    # The years at which the expected maximum falls to 1 are the square of the maximum over one year.
    return math.sqrt(minimum_backtest_length(trials, target_sharpe=1.0) / years)


def probabilistic_sharpe(returns: Returns, bars_per_year: float, above: float = 0.0) -> float | None:
    """The probability that the true Sharpe ratio lies above a bound, both annualised.

    Bailey and Lopez de Prado (2012), with the returns' own skew and kurtosis. None where there is no Sharpe ratio, or
    where these moments are too extreme for the formula.
    """
    if sharpe(returns, bars_per_year) is None:
        return None
    try:
        found = probabilistic_sharpe_ratio(returns, benchmark_skill=above / math.sqrt(bars_per_year))
    except ValueError:
        return None
    return _real(found)


def minimum_provable_sharpe(bars: int, bars_per_year: float) -> float:
    """The smallest annualised Sharpe ratio whose 95 % interval excludes zero, with this many independent returns.

    Solves SR = z * sqrt((1 + SR^2 / 2) / n), the standard error of Lo (2002), for the ratio per bar.
    """
    return _Z / math.sqrt(max(bars - _Z**2 / 2, 0.01)) * math.sqrt(bars_per_year)


def _deflated(result: BacktestResult, above: float) -> float | None:
    """The probability above another bound than 0, from that above 0: the standard error of the ratio is the same."""
    probability, ratio, bars = result.probabilistic_sharpe, result.sharpe_ratio, result.part.bars
    if probability is None or not ratio or bars is None or bars < 3:
        return None
    # Beyond eight standard errors the probability is rounded to 0 or 1, and says no more how far beyond.
    errors = NormalDist().inv_cdf(min(max(probability, 1e-15), 1 - 1e-15))
    # The probability's own ratio is over the deviation of a population (n), and not of a sample (n - 1).
    returns = bars - 1
    return NormalDist().cdf(errors * (1 - above / (ratio * math.sqrt(returns / (returns - 1)))))


def _per_bar_sharpe(returns: Returns) -> NDArray[np.float64]:
    deviation = float(np.std(returns, ddof=1))
    # A resample without variance has drawn bars without a position alone: no return, no skill.
    return np.array([float(np.mean(returns)) / deviation if deviation >= _NO_VARIANCE else 0.0])


def _sortino(returns: Returns, bars_per_year: float) -> float | None:
    if len(returns) < 2 or float(np.sqrt(np.mean(np.minimum(returns, 0.0) ** 2))) < _NO_VARIANCE:
        return None
    return _real(empyrical.sortino_ratio(returns, annualization=bars_per_year))


def _annual_return(growth: float, years: float) -> float | None:
    if growth <= 0:
        return -1.0
    exponent = math.log(growth) / years if years > 0 else math.inf
    return math.expm1(exponent) if exponent < math.log(_LARGEST) else None


def _real(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
