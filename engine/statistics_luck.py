"""What the same trading at other times would have come to: random entries, against which a strategy's own are held.

A random entry is the strategy's own series of positions, moved round in a circle over the bars by a random number of
them. So it is as long in the market, on the same sides, for as long at a time and as often; only the moments are
another's. It pays the same costs. What is left between the two is timing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.portfolio import Share
from engine.signals import Signals

DRAWS: Final = 200


@dataclass(frozen=True)
class Luck:
    """percentile: share of the random entries with a lower return (one that is equal counts half). median_return: the
    middle one's. draws: how many there are; fewer than DRAWS where there are fewer bars."""

    percentile: float
    median_return: float
    draws: int


def luck_of(shares: Sequence[Share], seed: int) -> Luck | None:
    """Hold the net return of equal shares against random entries; each share's positions are moved by a number of
    their own.

    None where nothing was traded, or with too few bars to move anything. The same seed gives the same entries.
    """
    held = [share.targets[:-1] for share in shares]
    if min(len(targets) for targets in held) < 2 or not any(np.any(targets) for targets in held):
        return None
    draws = min(DRAWS, *(len(targets) - 1 for targets in held))
    chance = np.random.default_rng(seed)
    own, others = 0.0, np.zeros(draws)
    for share, targets in zip(shares, held, strict=True):
        opens, flat = share.opens.to_numpy(dtype=np.float64), np.zeros(1, dtype=targets.dtype)
        moved = chance.choice(len(targets) - 1, size=draws, replace=False) + 1
        own += _total_return(opens, share.targets, share.fee)
        others += [_total_return(opens, np.concatenate((np.roll(targets, by), flat)), share.fee) for by in moved]
    below = np.count_nonzero(others < own) + np.count_nonzero(others == own) / 2
    return Luck(float(below / draws), float(np.median(others)) / len(shares), draws)


def equity_at(opens: NDArray[np.float64], targets: Signals, fee: float) -> NDArray[np.float64]:
    """The equity of a book at each open, after the fill there, in closed form: what engine.book keeps fill by fill."""
    closing = np.append(targets[:-1], 0).astype(np.float64)
    starts = np.concatenate(([0], np.flatnonzero(np.diff(closing)) + 1))
    side, price = closing[starts], opens[starts]
    # Equity before the fills of each change, from that before the one ahead of it: in, the way, and out again.
    ratio = price[1:] / price[:-1]
    grown = (1 + side[:-1] * (ratio - 1) - fee * np.abs(side[:-1]) * ratio) / (1 + fee * np.abs(side[:-1]))
    staked = np.concatenate(([1.0], np.cumprod(grown))) / (1 + fee * np.abs(side))
    at = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(opens))))
    equity = staked[at] * (1 + side[at] * (opens / price[at] - 1))
    return np.where(np.cumsum(equity <= 0) == 0, equity, 0.0)


def _total_return(opens: NDArray[np.float64], targets: Signals, fee: float) -> float:
    return float(equity_at(opens, targets, fee)[-1] - 1)
