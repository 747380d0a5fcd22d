"""The first outcome of payments, for their history."""

import sqlalchemy as sa
from alembic import op

from core.database.schema import UtcDateTime

revision = "0017_lookups"
down_revision = "0012_decisions"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, which are NULL for payments from before."""
    op.add_column("payments", sa.Column("first_outcome", sa.String(length=32), nullable=True))
    op.add_column("payments", sa.Column("first_outcome_at", UtcDateTime(), nullable=True))


def downgrade() -> None:
    """Drop the columns."""
    op.drop_column("payments", "first_outcome_at")
    op.drop_column("payments", "first_outcome")
