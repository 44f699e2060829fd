"""Texts about a backtest, without its figures: what a designer reads must not tell it numbers of the backtest part.

An assessor writes in its own words, so figures are found by their value: a number in a text is one of the backtest
where it is that figure rounded to as many digits as the text gives, as a fraction, in per cent, halved or doubled.
A figure that is told in words, or worked out otherwise, is not found.
"""

import re
from collections.abc import Iterable, Iterator

from domain.results import BacktestResult, Figures, Interval

MASK = "[figure of the backtest]"
_NUMBER = re.compile(r"(?<![A-Za-z0-9_.])\d[\d,]*(?:\.\d+)?(?:[eE][+-]?\d+)?")
_FACTORS = (1.0, 100.0, 0.5, 2.0)


def figures_of(backtest: BacktestResult) -> frozenset[float]:
    """Every figure that the backtest part brought to light, without its sign. What was known before is not among them:
    the costs of a fill, the number of trials, and what a sample of this length can prove.
    """
    found = (
        *_of_curve(backtest),
        *(_of_curve(backtest.gross) if backtest.gross else ()),
        *_of_interval(backtest.sharpe_interval),
        *_of_interval(backtest.excess_sharpe_interval),
        backtest.win_rate,
        backtest.profit_factor,
        float(backtest.total_trades),
        backtest.exposure,
        backtest.turnover,
        backtest.costs.total,
        backtest.benchmark_return,
        backtest.excess_sharpe,
        backtest.deflated_low,
    )
    return frozenset(abs(figure) for figure in found if figure)


def told_figures(text: str, figures: Iterable[float]) -> tuple[str, ...]:
    """The numbers in the text that are figures of the backtest, as the text writes them."""
    known = tuple(figures)
    return tuple(match[0] for match in _NUMBER.finditer(text) if _tells(match[0], known))


def blinded(text: str, figures: Iterable[float]) -> str:
    """The text with a mask in place of each figure of the backtest."""
    known = tuple(figures)
    return _NUMBER.sub(lambda match: MASK if _tells(match[0], known) else match[0], text)


def _tells(written: str, figures: tuple[float, ...]) -> bool:
    plain = written.replace(",", "")
    value = float(plain)
    if value == 0:
        return False
    mantissa = re.split("[eE]", plain)[0]
    digits = len(mantissa.replace(".", "").lstrip("0"))
    # A single digit is any small count: it is a figure only where the figure itself has no more.
    return any(
        value == figure * factor if digits < 2 else value == float(f"{figure * factor:.{digits}g}")
        for figure in figures
        for factor in _FACTORS
    )


def _of_curve(figures: BacktestResult | Figures) -> Iterator[float | None]:
    yield from (
        figures.total_return,
        figures.annual_return,
        figures.sharpe_ratio,
        figures.sortino_ratio,
        figures.max_drawdown,
    )


def _of_interval(interval: Interval | None) -> tuple[float, ...]:
    return (interval.low, interval.high) if interval else ()
