"""Cycles and the hypotheses that they leave."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "cycles",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run_id", sa.String(1000), nullable=False, unique=True),
        sa.Column("cycle_id", sa.String(1000), nullable=False, index=True),
        sa.Column("record_version", sa.Integer, nullable=False),
        sa.Column("symbol", sa.String(32), nullable=False, index=True),
        sa.Column("timeframe", sa.String(8), nullable=False),
        sa.Column("designer", sa.String(16), nullable=False),
        sa.Column("seed", sa.Integer, nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False, index=True),
        sa.Column("stopped_in", sa.String(16)),
        sa.Column("reason", sa.Text),
        sa.Column("error_code", sa.String(64), index=True),
        sa.Column("error_message", sa.Text),
        sa.Column("strategy_name", sa.String(80), index=True),
        sa.Column("strategy_sha256", sa.String(64), index=True),
        sa.Column("strategy_hash", sa.String(64), index=True),
        sa.Column("strategy_text", sa.Text),
        sa.Column("parameters", sa.Text),
        sa.Column("memory_snapshot", sa.String(80)),
        sa.Column("data_sha256", sa.String(64), index=True),
        sa.Column("validation_accuracy", sa.Float),
        sa.Column("validation_skill", sa.Float),
        sa.Column("training_gate_passed", sa.Boolean),
        sa.Column("backtested", sa.Boolean, nullable=False),
        sa.Column("sharpe_ratio", sa.Float),
        sa.Column("max_drawdown", sa.Float),
        sa.Column("total_trades", sa.Integer),
        sa.Column("backtest_gate_passed", sa.Boolean),
        sa.Column("verdict", sa.String(16), index=True),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column("cost_usd", sa.String(40), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("status", sa.JSON, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "hypotheses",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("cycle_row", sa.Integer, sa.ForeignKey("cycles.id"), nullable=False, index=True),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("rationale", sa.Text, nullable=False),
        sa.Column("status", sa.String(16), nullable=False, index=True),
        sa.UniqueConstraint("cycle_row", "position"),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    """Remove both tables, with all that they hold."""
    op.drop_table("hypotheses")
    op.drop_table("cycles")
