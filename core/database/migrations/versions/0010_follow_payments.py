"""Payments to cancel at their gateway, their success, and events that contradict their payment.

Phase: expand.
"""

import sqlalchemy as sa
from alembic import op

from core.database.schema import UtcDateTime

revision = "0010_follow_payments"
down_revision = "0009_due_work"
branch_labels = None
depends_on = None

_STATE = "ck_webhook_events_state_is_known"


def upgrade() -> None:
    """Add the columns, which are NULL for payments from before, and the state.

    Payments that wait for their customer or a review are asked for at their gateway from now on.
    """
    op.add_column("payments", sa.Column("cancel_at", UtcDateTime(), nullable=True))
    op.add_column("payments", sa.Column("succeeded_at", UtcDateTime(), nullable=True))
    op.execute(
        "UPDATE payments SET look_at = updated_at "
        "WHERE status IN ('requires_action', 'held_for_review') AND transaction_id IS NOT NULL"
    )
    with op.batch_alter_table("webhook_events") as batch:
        batch.drop_constraint(op.f(_STATE), type_="check")
        batch.create_check_constraint(
            op.f(_STATE), sa.text("state IN ('waiting', 'applied', 'contradicting', 'ignored')")
        )


def downgrade() -> None:
    """Drop the columns; contradicting events are applied ones again, as they were."""
    op.execute("UPDATE webhook_events SET state = 'applied' WHERE state = 'contradicting'")
    with op.batch_alter_table("webhook_events") as batch:
        batch.drop_constraint(op.f(_STATE), type_="check")
        batch.create_check_constraint(
            op.f(_STATE), sa.text("state IN ('waiting', 'applied', 'ignored')")
        )
    op.drop_column("payments", "succeeded_at")
    op.drop_column("payments", "cancel_at")
