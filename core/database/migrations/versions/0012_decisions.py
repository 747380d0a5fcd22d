"""Operators' decisions."""

revision = "0012_decisions"
down_revision = "0011_lists"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change nothing yet."""


def downgrade() -> None:
    """Change nothing."""
