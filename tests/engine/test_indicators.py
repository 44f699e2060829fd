"""Indicators say what the grammar promises: outputs, warm-up, and values by their textbook formulas."""

import numpy as np
import pandas as pd
import pytest

from domain.errors import ErrorCode, ResearchError
from domain.strategy import ENGINE_CAPABILITIES, INDICATORS, Indicator
from engine.indicators import TABLE, compute


def indicator(kind: str, **parameters: object) -> Indicator:
    return Indicator(id="it", type=kind, parameters=parameters)


def values(kind: str, frame: pd.DataFrame, output: str | None = None, **parameters: object) -> np.ndarray:
    return compute(indicator(kind, **parameters), frame)[output]


def wilder(steps: np.ndarray, period: int) -> np.ndarray:
    """Wilder's average of steps[1:], its first value at `period`."""
    averages = np.full(len(steps), np.nan)
    averages[period] = steps[1 : period + 1].mean()
    for t in range(period + 1, len(steps)):
        averages[t] = (averages[t - 1] * (period - 1) + steps[t]) / period
    return averages


@pytest.fixture(scope="module")
def frame(eurusd: pd.DataFrame) -> pd.DataFrame:
    return eurusd.iloc[:400]


def test_every_indicator_that_the_engine_claims_is_computed() -> None:
    assert set(TABLE) == ENGINE_CAPABILITIES.indicators


@pytest.mark.parametrize("kind", sorted(TABLE))
def test_outputs_are_those_of_the_grammar(kind: str, frame: pd.DataFrame) -> None:
    known = [
        output for output in INDICATORS[kind].outputs or (None,) if output not in dict(INDICATORS[kind].looks_ahead)
    ]
    assert list(compute(indicator(kind), frame)) == known


@pytest.mark.parametrize("kind", sorted(TABLE))
def test_warm_up_is_as_long_as_the_grammar_says(kind: str, frame: pd.DataFrame) -> None:
    it = indicator(kind)
    columns = np.column_stack(list(compute(it, frame).values()))
    complete = np.asarray(np.isfinite(columns).all(axis=1))
    assert complete.argmax() == it.warmup
    assert complete[it.warmup :].all()


@pytest.mark.parametrize("kind", sorted(TABLE))
@pytest.mark.parametrize("bound", ["low", "high"])
def test_parameters_at_their_bounds_are_computed(kind: str, bound: str, eurusd: pd.DataFrame) -> None:
    whole = [p for p in INDICATORS[kind].parameters if p.kind == "whole"]
    parameters = {p.name: int(getattr(p, bound)) for p in whole}
    if kind == "macd" and bound == "low":
        parameters["slow_period"] = 2
    columns = np.column_stack(list(compute(indicator(kind, **parameters), eurusd).values()))
    assert np.isfinite(columns[indicator(kind, **parameters).warmup :]).all()


def test_sma_is_the_mean_of_the_last_bars(frame: pd.DataFrame) -> None:
    np.testing.assert_allclose(values("sma", frame, period=5), frame["close"].rolling(5).mean(), rtol=1e-12)


def test_source_chooses_the_price(frame: pd.DataFrame) -> None:
    expected = frame["high"].rolling(5).mean()
    np.testing.assert_allclose(values("sma", frame, period=5, source="high"), expected, rtol=1e-12)


@pytest.mark.parametrize("adjust", [True, False])
def test_ema_weighs_as_adjust_says(frame: pd.DataFrame, adjust: bool) -> None:
    close, alpha = frame["close"].to_numpy(), 2 / (10 + 1)
    averages, weights = [close[0]], [1.0]
    for price in close[1:]:
        weight = 1 + (1 - alpha) * weights[-1] if adjust else 1 / alpha
        averages.append(averages[-1] + (price - averages[-1]) / weight)
        weights.append(weight)
    np.testing.assert_allclose(values("ema", frame, period=10, adjust=adjust)[9:], averages[9:], rtol=1e-12)


def test_roc_is_the_change_in_per_cent(frame: pd.DataFrame) -> None:
    np.testing.assert_allclose(values("roc", frame, period=3), frame["close"].pct_change(3) * 100, atol=1e-9)


def test_rsi_is_wilders(frame: pd.DataFrame) -> None:
    change = np.diff(frame["close"].to_numpy(), prepend=np.nan)
    gains, losses = wilder(np.maximum(change, 0), 14), wilder(np.maximum(-change, 0), 14)
    np.testing.assert_allclose(values("rsi", frame, period=14), 100 * gains / (gains + losses), rtol=1e-8)


def test_atr_is_wilders_average_of_the_true_range(frame: pd.DataFrame) -> None:
    before = frame["close"].shift()
    ranges = pd.concat([frame["high"] - frame["low"], (frame["high"] - before).abs(), (frame["low"] - before).abs()])
    true_range = ranges.groupby(level=0).max().reindex(frame.index).to_numpy()
    np.testing.assert_allclose(values("atr", frame, period=14), wilder(true_range, 14), rtol=1e-8)


def test_bollinger_bands_lie_multiplier_deviations_around_the_mean(frame: pd.DataFrame) -> None:
    bands = compute(indicator("bollingerbands", period=20, multiplier=1.5), frame)
    middle, deviation = frame["close"].rolling(20).mean(), frame["close"].rolling(20).std(ddof=0)
    np.testing.assert_allclose(bands["upper"], middle + 1.5 * deviation, rtol=1e-7)
    np.testing.assert_allclose(bands["middle"], middle, rtol=1e-12)
    np.testing.assert_allclose(bands["lower"], middle - 1.5 * deviation, rtol=1e-7)


@pytest.mark.parametrize("fast", [1, 12])
def test_macd_histogram_is_line_less_signal(frame: pd.DataFrame, fast: int) -> None:
    macd = compute(indicator("macd", fast_period=fast), frame)
    np.testing.assert_allclose(macd["histogram"][40:], (macd["line"] - macd["signal"])[40:], atol=1e-15)


def test_macd_line_is_the_distance_of_two_averages(frame: pd.DataFrame) -> None:
    line = values("macd", frame, "line", fast_period=5, slow_period=10, signal_period=3)
    apart = frame["close"].ewm(span=5, adjust=False).mean() - frame["close"].ewm(span=10, adjust=False).mean()
    # Both kinds of average forget how they began.
    np.testing.assert_allclose(line[200:], apart.to_numpy()[200:], atol=1e-12)


def test_stochastic_is_where_the_close_lies_in_the_range(frame: pd.DataFrame) -> None:
    lines = compute(indicator("stochastic", k_period=14, smooth_k=3, d_period=4), frame)
    low, high = frame["low"].rolling(14).min(), frame["high"].rolling(14).max()
    k = (100 * (frame["close"] - low) / (high - low)).rolling(3).mean()
    np.testing.assert_allclose(lines["k"][30:], k[30:], rtol=1e-7)
    np.testing.assert_allclose(lines["d"][30:], k.rolling(4).mean()[30:], rtol=1e-7)


def test_directional_indicators_tell_a_rise_from_a_fall() -> None:
    rise = np.arange(100.0, 160.0)
    frame = pd.DataFrame({"high": rise + 0.5, "low": rise - 0.5, "close": rise})
    lines = compute(indicator("adx", period=5), frame)
    assert lines["plus_di"][-1] > 50
    assert lines["minus_di"][-1] == 0
    assert lines["adx"][-1] == pytest.approx(100)


def test_an_indicator_that_is_not_computed_is_refused_by_name(frame: pd.DataFrame) -> None:
    with pytest.raises(ResearchError, match=r"indicators\.it: .* does not compute zigzag") as refused:
        compute(indicator("zigzag"), frame)
    assert refused.value.code is ErrorCode.INVALID_STRATEGY
