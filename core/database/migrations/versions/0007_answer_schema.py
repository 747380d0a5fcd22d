"""Version of the response messages that wrote a stored answer.

Phase: expand.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007_answer_schema"
down_revision = "0006_recurring"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; answers from before keep NULL, which is read as 1."""
    op.add_column("idempotency_records", sa.Column("answer_schema", sa.Integer(), nullable=True))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("idempotency_records", "answer_schema")
