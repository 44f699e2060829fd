"""From bars to the network's columns: indicators, then fuzzy memberships or scaled raw values.

The order is that of `strategy.features`. Scalers are fitted on the training part alone and travel with the model, so
that the backtest sees the very same numbers.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from domain.errors import ErrorCode, ResearchError
from domain.results import Frozen
from domain.strategy import Feature, Strategy
from engine.fuzzy import degree
from engine.indicators import Column, Outputs, compute

Matrix = NDArray[np.float64]


class Scaler(Frozen):
    """What the training part said about one raw column: scaled value = (value - offset) / scale."""

    kind: Literal["minmax", "zscore"]
    offset: float
    scale: float


Scalers = Mapping[str, Scaler]
"""By feature name; features that are not scaled have none."""


def build_features(strategy: Strategy, frame: pd.DataFrame, scalers: Scalers) -> tuple[Matrix, tuple[str, ...]]:
    """The network's input for each bar of `frame`, shape (bars, features), and the columns' names.

    Row t depends on bars up to t alone. Rows in an indicator's warm-up hold NaN. The first bar of `frame` has to be
    that of the training, since averages remember where they began. Raises ResearchError INVALID_STRATEGY for an
    indicator or a timeframe that this engine does not compute, KeyError if a scaler of a scaled feature is missing.
    """
    matrix = raw_features(strategy, frame)
    for position, feature in enumerate(strategy.features):
        if feature.normalization != "none":
            scaler = scalers[feature.name]
            matrix[:, position] = (matrix[:, position] - scaler.offset) / scaler.scale
    return matrix, tuple(feature.name for feature in strategy.features)


def raw_features(strategy: Strategy, frame: pd.DataFrame) -> Matrix:
    """The columns before any scaling, shape (bars, features). Errors as for build_features."""
    base = strategy.training_data.base_timeframe
    others = sorted({feature.timeframe for feature in strategy.features} - {base})
    if others:
        raise ResearchError(
            ErrorCode.INVALID_STRATEGY,
            f"nn_inputs: the embedded engine computes features at the base timeframe {base} alone, not at "
            f"{', '.join(others)}.",
        )
    outputs: dict[str, Outputs] = {}
    matrix = np.empty((len(frame), len(strategy.features)), dtype=np.float64)
    for position, feature in enumerate(strategy.features):
        if feature.indicator not in outputs:
            outputs[feature.indicator] = compute(strategy.indicator(feature.indicator), frame)
        matrix[:, position] = _column(feature, outputs[feature.indicator], frame)
    # A ratio to a price or a flat range can leave an infinity, which no network takes: it is no value, like a warm-up.
    matrix[~np.isfinite(matrix)] = np.nan
    return matrix


def fit_scalers(strategy: Strategy, train: Matrix) -> dict[str, Scaler]:
    """The scalers of a strategy's scaled features from unscaled columns of the training part, NaN rows ignored."""
    return {
        feature.name: _fit(feature, train[:, position])
        for position, feature in enumerate(strategy.features)
        if feature.normalization != "none"
    }


def _fit(feature: Feature, values: Column) -> Scaler:
    # scikit-learn gives a constant column the scale 1, so that it becomes 0 instead of a division by zero.
    column = values[np.isfinite(values)].reshape(-1, 1)
    if feature.normalization == "minmax":
        low_high = MinMaxScaler().fit(column)
        return Scaler(kind="minmax", offset=float(low_high.data_min_[0]), scale=float(1.0 / low_high.scale_[0]))
    standard = StandardScaler().fit(column)
    return Scaler(kind="zscore", offset=float(standard.mean_[0]), scale=float(standard.scale_[0]))


def _column(feature: Feature, outputs: Outputs, frame: pd.DataFrame) -> Column:
    values = outputs[feature.output]
    if feature.input_transform is not None:
        values = values / frame[feature.input_transform.reference].to_numpy(dtype=np.float64)
    return values if feature.membership is None else degree(feature.membership, values)
