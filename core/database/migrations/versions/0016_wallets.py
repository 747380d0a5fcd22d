"""Transfers between wallets."""

import sqlalchemy as sa
from alembic import op

revision = "0016_wallets"
down_revision = "0012_decisions"
branch_labels = None
depends_on = None

_REASON = "ck_wallet_transactions_reason_is_known"
_TRANSFER = "ck_wallet_transactions_transfer_has_an_other_user"
_BEFORE = (
    *("business_charge", "manual_credit", "wallet_fund", "refund", "dispute"),
    *("recurring_charge", "receivable"),
)
_IS_TRANSFER = sa.text("transfer_id IS NOT NULL")


def _is_reason(*words: str) -> sa.TextClause:
    listed = ", ".join(f"'{word}'" for word in words)
    return sa.text(f"reason IN ({listed})")


def upgrade() -> None:
    """Add the columns and allow the reason."""
    with op.batch_alter_table("wallet_transactions") as batch:
        batch.add_column(sa.Column("transfer_id", sa.String(length=64), nullable=True))
        batch.add_column(sa.Column("other_user_id", sa.String(length=64), nullable=True))
        batch.drop_constraint(op.f(_REASON), type_="check")
        batch.create_check_constraint(op.f(_REASON), _is_reason(*_BEFORE, "transfer"))
        batch.create_check_constraint(
            op.f(_TRANSFER),
            sa.text(
                "(transfer_id IS NOT NULL) = (reason = 'transfer')"
                " AND (transfer_id IS NULL) = (other_user_id IS NULL)"
            ),
        )
    op.create_index(
        "uq_wallet_transactions_transfer",
        "wallet_transactions",
        ["business_id", "transfer_id", "type"],
        unique=True,
        sqlite_where=_IS_TRANSFER,
        postgresql_where=_IS_TRANSFER,
    )


def downgrade() -> None:
    """Drop the columns. Fails if there are transfers."""
    op.drop_index("uq_wallet_transactions_transfer", "wallet_transactions")
    with op.batch_alter_table("wallet_transactions") as batch:
        batch.drop_constraint(op.f(_TRANSFER), type_="check")
        batch.drop_constraint(op.f(_REASON), type_="check")
        batch.create_check_constraint(op.f(_REASON), _is_reason(*_BEFORE))
        batch.drop_column("other_user_id")
        batch.drop_column("transfer_id")
