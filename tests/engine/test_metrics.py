"""Accuracies that a model without skill cannot raise; scikit-learn's where scikit-learn defines them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, precision_score, r2_score, recall_score

from engine.labels import SignalClass
from engine.metrics import accuracy, class_metrics, directional_accuracy, return_metrics

labelled = st.integers(0, 2**32 - 1).map(np.random.default_rng)


def one_hot(named: np.ndarray, classes: int) -> np.ndarray:
    return np.asarray(np.eye(classes)[named])


@given(labelled, st.integers(2, 3), st.integers(6, 80))
def test_balanced_accuracy_is_scikit_learns_where_every_class_occurs(
    rng: np.random.Generator, classes: int, rows: int
) -> None:
    targets = np.concatenate([np.arange(classes), rng.integers(0, classes, rows)])
    named = rng.integers(0, classes, len(targets))
    assert accuracy(one_hot(named, classes), targets, classes) == pytest.approx(balanced_accuracy_score(targets, named))


@given(labelled)
def test_recall_and_precision_are_scikit_learns(rng: np.random.Generator) -> None:
    targets, named = np.concatenate([np.arange(3), rng.integers(0, 3, 40)]), rng.integers(0, 3, 43)
    figures = class_metrics(one_hot(named, 3), targets, tuple(SignalClass), unseen=4)
    recall = recall_score(targets, named, average=None, labels=range(3), zero_division=0)
    precision = precision_score(targets, named, average=None, labels=range(3), zero_division=0)
    assert [figures[f"recall_{c.name}"] for c in SignalClass] == pytest.approx(recall.tolist())
    assert [figures[f"precision_{c.name}"] for c in SignalClass] == pytest.approx(precision.tolist())
    assert figures["accuracy"] == pytest.approx(np.mean(named == targets))
    assert (figures["rows"], figures["rows_unseen"]) == (43, 4)


@pytest.mark.parametrize("named", [0, 1, 2])
def test_always_naming_one_class_is_worth_chance_however_common_it_is(named: int) -> None:
    targets = np.array([0] * 90 + [1] * 2 + [2] * 8)
    assert accuracy(one_hot(np.full(100, named), 3), targets, 3) == pytest.approx(1 / 3)


def test_the_absence_of_a_rare_class_lends_no_skill() -> None:
    targets = np.array([0] * 50 + [2] * 50)
    assert accuracy(one_hot(np.zeros(100, dtype=int), 3), targets, 3) == pytest.approx(1 / 3)


def test_always_expecting_a_rise_is_worth_chance_also_in_a_rising_market() -> None:
    returns = np.array([0.01] * 80 + [-0.01] * 20)
    assert directional_accuracy(np.full(100, 0.002), returns) == 0.5


def test_direction_is_balanced_between_rises_and_falls() -> None:
    returns = np.array([1.0, 1, 1, 1, -1, 0])
    assert directional_accuracy(np.array([1.0, 1, 1, -1, -1, 5]), returns) == (0.75 + 1.0) / 2


def test_expecting_nothing_hits_nothing() -> None:
    assert directional_accuracy(np.zeros(4), np.array([1.0, -1, 1, -1])) == 0.0


def test_metrics_of_returns_are_scikit_learns() -> None:
    rng = np.random.default_rng(3)
    returns = rng.normal(size=50)
    predicted = 0.5 * returns + rng.normal(size=50)
    figures = return_metrics(predicted, returns)
    assert figures["r_squared"] == pytest.approx(r2_score(returns, predicted))
    assert figures["mean_absolute_error"] == pytest.approx(np.abs(returns - predicted).mean())
