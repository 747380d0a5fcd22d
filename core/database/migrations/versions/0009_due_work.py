"""Due work in one form: times of the next look, and rows that are set aside."""

revision = "0009_due_work"
down_revision = "0008_cycles"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change nothing yet."""


def downgrade() -> None:
    """Change nothing."""
