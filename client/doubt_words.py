"""The doubt about a backtest in the words that screen and report share; empty where a result does not tell it."""

from collections.abc import Sequence

from client.render_values import count, number, percent
from domain.results import BacktestResult, Stretch

STRETCH_HEADER = ("bars", "return", "Sharpe", "drawdown", "trades", "in market")


def skill(result: BacktestResult) -> str:
    """How probable it is that there is any skill, and more than the luck of the trials."""
    if result.probabilistic_sharpe is None:
        return ""
    above = f"Sharpe above 0: {percent(result.probabilistic_sharpe)} probable"
    if result.deflated_sharpe is None or result.trials == 1:
        return above
    return f"{above}; above the luck of the trials: {percent(result.deflated_sharpe)}"


def random_entries(result: BacktestResult) -> str:
    """Where the return lies among those of random entries."""
    if result.luck_percentile is None:
        return ""
    return (
        f"better than {percent(result.luck_percentile)} of {count(result.luck_draws)} with the same positions and "
        f"costs at other times; the middle one returned {percent(result.luck_median_return, 2)}"
    )


def stretch_rows(stretches: Sequence[Stretch]) -> list[tuple[str, ...]]:
    """A row a stretch: its name, and the figures that STRETCH_HEADER names."""
    return [
        (
            one.name,
            count(one.bars),
            percent(one.total_return, 2),
            number(one.sharpe_ratio),
            percent(one.max_drawdown, 2),
            count(one.trades),
            percent(one.exposure),
        )
        for one in stretches
    ]
