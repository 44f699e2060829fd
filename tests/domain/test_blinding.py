"""Figures of a backtest are found in texts by their value, however they are rounded."""

import pytest

from domain.blinding import MASK, blinded, figures_of
from domain.results import Interval, Stretch

from .usual_results import backtest, backtest_at_a_service

FOUND = backtest(
    total_return=-0.1379,
    sharpe_ratio=2.713,
    sharpe_interval=Interval(low=-0.4321, high=4.876),
    win_rate=0.5713,
    total_trades=8_123,
    turnover=217.3,
    exposure=1.0,
    probabilistic_sharpe=0.9412,
    luck_percentile=0.835,
    by_year=(
        Stretch(
            name="2017", bars=9, total_return=-0.0419, sharpe_ratio=-1.93, max_drawdown=0.1, trades=4, exposure=0.5
        ),
    ),
)

HIDDEN = (
    "2.7",
    "2.71",
    "2.713",
    "13.8",
    "0.138",
    "8,123",
    "8123",
    "57 ",
    "0.43",
    "4.876",
    "217",
    "109",
    "5.713e-1",
    "94.1",
    "83.5",
    "4.19",
    "1.93",
)
KEPT = ("2.8", "rsi_27", "RSI 23", "17 bars", "0 ", "1.05", "v2.71", "2.7131", "a 4 % zigzag")


@pytest.mark.parametrize("written", HIDDEN)
def test_a_figure_is_masked_however_it_is_rounded(written: str) -> None:
    assert blinded(f"It has {written}, then.", figures_of(FOUND)).startswith(f"It has {MASK}")


@pytest.mark.parametrize("written", KEPT)
def test_other_numbers_stay(written: str) -> None:
    assert blinded(f"It has {written} then.", figures_of(FOUND)) == f"It has {written} then."


def test_certainty_is_masked_in_per_cent_and_leaves_small_counts_alone() -> None:
    figures = figures_of(backtest(luck_percentile=1.0, turnover=217.3))
    assert (
        blinded("Better than 100 % of them with 7 layers.", figures) == f"Better than {MASK} % of them with 7 layers."
    )


def test_what_a_service_does_not_tell_is_no_figure() -> None:
    assert 0.0 not in figures_of(backtest_at_a_service())
