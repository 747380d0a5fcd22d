"""What operators have stopped.

Cores of the version before need no stop: they ignore the table.

Phase: expand.
"""

import sqlalchemy as sa
from alembic import op

from core.database.schema import UtcDateTime

revision = "0034_stops"
down_revision = "0033_business_limits"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table, which is empty: nothing is stopped."""
    op.create_table(
        "stops",
        sa.Column("business_id", sa.String(64), nullable=False),
        sa.Column("gateway", sa.String(32), nullable=False),
        sa.Column("what", sa.String(32), nullable=False),
        sa.Column("stopped_at", UtcDateTime(), nullable=False),
        sa.Column("stopped_by", sa.String(200), nullable=False),
        sa.Column("reason", sa.String(500), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("ended_by", sa.String(200), nullable=True),
        sa.Column("ended_reason", sa.String(500), nullable=True),
        sa.PrimaryKeyConstraint("business_id", "gateway", "what", name=op.f("pk_stops")),
        sa.CheckConstraint(
            "gateway IN ('*', 'stripe', 'authorize')", name=op.f("ck_stops_gateway_is_known")
        ),
        sa.CheckConstraint(
            "what IN ('charges', 'recurring', 'everything')", name=op.f("ck_stops_what_is_known")
        ),
    )


def downgrade() -> None:
    """Drop it: nothing is stopped any more."""
    op.drop_table("stops")
