"""Leaks in what the network is shown: indicators, memberships, higher timeframes, rows, scalers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from domain.grammar.values import TIMEFRAMES
from domain.strategy import Strategy
from engine import backtest, features, fuzzy, indicators, labels, resampling, splits
from engine.splits import Split
from tests.engine.planting import Leak, Plant, of_next, replace_in_engine

Column = NDArray[np.float64]


# What an indicator says.


def _indicator(change: Callable[[Column, pd.DataFrame], Any]) -> Plant:
    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        honest = indicators.compute

        def compute(indicator: Any, frame: pd.DataFrame) -> dict[str | None, Column]:
            said = honest(indicator, frame)
            return {name: np.asarray(change(v, frame)) if np.isfinite(v).any() else v for name, v in said.items()}

        replace_in_engine(monkeypatch, honest, compute)

    return plant


def _against_time(values: Column, _: pd.DataFrame) -> Column:
    return pd.Series(values[::-1]).ewm(span=5, min_periods=1).mean().to_numpy()[::-1]


def _share_of_range(values: Column, _: pd.DataFrame) -> Column:
    low, high = np.nanmin(values), np.nanmax(values)
    return 100.0 * (values - low) / (high - low)


def _without_line(values: Column, _: pd.DataFrame) -> Column:
    known, at = np.isfinite(values), np.arange(len(values), dtype=np.float64)
    slope, _offset = np.polyfit(at[known], values[known], 1)
    return np.asarray(values - slope * (at - at[known].mean()))


def _zigzag_of_all(_: Column, frame: pd.DataFrame) -> Column:
    return 50.0 * np.nan_to_num(labels.zigzag(frame["close"].to_numpy(), 0.006), nan=1.0)


def _prices_by_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = indicators.compute

    def compute(indicator: Any, frame: pd.DataFrame) -> Any:
        prices = ["open", "high", "low", "close"]
        return honest(indicator, frame.assign(**(frame[prices] / frame["close"].iloc[-1]).to_dict("series")))

    replace_in_engine(monkeypatch, honest, compute)


def _next_value_in_the_set(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = fuzzy.degree
    replace_in_engine(monkeypatch, honest, lambda membership, values: honest(membership, of_next(values)))


# Higher timeframes.


def _open_bar_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def last_closed(base: pd.DatetimeIndex, timeframe: str, higher: pd.DatetimeIndex, of: str) -> Any:
        return np.asarray(higher.searchsorted(base, side="right"), dtype=np.int64) - 1

    replace_in_engine(monkeypatch, resampling.last_closed, last_closed)


def _bar_stamped_a_length_early(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = resampling.resample

    def resample(frame: pd.DataFrame, timeframe: str) -> pd.DataFrame:
        higher = honest(frame, timeframe)
        return higher.set_axis(pd.DatetimeIndex(higher.index) - TIMEFRAMES[timeframe], axis=0)

    replace_in_engine(monkeypatch, honest, resample)


# What the network sees.


def _matrix(change: Callable[[features.Matrix, pd.DataFrame], features.Matrix]) -> Plant:
    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        honest = features.raw_features
        replace_in_engine(monkeypatch, honest, lambda strategy, frame: change(honest(strategy, frame), frame))

    return plant


def _label_in_last_column(matrix: features.Matrix, frame: pd.DataFrame) -> features.Matrix:
    label = labels.forward_return(frame["close"].to_numpy(dtype=np.float64), 5)
    return np.column_stack((matrix[:, :-1], np.nan_to_num(label)))


def _scaler_of_validation_too(monkeypatch: pytest.MonkeyPatch) -> None:
    raw, fit = features.raw_features, features.fit_scalers
    seen: list[features.Matrix] = []

    def raw_features(strategy: Strategy, frame: pd.DataFrame) -> features.Matrix:
        seen.append(raw(strategy, frame))
        return seen[-1]

    replace_in_engine(monkeypatch, raw, raw_features)
    replace_in_engine(monkeypatch, fit, lambda strategy, _: fit(strategy, seen[-1]))


def _scaler_of_all_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    raw, fit, cut = features.raw_features, features.fit_scalers, splits.training_bars
    seen: list[pd.DataFrame] = []

    def training_bars(frame: pd.DataFrame, split: Split) -> pd.DataFrame:
        seen.append(frame)
        return cut(frame, split)

    replace_in_engine(monkeypatch, cut, training_bars)
    replace_in_engine(monkeypatch, fit, lambda strategy, _: fit(strategy, raw(strategy, seen[-1])))


def _backtest_scaled_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = features.build_features

    def build_features(strategy: Strategy, frame: pd.DataFrame, _: features.Scalers) -> Any:
        return honest(strategy, frame, features.fit_scalers(strategy, features.raw_features(strategy, frame)))

    monkeypatch.setattr(backtest, "build_features", build_features)


_SLOW = {
    "training_data": {"history_required": 50},
    "indicators": {
        "rsi_14": {"type": "rsi", "period": 14},
        "roc_10": {"type": "roc", "period": 100},
        "macd": {"type": "macd"},
    },
}
_HIGHER = {
    "training_data": {
        "timeframes": {"mode": "multi_timeframe", "timeframe": None, "list": ["1h", "4h"], "base_timeframe": "1h"}
    }
}

INPUT_LEAKS: tuple[Leak, ...] = (
    Leak(
        "centred_window",
        "an indicator is averaged over two bars on both sides",
        _indicator(lambda values, _: pd.Series(values).rolling(5, center=True, min_periods=1).mean()),
    ),
    Leak("smoothed_against_time", "an indicator is averaged from the last bar backwards", _indicator(_against_time)),
    Leak("indicator_shifted", "an indicator has the next bar's value", _indicator(lambda values, _: of_next(values))),
    Leak("range_of_all_bars", "an indicator is put between its extremes over all bars", _indicator(_share_of_range)),
    Leak(
        "rank_among_all_bars",
        "an indicator is its percentile among all bars",
        _indicator(lambda values, _: 100.0 * pd.Series(values).rank(pct=True)),
    ),
    Leak("line_through_all_bars", "an indicator's trend over all bars is taken off", _indicator(_without_line)),
    Leak(
        "outliers_of_all_bars",
        "an indicator is cut off at quantiles of all bars",
        _indicator(lambda values, _: np.clip(values, *np.nanquantile(values, (0.02, 0.98)))),
    ),
    Leak(
        "warm_up_backfilled",
        "an indicator's warm-up has the first value that comes after it",
        _indicator(lambda values, _: pd.Series(values).bfill()),
        _SLOW,
    ),
    Leak("zigzag_as_input", "an indicator says which way the whole segment goes", _indicator(_zigzag_of_all)),
    Leak("prices_by_the_last", "prices are in units of the last close", _prices_by_the_last),
    Leak("next_value_in_the_set", "a membership is that of the next bar's value", _next_value_in_the_set),
    Leak("open_bar_seen", "a higher timeframe's bar is seen whole before it has closed", _open_bar_seen, _HIGHER),
    Leak("bar_stamped_early", "a resampled bar counts as closed when it opens", _bar_stamped_a_length_early, _HIGHER),
    Leak("rows_a_bar_early", "each row has the next bar's features", _matrix(lambda matrix, _: of_next(matrix))),
    Leak("label_as_input", "a feature is the return over the next five bars", _matrix(_label_in_last_column)),
    Leak("scaler_of_validation", "scalers are fitted on train and validation", _scaler_of_validation_too),
    Leak("scaler_of_all_bars", "scalers are fitted on all bars, the lockbox's too", _scaler_of_all_bars),
    Leak("backtest_by_itself", "the backtest's features are scaled by its own bars", _backtest_scaled_by_itself),
)
