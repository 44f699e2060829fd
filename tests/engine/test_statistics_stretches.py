"""Years and regimes divide a backtest: against plain pandas, and by what was known at each bar alone."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.results import Stretch
from engine.statistics_stretches import (
    FEWEST_BARS,
    REGIMES,
    TREND_BARS,
    UNKNOWN,
    VOLATILITY_BARS,
    Traded,
    by_regime,
    by_year,
    regimes_at,
)

DAYS = 365.25


def regimes(closes: pd.Series) -> np.ndarray:
    return regimes_at(closes, pd.DatetimeIndex(closes.index))


def _traded(bars: int, first: str = "2019-11-20", seed: int = 1) -> Traded:
    draw = np.random.default_rng(seed)
    returns = draw.normal(0.0005, 0.01, bars)
    return Traded(
        opened_at=pd.date_range(first, periods=bars, freq="D", tz="UTC"),
        returns=returns,
        in_market=(draw.random(bars) < 0.6).astype(np.float64),
        began=(draw.random(bars) < 0.1).astype(np.int64),
        bars_per_year=DAYS,
    )


def test_the_years_are_those_of_plain_pandas() -> None:
    traded = _traded(900)
    frame = pd.DataFrame({"r": traded.returns, "held": traded.in_market, "began": traded.began}, index=traded.opened_at)

    found = {one.name: one for one in by_year(traded)}

    assert list(found) == ["2019", "2020", "2021", "2022"]
    for year, group in frame.groupby(frame.index.year):
        one, curve = found[str(year)], (1 + group["r"]).cumprod()
        assert (one.bars, one.trades) == (len(group), group["began"].sum())
        assert one.total_return == pytest.approx(curve.iloc[-1] - 1)
        assert one.sharpe_ratio == pytest.approx(group["r"].mean() / group["r"].std() * np.sqrt(DAYS))
        assert one.max_drawdown == pytest.approx((1 - curve / curve.cummax().clip(lower=1.0)).max())
        assert one.exposure == pytest.approx(group["held"].mean())


def test_a_year_of_few_bars_has_no_ratio() -> None:
    found = by_year(_traded(60, first=f"2019-12-{32 - FEWEST_BARS + 1}"))

    assert [(one.bars, one.sharpe_ratio is None) for one in found] == [(FEWEST_BARS - 1, True), (31, False)]


@settings(max_examples=25, deadline=None)
@given(bars=st.integers(1, 300), seed=st.integers(0, 1000), regimes=st.integers(1, 4))
def test_every_bar_lies_in_one_year_and_in_one_regime(bars: int, seed: int, regimes: int) -> None:
    traded = _traded(bars, seed=seed)
    said = np.random.default_rng(seed).integers(-1, regimes, bars).astype(np.int8)

    for stretches in (by_year(traded), by_regime(traded, said)):
        assert sum(one.bars for one in stretches) == bars
        assert sum(one.trades for one in stretches) == traded.began.sum()
        whole = np.prod([1 + one.total_return for one in stretches])
        assert whole == pytest.approx(np.prod(1 + traded.returns))
        assert all(Stretch.model_validate(one.model_dump()) == one for one in stretches)


def test_regimes_are_told_by_the_mean_and_the_median_of_the_closes_before() -> None:
    closes = pd.Series(np.exp(np.cumsum(np.random.default_rng(3).normal(0, 0.01, 700))))

    found = regimes(closes)

    assert set(found) == {-1, 0, 1, 2, 3}
    returns = np.diff(np.log(closes.to_numpy()))
    for bar in range(TREND_BARS, 700, 37):
        known = closes.to_numpy()[:bar]
        down = known[-1] < known[-TREND_BARS:].mean()
        deviations = [returns[end - VOLATILITY_BARS : end].std(ddof=1) for end in range(VOLATILITY_BARS, bar)]
        high = deviations[-1] > np.median(deviations)
        assert REGIMES[found[bar]] == f"trend {'down' if down else 'up'}, volatility {'high' if high else 'low'}"


def test_before_there_is_a_history_no_regime_is_claimed() -> None:
    closes = pd.Series(np.linspace(1, 2, TREND_BARS + 1))

    found = regimes(closes)

    assert found.tolist() == [-1] * TREND_BARS + [0]
    assert by_regime(_traded(len(found)), found)[-1].name == UNKNOWN


@settings(max_examples=10, deadline=None)
@given(cut=st.integers(1, 599))
def test_another_future_leaves_the_regimes_up_to_it_as_they_were(cut: int) -> None:
    closes = pd.Series(np.exp(np.cumsum(np.random.default_rng(5).normal(0, 0.01, 600))))
    other = closes.copy()
    other.iloc[cut:] *= 1.5

    # The regime of bar `cut` is known before it opens.
    assert np.array_equal(
        regimes(other)[: cut + 1],
        regimes(closes)[: cut + 1],
    )
    assert np.array_equal(
        regimes(closes.iloc[:cut]),
        regimes(closes)[:cut],
    )
