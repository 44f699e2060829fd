"""A book by backtesting.py, which is measured beside ours. It comes with the extra `bench` alone."""

import contextlib
import io

import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy

from engine.signals import Signals

CASH = 1_000_000_000.0
"""So much that whole units are as good as fractions."""


def traded(opens: pd.Series, targets: Signals, fee: float) -> int:
    """Trade to the target position of each open, as `engine.book.keep_book` does; how many trades came of it."""
    wanted = np.append(targets[1:], 0).tolist()  # an order is filled at the next open

    class ToTarget(Strategy):  # type: ignore[misc]
        def init(self) -> None:
            self.held = int(targets[0])
            if self.held:
                self._turn()

        def next(self) -> None:
            target = wanted[len(self.data) - 1]
            if target != self.held:
                self.held = target
                self._turn()

        def _turn(self) -> None:
            if not self.held:
                self.position.close()
            elif self.held > 0:
                self.buy()
            else:
                self.sell()

    bars = pd.DataFrame(dict.fromkeys(("Open", "High", "Low", "Close"), opens))
    test = Backtest(bars, ToTarget, cash=CASH, commission=fee, exclusive_orders=True, finalize_trades=True)
    with contextlib.redirect_stderr(io.StringIO()):  # it draws a bar of its progress
        return int(test.run()["# Trades"])
