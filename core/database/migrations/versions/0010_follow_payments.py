"""Recurring cycles that follow what their payments become."""

revision = "0010_follow_payments"
down_revision = "0009_due_work"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change nothing yet."""


def downgrade() -> None:
    """Change nothing."""
