"""The reason for which a payment is voided.

Phase: expand.
"""

import sqlalchemy as sa
from alembic import op

revision = "0022_void_reason"
down_revision = "0021_imports"
branch_labels = None
depends_on = None

_KNOWN = "ck_payments_void_reason_is_known"
_IS_KNOWN = "void_reason IN ('duplicate', 'fraudulent', 'requested_by_customer', 'abandoned')"


def upgrade() -> None:
    """Add the column, which is NULL for payments from before."""
    with op.batch_alter_table("payments") as batch:
        batch.add_column(sa.Column("void_reason", sa.String(length=32), nullable=True))
        batch.create_check_constraint(
            op.f(_KNOWN),
            sa.text(_IS_KNOWN),
            postgresql_not_valid=True,  # `migrate` validates it without keeping writers out
        )


def downgrade() -> None:
    """Drop the column."""
    with op.batch_alter_table("payments") as batch:
        batch.drop_constraint(op.f(_KNOWN), type_="check")
        batch.drop_column("void_reason")
