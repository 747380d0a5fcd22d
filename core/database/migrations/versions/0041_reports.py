"""When events were processed, and what lists of events and daily volumes read.

Cores of the version before need no stop: they leave the new column NULL. But the indexes are built
in the migration's transaction: first that of events, about 10 seconds for each million, then that
of wallet movements, about 5. Webhooks and what reads them wait from the first one on until the
commit, wallet movements during the second one.

Phase: expand.
"""

import sqlalchemy as sa
from alembic import op

from core.database.schema import UtcDateTime

revision = "0041_reports"
down_revision = "0039_ignored_events"
branch_labels = None
depends_on = None

_RECEIVED = sa.text("type NOT IN ('nivisco.read', 'nivisco.decision')")


def upgrade() -> None:
    """Add the column, which is NULL for events from before, and the indexes."""
    op.add_column("webhook_events", sa.Column("processed_at", UtcDateTime(), nullable=True))
    op.create_index(
        "ix_webhook_events_received",
        "webhook_events",
        ["business_id", "env", "gateway", "state", "received_at", "event_id"],
        sqlite_where=_RECEIVED,
        postgresql_where=_RECEIVED,
    )
    op.create_index(
        "ix_wallet_transactions_by_time", "wallet_transactions", ["business_id", "created_at"]
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_index("ix_wallet_transactions_by_time", "wallet_transactions")
    op.drop_index("ix_webhook_events_received", "webhook_events")
    op.drop_column("webhook_events", "processed_at")
