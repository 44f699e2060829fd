"""What a designer may know of earlier cycles: validation and gate results, never figures of the backtest part."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from domain.cycle import MemorySnapshot, Outcome, TrialRecord
from store.tables import CycleRow

MAX_TRIALS = 2_000
"""The newest trials that a snapshot holds; a search learns little from older ones, and reading stays quick."""

_TRIAL_COLUMNS = (
    "id",
    "cycle_id",
    "strategy_hash",
    "parameters",
    "symbol",
    "timeframe",
    "outcome",
    "reason",
    "training_gate_passed",
    "backtest_gate_passed",
    "validation_accuracy",
    "validation_skill",
)
"""All that is read: the columns with figures of the backtest part are not among them."""


SHOWS_SOMETHING = (
    col(CycleRow.strategy_hash).is_not(None),
    col(CycleRow.outcome).in_([Outcome.COMPLETED, Outcome.REJECTED, Outcome.FAILED]),
)
"""The cycles that say something about a design."""


def select_trials() -> sa.Select[Any]:
    """The query of what a trial is made of, over all cycles."""
    return sa.select(*(getattr(CycleRow, name) for name in _TRIAL_COLUMNS))


def trial_from(row: sa.Row[Any]) -> TrialRecord:
    """The trial that a row of select_trials tells of.

    The backtest gate's reason quotes figures of the backtest part (a Sharpe ratio), so it is left out: the trial says
    that the gate said no, and nothing more.
    """
    quotes_backtest = row.backtest_gate_passed is not None
    return TrialRecord(
        cycle_id=row.cycle_id,
        strategy_hash=row.strategy_hash,
        parameters=row.parameters,
        symbol=row.symbol,
        timeframe=row.timeframe,
        outcome=Outcome(row.outcome),
        reason=None if quotes_backtest else row.reason,
        validation_accuracy=row.validation_accuracy,
        validation_skill=row.validation_skill,
        training_gate_passed=row.training_gate_passed,
        backtest_gate_passed=row.backtest_gate_passed,
    )


def snapshot_of(symbol: str, timeframe: str, numbered: Sequence[tuple[int, TrialRecord]]) -> MemorySnapshot:
    """The state that consists of these trials, given with their row numbers in order.

    The id is the highest row number and a hash of the contents: the number finds the state again, the hash proves it.
    Cycles' ids, which are made by chance, are no part of what was learned: the same history gives the same snapshot.
    """
    trials = tuple(trial for _, trial in numbered)
    contents = [symbol, timeframe, *(trial.model_dump(mode="json", exclude={"cycle_id"}) for trial in trials)]
    digest = hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()
    return MemorySnapshot(id=f"m{numbered[-1][0] if numbered else 0}-{digest[:8]}", trials=trials)
