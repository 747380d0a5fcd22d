"""Suspended businesses and users.

Phase: expand.
"""

import sqlalchemy as sa
from alembic import op

from core.database.schema import UtcDateTime

revision = "0027_suspension"
down_revision = "0026_api_keys"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, which are NULL: nobody is suspended."""
    op.add_column("businesses", sa.Column("suspended_at", UtcDateTime(), nullable=True))
    op.add_column("businesses", sa.Column("suspended_reason", sa.String(500), nullable=True))
    op.add_column("users", sa.Column("suspended_at", UtcDateTime(), nullable=True))


def downgrade() -> None:
    """Drop them: nobody is suspended any more."""
    op.drop_column("users", "suspended_at")
    op.drop_column("businesses", "suspended_reason")
    op.drop_column("businesses", "suspended_at")
