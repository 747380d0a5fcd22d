"""Since when and why a recurring job is paused, and its dunning.

Phase: expand.
"""

import sqlalchemy as sa
from alembic import op

from core.database.schema import UtcDateTime

revision = "0015_recurring"
down_revision = "0014_cards"
branch_labels = None
depends_on = None

_REASON = "ck_recurring_jobs_paused_reason_is_known"
_MAXIMUM = "ck_recurring_jobs_max_failed_cycles_is_positive"


def upgrade() -> None:
    """Add the columns, which are NULL for jobs from before."""
    with op.batch_alter_table("recurring_jobs") as batch:
        batch.add_column(sa.Column("paused_at", UtcDateTime(), nullable=True))
        batch.add_column(sa.Column("paused_reason", sa.String(32), nullable=True))
        batch.create_check_constraint(
            op.f(_REASON), sa.text("paused_reason IN ('requested', 'failed_cycles')")
        )
        batch.add_column(sa.Column("retry_days", sa.String(64), nullable=True))
        batch.add_column(sa.Column("max_failed_cycles", sa.Integer(), nullable=True))
        batch.create_check_constraint(op.f(_MAXIMUM), sa.text("max_failed_cycles > 0"))


def downgrade() -> None:
    """Drop the columns."""
    with op.batch_alter_table("recurring_jobs") as batch:
        batch.drop_constraint(op.f(_MAXIMUM), type_="check")
        batch.drop_column("max_failed_cycles")
        batch.drop_column("retry_days")
        batch.drop_constraint(op.f(_REASON), type_="check")
        batch.drop_column("paused_reason")
        batch.drop_column("paused_at")
