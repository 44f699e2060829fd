"""What cycles say of the hypotheses that they tested. A hypothesis's status follows from it, and needs no column."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table. Every hypothesis is untested until then."""
    op.create_table(
        "settlements",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("hypothesis_row", sa.Integer, sa.ForeignKey("hypotheses.id"), nullable=False, index=True),
        sa.Column("cycle_row", sa.Integer, sa.ForeignKey("cycles.id"), nullable=False, index=True),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.UniqueConstraint("hypothesis_row", "cycle_row"),
        sqlite_autoincrement=True,
    )
    op.drop_index("ix_hypotheses_status", "hypotheses")
    op.drop_column("hypotheses", "status")


def downgrade() -> None:
    """Remove the table; every hypothesis is untested again."""
    op.add_column("hypotheses", sa.Column("status", sa.String(16), nullable=False, server_default="untested"))
    op.create_index("ix_hypotheses_status", "hypotheses", ["status"])
    op.drop_table("settlements")
