"""Cutting or changing the future leaves every feature and prediction of the past as it was, bit for bit."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from domain.strategy import INDICATORS, Indicator, Mlp, Recurrent, Strategy
from engine.dataset import prepare
from engine.features import build_features
from engine.indicators import TABLE, compute
from engine.model import Model, Recipe, predict
from engine.network import Plan, begin
from engine.splits import split_bars

MOMENTS = (130, 401, 1024, 1500)
BARS = 1600

SETTINGS: dict[str, list[dict[str, Any]]] = {
    "macd": [{}, {"fast_period": 1, "slow_period": 2, "signal_period": 1}, {"source": "high"}],
    "ema": [{}, {"adjust": False}, {"period": 100, "source": "low"}],
    "bollingerbands": [{}, {"period": 2, "multiplier": 0.5}, {"source": "volume"}],
    "stochastic": [{}, {"k_period": 1, "d_period": 1, "smooth_k": 1}],
    "adline": [{}, {"use_sma_smoothing": True, "smoothing_period": 30}],
    "distancefromma": [{}, {"period": 1}, {"ma_type": "EMA", "source": "high"}],
    "ichimoku": [{}, {"tenkan_period": 1, "kijun_period": 3, "senkou_b_period": 100, "displacement": 1}],
    "obv": [{}],
    "parabolicsar": [{}, {"initial_af": 0.05, "step_af": 0.1, "max_af": 0.3}],
    "vwap": [{}, {"period": 0}, {"period": 1, "use_typical_price": False}],
    **{kind: [{}, {"period": 1}] for kind in ("aroon", "mfi", "williamsr")},
}


def futures(frame: pd.DataFrame, now: int) -> Iterator[pd.DataFrame]:
    """The bars up to `now` with no future, and with two that never were."""
    yield frame.iloc[: now + 1]
    for factor in (3.0, 0.01):
        changed = frame.copy()
        changed.iloc[now + 1 :] *= factor
        yield changed


def same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    return np.ascontiguousarray(one).tobytes() == np.ascontiguousarray(other).tobytes()


@pytest.fixture(scope="module")
def frame(eurusd: pd.DataFrame) -> pd.DataFrame:
    return eurusd.iloc[:BARS]


@pytest.fixture
def full(strategy: Callable[..., Strategy]) -> Strategy:
    """Every indicator with all its outputs, every membership, normalization and transform."""
    indicators = {kind: {"type": kind} for kind in TABLE}
    outputs = [f"{kind}.{o}" for kind in TABLE for o in INDICATORS[kind].outputs if o != "chikou"]
    outputs += [kind for kind in TABLE if not INDICATORS[kind].outputs]
    scalings = ("minmax", "zscore", "none")
    raw = [
        {"raw_indicator": output, "timeframes": "all", "normalization": scalings[at % 3]}
        for at, output in enumerate(sorted(outputs))
    ]
    members = {
        "tri": [20, 50, 80],
        "shoulder": [0, 0, 45],
        "trap": {"type": "trapezoidal", "parameters": [10, 40, 60, 90]},
        "gauss": {"type": "gaussian", "parameters": [50, 7]},
    }
    return strategy(
        {
            "indicators": indicators,
            "fuzzy_sets": {
                "strength": {"indicator": "rsi", **members},
                "trend": {"indicator": "adx.plus_di", **members},
                "band": {
                    "indicator": "bollingerbands.upper",
                    "input_transform": {"type": "price_ratio", "reference": "close"},
                    "near": [0.99, 1.0, 1.01],
                },
            },
            "nn_inputs": [
                *({"fuzzy_set": name, "timeframes": "all"} for name in ("strength", "trend", "band")),
                *raw,
            ],
        }
    )


@pytest.mark.parametrize("kind", sorted(TABLE))
@pytest.mark.parametrize("now", MOMENTS)
def test_no_indicator_knows_the_future(kind: str, now: int, frame: pd.DataFrame) -> None:
    for parameters in SETTINGS.get(kind, [{}, {"period": 5}]):
        indicator = Indicator(id="it", type=kind, parameters=parameters)
        known = compute(indicator, frame)
        for future in futures(frame, now):
            for output, values in compute(indicator, future).items():
                assert same_bits(values[: now + 1], known[output][: now + 1]), (kind, parameters, output)


@pytest.mark.parametrize("now", MOMENTS)
def test_no_feature_knows_the_future(full: Strategy, now: int, frame: pd.DataFrame, eurusd: pd.DataFrame) -> None:
    scalers = prepare(full, {"EURUSD": eurusd}).scalers["EURUSD"]
    known, _ = build_features(full, frame, scalers)
    for future in futures(frame, now):
        features, _ = build_features(full, future, scalers)
        assert same_bits(features[: now + 1], known[: now + 1])


@pytest.mark.parametrize(
    "architecture",
    [
        Mlp(hidden_layers=(8,)),
        Recurrent(type="lstm", sequence_length=7, hidden_size=4),
        Recurrent(type="gru", sequence_length=7, hidden_size=4, num_layers=2),
    ],
    ids=lambda it: it.type,
)
def test_no_prediction_knows_the_future(
    full: Strategy, architecture: Mlp | Recurrent, frame: pd.DataFrame, eurusd: pd.DataFrame
) -> None:
    dataset = prepare(full, {"EURUSD": eurusd})
    recipe = Recipe(
        task=dataset.task,
        classes=dataset.classes,
        architecture=architecture,
        indicators=full.indicators,
        features=full.features,
        scalers={"EURUSD": dict(dataset.scalers["EURUSD"])},
        decisions=full.decisions,
        strategy_sha256="0" * 64,
        symbol="EURUSD",
        timeframe="1h",
        seed=1,
    )
    network, _ = begin(architecture, len(full.features), Plan(3, "cross_entropy", 32, clips=False), seed=1)
    model = Model(recipe, network, "id")
    known = predict(model, build_features(full, frame, model.scalers("EURUSD"))[0])
    for now in MOMENTS:
        for future in futures(frame, now):
            said = predict(model, build_features(full, future, model.scalers("EURUSD"))[0])
            assert same_bits(said[: now + 1], known[: now + 1])


def test_what_is_learnt_from_knows_nothing_after_validation(full: Strategy, eurusd: pd.DataFrame) -> None:
    split = split_bars(full, pd.DatetimeIndex(eurusd.index))
    changed = eurusd.copy()
    changed.iloc[split.first + split.backtest.start :] *= 5.0
    before, after = prepare(full, {"EURUSD": eurusd}), prepare(full, {"EURUSD": changed})
    for part in ("train", "validation"):
        rows, others = getattr(before, part), getattr(after, part)
        assert same_bits(rows.features[rows.ends], others.features[others.ends])
        assert same_bits(rows.targets, others.targets)
    assert before.scalers == after.scalers
