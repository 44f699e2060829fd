"""What the network sees, and what is learnt from: columns in order, scalers from train alone, honest refusals."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils.class_weight import compute_class_weight

from domain.errors import ErrorCode, ResearchError
from domain.grammar.values import TIMEFRAMES
from domain.results import Task
from domain.strategy import Indicator, Strategy, trainability
from engine.dataset import prepare
from engine.features import build_features, raw_features
from engine.indicators import compute
from engine.labels import SignalClass, forward_return, zigzag
from engine.resampling import resample
from engine.splits import split_bars, training_bars

Build = Callable[..., Strategy]


def zigzag_of(threshold: float) -> dict[str, Any]:
    return {"training": {"labels": {"source": "zigzag", "zigzag_threshold": threshold}}}


def test_columns_come_in_the_strategys_order(strategy: Build, eurusd: pd.DataFrame) -> None:
    plain = strategy()
    matrix, names = build_features(plain, eurusd, prepare(plain, {"EURUSD": eurusd}).scalers["EURUSD"])
    assert names == (
        "1h_rsi_level_low",
        "1h_rsi_level_middle",
        "1h_rsi_level_high",
        "1h_roc_10",
        "1h_macd_histogram",
    )
    assert matrix.shape == (len(eurusd), 5)


def test_warm_up_is_unknown_and_everything_after_it_known(strategy: Build, eurusd: pd.DataFrame) -> None:
    plain = strategy()
    matrix, _ = build_features(plain, eurusd, prepare(plain, {"EURUSD": eurusd}).scalers["EURUSD"])
    assert np.isnan(matrix[: plain.warmup]).any(axis=1).all()
    assert np.isfinite(matrix[plain.warmup :]).all()


def test_scalers_are_scikit_learns_on_the_training_part(strategy: Build, eurusd: pd.DataFrame) -> None:
    plain = strategy()
    split = split_bars(plain, pd.DatetimeIndex(eurusd.index))
    raw = raw_features(plain, training_bars(eurusd, split))
    scaled, _ = build_features(plain, eurusd, prepare(plain, {"EURUSD": eurusd}).scalers["EURUSD"])
    roc = StandardScaler().fit(raw[split.train, 3:4]).transform(raw[:, 3:4])
    macd = MinMaxScaler().fit(raw[split.train, 4:5]).transform(raw[:, 4:5])
    np.testing.assert_allclose(scaled[: len(raw), 3:5], np.hstack([roc, macd]), rtol=1e-9, atol=1e-12)


def test_scalers_do_not_know_validation(strategy: Build, eurusd: pd.DataFrame) -> None:
    plain = strategy()
    split = split_bars(plain, pd.DatetimeIndex(eurusd.index))
    changed = eurusd.copy()
    changed.iloc[split.first + split.validation.start :, :4] **= 2
    assert prepare(plain, {"EURUSD": changed}).scalers == prepare(plain, {"EURUSD": eurusd}).scalers


def test_a_price_ratio_is_taken_before_the_memberships(strategy: Build, eurusd: pd.DataFrame) -> None:
    near = {
        "indicators": {"sma_20": {"type": "sma", "period": 20}},
        "fuzzy_sets": {
            "band": {"indicator": "sma_20", "input_transform": {"type": "price_ratio"}, "above": [1.0, 1.01, 1.02]}
        },
        "nn_inputs": [{"fuzzy_set": "band", "timeframes": "all"}],
    }
    matrix, _ = build_features(strategy(near), eurusd, {})
    sma = compute(Indicator(id="s", type="sma", parameters={"period": 20}), eurusd)[None]
    ratio = sma / eurusd["close"].to_numpy()
    expected = np.clip(np.minimum((ratio - 1) / 0.01, (1.02 - ratio) / 0.01), 0, 1)
    np.testing.assert_allclose(matrix[:, 0], expected, atol=1e-9)
    assert np.nanmax(matrix) > 0


def test_targets_are_the_labels_of_each_part_by_itself(strategy: Build, eurusd: pd.DataFrame) -> None:
    plain = strategy()
    split = split_bars(plain, pd.DatetimeIndex(eurusd.index))
    close = eurusd["close"].to_numpy()
    dataset = prepare(plain, {"EURUSD": eurusd})
    for rows, part, zone in (
        (dataset.train, split.train, split.train_zone),
        (dataset.validation, split.validation, split.validation_zone),
    ):
        labels = zigzag(close[zone], 0.006)[: part.stop - part.start]
        np.testing.assert_array_equal(rows.targets, labels[~np.isnan(labels)])
    assert dataset.classes == tuple(SignalClass)


def test_returns_are_learnt_as_they_are_with_trains_mean_and_scale_beside_them(
    strategy: Build, regression: Mapping[str, Any], eurusd: pd.DataFrame
) -> None:
    it = strategy(regression)
    split = split_bars(it, pd.DatetimeIndex(eurusd.index))
    dataset = prepare(it, {"EURUSD": eurusd})
    returns = forward_return(eurusd["close"].to_numpy(), 12)
    assert dataset.task is Task.REGRESSION
    np.testing.assert_array_equal(dataset.train.targets, returns[split.train])
    assert dataset.head.mean == pytest.approx(returns[split.train].mean())
    assert dataset.head.scale == pytest.approx(returns[split.train].std())


def test_class_balance_is_that_of_train(strategy: Build, eurusd: pd.DataFrame) -> None:
    dataset = prepare(strategy(), {"EURUSD": eurusd})
    shares = np.bincount(dataset.train.targets) / len(dataset.train.targets)
    assert list(dataset.class_balance.values()) == shares.tolist()
    assert list(dataset.class_balance) == ["BUY", "HOLD", "SELL"]


def test_balanced_classes_weigh_the_same_in_sum_and_as_scikit_learn_has_them(
    strategy: Build, eurusd: pd.DataFrame
) -> None:
    plain, balanced = (
        prepare(strategy({"training": {"class_weights": how}}), {"EURUSD": eurusd}) for how in ("none", "balanced")
    )
    assert (plain.train.weights == 1).all()
    assert (balanced.validation.weights == 1).all()
    classes = np.unique(balanced.train.targets)
    each = compute_class_weight("balanced", classes=classes, y=balanced.train.targets)
    np.testing.assert_allclose(balanced.train.weights, each[balanced.train.targets], rtol=1e-6)


def test_a_row_of_a_recurrent_network_has_a_whole_window_before_it(strategy: Build, eurusd: pd.DataFrame) -> None:
    shape = {"hidden_layers": None, "activation": None, "sequence_length": 150, "hidden_size": 4}
    it = strategy({"model": {"type": "gru", "architecture": shape}, "training_data": {"history_required": 50}})
    dataset = prepare(it, {"EURUSD": eurusd})
    assert dataset.train.ends.min() >= it.warmup + 149
    assert dataset.validation.ends.max() < split_bars(it, pd.DatetimeIndex(eurusd.index)).validation.stop
    plain = prepare(strategy({"training_data": {"history_required": 50}}), {"EURUSD": eurusd})
    kept = plain.train.ends >= it.warmup + 149
    np.testing.assert_array_equal(plain.train.ends[kept], dataset.train.ends)


def test_symbols_are_joined_with_scalers_of_their_own_and_no_window_from_one_into_another(
    strategy: Build, eurusd: pd.DataFrame
) -> None:
    shape = {"hidden_layers": None, "activation": None, "sequence_length": 30, "hidden_size": 4}
    block = {"mode": "multi_symbol", "list": ["A", "B"], "symbol": None}
    it = strategy({"model": {"type": "lstm", "architecture": shape}, "training_data": {"symbols": block}})
    hundredfold = eurusd.assign(**{name: eurusd[name] * 100 for name in ("open", "high", "low", "close")})
    both = prepare(it, {"A": eurusd, "B": hundredfold.iloc[500:]})
    alone = prepare(it, {"A": eurusd})
    assert both.scalers["A"] == alone.scalers["A"] != both.scalers["B"]
    count, border = len(alone.train.ends), len(alone.train.features)
    for part in ("train", "validation"):
        rows, ours = getattr(both, part), getattr(alone, part)
        here = len(ours.ends)
        np.testing.assert_array_equal(rows.ends[:here], ours.ends)
        np.testing.assert_array_equal(rows.features[rows.ends[:here]], ours.features[ours.ends])
        assert rows.ends[here:].min() - 29 >= border
    assert len(both.train.ends) > count
    assert both.parts[-1].bars == 2 * (alone.parts[-1].bars or 0)


def test_a_threshold_that_leaves_no_segments_is_refused_with_the_counts(strategy: Build, eurusd: pd.DataFrame) -> None:
    with pytest.raises(ResearchError, match="leave 0 rows in train") as refused:
        prepare(strategy(zigzag_of(0.3)), {"EURUSD": eurusd})
    assert refused.value.code is ErrorCode.INVALID_STRATEGY
    assert "zigzag_threshold below 0.3" in refused.value.message


def test_a_class_to_be_traded_that_is_too_rare_is_refused_with_the_counts(
    strategy: Build, eurusd: pd.DataFrame
) -> None:
    # Falls of three bars between long rises.
    saw = np.where(np.arange(len(eurusd)) % 500 >= 496, -0.05, 0.0005)
    frame = eurusd.assign(close=np.cumprod(1 + saw) + 1e-6 * eurusd["close"])
    with pytest.raises(ResearchError, match=r"SELL would be traded .* BUY \d+, HOLD \d+, SELL \d+") as refused:
        prepare(strategy(zigzag_of(0.02)), {"EURUSD": frame})
    assert refused.value.code is ErrorCode.INVALID_STRATEGY


def several(*timeframes: str, base: str) -> dict[str, Any]:
    block = {"mode": "multi_timeframe", "list": list(timeframes), "base_timeframe": base, "timeframe": None}
    return {"training_data": {"timeframes": block}}


def test_a_higher_timeframes_feature_is_that_of_its_last_closed_bar(strategy: Build, eurusd: pd.DataFrame) -> None:
    it = strategy(several("1h", "4h", "1d", base="1h"))
    matrix, names = build_features(it, eurusd, prepare(it, {"EURUSD": eurusd}).scalers["EURUSD"])
    raw = raw_features(it, eurusd)
    for timeframe in ("4h", "1d"):
        length = TIMEFRAMES[timeframe]
        rsi = compute(Indicator(id="r", type="rsi"), resample(eurusd, timeframe))[None]
        roc = compute(Indicator(id="r", type="roc"), resample(eurusd, timeframe))[None]
        opened = resample(eurusd, timeframe).index
        for at in (2000, 2001, 2002, 2003, 2004, len(eurusd) - 1):
            seen = max(k for k, time in enumerate(opened) if time + length <= eurusd.index[at] + TIMEFRAMES["1h"])
            assert raw[at, names.index(f"{timeframe}_roc_10")] == roc[seen]
            low = matrix[at, names.index(f"{timeframe}_rsi_level_low")]
            assert low == pytest.approx(np.clip((45 - rsi[seen]) / 45, 0, 1))
    assert np.isfinite(raw[it.warmup :]).all()


def test_a_finer_timeframe_than_the_bars_is_refused_by_name(strategy: Build, eurusd: pd.DataFrame) -> None:
    it = strategy(several("1h", "4h", base="4h"))
    with pytest.raises(ResearchError, match=r"features at 1h need bars finer than .* 4h") as refused:
        raw_features(it, eurusd)
    assert refused.value.code is ErrorCode.INVALID_STRATEGY
    assert trainability(it).lacks == ("training_data.timeframes: 1h beside the base timeframe 4h, which is coarser",)


def test_bars_without_movement_are_refused(
    strategy: Build, regression: Mapping[str, Any], eurusd: pd.DataFrame
) -> None:
    still = eurusd.assign(open=1.0, high=1.0, low=1.0, close=1.0)
    with pytest.raises(ResearchError, match="no movement") as refused:
        prepare(strategy(regression), {"EURUSD": still})
    assert refused.value.code is ErrorCode.DATA_UNAVAILABLE


@pytest.mark.parametrize(
    ("layers", "columns", "told"),
    [
        ([16, 1024], 1, r"hidden_layers: 195,000 rows by 1,024 units in the widest layer are 199,680,000 numbers"),
        ([16], 60, r"nn_inputs: 195,000 rows by 960 features are 187,200,000 numbers.*at most 512"),
    ],
)
def test_more_numbers_than_fit_into_memory_are_refused_before_they_are_made(
    strategy: Build, layers: list[int], columns: int, told: str
) -> None:
    wide = {f"m{at}": [0, at, 100] for at in range(1, 17)}
    fuzzy_sets = {f"set_{at}": {"indicator": "rsi_14", **wide} for at in range(columns)}
    asked = strategy(
        {
            "model": {"architecture": {"hidden_layers": layers}},
            "fuzzy_sets": fuzzy_sets,
            "nn_inputs": [{"fuzzy_set": name, "timeframes": "all"} for name in fuzzy_sets],
        }
    )
    index = pd.date_range("2020-01-01", periods=300_000, freq="min", tz="UTC")
    bars = pd.DataFrame(1.0, index=index, columns=["open", "high", "low", "close", "volume"])
    with pytest.raises(ResearchError, match=told) as refused:
        prepare(asked, {"EURUSD": bars})
    assert refused.value.code is ErrorCode.INVALID_STRATEGY
