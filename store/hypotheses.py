"""Hypotheses in the store: what assessments left, and what later cycles said of them.

A hypothesis is known by h and its row's number. Its status is that of its last settlement, so that it can be told as of
any earlier row of `cycles`, as memory snapshots want it.
"""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from pydantic import TypeAdapter
from sqlalchemy import Connection
from sqlalchemy.orm import aliased
from sqlmodel import col

from domain.blinding import blinded, figures_of
from domain.memory import HypothesisRecord, OpenHypothesis
from domain.results import OPEN_STATUSES, Assessment, BacktestResult, Hypothesis, HypothesisStatus, Settlement
from store.tables import CycleRow, HypothesisRow, SettlementRow


def storable(text: str) -> str:
    """PostgreSQL's text holds no NUL. The JSON of the status keeps it, escaped."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def number_of(hypothesis_id: str) -> int:
    """The row that the id names."""
    return int(hypothesis_id.removeprefix("h"))


def keep(connection: Connection, cycle_row: int, assessment: Assessment) -> None:
    """Write what a newly recorded cycle's assessment says of hypotheses: those that it settles, and those it leaves.

    Only what an earlier cycle left, and what is still open, can be settled: anything else is passed over.
    """
    wanted = {number_of(each.hypothesis_id): each for each in assessment.settled}
    if wanted:
        still_open = select_hypotheses(up_to=cycle_row - 1, statuses=OPEN_STATUSES, numbers=wanted)
        rows = [_settled(row.id, cycle_row, wanted[row.id]) for row in connection.execute(still_open)]
        if rows:
            connection.execute(sa.insert(SettlementRow), rows)
    if assessment.hypotheses:
        left = [_left(cycle_row, position, each) for position, each in enumerate(assessment.hypotheses, 1)]
        connection.execute(sa.insert(HypothesisRow), left)


def select_hypotheses(
    *,
    up_to: int | None = None,
    statuses: Collection[HypothesisStatus] | None = None,
    numbers: Collection[int] | None = None,
    symbol: str | None = None,
    strategy_hash: str | None = None,
) -> sa.Select[Any]:
    """The query of hypotheses, newest first, as of the row `up_to` of cycles. None: without that condition."""
    settling, raising, any_settlement = aliased(CycleRow), CycleRow, aliased(SettlementRow)
    last = sa.select(sa.func.max(col(any_settlement.id))).where(
        col(any_settlement.hypothesis_row) == col(HypothesisRow.id)
    )
    if up_to is not None:
        last = last.where(col(any_settlement.cycle_row) <= up_to)
    status = sa.func.coalesce(col(SettlementRow.status), HypothesisStatus.UNTESTED.value)
    columns: list[Any] = [
        col(HypothesisRow.id),
        col(HypothesisRow.text),
        col(HypothesisRow.rationale),
        status.label("status"),
        col(raising.symbol),
        col(raising.timeframe),
        col(raising.cycle_id).label("raised_by"),
        _end_of(raising).label("raised_at"),
        col(settling.cycle_id).label("settled_by"),
        _end_of(settling).label("settled_at"),
        col(SettlementRow.why),
    ]
    query = (
        sa.select(*columns)
        .join(raising, col(raising.id) == col(HypothesisRow.cycle_row))
        .outerjoin(SettlementRow, col(SettlementRow.id) == last.correlate(HypothesisRow).scalar_subquery())
        .outerjoin(settling, col(settling.id) == col(SettlementRow.cycle_row))
        .order_by(col(HypothesisRow.id).desc())
    )
    if up_to is not None:
        query = query.where(col(HypothesisRow.cycle_row) <= up_to)
    if statuses is not None:
        query = query.where(status.in_([each.value for each in statuses]))
    if numbers is not None:
        query = query.where(col(HypothesisRow.id).in_(list(numbers)))
    if symbol is not None:
        query = query.where(col(raising.symbol) == symbol)
    if strategy_hash is not None:
        query = query.where(col(raising.strategy_hash) == strategy_hash)
    return query


def hypothesis_from(row: sa.Row[Any]) -> HypothesisRecord:
    """The hypothesis that a row of select_hypotheses tells of."""
    return HypothesisRecord(
        id=f"h{row.id}",
        text=row.text,
        rationale=row.rationale,
        status=HypothesisStatus(row.status),
        symbol=row.symbol,
        timeframe=row.timeframe,
        raised_by=row.raised_by,
        raised_at=_moment(row.raised_at),
        settled_by=row.settled_by,
        settled_at=None if row.settled_at is None else _moment(row.settled_at),
        why=row.why,
    )


def blinded_from(row: sa.Row[Any]) -> OpenHypothesis:
    """The hypothesis as a designer may know it. The row has the raising cycle's record beside it.

    The rationale is left out: it says why, and so tells of the backtest. In the text its figures are masked.
    """
    backtest = TypeAdapter(dict[str, Any]).validate_json(row.record).get("backtest")
    figures = figures_of(BacktestResult.model_validate(backtest)) if backtest else frozenset[float]()
    return OpenHypothesis(id=f"h{row.id}", text=blinded(row.text, figures), status=HypothesisStatus(row.status))


def _end_of(cycle: type[CycleRow]) -> sa.ColumnElement[Any]:
    """When the cycle ended, as the database has it: what is no time there must not make other rows unreadable."""
    return sa.type_coerce(sa.func.coalesce(col(cycle.ended_at), col(cycle.started_at)), sa.String)


def _moment(cell: object) -> datetime:
    """SQLite keeps a time as text without its zone. Raises ValueError for what is no time."""
    if isinstance(cell, datetime):
        return cell.astimezone(UTC)
    return datetime.fromisoformat(cell if isinstance(cell, str) else "").replace(tzinfo=UTC)


def _left(cycle_row: int, position: int, hypothesis: Hypothesis) -> dict[str, object]:
    return {
        "cycle_row": cycle_row,
        "position": position,
        "text": storable(hypothesis.text),
        "rationale": storable(hypothesis.rationale),
    }


def _settled(hypothesis_row: int, cycle_row: int, settlement: Settlement) -> dict[str, object]:
    return {
        "hypothesis_row": hypothesis_row,
        "cycle_row": cycle_row,
        "status": settlement.status.value,
        "why": storable(settlement.why),
    }
