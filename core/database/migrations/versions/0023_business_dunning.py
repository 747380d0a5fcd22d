"""When the recurring jobs of a business retry cycles, unless they say so themselves.

Phase: expand.
"""

import sqlalchemy as sa
from alembic import op

revision = "0023_business_dunning"
down_revision = "0022_void_reason"
branch_labels = None
depends_on = None

_MAXIMUM = "ck_businesses_max_failed_cycles_is_positive"


def upgrade() -> None:
    """Add the columns, which are NULL for businesses from before."""
    with op.batch_alter_table("businesses") as batch:
        batch.add_column(sa.Column("retry_days", sa.String(64), nullable=True))
        batch.add_column(sa.Column("max_failed_cycles", sa.Integer(), nullable=True))
        batch.create_check_constraint(op.f(_MAXIMUM), sa.text("max_failed_cycles > 0"))


def downgrade() -> None:
    """Drop the columns."""
    with op.batch_alter_table("businesses") as batch:
        batch.drop_constraint(op.f(_MAXIMUM), type_="check")
        batch.drop_column("max_failed_cycles")
        batch.drop_column("retry_days")
