"""Which key replaced one that still works.

Phase: expand.
"""

import sqlalchemy as sa
from alembic import op

revision = "0028_replaced_keys"
down_revision = "0027_suspension"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column. Of keys that were replaced before, it is not known."""
    op.add_column("api_keys", sa.Column("replaced_by", sa.String(64), nullable=True))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("api_keys", "replaced_by")
