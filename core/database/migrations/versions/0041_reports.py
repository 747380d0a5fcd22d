"""When events were processed, and what lists of events and daily volumes read.

Cores of the version before need no stop: they leave the new column NULL. On PostgreSQL `migrate`
builds the indexes after its commit, which keeps no writer out.

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
    """Add the column, which is NULL for events from before, and on SQLite the indexes."""
    op.add_column("webhook_events", sa.Column("processed_at", UtcDateTime(), nullable=True))
    if op.get_context().dialect.name == "sqlite":
        op.create_index(
            "ix_webhook_events_received",
            "webhook_events",
            ["business_id", "env", "gateway", "state", "received_at", "event_id"],
            sqlite_where=_RECEIVED,
        )
        op.create_index(
            "ix_wallet_transactions_by_time", "wallet_transactions", ["business_id", "created_at"]
        )


def downgrade() -> None:
    """Drop them."""
    op.drop_index("ix_wallet_transactions_by_time", "wallet_transactions", if_exists=True)
    op.drop_index("ix_webhook_events_received", "webhook_events", if_exists=True)
    op.drop_column("webhook_events", "processed_at")
