"""When a charge was sent last, so that Authorize.Net's lists have time to show it."""

import sqlalchemy as sa
from alembic import op

from core.database.schema import UtcDateTime

revision = "0004_sent_at"
down_revision = "0003_idempotency"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema here from the revision before."""
    op.add_column("payments", sa.Column("sent_at", UtcDateTime(), nullable=True))


def downgrade() -> None:
    """Bring the schema back to the revision before."""
    op.drop_column("payments", "sent_at")
