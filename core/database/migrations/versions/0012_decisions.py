"""Operators' decisions.

Phase: expand.
"""

import sqlalchemy as sa
from alembic import op

from core.database.schema import UtcDateTime

revision = "0012_decisions"
down_revision = "0011_lists"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "decisions",
        sa.Column("business_id", sa.String(length=64), nullable=False),
        sa.Column("decision_id", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=32), nullable=False),
        sa.Column("subject_id", sa.String(length=320), nullable=False),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("resolution", sa.String(length=32), nullable=True),
        sa.Column("transaction_id", sa.String(length=255), nullable=True),
        sa.Column("previous_status", sa.String(length=32), nullable=True),
        sa.Column("is_forced", sa.Boolean(), nullable=False),
        sa.Column("decided_by", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.String(length=1000), nullable=False),
        sa.Column("findings", sa.Text(), nullable=False),
        sa.Column("decided_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "action IN ('resolve', 'retry', 'release')",
            name=op.f("ck_decisions_action_is_known"),
        ),
        sa.CheckConstraint(
            "resolution IN ('succeeded', 'declined', 'failed')",
            name=op.f("ck_decisions_resolution_is_known"),
        ),
        sa.CheckConstraint(
            "subject IN ('payment', 'recurring_job', 'webhook_event')",
            name=op.f("ck_decisions_subject_is_known"),
        ),
        sa.CheckConstraint(
            "(action = 'resolve') = (resolution IS NOT NULL)",
            name=op.f("ck_decisions_resolution_of_resolve"),
        ),
        sa.ForeignKeyConstraint(
            ["business_id"],
            ["businesses.business_id"],
            name=op.f("fk_decisions_businesses"),
        ),
        sa.PrimaryKeyConstraint("business_id", "decision_id", name=op.f("pk_decisions")),
    )
    op.create_index(
        "ix_decisions_business_id_subject",
        "decisions",
        ["business_id", "subject", "subject_id", "decided_at"],
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("decisions")
