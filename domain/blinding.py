"""Texts about a backtest, without its figures: what a designer reads must not tell it numbers of the backtest part.

An assessor writes in its own words, so figures are found by their value: a number in a text is one of the backtest
where it is that figure rounded to as many digits as the text gives. A figure that is told in words, or worked out from
several, is not found.
"""

import re
from collections.abc import Collection, Iterator

from domain.results import BacktestResult, Figures, Interval

MASK = "[figure of the backtest]"
_NUMBER = re.compile(r"(?<![A-Za-z0-9_.])\d[\d,]*(?:\.\d+)?(?:[eE][+-]?\d+)?")


def figures_of(backtest: BacktestResult) -> frozenset[float]:
    """What the backtest part brought to light, without signs, as a text can say it: fractions also in per cent.

    What was known before is not among it: the costs of a fill, the number of trials, what such a sample can prove. The
    turnover is there halved too, as one of the offline assessor's hypotheses says it. Of a year or a regime there is
    what an assessor is told of it: return and Sharpe ratio.
    """
    curves = (backtest, backtest.gross) if backtest.gross else (backtest,)
    stretches = (*backtest.by_year, *backtest.by_regime)
    shares = (backtest.probabilistic_sharpe, backtest.deflated_sharpe, backtest.luck_percentile)
    fractions = [
        *(figure for curve in curves for figure in _fractions_of(curve)),
        *(backtest.win_rate, backtest.exposure, backtest.costs.total, backtest.benchmark_return),
        *(stretch.total_return for stretch in stretches),
        *(backtest.luck_median_return, *(share for share in shares if share is not None and share < 1)),
    ]
    others = [
        *(figure for curve in curves for figure in (curve.sharpe_ratio, curve.sortino_ratio)),
        *(end for interval in (backtest.sharpe_interval, backtest.excess_sharpe_interval) for end in _ends(interval)),
        *(stretch.sharpe_ratio for stretch in stretches),
        *(100.0 for share in shares if share == 1),  # a plain 1 is any small count
        *(backtest.profit_factor, backtest.excess_sharpe, backtest.deflated_low),
        *(float(backtest.total_trades), backtest.turnover, (backtest.turnover or 0.0) / 2),
    ]
    said = [*others, *fractions, *(100 * fraction for fraction in fractions if fraction is not None)]
    return frozenset(abs(figure) for figure in said if figure)


def blinded(text: str, figures: Collection[float]) -> str:
    """The text with a mask in place of each figure."""
    return _NUMBER.sub(lambda match: MASK if _tells(match[0], figures) else match[0], text)


def _tells(written: str, figures: Collection[float]) -> bool:
    plain = written.replace(",", "")
    value = float(plain)
    digits = len(re.split("[eE]", plain)[0].replace(".", "").lstrip("0"))
    if digits < 2:
        # A single digit is any small count, unless the figure itself has no more.
        return value in figures
    return any(value == float(f"{figure:.{digits}g}") for figure in figures)


def _fractions_of(curve: BacktestResult | Figures) -> Iterator[float | None]:
    yield from (curve.total_return, curve.annual_return, curve.max_drawdown)


def _ends(interval: Interval | None) -> tuple[float, ...]:
    return (interval.low, interval.high) if interval else ()
