"""An index of the gateway events on which nothing depends, by age, so that old ones are deleted.

On PostgreSQL `migrate` builds it after its commit, which keeps no writer out.

Phase: expand.
"""

import sqlalchemy as sa
from alembic import op

revision = "0039_ignored_events"
down_revision = "0037_audit"
branch_labels = None
depends_on = None

_INDEX = "ix_webhook_events_ignored"
_IGNORED = sa.text("state = 'ignored'")


def upgrade() -> None:
    """Build the index on SQLite."""
    if op.get_context().dialect.name == "sqlite":
        op.create_index(_INDEX, "webhook_events", ["received_at"], sqlite_where=_IGNORED)


def downgrade() -> None:
    """Drop it."""
    op.drop_index(_INDEX, "webhook_events", if_exists=True)
