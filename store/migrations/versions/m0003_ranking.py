"""What backtests are ranked by, in columns and indexes: figures of every recorded backtest, copied from its record."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SECONDS_PER_YEAR = 365.25 * 86_400

COLUMNS = (
    sa.Column("total_return", sa.Float),
    sa.Column("excess_low", sa.Float),
    sa.Column("years", sa.Float),
    sa.Column("trials", sa.Integer),
)

INDEXES = {
    "ix_cycles_trials": ("backtested", "symbol", "timeframe", "trials"),
    "ix_cycles_excess": ("backtested", "symbol", "timeframe", "years", "excess_low"),
    "ix_cycles_sharpe": ("backtested", "sharpe_ratio"),
    "ix_cycles_return": ("backtested", "total_return"),
    "ix_cycles_drawdown": ("backtested", "max_drawdown"),
    "ix_cycles_skill": ("symbol", "timeframe", "validation_skill"),
}


def upgrade() -> None:
    """Add the columns, fill them, then the indexes. What cannot be read stays empty: its record tells so when asked."""
    for column in COLUMNS:
        op.add_column("cycles", sa.Column(column.name, column.type))
    connection = op.get_bind()
    filled = sa.text(
        "UPDATE cycles SET total_return = :total_return, excess_low = :excess_low, years = :years, trials = :trials "
        "WHERE id = :id"
    )
    for row in list(_figures(connection)):
        connection.execute(filled, row)
    for name, columns in INDEXES.items():
        op.create_index(name, "cycles", list(columns))


def downgrade() -> None:
    """Take both away again; the records have it all."""
    for name in INDEXES:
        op.drop_index(name, "cycles")
    for column in COLUMNS:
        op.drop_column("cycles", column.name)


def _figures(connection: sa.Connection) -> Iterator[Mapping[str, object]]:
    records = sa.text(
        "SELECT id, CAST(status AS TEXT) AS record FROM cycles WHERE sharpe_ratio IS NOT NULL OR backtested"
    )
    for number, record in connection.execute(records):
        try:
            backtest: Any = json.loads(record)["backtest"]
            interval, part = backtest["excess_sharpe_interval"], backtest["part"]
            length = datetime.fromisoformat(part["end"]) - datetime.fromisoformat(part["start"])
            yield {
                "id": number,
                "total_return": float(backtest["total_return"]),
                "excess_low": float(interval["low"]) if interval else None,
                "years": length.total_seconds() / SECONDS_PER_YEAR,
                "trials": int(backtest["trials"]),
            }
        except (ValueError, TypeError, KeyError):
            continue
