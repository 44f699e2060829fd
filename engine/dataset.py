"""A strategy's rows to learn from: features and targets of train and validation, and what train alone decided.

The backtest part and the lockbox are cut off before anything is computed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from domain.errors import ErrorCode, ResearchError
from domain.results import Part, Task
from domain.strategy import Mlp, Strategy, ZigzagLabels
from engine.features import Matrix, Scaler, build_features, fit_scalers, raw_features
from engine.labels import TRADED, SignalClass, Targets, compute_labels
from engine.network import Head
from engine.splits import describe, split_bars, training_bars

SMALLEST_TRADED_CLASS = 0.01
"""The least share of train that a class to be traded needs: from fewer rows a network learns to leave it out."""
MIN_ROWS = 50
MAX_CELLS = 100_000_000
"""The most that rows x features, and rows x units of the widest layer, may come to: 0.8 GB of features."""


@dataclass(frozen=True)
class PartRows:
    """Rows of one part in order of time: features (rows, features), float32; targets (rows,), see Dataset."""

    features: NDArray[np.float32]
    targets: NDArray[Any]


@dataclass(frozen=True)
class Dataset:
    """What a network is trained on.

    Targets are positions in `classes` (int32), or for a regression returns as fractions (float32).
    unseen: validation rows left out because their class does not occur in train.
    """

    task: Task
    train: PartRows
    validation: PartRows
    classes: tuple[SignalClass, ...]
    head: Head
    scalers: Mapping[str, Scaler]
    class_balance: Mapping[str, float]
    features: tuple[str, ...]
    parts: tuple[Part, ...]
    unseen: int

    @property
    def bars_used(self) -> int:
        """Rows of both parts."""
        return len(self.train.targets) + len(self.validation.targets)


def prepare(strategy: Strategy, frame: pd.DataFrame) -> Dataset:
    """The dataset of a strategy over bars.

    Raises ResearchError DATA_UNAVAILABLE where too few bars remain, INVALID_STRATEGY where the labels leave nothing to
    be learnt (with the counts) or the engine does not compute what the strategy asks for.
    """
    index = pd.DatetimeIndex(frame.index)
    split = split_bars(strategy, index)
    bars = training_bars(frame, split)
    _refuse_too_much(strategy, len(bars))
    scalers = fit_scalers(strategy, raw_features(strategy, bars)[split.train])
    matrix, names = build_features(strategy, bars, scalers)
    close = bars["close"].to_numpy(dtype=np.float64)
    labels = strategy.training.labels
    train = _rows(matrix[split.train], compute_labels(labels, close[split.train_zone]))
    validation = _rows(matrix[split.validation], compute_labels(labels, close[split.validation_zone]))
    _refuse_too_few(strategy, train, validation)
    parts = describe(split, index)
    if strategy.decisions.output_format == "regression":
        mean, scale = float(np.mean(train.targets)), float(np.std(train.targets))
        if scale == 0.0:
            raise ResearchError(ErrorCode.DATA_UNAVAILABLE, "every return in train is the same: there is no movement.")
        head = Head(0, mean, scale)
        return Dataset(
            Task.REGRESSION, _floats(train), _floats(validation), (), head, scalers, {}, names, parts, unseen=0
        )
    balance = _class_balance(strategy, train.targets)
    classes = tuple(c for c in SignalClass if balance[c.name] > 0)
    seen = np.isin(validation.targets, classes)
    return Dataset(
        task=Task.CLASSIFICATION,
        train=_positions(train, classes),
        validation=_positions(PartRows(validation.features[seen], validation.targets[seen]), classes),
        classes=classes,
        head=Head(len(classes)),
        scalers=scalers,
        class_balance=balance,
        features=names,
        parts=parts,
        unseen=int(np.sum(~seen)),
    )


def _rows(features: Matrix, labels: Targets) -> PartRows:
    """The rows that have every feature and a label. Labels go on into the embargo; no row lies there."""
    targets = labels[: len(features)]
    usable = np.isfinite(features).all(axis=1) & np.isfinite(targets)
    return PartRows(features[usable].astype(np.float32), targets[usable])


def _floats(rows: PartRows) -> PartRows:
    return PartRows(rows.features, rows.targets.astype(np.float32))


def _positions(rows: PartRows, classes: tuple[SignalClass, ...]) -> PartRows:
    return PartRows(rows.features, np.searchsorted(np.array(classes), rows.targets).astype(np.int32))


def _class_balance(strategy: Strategy, targets: Targets) -> dict[str, float]:
    counts = {c: int(np.sum(targets == c)) for c in SignalClass}
    rare = [c.name for c in TRADED if counts[c] < SMALLEST_TRADED_CLASS * len(targets)]
    if rare:
        raise ResearchError(
            ErrorCode.INVALID_STRATEGY,
            f"training.labels: {' and '.join(rare)} would be traded but make up less than "
            f"{SMALLEST_TRADED_CLASS:.0%} of train: {_spelt(counts)} of {len(targets)} rows. {_remedy(strategy)}",
        )
    return {c.name: count / len(targets) for c, count in counts.items()}


def _refuse_too_few(strategy: Strategy, train: PartRows, validation: PartRows) -> None:
    rows = {"train": len(train.targets), "validation": len(validation.targets)}
    if min(rows.values()) >= MIN_ROWS:
        return
    if isinstance(strategy.training.labels, ZigzagLabels):
        raise ResearchError(
            ErrorCode.INVALID_STRATEGY,
            f"training.labels: the labels leave {rows['train']} rows in train and {rows['validation']} in validation; "
            f"each needs {MIN_ROWS}. {_remedy(strategy)}",
        )
    raise ResearchError(
        ErrorCode.DATA_UNAVAILABLE,
        f"after the indicators' warm-up of {strategy.warmup} bars, train has {rows['train']} rows and validation "
        f"{rows['validation']}; each needs {MIN_ROWS}. Use shorter indicators or more bars.",
    )


def _refuse_too_much(strategy: Strategy, rows: int) -> None:
    widest = max(strategy.model.hidden_layers) if isinstance(strategy.model, Mlp) else 0
    for path, what, width in (
        ("nn_inputs", "features", len(strategy.features)),
        ("model.architecture.hidden_layers", "units in the widest layer", widest),
    ):
        if rows * width > MAX_CELLS:
            raise ResearchError(
                ErrorCode.INVALID_STRATEGY,
                f"{path}: {rows:,} rows by {width:,} {what} are {rows * width:,} numbers, more than the "
                f"{MAX_CELLS:,} that the engine takes. Use at most {MAX_CELLS // rows:,}, or fewer bars.",
            )


def _remedy(strategy: Strategy) -> str:
    labels = strategy.training.labels
    if isinstance(labels, ZigzagLabels):
        return f"A zigzag_threshold below {labels.zigzag_threshold:g} finds more segments in these bars."
    return "Other labels or other bars are needed."


def _spelt(counts: Mapping[SignalClass, int]) -> str:
    return ", ".join(f"{c.name} {count}" for c, count in counts.items())
