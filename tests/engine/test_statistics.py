"""Figures and their doubt, against closed forms and against simulation."""

import math
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
from purgedcv import deflated_sharpe_ratio

from engine.statistics import (
    doubt,
    excess_returns,
    expected_max_sharpe,
    figures,
    minimum_provable_sharpe,
    probabilistic_sharpe,
    sharpe,
    sharpe_interval,
    years_between,
)

HOURS = 6_000.0


def _normal(n: int, mean: float = 0.0, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 0.001, n)


def test_the_figures_of_a_short_curve_are_those_worked_out_by_hand() -> None:
    returns = np.array([0.10, -0.05, 0.02, -0.10])

    found = figures(returns, bars_per_year=4)

    growth = 1.10 * 0.95 * 1.02 * 0.90
    assert found.total_return == pytest.approx(growth - 1)
    assert found.annual_return == pytest.approx(growth - 1)
    assert found.sharpe_ratio == pytest.approx(np.mean(returns) / np.std(returns, ddof=1) * 2)
    assert found.sortino_ratio == pytest.approx(np.mean(returns) / math.sqrt((0.05**2 + 0.10**2) / 4) * 2)
    assert found.max_drawdown == pytest.approx(1 - 0.95 * 1.02 * 0.90)


def test_annual_return_is_the_growth_of_a_calendar_year() -> None:
    assert figures(np.full(10, 0.01), bars_per_year=20).annual_return == pytest.approx(1.01**20 - 1)


@pytest.mark.parametrize("returns", [np.zeros(500), np.full(500, 0.001), np.zeros(1), np.zeros(0)])
def test_without_variance_there_is_no_ratio_and_no_interval(returns: np.ndarray) -> None:
    found = figures(returns, HOURS)

    assert found.sharpe_ratio is None
    assert found.sortino_ratio is None
    assert found.max_drawdown == 0
    assert sharpe_interval(returns, HOURS, seed=1) is None


def test_without_a_losing_bar_there_is_no_sortino_ratio() -> None:
    assert figures(np.array([0.01, 0.02, 0.03]), HOURS).sortino_ratio is None


def test_a_growth_beyond_belief_has_no_annual_return_instead_of_infinity() -> None:
    assert figures(np.full(10, 5.0), bars_per_year=1e6).annual_return is None


def test_losing_all_is_a_drawdown_and_an_annual_loss_of_one() -> None:
    found = figures(np.array([0.1, -1.0, 0.0]), HOURS)

    assert (found.max_drawdown, found.total_return, found.annual_return) == (1.0, -1.0, -1.0)


def test_years_are_those_of_the_calendar() -> None:
    index = pd.date_range("2020-01-01", "2022-01-01", freq="D", tz="UTC")

    assert years_between(index) == pytest.approx(731 / 365.25)


def test_the_interval_of_independent_returns_is_as_wide_as_theory_says() -> None:
    interval = sharpe_interval(_normal(3_000), HOURS, seed=3)

    assert interval is not None
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * math.sqrt(HOURS / 3_000), rel=0.15)


def test_dependence_between_neighbours_widens_the_interval() -> None:
    shocks = _normal(3_000)
    trending = np.convolve(shocks, np.ones(10) / math.sqrt(10), mode="valid")

    wide, narrow = (sharpe_interval(series, HOURS, seed=3) for series in (trending, shocks))

    assert wide is not None
    assert narrow is not None
    assert wide.high - wide.low > 1.8 * (narrow.high - narrow.low)


def test_intervals_of_a_series_without_skill_hold_zero_nineteen_times_in_twenty() -> None:
    held = 0
    for seed in range(40):
        interval = sharpe_interval(_normal(300, seed=seed), HOURS, seed)
        assert interval is not None
        held += interval.low <= 0 <= interval.high

    assert 35 <= held <= 40


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    returns = _normal(500)

    assert sharpe_interval(returns, HOURS, 1) == sharpe_interval(returns, HOURS, 1)
    assert sharpe_interval(returns, HOURS, 1) != sharpe_interval(returns, HOURS, 2)


def test_a_constant_share_of_the_market_has_no_excess() -> None:
    market = _normal(500)
    excess = excess_returns(0.6 * market, np.full(500, 0.6), market)

    assert np.abs(excess).max() < 1e-15
    assert sharpe(excess, HOURS) is None


def test_timing_leaves_an_excess_over_the_mean_exposure() -> None:
    market = np.array([0.01, -0.01, 0.01, -0.01])
    exposure = np.array([1.0, 0.0, 1.0, 0.0])

    assert excess_returns(exposure * market, exposure, market) == pytest.approx([0.005, 0.005, 0.005, 0.005])


def test_one_trial_has_nothing_to_choose_from() -> None:
    assert expected_max_sharpe(1, years=0.5) == 0


@pytest.mark.parametrize("trials", [5, 20, 200])
def test_the_best_of_many_without_skill_is_what_a_simulation_finds(trials: int) -> None:
    years = 0.25
    draws = np.random.default_rng(1).normal(0, 1 / math.sqrt(years), (20_000, trials))

    assert expected_max_sharpe(trials, years) == pytest.approx(draws.max(axis=1).mean(), rel=0.05)


@pytest.mark.parametrize("bars", [50, 1_000, 50_000])
def test_the_smallest_provable_sharpe_is_its_own_interval_above_zero(bars: int) -> None:
    per_bar = minimum_provable_sharpe(bars, HOURS) / math.sqrt(HOURS)

    assert per_bar - 1.959964 * math.sqrt((1 + per_bar**2 / 2) / bars) == pytest.approx(0, abs=1e-6)


def test_the_deflated_bound_is_the_excess_bound_less_the_luck_of_the_trials() -> None:
    returns = _normal(2_000, mean=0.0002)

    found = doubt(returns, returns, HOURS, trials=40, seed=5)

    assert found.excess_sharpe_interval is not None
    assert found.expected_max_sharpe == expected_max_sharpe(40, 2_000 / HOURS) > 0
    assert found.deflated_low == found.excess_sharpe_interval.low - found.expected_max_sharpe
    assert found.excess_sharpe == sharpe(returns, HOURS)


def test_the_probabilistic_sharpe_ratio_is_that_of_its_formula() -> None:
    returns = np.random.default_rng(4).standard_t(5, 1_500) * 0.001 + 0.00002
    scaled = (returns - returns.mean()) / returns.std()
    ratio, skew, kurtosis = returns.mean() / returns.std(), (scaled**3).mean(), (scaled**4).mean()
    error = math.sqrt((1 - skew * ratio + (kurtosis - 1) / 4 * ratio**2) / (len(returns) - 1))

    for above in (0.0, 1.2):
        expected = NormalDist().cdf((ratio - above / math.sqrt(HOURS)) / error)
        assert probabilistic_sharpe(returns, HOURS, above) == pytest.approx(expected, rel=1e-3)


def test_the_deflated_sharpe_ratio_is_held_against_the_best_of_the_trials_by_luck() -> None:
    returns = _normal(2_000, mean=0.0001)

    found = doubt(returns, returns, HOURS, trials=40, seed=5)

    assert found.probabilistic_sharpe is not None
    assert found.deflated_sharpe is not None
    assert found.probabilistic_sharpe == probabilistic_sharpe(returns, HOURS)
    assert found.deflated_sharpe == pytest.approx(deflated_sharpe_ratio(returns, 40, 1 / len(returns)))
    assert 0 < found.deflated_sharpe < found.probabilistic_sharpe < 1


def test_returns_too_few_for_the_formulas_moments_have_a_ratio_and_no_probability() -> None:
    few = np.array([0.01, 0.02, 0.04])

    assert sharpe(few, HOURS) is not None
    assert probabilistic_sharpe(few, HOURS) is None


def test_a_book_that_never_traded_has_doubt_without_a_number_that_is_none() -> None:
    found = doubt(np.zeros(1_000), np.zeros(1_000), HOURS, trials=3, seed=1)

    assert (found.sharpe_interval, found.excess_sharpe, found.deflated_low) == (None, None, None)
    assert (found.probabilistic_sharpe, found.deflated_sharpe) == (None, None)
    assert math.isfinite(found.minimum_provable_sharpe)
