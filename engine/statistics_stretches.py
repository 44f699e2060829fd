"""A backtest's figures by calendar year and by the kind of market, so that one lucky stretch does not pass for many.

A bar here is the way from one open to the next. Its regime is what the closes up to the one before that open say: a
position held over the bar was wanted at that close, and knew no more.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from domain.results import Stretch
from engine.statistics import Returns, figures

TREND_BARS: Final = 200
VOLATILITY_BARS: Final = 50
FEWEST_BARS: Final = 30
"""With fewer bars an annualised ratio is noise, and is not given."""

REGIMES: Final = (
    "trend up, volatility low",
    "trend up, volatility high",
    "trend down, volatility low",
    "trend down, volatility high",
)
UNKNOWN: Final = "unknown, too little history"
REGIME_RULE: Final = (
    f"The trend is up where the last close is at or above the mean of {TREND_BARS} closes. Volatility is high where "
    f"the standard deviation of the last {VOLATILITY_BARS} returns is above its own median so far. Both by what was "
    "known at the bar's open."
)


@dataclass(frozen=True)
class Traded:
    """What a book did on each bar of a backtest: the arrays have one value a bar."""

    opened_at: pd.DatetimeIndex
    returns: Returns
    in_market: NDArray[np.float64]
    began: NDArray[np.int64]
    bars_per_year: float


def by_year(traded: Traded) -> tuple[Stretch, ...]:
    """The years of UTC that have bars, in their order."""
    years = traded.opened_at.tz_convert("UTC").year.to_numpy()
    return _stretches(traded, ((f"{year}", years == year) for year in np.unique(years)))


def by_regime(traded: Traded, regimes: NDArray[np.int8]) -> tuple[Stretch, ...]:
    """The regimes that occur, in the order of REGIMES, with what could not be told apart last."""
    names = (*enumerate(REGIMES), (-1, UNKNOWN))
    return _stretches(traded, ((name, regimes == number) for number, name in names))


def regimes_at(closes: pd.Series, opened_at: pd.DatetimeIndex) -> NDArray[np.int8]:
    """The place in REGIMES of each bar, by the closes of the bars that opened before it; -1 where they are too few."""
    mean = closes.rolling(TREND_BARS).mean()
    returns = np.log(closes).diff()
    volatility = returns.rolling(VOLATILITY_BARS).std()
    usual = volatility.expanding(VOLATILITY_BARS).median()
    down, high = (closes < mean).to_numpy(), (volatility > usual).to_numpy()
    known = (mean.notna() & usual.notna()).to_numpy()
    said = np.append(np.where(known, 2 * down + high, -1).astype(np.int8), np.int8(-1))
    # The place before the first bar is -1: the value that was appended.
    return said[pd.DatetimeIndex(closes.index).searchsorted(opened_at, side="left") - 1]


def _stretches(traded: Traded, named: Iterable[tuple[str, NDArray[np.bool_]]]) -> tuple[Stretch, ...]:
    return tuple(_stretch(name, traded, chosen) for name, chosen in named if chosen.any())


def _stretch(name: str, traded: Traded, chosen: NDArray[np.bool_]) -> Stretch:
    found = figures(traded.returns[chosen], traded.bars_per_year)
    bars = int(np.count_nonzero(chosen))
    return Stretch(
        name=name,
        bars=bars,
        total_return=found.total_return,
        sharpe_ratio=found.sharpe_ratio if bars >= FEWEST_BARS else None,
        max_drawdown=found.max_drawdown,
        trades=int(traded.began[chosen].sum()),
        exposure=float(np.mean(traded.in_market[chosen])),
    )
