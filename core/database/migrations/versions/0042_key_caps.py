"""Amount caps of API keys, and what the keys have moved on each day.

Cores of the version before need no stop, but ignore caps: create keys with caps once none runs.

Phase: expand.
"""

import sqlalchemy as sa
from alembic import op

revision = "0042_key_caps"
down_revision = "0041_reports"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, which are NULL for what is from before, and the counters."""
    op.add_column("api_keys", sa.Column("cap_currency", sa.String(length=3), nullable=True))
    op.add_column("api_keys", sa.Column("max_minor", sa.BigInteger(), nullable=True))
    op.add_column("api_keys", sa.Column("max_minor_per_day", sa.BigInteger(), nullable=True))
    for table in ("payments", "wallet_holds"):
        op.add_column(table, sa.Column("capped_key_id", sa.String(length=64), nullable=True))
    op.create_table(
        "key_usage",
        sa.Column("business_id", sa.String(length=64), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount_minor >= 0", name=op.f("ck_key_usage_amount_is_not_negative")),
        sa.PrimaryKeyConstraint("business_id", "key_id", "day", name=op.f("pk_key_usage")),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("key_usage")
    op.drop_column("wallet_holds", "capped_key_id")
    op.drop_column("payments", "capped_key_id")
    op.drop_column("api_keys", "max_minor_per_day")
    op.drop_column("api_keys", "max_minor")
    op.drop_column("api_keys", "cap_currency")
