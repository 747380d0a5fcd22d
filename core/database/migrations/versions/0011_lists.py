"""Indexes for the filters of lists."""

revision = "0011_lists"
down_revision = "0010_follow_payments"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change nothing yet."""


def downgrade() -> None:
    """Change nothing."""
