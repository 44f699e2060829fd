"""How good predictions are, in figures that a model without skill cannot raise.

Both accuracies are balanced: the mean of the shares that were recognised of each class, or of rising and of falling
returns. Always naming the commonest gives 1/classes, or 1/2, however common it is. A class that occurs in train but
not in the part looked at counts as not recognised, so that a rare class's absence lends nobody skill.
"""

import numpy as np
from numpy.typing import NDArray

from engine.labels import SignalClass

Predictions = NDArray[np.floating]
Targets = NDArray[np.generic]


def accuracy(predictions: Predictions, targets: Targets, classes: int) -> float:
    """Balanced accuracy of class probabilities (rows, classes), or balanced directional accuracy of returns."""
    if classes:
        return float(np.mean(recalls(predictions.argmax(axis=1), targets, classes)))
    return directional_accuracy(predictions, targets)


def recalls(named: NDArray[np.integer], targets: Targets, classes: int) -> NDArray[np.float64]:
    """For each class the share of its rows that were named so; 0 for a class without rows."""
    rows = np.bincount(targets.astype(np.int64), minlength=classes)
    hits = np.bincount(targets[named == targets].astype(np.int64), minlength=classes)
    return hits / np.maximum(rows, 1)


def directional_accuracy(predicted: Predictions, returns: Targets) -> float:
    """The mean of the hit rates on rising and on falling bars; a prediction of exactly 0 hits neither."""
    actual = returns.astype(np.float64)
    rising = _share(predicted[actual > 0] > 0)
    falling = _share(predicted[actual < 0] < 0)
    return (rising + falling) / 2


def class_metrics(
    probabilities: Predictions, targets: Targets, classes: tuple[SignalClass, ...], unseen: int
) -> dict[str, float]:
    """Plain accuracy, each class's recall and precision (0 where never named), and numbers of rows."""
    named = probabilities.argmax(axis=1)
    found = recalls(named, targets, len(classes))
    right = recalls(targets.astype(np.int64), named, len(classes))
    figures = {"accuracy": float(np.mean(named == targets)), "rows": float(len(targets)), "rows_unseen": float(unseen)}
    for position, one in enumerate(classes):
        figures[f"recall_{one.name}"] = float(found[position])
        figures[f"precision_{one.name}"] = float(right[position])
    return figures


def return_metrics(predicted: Predictions, returns: Targets) -> dict[str, float]:
    """Plain share of right directions, mean absolute error, and r squared against the mean of these very returns."""
    actual, guess = returns.astype(np.float64), predicted.astype(np.float64)
    spread = float(np.sum(np.square(actual - actual.mean())))
    return {
        "directional_accuracy_plain": float(np.mean(np.sign(guess) == np.sign(actual))),
        "mean_absolute_error": float(np.mean(np.abs(guess - actual))),
        "r_squared": 1.0 - float(np.sum(np.square(actual - guess))) / spread if spread > 0 else 0.0,
        "rows": float(len(actual)),
    }


def _share(hits: NDArray[np.bool]) -> float:
    return float(np.mean(hits)) if hits.size else 0.0
