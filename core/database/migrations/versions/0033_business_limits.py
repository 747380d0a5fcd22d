"""Limits of one business.

Cores of the version before need no stop: they limit nobody.

Phase: expand.
"""

import sqlalchemy as sa
from alembic import op

revision = "0033_business_limits"
down_revision = "0032_card_saves"
branch_labels = None
depends_on = None

_NAMES = ("requests_per_second", "gateway_requests")


def upgrade() -> None:
    """Add the columns, which are NULL: the core's defaults."""
    with op.batch_alter_table("businesses") as batch:
        for name in _NAMES:
            batch.add_column(sa.Column(name, sa.Integer(), nullable=True))
            batch.create_check_constraint(
                op.f(f"ck_businesses_{name}_is_not_negative"), sa.text(f"{name} >= 0")
            )


def downgrade() -> None:
    """Drop them."""
    with op.batch_alter_table("businesses") as batch:
        for name in _NAMES:
            batch.drop_constraint(op.f(f"ck_businesses_{name}_is_not_negative"), type_="check")
            batch.drop_column(name)
