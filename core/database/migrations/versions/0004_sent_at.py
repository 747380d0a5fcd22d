"""Time at which a charge was last sent, because Authorize.Net lists it with a delay.

Phase: expand.
"""

import sqlalchemy as sa
from alembic import op

from core.database.schema import UtcDateTime

revision = "0004_sent_at"
down_revision = "0003_idempotency"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Migrate from the previous revision."""
    op.add_column("payments", sa.Column("sent_at", UtcDateTime(), nullable=True))


def downgrade() -> None:
    """Migrate back to the previous revision."""
    op.drop_column("payments", "sent_at")
