"""A strategy's rows to learn from: features and targets of train and validation, and what train alone decided.

The backtest part and the lockbox are cut off before anything is computed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_sample_weight

from domain.errors import ErrorCode, ResearchError
from domain.results import Part, Task
from domain.strategy import Mlp, Recurrent, Strategy, TripleBarrierLabels, ZigzagLabels
from engine.features import Matrix, Scalers, fit_scalers, raw_features, scaled
from engine.labels import TRADED, SignalClass, Targets, labels_and_weights
from engine.network import CHUNK, Head
from engine.splits import Split, describe_symbols, split_symbols, training_bars

SMALLEST_TRADED_CLASS = 0.01
"""The least share of train that a class to be traded needs: from fewer rows a network learns to leave it out."""
MIN_ROWS = 50
MAX_CELLS = 100_000_000
"""The most that rows x features, and rows x units of the widest layer, may come to: 0.8 GB of features."""


@dataclass(frozen=True)
class PartRows:
    """Rows of one part, by symbol and in order of time.

    features: of all bars that a training reads, shape (bars, features), float32, 0 where a value is unknown. ends:
    the positions of the rows' bars in them; what a network sees of a row are the bars up to it. targets: (rows,), see
    Dataset. weights: (rows,), float32, of the rows' losses in train.
    """

    features: NDArray[np.float32]
    ends: NDArray[np.int32]
    targets: NDArray[Any]
    weights: NDArray[np.float32]

    def only(self, chosen: NDArray[np.bool]) -> "PartRows":
        """The rows for which `chosen` says so."""
        return replace(self, ends=self.ends[chosen], targets=self.targets[chosen], weights=self.weights[chosen])


@dataclass(frozen=True)
class Dataset:
    """What a network is trained on.

    Targets are positions in `classes` (int32), or for a regression returns as fractions (float64).
    scalers: by symbol, each from its own train. unseen: validation rows left out because their class does not occur in
    train.
    """

    task: Task
    train: PartRows
    validation: PartRows
    classes: tuple[SignalClass, ...]
    head: Head
    scalers: Mapping[str, Scalers]
    class_balance: Mapping[str, float]
    features: tuple[str, ...]
    parts: tuple[Part, ...]
    unseen: int

    @property
    def bars_used(self) -> int:
        """Rows of both parts."""
        return len(self.train.targets) + len(self.validation.targets)


def prepare(strategy: Strategy, frames: Mapping[str, pd.DataFrame]) -> Dataset:
    """The dataset of a strategy over the bars of one or more symbols.

    Raises ResearchError DATA_UNAVAILABLE where too few bars remain, INVALID_STRATEGY where the labels leave nothing to
    be learnt (with the counts) or the engine does not compute what the strategy asks for.
    """
    indexes = {symbol: pd.DatetimeIndex(frame.index) for symbol, frame in frames.items()}
    splits = split_symbols(strategy, indexes)
    bars = {symbol: training_bars(frame, splits[symbol]) for symbol, frame in frames.items()}
    _refuse_too_much(strategy, sum(len(frame) for frame in bars.values()))
    each = {symbol: _rows_of(strategy, frame, splits[symbol]) for symbol, frame in bars.items()}
    train = join([rows.train for rows in each.values()])
    validation = join([rows.validation for rows in each.values()])
    _refuse_too_few(strategy, train, validation)
    scalers = {symbol: rows.scalers for symbol, rows in each.items()}
    names = tuple(feature.name for feature in strategy.features)
    parts = describe_symbols(splits, indexes)
    if strategy.decisions.output_format == "regression":
        mean, scale = float(np.mean(train.targets)), float(np.std(train.targets))
        if scale == 0.0:
            raise ResearchError(ErrorCode.DATA_UNAVAILABLE, "every return in train is the same: there is no movement.")
        return Dataset(
            Task.REGRESSION, train, validation, (), Head(0, mean, scale), scalers, {}, names, parts, unseen=0
        )
    balance = _class_balance(strategy, train.targets)
    classes = tuple(c for c in SignalClass if balance[c.name] > 0)
    seen = np.isin(validation.targets, classes)
    train = _positions(train, classes)
    if strategy.training.class_weights == "balanced":
        balanced = compute_sample_weight("balanced", train.targets)
        train = replace(train, weights=(train.weights * balanced).astype(np.float32))
    return Dataset(
        task=Task.CLASSIFICATION,
        train=train,
        validation=_positions(validation.only(seen), classes),
        classes=classes,
        head=Head(len(classes)),
        scalers=scalers,
        class_balance=balance,
        features=names,
        parts=parts,
        unseen=int(np.sum(~seen)),
    )


def join(parts: Sequence[PartRows]) -> PartRows:
    """The rows of several symbols as those of one: no window of one reaches into another, for each was made whole."""
    before = np.cumsum([0, *(len(part.features) for part in parts[:-1])])
    return PartRows(
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.ends + offset for part, offset in zip(parts, before, strict=True)]).astype(np.int32),
        np.concatenate([part.targets for part in parts]),
        np.concatenate([part.weights for part in parts]),
    )


@dataclass(frozen=True)
class _OfSymbol:
    train: PartRows
    validation: PartRows
    scalers: Scalers


def _rows_of(strategy: Strategy, bars: pd.DataFrame, split: Split) -> _OfSymbol:
    """One symbol's rows, from the bars that a training may read."""
    raw = raw_features(strategy, bars)
    scalers = fit_scalers(strategy, raw[split.train])
    matrix = scaled(strategy, raw, scalers)
    usable = whole_windows(matrix, sequence_length(strategy))
    features = np.where(np.isfinite(matrix), matrix, 0.0).astype(np.float32)
    labels = strategy.training.labels

    def rows(part: slice, zone: slice) -> PartRows:
        # Labels go on into the embargo; no row lies there.
        targets, weights = (found[: part.stop - part.start] for found in labels_and_weights(labels, bars.iloc[zone]))
        chosen = usable[part] & np.isfinite(targets)
        ends = np.arange(part.start, part.stop, dtype=np.int32)
        return PartRows(features, ends, targets, weights.astype(np.float32)).only(chosen)

    return _OfSymbol(rows(split.train, split.train_zone), rows(split.validation, split.validation_zone), scalers)


def sequence_length(strategy: Strategy) -> int:
    """How many bars the strategy's network sees of a row."""
    return strategy.model.sequence_length if isinstance(strategy.model, Recurrent) else 1


def whole_windows(features: Matrix, length: int) -> NDArray[np.bool]:
    """Whether the window of so many bars that ends with each bar lies within the bars and knows every value."""
    known = np.concatenate(([0], np.cumsum(np.isfinite(features).all(axis=1))))
    whole = np.zeros(len(features), dtype=np.bool)
    if length <= len(features):
        whole[length - 1 :] = known[length:] - known[:-length] == length
    return whole


def _positions(rows: PartRows, classes: tuple[SignalClass, ...]) -> PartRows:
    return replace(rows, targets=np.searchsorted(np.array(classes), rows.targets).astype(np.int32))


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
    length = sequence_length(strategy)
    window = f" and windows of {length} bars" if length > 1 else ""
    raise ResearchError(
        ErrorCode.DATA_UNAVAILABLE,
        f"after the indicators' warm-up of {strategy.warmup} bars{window}, train has {rows['train']} rows and "
        f"validation {rows['validation']}; each needs {MIN_ROWS}. Use shorter indicators or more bars.",
    )


def _refuse_too_much(strategy: Strategy, rows: int) -> None:
    model = strategy.model
    if isinstance(model, Mlp):
        held = ("model.architecture.hidden_layers", "units in the widest layer", max(model.hidden_layers), rows)
    else:
        # A batch's states are held for the gradient; whole parts are evaluated a chunk at a time.
        windows = max(min(strategy.training.batch_size, rows), CHUNK) * model.sequence_length
        width = model.hidden_size * model.num_layers
        held = ("model.architecture.hidden_size", "units of its layers", width, windows)
    for path, what, width, times in (("nn_inputs", "features", len(strategy.features), rows), held):
        if times * width > MAX_CELLS:
            raise ResearchError(
                ErrorCode.INVALID_STRATEGY,
                f"{path}: {times:,} rows by {width:,} {what} are {times * width:,} numbers, more than the "
                f"{MAX_CELLS:,} that the engine takes. Use at most {MAX_CELLS // times:,}, or fewer bars.",
            )


def _remedy(strategy: Strategy) -> str:
    labels = strategy.training.labels
    if isinstance(labels, ZigzagLabels):
        return f"A zigzag_threshold below {labels.zigzag_threshold:g} finds more segments in these bars."
    if isinstance(labels, TripleBarrierLabels):
        return (
            f"Barriers nearer than {labels.pt_multiplier:g} and {labels.sl_multiplier:g} times the volatility, or as "
            "far from the close as each other, are met more often and more evenly."
        )
    return "Other labels or other bars are needed."


def _spelt(counts: Mapping[SignalClass, int]) -> str:
    return ", ".join(f"{c.name} {count}" for c, count in counts.items())
