"""The first outcome of payments, for their history, and what users owe.

Phase: expand.
"""

import sqlalchemy as sa
from alembic import op

from core.database.schema import UtcDateTime

revision = "0017_lookups"
down_revision = "0016_wallets"
branch_labels = None
depends_on = None

_CHECK = "ck_wallets_receivable_since_owed"
_SUM_UP = """
    UPDATE wallets SET
        receivable_minor = coalesce((
            SELECT sum(CASE WHEN moved.type = 'credit' THEN moved.amount_minor
                       ELSE -moved.amount_minor END)
            FROM wallet_transactions AS moved
            WHERE moved.business_id = wallets.business_id
                AND moved.wallet_id = wallets.wallet_id AND moved.reason = 'receivable'
        ), 0),
        receivable_since = (
            SELECT max(moved.created_at) FROM wallet_transactions AS moved
            WHERE moved.business_id = wallets.business_id
                AND moved.wallet_id = wallets.wallet_id AND moved.reason = 'receivable'
                AND moved.type = 'credit'
        )
"""
_NOTHING_OWED = "UPDATE wallets SET receivable_since = NULL WHERE receivable_minor = 0"


def upgrade() -> None:
    """Add the columns, which are NULL for payments from before, and sum up what users owe."""
    op.add_column(
        "businesses",
        sa.Column(
            "settle_receivables", sa.Boolean(), nullable=False, server_default=sa.text("false")
        ),
    )
    op.add_column("payments", sa.Column("first_outcome", sa.String(length=32), nullable=True))
    op.add_column("payments", sa.Column("first_outcome_at", UtcDateTime(), nullable=True))
    is_receivable, is_owing = sa.text("reason = 'receivable'"), sa.text("receivable_minor > 0")
    op.create_index(
        "ix_wallet_transactions_receivable",
        "wallet_transactions",
        ["business_id", "wallet_id"],
        sqlite_where=is_receivable,
        postgresql_where=is_receivable,
    )
    with op.batch_alter_table("wallets") as batch:
        batch.add_column(
            sa.Column(
                "receivable_minor", sa.BigInteger(), nullable=False, server_default=sa.text("0")
            )
        )
        batch.add_column(sa.Column("receivable_since", UtcDateTime(), nullable=True))
    op.execute(_SUM_UP)
    op.execute(_NOTHING_OWED)
    with op.batch_alter_table("wallets") as batch:
        batch.create_check_constraint(
            op.f(_CHECK),
            sa.text(
                "receivable_minor >= 0 AND (receivable_minor > 0) = (receivable_since IS NOT NULL)"
            ),
        )
    op.create_index(
        "ix_wallets_owing",
        "wallets",
        ["business_id", "env", "receivable_since", "wallet_id"],
        sqlite_where=is_owing,
        postgresql_where=is_owing,
    )


def downgrade() -> None:
    """Drop the columns and indexes."""
    op.drop_index("ix_wallets_owing", "wallets")
    with op.batch_alter_table("wallets") as batch:
        batch.drop_constraint(op.f(_CHECK), type_="check")
        batch.drop_column("receivable_since")
        batch.drop_column("receivable_minor")
    op.drop_index("ix_wallet_transactions_receivable", "wallet_transactions")
    op.drop_column("payments", "first_outcome_at")
    op.drop_column("payments", "first_outcome")
    op.drop_column("businesses", "settle_receivables")
