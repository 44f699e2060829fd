"""The books of a backtest: fills at opens, fees, equity and trades. The library bt keeps them.

At a change of position the whole equity is staked: the notional equals the equity after the fill's own costs, so that
leverage is exactly one at the moment of the fill. Between two changes the quantity stays as it is. Money is in
multiples of the initial capital. Overnight interest and the fee of borrowing for a short are not charged.
"""

from dataclasses import dataclass

import bt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.signals import Signals

# bt counts a quantity below 1e-16 as none, so the book is kept in a large currency and scaled back.
_CAPITAL = 1_000_000.0


@dataclass(frozen=True)
class Book:
    """What was held and worth at each open, after the fill there; the arrays are as long as the opens."""

    opens: pd.Series
    equity: NDArray[np.float64]
    quantity: NDArray[np.float64]
    fees: NDArray[np.float64]
    traded: NDArray[np.float64]


def keep_book(opens: pd.Series, targets: Signals, fee: float) -> Book:
    """Trade to the target position (-1, 0, 1) of each open, paying `fee` of the value traded on every fill.

    What is still held at the last open is closed there, so that the result owes nothing to an open trade.
    A book whose equity is used up is closed at the open where that shows: nothing is held and nothing left after.
    """
    closing = np.append(targets[:-1], 0)
    strategy = bt.Strategy("book", [_ToTarget(closing, fee)], children=[bt.Security("bar")])
    strategy.set_commissions(lambda quantity, price: abs(quantity) * price * fee)
    prices = opens.astype("float64").to_frame("bar")
    test = bt.Backtest(strategy, prices, initial_capital=_CAPITAL, integer_positions=False, progress_bar=False)
    strategy = test.strategy
    with np.errstate(all="ignore"):  # bt sums up with ratios that a book without equity does not have
        test.run()
    # bt puts a day without prices in front.
    equity = strategy.values.to_numpy()[1:] / _CAPITAL
    quantity = strategy["bar"].positions.to_numpy()[1:] / _CAPITAL
    fees = strategy.fees.to_numpy()[1:] / _CAPITAL
    alive = np.cumsum(equity <= 0) == 0
    quantity = np.where(alive, quantity, 0.0)
    traded = np.abs(np.diff(quantity, prepend=0.0)) * prices["bar"].to_numpy()
    return Book(opens, np.where(alive, equity, 0.0), quantity, np.where(alive, fees, 0.0), traded)


class _ToTarget(bt.Algo):  # type: ignore[misc]
    """Trades to the target of the present open, if it is not the position already held."""

    def __init__(self, targets: Signals, fee: float) -> None:
        super().__init__()
        self._targets = targets.tolist()
        self._fee = fee
        self._next = 0

    def __call__(self, target: bt.Strategy) -> bool:
        security = target["bar"]
        wanted, position, price = self._targets[self._next], security.position, security.price
        self._next += 1
        if wanted != np.sign(position):
            # Staked after costs: notional + fee * (notional + value closed) = equity.
            notional = (target.value - self._fee * abs(position * price)) / (1 + self._fee)
            target.transact(wanted * notional / price - position if wanted else -position, "bar")
        return True


def trades_of(book: Book, fee: float) -> pd.DataFrame:
    """Every trade from its entry to its exit, a row each; a reversal ends one and begins the next.

    Columns: entry_time, exit_time, side (long, short), entry_price, exit_price, bars, return_gross and return_net (of
    the value staked), profit (net, in multiples of the initial capital). The profits add up to the equity's change,
    as long as the book was not used up.
    """
    price = book.opens.to_numpy()
    changes = np.flatnonzero(np.diff(book.quantity, prepend=0.0))
    entries = changes[book.quantity[changes] != 0]
    exits = np.array([changes[np.searchsorted(changes, entry, side="right")] for entry in entries], dtype=np.int64)
    side = np.sign(book.quantity[entries])
    ratio = price[exits] / price[entries]
    gross = side * (ratio - 1)
    net = gross - fee * (1 + ratio)
    times = book.opens.index
    return pd.DataFrame(
        {
            "entry_time": times[entries],
            "exit_time": times[exits],
            "side": np.where(side > 0, "long", "short"),
            "entry_price": price[entries],
            "exit_price": price[exits],
            "bars": exits - entries,
            "return_gross": gross,
            "return_net": net,
            "profit": np.abs(book.quantity[entries]) * price[entries] * net,
        }
    )
