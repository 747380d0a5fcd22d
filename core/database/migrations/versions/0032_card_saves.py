"""How many cards of a user were sent to be saved.

Cores of the version before need no stop: they do not count.

Phase: expand.
"""

import sqlalchemy as sa
from alembic import op

from core.database.schema import UtcDateTime

revision = "0032_card_saves"
down_revision = "0031_erase"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns: no card was sent yet."""
    op.add_column(
        "users", sa.Column("card_saves", sa.Integer(), nullable=False, server_default=sa.text("0"))
    )
    op.add_column("users", sa.Column("card_saves_since", UtcDateTime(), nullable=True))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("users", "card_saves_since")
    op.drop_column("users", "card_saves")
