"""From a model's predictions to the position to hold, bar by bar, each from what its own close knows.

A signal is +1 (buy), -1 (sell) or 0 (nothing to say); a position is +1 (long), -1 (short) or 0 (flat). "Nothing to
say" keeps the position, whether the model named HOLD, was not confident enough, or expected less than a trade costs.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from domain.grammar.learning import CostModel, Decisions

Signals = NDArray[np.int8]

_SIGNAL_OF_CLASS: Final = np.array([1, 0, -1], dtype=np.int8)  # BUY 0, HOLD 1, SELL 2


def target_positions(predictions: NDArray[np.floating], decisions: Decisions) -> Signals:
    """The position wanted after the close of each bar, from a model's output for the bars, in order of time.

    Predictions are probabilities of shape (n, 3) for a classification and returns of shape (n,) for a regression;
    rows with NaN (a feature had no value yet) say nothing. A strategy whose file does not allow shorts from flat
    closes a long on a sell and waits; a regression may always go short, as ktrdr has it.
    """
    if decisions.output_format == "regression":
        signals = signals_of_returns(predictions, decisions.cost_model)
        return positions(signals, allow_short=True, separation=decisions.filters.min_signal_separation)
    signals = signals_of_classes(predictions, decisions.confidence_threshold)
    return positions(
        signals,
        allow_short=decisions.allow_short_from_flat,
        separation=decisions.filters.min_signal_separation,
    )


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


def positions(signals: Signals, *, allow_short: bool, separation: int) -> Signals:
    """The position after each signal, from flat. Two changes lie at least `separation` bars apart; a signal that
    comes sooner is not kept for later."""
    held = np.zeros(len(signals), dtype=np.int8)
    position, changed_at = 0, -separation
    for i, signal in enumerate(signals.tolist()):
        wanted = position if signal == 0 else max(signal, -1 if allow_short else 0)
        if wanted != position and i - changed_at >= separation:
            position, changed_at = wanted, i
        held[i] = position
    return held
