"""From bars to the network's columns: indicators, then fuzzy memberships or scaled raw values.

A feature of a higher timeframe is computed on bars resampled from the base's, and seen from the close of its bar on.

The order is that of `strategy.features`. Scalers are fitted on the training part alone and travel with the model, so
that the backtest sees the very same numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from domain.errors import ErrorCode, ResearchError
from domain.grammar.values import TIMEFRAMES
from domain.results import Frozen
from domain.strategy import Feature, Strategy
from engine.feature_cache import kept
from engine.fuzzy import degree
from engine.indicators import Column, Outputs, compute
from engine.resampling import last_closed, resample

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
    return scaled(strategy, raw_features(strategy, frame), scalers), tuple(f.name for f in strategy.features)


def scaled(strategy: Strategy, raw: Matrix, scalers: Scalers) -> Matrix:
    """The columns of `raw_features` as the network sees them. KeyError if a scaler of a scaled feature is missing."""
    matrix = raw.copy()
    for position, feature in enumerate(strategy.features):
        if feature.normalization != "none":
            scaler = scalers[feature.name]
            matrix[:, position] = (matrix[:, position] - scaler.offset) / scaler.scale
    return matrix


def raw_features(strategy: Strategy, frame: pd.DataFrame) -> Matrix:
    """The columns before any scaling, shape (bars, features), computed or kept. Errors as for build_features."""
    return kept(strategy, frame, lambda: _computed(strategy, frame))


def _computed(strategy: Strategy, frame: pd.DataFrame) -> Matrix:
    base = strategy.training_data.base_timeframe
    # By columns: each is written, and looked through, as a whole.
    matrix = np.empty((len(frame), len(strategy.features)), dtype=np.float64, order="F")
    views: dict[str, _View] = {}
    # An indicator at a time, so that the memory of what one leaves behind is what the next is computed in.
    for (timeframe, indicator), places in _grouped(strategy.features).items():
        if timeframe not in views:
            views[timeframe] = _view(strategy, frame, base, timeframe)
        view = views[timeframe]
        outputs = compute(strategy.indicator(indicator), view.frame)
        for position in places:
            matrix[:, position] = view.seen(_column(strategy.features[position], outputs, view.frame))
            # A ratio to a price or a flat range can leave an infinity, which no network takes: it is no value, like a
            # warm-up.
            infinite = np.isinf(matrix[:, position])
            if infinite.any():
                matrix[infinite, position] = np.nan
    return matrix


def _grouped(features: Sequence[Feature]) -> dict[tuple[str, str], list[int]]:
    """The features' positions, by timeframe and indicator, in the order in which these are first asked for."""
    groups: dict[tuple[str, str], list[int]] = {}
    for position, feature in enumerate(features):
        groups.setdefault((feature.timeframe, feature.indicator), []).append(position)
    return groups


@dataclass(frozen=True)
class _View:
    """The bars of one timeframe, and the bar that each base bar has seen closed last.

    last_closed: positions in `frame`, -1 where none has closed yet; None where the bars are the base's own.
    """

    frame: pd.DataFrame
    last_closed: NDArray[np.int64] | None

    def seen(self, values: Column) -> Column:
        """A value of each of these bars, as it stands at the close of each base bar."""
        if self.last_closed is None:
            return values
        return np.append(values, np.nan)[self.last_closed]  # the bar before the first is the one appended


def _view(strategy: Strategy, frame: pd.DataFrame, base: str, timeframe: str) -> _View:
    if timeframe == base:
        return _View(frame, None)
    if TIMEFRAMES[timeframe] < TIMEFRAMES[base]:
        raise ResearchError(
            ErrorCode.INVALID_STRATEGY,
            f"nn_inputs: features at {timeframe} need bars finer than those of the base timeframe {base}. "
            f"Make {timeframe} the base_timeframe, or take it out.",
        )
    higher = resample(frame, timeframe)
    return _View(higher, last_closed(_times(frame), base, _times(higher), timeframe))


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


def _times(frame: pd.DataFrame) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(frame.index)
