"""Odd parameters and odd bars: as many leading bars without a value as promised, then numbers, and no infinite one."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.strategy import Indicator
from engine.indicators import TABLE, compute
from engine.indicators_columns import ratio
from engine.indicators_trend import trailing_bands

ODD: dict[str, dict[str, Any]] = {
    "adline": {"use_sma_smoothing": True, "smoothing_period": 33},
    "adx": {"period": 2},
    "aroon": {"period": 1},
    "atr": {"period": 1},
    "bollingerbands": {"period": 2, "source": "volume"},
    "bollingerbandwidth": {"period": 3, "source": "volume"},
    "cci": {"period": 2},
    "cmf": {"period": 2},
    "distancefromma": {"period": 1, "ma_type": "EMA", "source": "volume"},
    "donchianchannels": {"period": 2},
    "ema": {"period": 1, "adjust": False},
    "fishertransform": {"period": 2, "smoothing": 1},
    "ichimoku": {"tenkan_period": 40, "kijun_period": 3, "senkou_b_period": 1, "displacement": 1},
    "keltnerchannels": {"period": 2, "atr_period": 30},
    "macd": {"fast_period": 1, "slow_period": 2, "signal_period": 1},
    "mfi": {"period": 1},
    "momentum": {"period": 1, "source": "volume"},
    "obv": {},
    "parabolicsar": {"initial_af": 0.1, "step_af": 0.1, "max_af": 0.1},
    "roc": {"period": 1, "source": "volume"},
    "rsi": {"period": 2},
    "rvi": {"period": 4, "signal_period": 1},
    "sma": {"period": 2, "source": "volume"},
    "squeezeintensity": {"bb_period": 2, "kc_period": 2, "source": "volume"},
    "stochastic": {"k_period": 1, "d_period": 1, "smooth_k": 1},
    "supertrend": {"period": 2, "multiplier": 0.01},
    "volumeratio": {"period": 2},
    "vwap": {"period": 0},
    "williamsr": {"period": 1},
    "wma": {"period": 2, "source": "volume"},
}
INDICATORS = [Indicator(id="it", type=kind, parameters=p) for kind in TABLE for p in ({}, ODD[kind])]

BOUNDS = {
    "adx": (0, 100),
    "aroon": (-100, 100),
    "cmf.cmf": (-1, 1),
    "mfi": (0, 100),
    "rsi": (0, 100),
    "squeezeintensity": (0, 1),
    "stochastic": (0, 100),
    "williamsr": (-100, 0),
}

STILL = {
    "adline": 0,
    "adx": 0,
    "atr": 0,
    "bollingerbandwidth": 0,
    "cci": 0,
    "cmf": 0,
    "distancefromma": 0,
    "fishertransform": 0,
    "macd": 0,
    "mfi": 50,
    "momentum": 0,
    "obv": 0,
    "roc": 0,
    "rvi": 0,
    "squeezeintensity": 0,
    "volumeratio": 1,
    "williamsr": 0,
}
"""What an indicator says where nothing moves and nothing is traded."""
AT_THE_PRICE = (
    "bollingerbands",
    "donchianchannels",
    "ema",
    "ichimoku",
    "keltnerchannels",
    "parabolicsar",
    "sma",
    "vwap",
    "wma",
)


def bars(rows: list[tuple[float, float, float, float]], start: float = 1.1) -> pd.DataFrame:
    """Bars from (step of the open, step of the close, reach beyond both, volume), in fractions of the price."""
    values, close = [], start
    for gap, step, reach, volume in rows:
        opened = close * (1 + gap)
        close = opened * (1 + step)
        values.append((opened, max(opened, close) * (1 + reach), min(opened, close) * (1 - reach), close, volume))
    return pd.DataFrame(values, columns=["open", "high", "low", "close", "volume"], dtype=np.float64)


def small(limit: float) -> st.SearchStrategy[float]:
    return st.one_of(st.just(0.0), st.just(0.0), st.floats(-limit, limit))


row = st.tuples(
    small(0.2), small(0.05), small(0.01).map(abs), st.one_of(st.just(0.0), st.floats(0.001, 1e12), st.just(7.0))
)


def number_of(indicator: Indicator, frame: pd.DataFrame) -> np.ndarray:
    return np.column_stack(list(compute(indicator, frame).values()))


@pytest.mark.parametrize("kind", sorted(TABLE))
def test_warm_up_is_as_long_as_the_grammar_says_with_odd_parameters(kind: str, eurusd: pd.DataFrame) -> None:
    it = Indicator(id="it", type=kind, parameters=ODD[kind])
    known = np.isfinite(number_of(it, eurusd.iloc[:300])).all(axis=1)
    assert int(known.argmax()) == it.warmup
    assert known[it.warmup :].all()


@settings(max_examples=25, deadline=None)
@given(st.lists(row, min_size=1, max_size=12), st.integers(1, 8), st.floats(1e-4, 1e5))
def test_any_bars_have_numbers_after_the_warm_up(rows: list[Any], times: int, start: float) -> None:
    frame = bars(rows * times, start)
    for it in INDICATORS:
        for output, line in compute(it, frame).items():
            name = f"{it.type}.{output}"
            assert len(line) == len(frame), name
            assert not np.isinf(line).any(), (name, it.parameters)
            assert np.isfinite(line[it.warmup :]).all(), (name, it.parameters)
            low, high = BOUNDS.get(name, BOUNDS.get(it.type, (-np.inf, np.inf)))
            room = 1e-6 * (high - low) if np.isfinite(high) else 0.0
            seen = line[~np.isnan(line)]
            assert ((seen >= low - room) & (seen <= high + room)).all(), (name, it.parameters)


@pytest.mark.parametrize("price", [0.00071, 1.1, 1.2345678, 40_123.7])
def test_bars_that_stand_still_have_the_value_of_standing_still(price: float) -> None:
    frame = bars([(0.0, 0.0, 0.0, 0.0)] * 120, price)
    expected = dict.fromkeys(AT_THE_PRICE, price) | STILL
    for kind, value in expected.items():
        for output, line in compute(Indicator(id="it", type=kind), frame).items():
            np.testing.assert_allclose(line[-1], value, rtol=1e-9, atol=1e-9, err_msg=f"{kind}.{output}")


def test_volume_that_dried_up_leaves_no_trace_of_what_was_before() -> None:
    moves = [(0.0, (-1) ** t * 0.001 * (1 + t % 3), 0.001, 1e11 / 3 if t < 40 else 0.0) for t in range(100)]
    frame = bars(moves)
    last = {kind: compute(Indicator(id="it", type=kind), frame) for kind in ("cmf", "mfi", "volumeratio", "vwap")}
    assert last["cmf"]["cmf"][-1] == 0.0
    assert last["mfi"][None][-1] == 50.0
    assert last["volumeratio"][None][-1] == 1.0
    typical = frame[["high", "low", "close"]].mean(axis=1)
    assert last["vwap"][None][-1] == pytest.approx(typical.iloc[-20:].mean(), rel=1e-12)


def test_a_close_on_the_band_turns_no_supertrend() -> None:
    still = bars([(0.0, 0.0, 0.0, 1.0)] * 40)
    assert set(compute(Indicator(id="it", type="supertrend"), still)["direction"][10:]) == {-1.0}


def test_a_close_on_the_lower_band_does_not_end_a_rise_and_one_below_does() -> None:
    trend, direction = trailing_bands([2.0, 4.0, 4.0, 4.0], [1.0, 3.0, 3.0, 3.0], [2.5, 3.0, 3.0, 2.9])
    assert direction == [1.0, 1.0, 1.0, -1.0]
    assert trend == [1.0, 3.0, 3.0, 4.0]


def test_a_division_by_next_to_nothing_is_taken_for_one_by_nothing() -> None:
    assert ratio(np.array([1e300, 1.0, 6.0]), np.array([1e-300, 0.0, 2.0]), 7.0).tolist() == [7.0, 7.0, 3.0]
