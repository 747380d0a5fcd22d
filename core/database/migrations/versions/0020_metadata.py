"""Pairs of strings of users, payments, refunds, recurring jobs and holds, and lists by one pair.

Phase: expand.
"""

import sqlalchemy as sa
from alembic import op

from core.database.schema import UtcDateTime

revision = "0020_metadata"
down_revision = "0019_capture"
branch_labels = None
depends_on = None

_RESOURCES = ("users", "payments", "refunds", "recurring_jobs", "wallet_holds")


def upgrade() -> None:
    """Add the columns, which are NULL for rows from before, and the table."""
    for table in _RESOURCES:
        op.add_column(table, sa.Column("metadata", sa.Text(), nullable=True))
    op.create_table(
        "metadata_pairs",
        sa.Column("business_id", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("resource_id", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint(
            "business_id", "digest", "created_at", "resource_id", name=op.f("pk_metadata_pairs")
        ),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("metadata_pairs")
    for table in reversed(_RESOURCES):
        op.drop_column(table, "metadata")
