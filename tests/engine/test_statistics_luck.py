"""Random entries tell timing from what the market, the exposure and the costs would have given anybody."""

import numpy as np
import pandas as pd
import pytest

from engine.portfolio import Share
from engine.signals import Signals
from engine.statistics_luck import DRAWS, equity_at, luck_of

FEE = 0.0001


def _market(seed: int, bars: int = 800) -> np.ndarray:
    """Opens of a walk with runs of several bars, which a position held over them can be right about."""
    drift = np.repeat(np.random.default_rng(seed).normal(0, 0.001, bars // 8), 8)
    return np.exp(np.cumsum(drift + np.random.default_rng(seed + 1000).normal(0, 0.002, bars)))


def _targets(opens: np.ndarray, skilled: bool, seed: int) -> np.ndarray:
    """Positions for eight bars at a time: on the side of the move ahead, or on any."""
    ahead = np.sign(np.diff(np.append(opens[::8], opens[-1])))
    side = ahead if skilled else np.random.default_rng(seed).integers(-1, 2, len(ahead))
    targets = np.repeat(side, 8).astype(np.int8)
    targets[0] = 0
    return targets


def alone(opens: np.ndarray, targets: Signals) -> list[Share]:
    """All of the capital in one symbol."""
    hours = pd.date_range("2024-01-01", periods=len(opens), freq="h", tz="UTC")
    return [Share("A", pd.Series(opens, index=hours), targets, FEE, 0.0)]


def test_shares_are_moved_each_by_itself_and_judged_together() -> None:
    opens, others = _market(1), _market(2)
    skilled, idle = _targets(opens, skilled=True, seed=1), np.zeros(800, dtype=np.int8)
    one, both = luck_of(alone(opens, skilled), 1), luck_of(alone(opens, skilled) + alone(others, idle), 1)
    assert one is not None
    assert both is not None
    assert both.percentile == one.percentile
    assert both.median_return == pytest.approx(one.median_return / 2)


def test_planted_skill_is_above_nearly_all_random_entries_and_the_opposite_below() -> None:
    opens = _market(1)
    targets = _targets(opens, skilled=True, seed=1)

    for side, low, high in ((1, 0.95, 1.0), (-1, 0.0, 0.05)):
        luck = luck_of(alone(opens, (side * targets).astype(np.int8)), seed=1)
        assert luck is not None
        assert low <= luck.percentile <= high
        assert luck.draws == DRAWS


def test_without_skill_every_percentile_is_as_likely_as_another() -> None:
    found = []
    for seed in range(60):
        opens = _market(seed)
        luck = luck_of(alone(opens, _targets(opens, skilled=False, seed=seed)), seed)
        assert luck is not None
        found.append(luck.percentile)

    furthest = max(abs(np.mean(np.array(found) <= level) - level) for level in np.linspace(0.05, 0.95, 19))
    assert furthest < 1.63 / np.sqrt(len(found))  # Kolmogorov's bound at one in a hundred


def test_a_random_entry_is_as_long_in_the_market_and_pays_the_same_costs() -> None:
    opens = np.ones(101)  # a market that does not move: what is left is the costs
    targets = np.zeros(101, dtype=np.int8)
    targets[10:20], targets[40:45] = 1, -1

    luck = luck_of(alone(opens, targets), seed=3)

    assert luck is not None
    assert luck.median_return == pytest.approx(equity_at(opens, targets, FEE)[-1] - 1, rel=1e-12)
    assert luck.median_return == pytest.approx(-4 * FEE, rel=1e-3)


def test_always_in_the_market_there_is_no_timing_to_judge() -> None:
    luck = luck_of(alone(_market(2), np.ones(800, dtype=np.int8)), seed=1)

    assert luck is not None
    assert luck.percentile == 0.5


@pytest.mark.parametrize("targets", [np.zeros(50, dtype=np.int8), np.array([0, 1], dtype=np.int8)])
def test_without_a_trade_or_bars_to_move_it_over_there_is_nothing_to_hold_it_against(targets: np.ndarray) -> None:
    assert luck_of(alone(np.ones(len(targets)), targets), seed=1) is None


def test_few_bars_give_as_many_random_entries_as_there_are_places() -> None:
    luck = luck_of(alone(_market(1)[:21], np.array([0, 1] * 10 + [0], dtype=np.int8)), seed=1)

    assert luck is not None
    assert luck.draws == 19


def test_the_same_seed_draws_the_same_entries_and_another_seed_others() -> None:
    opens = _market(4)
    targets = _targets(opens, skilled=False, seed=4)

    assert luck_of(alone(opens, targets), 1) == luck_of(alone(opens, targets), 1)
    assert luck_of(alone(opens, targets), 1) != luck_of(alone(opens, targets), 2)
