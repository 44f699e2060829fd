"""From a model's predictions to the position to hold, bar by bar, each from what its own close knows.

A signal is +1 (buy), -1 (sell) or 0 (nothing to say); a position is +1 (long), -1 (short) or 0 (flat). "Nothing to
say" keeps the position, whether the model named HOLD, was not confident enough, expected less than a trade costs, or
spoke on a bar that the volume filter passes over.

An opposite signal reverses the position at once. A strategy with `position_awareness` judges a signal by the position
held, as ktrdr's position manager does: one in its direction does nothing, one against it closes, and only a further
one, from flat, opens the other side.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from domain.errors import ErrorCode, ResearchError
from domain.grammar.learning import CostModel, Decisions

Signals = NDArray[np.int8]

VOLUME_WINDOW: Final = 20
"""Bars of the average that a bar's volume has to reach for volume_filter, that bar included."""

_SIGNAL_OF_CLASS: Final = np.array([1, 0, -1], dtype=np.int8)  # BUY 0, HOLD 1, SELL 2


def target_positions(
    predictions: NDArray[np.floating], decisions: Decisions, heard: NDArray[np.bool_] | None = None
) -> Signals:
    """The position wanted after the close of each bar, from a model's output for the bars, in order of time.

    Predictions are probabilities of shape (n, 3) for a classification and returns of shape (n,) for a regression;
    rows with NaN (a feature had no value yet) say nothing. A strategy whose file does not allow shorts from flat
    closes a long on a sell and waits; a regression may always go short, as ktrdr has it. `heard`, of shape (n,), says
    on which bars a signal counts; None: on all.
    """
    regression = decisions.output_format == "regression"
    signals = (
        signals_of_returns(predictions, decisions.cost_model)
        if regression
        else signals_of_classes(predictions, decisions.confidence_threshold)
    )
    return positions(
        signals if heard is None else np.where(heard, signals, 0).astype(np.int8),
        allow_short=regression or decisions.allow_short_from_flat,
        separation=decisions.filters.min_signal_separation,
        aware=decisions.position_awareness,
    )


def loud_enough(volume: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which bars pass volume_filter: those that traded, and no less than their last VOLUME_WINDOW bars on average.

    The first VOLUME_WINDOW - 1 bars have no such average and do not pass. Raises ResearchError DATA_UNAVAILABLE where
    no bar has any volume: the filter would have nothing to judge by.
    """
    if not np.any(volume > 0):
        raise ResearchError(
            ErrorCode.DATA_UNAVAILABLE,
            "decisions.filters.volume_filter: these bars carry no volume, so it would pass over every signal. Set it "
            "to false, or import bars with a volume column (`research data import FILE --replace`).",
        )
    loud = np.zeros(len(volume), dtype=np.bool_)
    if len(volume) >= VOLUME_WINDOW:
        last = volume[VOLUME_WINDOW - 1 :]
        total = np.zeros(len(last))
        # Added in one order for every bar, so that how many come after it cannot change a rounding.
        for first in range(VOLUME_WINDOW):
            total += volume[first : first + len(last)]
        # A mean of equal numbers may be rounded to just above them.
        loud[VOLUME_WINDOW - 1 :] = (last > 0) & (last >= total / VOLUME_WINDOW * (1 - 1e-12))
    return loud


def signals_of_classes(probabilities: NDArray[np.floating], confidence_threshold: float) -> Signals:
    """The likeliest class's signal where its probability reaches the threshold."""
    known = ~np.isnan(probabilities).any(axis=1)
    filled = np.where(known[:, None], probabilities, 0.0)
    acted_on = known & (filled.max(axis=1) >= confidence_threshold)
    return np.where(acted_on, _SIGNAL_OF_CLASS[filled.argmax(axis=1)], 0).astype(np.int8)


def signals_of_returns(predicted: NDArray[np.floating], cost_model: CostModel | None) -> Signals:
    """The sign of a predicted return that exceeds round_trip_cost times min_edge_multiplier; any sign without a
    cost model."""
    edge = cost_model.round_trip_cost * cost_model.min_edge_multiplier if cost_model else 0.0
    filled = np.nan_to_num(predicted, nan=0.0)
    return np.where(np.abs(filled) > edge, np.sign(filled), 0).astype(np.int8)


def positions(signals: Signals, *, allow_short: bool, separation: int, aware: bool = False) -> Signals:
    """The position after each signal, from flat. Two changes lie at least `separation` bars apart; a signal that
    comes sooner is not kept for later. aware: a signal against the position closes it and opens nothing."""
    held = np.zeros(len(signals), dtype=np.int8)
    position, changed_at = 0, -separation
    for i, signal in enumerate(signals.tolist()):
        if signal == 0:
            wanted = position
        elif aware and signal == -position:
            wanted = 0
        else:
            wanted = max(signal, -1 if allow_short else 0)
        if wanted != position and i - changed_at >= separation:
            position, changed_at = wanted, i
        held[i] = position
    return held
