"""Earlier cycles with their strategies: for designers without anything of the backtest part, for assessors with it."""

from collections.abc import Mapping
from typing import Any, Literal

import sqlalchemy as sa
from pydantic import TypeAdapter
from sqlmodel import col

from domain.cycle import Outcome
from domain.gates import GateName, GateResult
from domain.memory import Experiment, ExperimentDetail, Precedent
from domain.results import TrainingResult, Verdict
from store.memory import SHOWS_SOMETHING, select_trials, trial_from
from store.tables import CycleRow

Order = Literal["newest", "best_skill"]
"""best_skill: by the validation accuracy above chance; cycles without one come last."""


def record_text(name: str) -> sa.Label[str]:
    """A cycle's whole record, as text: one that is no JSON does not make the others unreadable."""
    return sa.cast(col(CycleRow.status), sa.Text).label(name)


def select_experiments(
    *, symbol: str, timeframe: str | None, up_to: int | None, outcome: Outcome | None, order: Order
) -> sa.Select[Any]:
    """The query of experiments, each a trial with its strategy. Nothing that is selected holds a backtest's figure."""
    query = (
        select_trials()
        .add_columns(col(CycleRow.strategy_name), col(CycleRow.strategy_text))
        .where(col(CycleRow.symbol) == symbol, *SHOWS_SOMETHING)
    )
    if timeframe is not None:
        query = query.where(col(CycleRow.timeframe) == timeframe)
    if up_to is not None:
        # By skill a sum, so that it is no reason to read all rows up to that one: the index has them by skill.
        row = col(CycleRow.id) + 0 if order == "best_skill" else col(CycleRow.id)
        query = query.where(row <= up_to)
    if outcome is not None:
        query = query.where(col(CycleRow.outcome) == outcome.value)
    if order == "best_skill":
        query = query.order_by(col(CycleRow.validation_skill).desc().nulls_last())
    return query.order_by(col(CycleRow.id).desc())


def select_detail(cycle_id: str, up_to: int | None) -> sa.Select[Any]:
    """The query of one experiment's latest run, with its record, of which detail_from takes the training alone."""
    query = (
        select_trials()
        .add_columns(col(CycleRow.strategy_name), col(CycleRow.strategy_text), record_text("status"))
        .where(col(CycleRow.cycle_id) == cycle_id, *SHOWS_SOMETHING)
    )
    if up_to is not None:
        query = query.where(col(CycleRow.id) <= up_to)
    return query.order_by(col(CycleRow.id).desc())


def select_precedents(symbol: str, but: str, up_to: int) -> sa.Select[Any]:
    """The query of backtested cycles on the symbol, newest first, up to a row, but for the cycle `but`."""
    return (
        select_trials()
        .add_columns(
            *(col(CycleRow.strategy_name), col(CycleRow.strategy_text), col(CycleRow.verdict)),
            *(col(CycleRow.sharpe_ratio), col(CycleRow.max_drawdown), col(CycleRow.total_trades)),
        )
        .where(
            col(CycleRow.symbol) == symbol,
            col(CycleRow.backtested).is_(True),
            col(CycleRow.cycle_id) != but,
            col(CycleRow.id) <= up_to,
            *SHOWS_SOMETHING,
        )
        .order_by(col(CycleRow.id).desc())
    )


def experiment_from(row: sa.Row[Any]) -> Experiment:
    """The experiment that a row of any of these queries tells of."""
    return Experiment(trial=trial_from(row), strategy_name=row.strategy_name, strategy_text=row.strategy_text)


def detail_from(row: sa.Row[Any]) -> ExperimentDetail:
    """The experiment of select_detail. Raises ValueError where the record is not one."""
    record: Mapping[str, Any] = TypeAdapter(dict[str, Any]).validate_json(row.status)
    gates = [GateResult.model_validate(gate) for gate in record.get("gates", ())]
    training = record.get("training")
    return ExperimentDetail(
        experiment=experiment_from(row),
        training=TrainingResult.model_validate(training) if training else None,
        training_gate=next((gate for gate in gates if gate.gate is GateName.TRAINING), None),
    )


def precedent_from(row: sa.Row[Any]) -> Precedent:
    """The precedent that a row of select_precedents tells of."""
    return Precedent(
        experiment=experiment_from(row),
        verdict=Verdict(row.verdict) if row.verdict else None,
        sharpe_ratio=row.sharpe_ratio,
        max_drawdown=row.max_drawdown,
        total_trades=row.total_trades,
    )
