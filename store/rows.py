"""A cycle's row as it is written: its record, and beside it what people filter, sort and rank by."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import col

from domain.cycle import CycleStatus, Phase
from domain.errors import ErrorCode, ResearchError
from domain.gates import GateName
from store.hypotheses import storable
from store.ranking import ranking_columns
from store.strategies import DesignFacts
from store.tables import RECORD_VERSION, CycleRow


def insertion(dialect: str, values: Mapping[str, object]) -> sa.sql.dml.ReturningInsert[Any]:
    """The statement that adds a row and gives its number, or nothing where the run id is known."""
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    return insert(CycleRow).values(values).on_conflict_do_nothing(index_elements=["run_id"]).returning(col(CycleRow.id))


def columns(status: CycleStatus, design: DesignFacts | None) -> dict[str, object]:
    """The row of an ended cycle. Raises internal_error for one that has not ended."""
    if status.outcome is None:
        raise ResearchError(
            ErrorCode.INTERNAL_ERROR, f"cycle {status.cycle_id} has not ended; only an ended cycle is recorded"
        )
    passed = {gate.gate: gate.passed for gate in status.gates}
    training, backtest, failure, strategy = status.training, status.backtest, status.failure, status.strategy
    tested = backtest or training
    return {
        "run_id": status.run_id,
        "cycle_id": status.cycle_id,
        "record_version": RECORD_VERSION,
        "symbol": status.request.symbol,
        "timeframe": status.request.timeframe,
        "designer": status.request.designer.value,
        "seed": status.request.seed,
        "outcome": status.outcome.value,
        "stopped_in": status.stopped_in.value if status.stopped_in else None,
        "reason": _storable(status.reason),
        "error_code": failure.code.value if failure else None,
        "error_message": _storable(failure.message) if failure else None,
        "strategy_name": strategy.name if strategy else None,
        "strategy_sha256": strategy.sha256 if strategy else None,
        "strategy_hash": design.strategy_hash if design else None,
        "strategy_text": _storable(design.text) if design else None,
        "parameters": _storable(design.parameters) if design else None,
        "memory_snapshot": _storable(status.memory_snapshot),
        "data_sha256": tested.data_sha256 if tested else None,
        "validation_accuracy": training.validation_accuracy if training else None,
        "validation_skill": training.skill if training and training.chance_known else None,
        "training_gate_passed": passed.get(GateName.TRAINING),
        "backtested": backtest is not None and Phase.BACKTESTING not in status.request.taken_over,
        "sharpe_ratio": backtest.sharpe_ratio if backtest else None,
        **ranking_columns(backtest),
        "max_drawdown": backtest.max_drawdown if backtest else None,
        "total_trades": backtest.total_trades if backtest else None,
        "backtest_gate_passed": passed.get(GateName.BACKTEST),
        "verdict": status.assessment.verdict.value if status.assessment else None,
        "tokens": status.tokens,
        "cost_usd": status.cost_usd,
        "started_at": status.started_at,
        "ended_at": status.ended_at,
        "status": status.model_dump(mode="json"),
    }


def _storable(text: str | None) -> str | None:
    return None if text is None else storable(text)
