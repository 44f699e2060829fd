"""The bars that a strategy is trained and backtested on: of one symbol, or of all that it lists."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from domain.errors import ErrorCode, ResearchError
from domain.strategy import Strategy
from engine.bars import Bars, load_bars


@dataclass(frozen=True)
class Universe:
    """Sets of bars by symbol, in the strategy's order, and one hash for all of them."""

    bars: Mapping[str, Bars]
    sha256: str

    @property
    def frames(self) -> dict[str, pd.DataFrame]:
        """The bars alone."""
        return {symbol: bars.frame for symbol, bars in self.bars.items()}


def load_universe(strategy: Strategy, symbol: str, timeframe: str, data_dir: Path) -> Universe:
    """The bars of the cycle's symbol, or of all that the strategy lists where it lists several.

    Raises ResearchError: DATA_UNAVAILABLE as load_bars, INVALID_STRATEGY for a symbol that is not among several.
    """
    listed = strategy.training_data.symbols
    if len(listed) == 1:
        bars = load_bars(symbol, timeframe, data_dir)
        return Universe({symbol: bars}, bars.sha256)
    if symbol not in listed:
        raise ResearchError(
            ErrorCode.INVALID_STRATEGY,
            f"the cycle wants {symbol}, but {strategy.name} is made for {', '.join(listed)}, all at once. "
            "Start it with one of them, or change training_data.symbols in the file.",
        )
    several = {one: load_bars(one, timeframe, data_dir) for one in listed}
    named = "".join(f"{one} {bars.sha256}\n" for one, bars in several.items())
    return Universe(several, hashlib.sha256(named.encode()).hexdigest())
