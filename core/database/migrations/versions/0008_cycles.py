"""The last cycle of a recurring job, and jobs that are set aside with their error.

Phase: expand.
"""

import sqlalchemy as sa
from alembic import op

from core.database.schema import UtcDateTime

revision = "0008_cycles"
down_revision = "0007_answer_schema"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, which are NULL for jobs from before."""
    op.add_column("recurring_jobs", sa.Column("last_cycle_local", sa.String(32), nullable=True))
    op.add_column("recurring_jobs", sa.Column("set_aside_at", UtcDateTime(), nullable=True))
    op.add_column("recurring_jobs", sa.Column("set_aside_error", sa.String(500), nullable=True))


def downgrade() -> None:
    """Drop the columns."""
    for column in ("set_aside_error", "set_aside_at", "last_cycle_local"):
        op.drop_column("recurring_jobs", column)
