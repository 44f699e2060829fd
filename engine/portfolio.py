"""A backtest's books side by side: one a symbol, each with an equal share of the capital, which it keeps to itself.

Nothing is moved between the shares, so what one wins or loses changes no other's trades; a strategy of one symbol is
one book with all of the capital. Arrays have one value for each moment at which some symbol opens; between its own
opens a book is worth what it was at the last. Money is in multiples of the initial capital.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.book import Book, keep_book, trades_of
from engine.signals import Signals
from engine.statistics import Returns, years_between


@dataclass(frozen=True)
class Share:
    """One symbol's book, with and without costs. commission and half_spread: of the price, on every fill."""

    symbol: str
    opens: pd.Series
    targets: Signals
    commission: float
    half_spread: float

    @property
    def fee(self) -> float:
        """What a fill costs, as a fraction of the price."""
        return self.commission + self.half_spread

    @cached_property
    def net(self) -> Book:
        return keep_book(self.opens, self.targets, self.fee)

    @cached_property
    def gross(self) -> Book:
        return keep_book(self.opens, self.targets, 0.0)


@dataclass(frozen=True)
class Portfolio:
    """Equal shares of the capital, a book each."""

    shares: Sequence[Share]

    @cached_property
    def times(self) -> pd.DatetimeIndex:
        """The moments at which some symbol opens."""
        return reduce(pd.DatetimeIndex.union, [pd.DatetimeIndex(share.opens.index) for share in self.shares])

    @cached_property
    def equity(self) -> NDArray[np.float64]:
        """After costs."""
        return self._mean(lambda share: share.net.equity, 1.0)

    @cached_property
    def equity_gross(self) -> NDArray[np.float64]:
        """Without costs."""
        return self._mean(lambda share: share.gross.equity, 1.0)

    @cached_property
    def buy_and_hold(self) -> NDArray[np.float64]:
        """What each share would be worth in its symbol from the first open on, without costs."""
        return self._mean(lambda share: share.opens.to_numpy(dtype=np.float64) / share.opens.iloc[0], 1.0)

    @property
    def position(self) -> NDArray[np.int8]:
        """How many symbols are held long, less those held short, after the fills."""
        held = self._mean(lambda share: np.sign(share.net.quantity), 0.0)
        return np.rint(held * len(self.shares)).astype(np.int8)

    @property
    def in_market(self) -> NDArray[np.float64]:
        """The portion of the shares that hold something from each moment to the next, one fewer than moments."""
        return self._mean(lambda share: (share.net.quantity != 0).astype(np.float64), 0.0)[:-1]

    @property
    def exposure(self) -> NDArray[np.float64]:
        """Signed portion of the equity that is staked from each moment to the next, one fewer than moments."""
        value = self._mean(lambda share: share.net.quantity * share.opens.to_numpy(dtype=np.float64), 0.0)
        equity = self.equity
        return np.divide(value, equity, out=np.zeros(len(equity)), where=equity > 0)[:-1]

    @property
    def turned_over(self) -> float:
        """Value traded, in multiples of the equity at the time."""
        equity, traded = self.equity, np.zeros(len(self.times))
        for share in self.shares:
            traded[self.times.get_indexer(pd.DatetimeIndex(share.opens.index))] += share.net.traded / len(self.shares)
        return float(np.divide(traded, equity, out=np.zeros(len(equity)), where=equity > 0).sum())

    @property
    def fees(self) -> float:
        """What all fills cost."""
        return self.mean_of(lambda share: float(share.net.fees.sum()))

    @cached_property
    def trades(self) -> pd.DataFrame:
        """The trades of all books as engine.book.trades_of has them, with `symbol`, in the order of their entries;
        the profit is in multiples of all of the initial capital.
        """
        each = [trades_of(share.net, share.fee).assign(symbol=share.symbol) for share in self.shares]
        trades = pd.concat(each, ignore_index=True).sort_values(["entry_time", "symbol"], kind="stable")
        return trades.assign(profit=trades["profit"] / len(self.shares)).reset_index(drop=True)

    @property
    def bars_per_year(self) -> float:
        """Moments a calendar year."""
        return (len(self.times) - 1) / years_between(self.times)

    def mean_of(self, figure: Callable[[Share], float]) -> float:
        """A figure of the shares, averaged: all are equal."""
        return float(np.mean([figure(share) for share in self.shares]))

    def _mean(self, values: Callable[[Share], NDArray[np.float64]], before: float) -> NDArray[np.float64]:
        """The shares' values at each moment, averaged; `before` a symbol's first open its share has that value."""
        total = np.zeros(len(self.times))
        for share in self.shares:
            known = np.append(values(share), before)
            # The position before the first is -1, the value that was appended.
            total += known[pd.DatetimeIndex(share.opens.index).searchsorted(self.times, side="right") - 1]
        return total / len(self.shares)


def returns_of(equity: NDArray[np.float64]) -> Returns:
    """Return from each moment to the next; 0 once nothing is left.

    The first starts from the initial capital, so that a fill at the first open is paid for in it.
    """
    before = np.concatenate(([1.0], equity[1:-1]))
    return np.divide(equity[1:] - before, before, out=np.zeros(len(before)), where=before > 0)
