"""Transfers between wallets, and holds.

Phase: expand.
"""

import sqlalchemy as sa
from alembic import op

from core.database.schema import UtcDateTime

revision = "0016_wallets"
down_revision = "0015_recurring"
branch_labels = None
depends_on = None

_REASON = "ck_wallet_transactions_reason_is_known"
_TRANSFER = "ck_wallet_transactions_transfer_has_an_other_user"
_HELD = "ck_wallets_held_is_within_balance"
_SUBJECT = "ck_decisions_subject_is_known"
_REASONS = (
    *("business_charge", "manual_credit", "wallet_fund", "refund", "dispute"),
    *("recurring_charge", "receivable"),
)
_SUBJECTS = ("payment", "recurring_job", "webhook_event", "refund")
_IS_TRANSFER = sa.text("transfer_id IS NOT NULL")
_IS_DUE = sa.text("look_at IS NOT NULL AND set_aside_at IS NULL")
_IS_ASIDE = sa.text("set_aside_at IS NOT NULL")
_NEWEST = ["status", "created_at", "hold_id"]


def _is_one_of(column: str, *words: str) -> sa.TextClause:
    listed = ", ".join(f"'{word}'" for word in words)
    return sa.text(f"{column} IN ({listed})")


def upgrade() -> None:
    """Add the columns and the table, and allow the new words."""
    with op.batch_alter_table("wallets") as batch:
        batch.add_column(
            sa.Column("held_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False)
        )
        batch.create_check_constraint(
            op.f(_HELD),
            sa.text("held_minor = 0 OR (held_minor > 0 AND held_minor <= balance_minor)"),
        )
    with op.batch_alter_table("wallet_transactions") as batch:
        batch.add_column(sa.Column("transfer_id", sa.String(length=64), nullable=True))
        batch.add_column(sa.Column("other_user_id", sa.String(length=64), nullable=True))
        batch.drop_constraint(op.f(_REASON), type_="check")
        batch.create_check_constraint(
            op.f(_REASON), _is_one_of("reason", *_REASONS, "transfer", "hold_capture")
        )
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
    with op.batch_alter_table("decisions") as batch:
        batch.drop_constraint(op.f(_SUBJECT), type_="check")
        batch.create_check_constraint(
            op.f(_SUBJECT), _is_one_of("subject", *_SUBJECTS, "wallet_hold")
        )
    _create_holds()


def _create_holds() -> None:
    op.create_table(
        "wallet_holds",
        sa.Column("business_id", sa.String(length=64), nullable=False),
        sa.Column("hold_id", sa.String(length=64), nullable=False),
        sa.Column("wallet_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("env", sa.String(length=32), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("captured_minor", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("description", sa.String(length=500), nullable=True),
        sa.Column("transaction_id", sa.String(length=64), nullable=True),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("look_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("closed_at", UtcDateTime(), nullable=True),
        sa.Column("set_aside_at", UtcDateTime(), nullable=True),
        sa.Column("set_aside_error", sa.String(length=500), nullable=True),
        sa.Column("failed_looks", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_wallet_holds_amount_is_positive")),
        sa.CheckConstraint(
            "captured_minor > 0 AND captured_minor <= amount_minor",
            name=op.f("ck_wallet_holds_captured_is_within_amount"),
        ),
        sa.CheckConstraint(
            "(status = 'captured') = (captured_minor IS NOT NULL)"
            " AND (status = 'captured') = (transaction_id IS NOT NULL)",
            name=op.f("ck_wallet_holds_captured_with_a_transaction"),
        ),
        sa.CheckConstraint(
            "(status = 'open') = (look_at IS NOT NULL) AND (status = 'open') = (closed_at IS NULL)",
            name=op.f("ck_wallet_holds_looked_at_while_open"),
        ),
        sa.CheckConstraint(
            _is_one_of("env", "TEST", "LIVE"), name=op.f("ck_wallet_holds_env_is_known")
        ),
        sa.CheckConstraint(
            _is_one_of("status", "open", "captured", "released", "expired"),
            name=op.f("ck_wallet_holds_status_is_known"),
        ),
        sa.CheckConstraint(
            "(set_aside_at IS NULL) = (set_aside_error IS NULL)",
            name=op.f("ck_wallet_holds_set_aside_with_error"),
        ),
        sa.ForeignKeyConstraint(
            ["business_id", "wallet_id"],
            ["wallets.business_id", "wallets.wallet_id"],
            name=op.f("fk_wallet_holds_wallets"),
        ),
        sa.PrimaryKeyConstraint("business_id", "hold_id", name=op.f("pk_wallet_holds")),
    )
    for name, columns, where in (
        ("by_status", ["business_id", "env", *_NEWEST], None),
        ("by_user", ["business_id", "user_id", "env", *_NEWEST], None),
        ("due", ["look_at"], _IS_DUE),
        ("due_by_business", ["business_id", "look_at"], _IS_DUE),
        ("set_aside", ["set_aside_at"], _IS_ASIDE),
    ):
        op.create_index(
            f"ix_wallet_holds_{name}",
            "wallet_holds",
            columns,
            sqlite_where=where,
            postgresql_where=where,
        )


def downgrade() -> None:
    """Drop what was added. Fails if there are transfers, captured holds or decisions about one."""
    op.drop_table("wallet_holds")
    with op.batch_alter_table("decisions") as batch:
        batch.drop_constraint(op.f(_SUBJECT), type_="check")
        batch.create_check_constraint(op.f(_SUBJECT), _is_one_of("subject", *_SUBJECTS))
    op.drop_index("uq_wallet_transactions_transfer", "wallet_transactions")
    with op.batch_alter_table("wallet_transactions") as batch:
        batch.drop_constraint(op.f(_TRANSFER), type_="check")
        batch.drop_constraint(op.f(_REASON), type_="check")
        batch.create_check_constraint(op.f(_REASON), _is_one_of("reason", *_REASONS))
        batch.drop_column("other_user_id")
        batch.drop_column("transfer_id")
    with op.batch_alter_table("wallets") as batch:
        batch.drop_constraint(op.f(_HELD), type_="check")
        batch.drop_column("held_minor")
