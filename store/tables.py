"""The store's tables. Rows are written once and never changed.

`cycles.status` holds the whole CycleStatus as JSON and is what reading gives back; the columns beside it are copies of
what people filter and sort by. The tables are made by the migrations, which a test holds against this file.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlmodel import Field, SQLModel

RECORD_VERSION = 2
"""The form of `cycles.status`. Raised when an older program could no longer read a new record."""

MAX_ID = 1000
"""The longest workflow id that a Temporal server takes."""


class ExactDecimal(sa.types.TypeDecorator[Decimal]):
    """Money as text: SQLite's own numbers are binary floats."""

    impl = sa.String(40)
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> str | None:
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value)


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """An aware time, kept as UTC. SQLite keeps no zone, so reading puts it back."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class CycleRow(SQLModel, table=True):
    """One run of one cycle, as it ended."""

    __tablename__ = "cycles"
    # Without AUTOINCREMENT SQLite gives the number of a deleted last row again, and snapshots name states by number.
    __table_args__ = (
        # By which the best of any number of backtests are found, and how many there are, without reading the others.
        sa.Index("ix_cycles_trials", "backtested", "symbol", "timeframe", "trials"),
        sa.Index("ix_cycles_excess", "backtested", "symbol", "timeframe", "years", "excess_low"),
        sa.Index("ix_cycles_sharpe", "backtested", "sharpe_ratio"),
        sa.Index("ix_cycles_return", "backtested", "total_return"),
        sa.Index("ix_cycles_drawdown", "backtested", "max_drawdown"),
        sa.Index("ix_cycles_skill", "symbol", "timeframe", "validation_skill"),
        {"sqlite_autoincrement": True},
    )

    id: int | None = Field(default=None, primary_key=True)
    run_id: str = Field(max_length=MAX_ID, unique=True)
    cycle_id: str = Field(max_length=MAX_ID, index=True)
    record_version: int
    symbol: str = Field(max_length=32, index=True)
    timeframe: str = Field(max_length=8)
    designer: str = Field(max_length=16)
    seed: int
    outcome: str = Field(max_length=16, index=True)
    stopped_in: str | None = Field(max_length=16)
    reason: str | None = Field(sa_type=sa.Text)
    error_code: str | None = Field(max_length=64, index=True)
    error_message: str | None = Field(sa_type=sa.Text)
    strategy_name: str | None = Field(max_length=80, index=True)
    strategy_sha256: str | None = Field(max_length=64, index=True)
    strategy_hash: str | None = Field(max_length=64, index=True)
    strategy_text: str | None = Field(sa_type=sa.Text)
    parameters: str | None = Field(sa_type=sa.Text)
    memory_snapshot: str | None = Field(max_length=80)
    data_sha256: str | None = Field(max_length=64, index=True)
    validation_accuracy: float | None
    validation_skill: float | None
    training_gate_passed: bool | None
    backtested: bool
    sharpe_ratio: float | None
    total_return: float | None
    excess_low: float | None
    years: float | None
    trials: int | None
    max_drawdown: float | None
    total_trades: int | None
    backtest_gate_passed: bool | None
    verdict: str | None = Field(max_length=16, index=True)
    tokens: int = Field(sa_type=sa.BigInteger)
    cost_usd: Decimal = Field(sa_type=ExactDecimal)
    started_at: datetime = Field(sa_type=UtcDateTime)
    ended_at: datetime | None = Field(sa_type=UtcDateTime)
    status: dict[str, Any] = Field(sa_type=sa.JSON)


class HypothesisRow(SQLModel, table=True):
    """A statement that an assessment left for a later cycle to test. Untested, until it has a settlement."""

    __tablename__ = "hypotheses"
    __table_args__ = (sa.UniqueConstraint("cycle_row", "position"), {"sqlite_autoincrement": True})

    id: int | None = Field(default=None, primary_key=True)
    cycle_row: int = Field(foreign_key="cycles.id", index=True)
    position: int
    text: str = Field(sa_type=sa.Text)
    rationale: str = Field(sa_type=sa.Text)


class SettlementRow(SQLModel, table=True):
    """What a cycle's results say of a hypothesis that it tested. The last one is the hypothesis's status."""

    __tablename__ = "settlements"
    __table_args__ = (sa.UniqueConstraint("hypothesis_row", "cycle_row"), {"sqlite_autoincrement": True})

    id: int | None = Field(default=None, primary_key=True)
    hypothesis_row: int = Field(foreign_key="hypotheses.id", index=True)
    cycle_row: int = Field(foreign_key="cycles.id", index=True)
    status: str = Field(max_length=16)
    why: str = Field(sa_type=sa.Text)
