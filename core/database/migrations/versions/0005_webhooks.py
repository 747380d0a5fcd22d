"""Gateway events, and refunds in payments and wallets.

Phase: contract.
"""

import sqlalchemy as sa
from alembic import op

from core.database.schema import UtcDateTime

revision = "0005_webhooks"
down_revision = "0004_sent_at"
branch_labels = None
depends_on = None

_REASONS = (
    "'business_charge', 'manual_credit', 'wallet_fund', 'refund', 'dispute', 'recurring_charge'"
)
_REASON = "ck_wallet_transactions_reason_is_known"
_UNIQUE = "uq_wallet_transactions_business_id_payment_id_reason"
_UNIQUE_STEP = "uq_wallet_transactions_step"
_WAITING = sa.text("state = 'waiting'")


def upgrade() -> None:
    """Migrate from the previous revision."""
    op.create_table(
        "webhook_events",
        sa.Column("business_id", sa.String(length=64), nullable=False),
        sa.Column("gateway", sa.String(length=32), nullable=False),
        sa.Column("env", sa.String(length=32), nullable=False),
        sa.Column("event_id", sa.String(length=255), nullable=False),
        sa.Column("type", sa.String(length=255), nullable=False),
        sa.Column("transaction_id", sa.String(length=255), nullable=True),
        sa.Column("payment_id", sa.String(length=64), nullable=True),
        sa.Column("fact", sa.Text(), nullable=True),
        sa.Column("needs_lookup", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("occurred_at", UtcDateTime(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("check_at", UtcDateTime(), nullable=True),
        sa.Column("checks", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["business_id"], ["businesses.business_id"], name=op.f("fk_webhook_events_businesses")
        ),
        sa.PrimaryKeyConstraint(
            "business_id", "gateway", "env", "event_id", name=op.f("pk_webhook_events")
        ),
        sa.CheckConstraint(
            "(check_at IS NOT NULL) = (state = 'waiting')",
            name=op.f("ck_webhook_events_checked_while_waiting"),
        ),
        sa.CheckConstraint("env IN ('TEST', 'LIVE')", name=op.f("ck_webhook_events_env_is_known")),
        sa.CheckConstraint(
            "gateway IN ('stripe', 'authorize')", name=op.f("ck_webhook_events_gateway_is_known")
        ),
        sa.CheckConstraint(
            "state IN ('waiting', 'applied', 'ignored')",
            name=op.f("ck_webhook_events_state_is_known"),
        ),
    )
    op.create_index(
        "ix_webhook_events_business_id_transaction_id",
        "webhook_events",
        ["business_id", "transaction_id", "gateway", "env"],
    )
    op.create_index(
        "ix_webhook_events_business_id_payment_id", "webhook_events", ["business_id", "payment_id"]
    )
    op.create_index(
        "ix_webhook_events_waiting",
        "webhook_events",
        ["check_at"],
        sqlite_where=_WAITING,
        postgresql_where=_WAITING,
    )
    with op.batch_alter_table("payments") as batch:
        batch.add_column(
            sa.Column(
                "amount_refunded_minor",
                sa.BigInteger(),
                nullable=False,
                server_default=sa.text("0"),
            )
        )
        batch.create_check_constraint(
            op.f("ck_payments_refunded_is_within_amount"),
            "amount_refunded_minor >= 0 AND amount_refunded_minor <= amount_minor",
        )
        for column in ("user_id", "status"):
            batch.create_index(
                f"ix_payments_business_id_{column}", ["business_id", column, "created_at"]
            )
        batch.create_index(
            "ix_payments_business_id_transaction_id", ["business_id", "transaction_id"]
        )
    with op.batch_alter_table("wallet_transactions") as batch:
        batch.add_column(
            sa.Column(
                "taken_before_minor", sa.BigInteger(), nullable=False, server_default=sa.text("0")
            )
        )
        batch.drop_constraint(op.f(_UNIQUE), type_="unique")
        batch.create_unique_constraint(
            op.f(_UNIQUE_STEP), ["business_id", "payment_id", "reason", "taken_before_minor"]
        )
        batch.drop_constraint(op.f(_REASON), type_="check")
        batch.create_check_constraint(op.f(_REASON), f"reason IN ({_REASONS}, 'receivable')")


def downgrade() -> None:
    """Migrate back to the previous revision."""
    with op.batch_alter_table("wallet_transactions") as batch:
        batch.drop_constraint(op.f(_REASON), type_="check")
        batch.create_check_constraint(op.f(_REASON), f"reason IN ({_REASONS})")
        batch.drop_constraint(op.f(_UNIQUE_STEP), type_="unique")
        batch.create_unique_constraint(op.f(_UNIQUE), ["business_id", "payment_id", "reason"])
        batch.drop_column("taken_before_minor")
    with op.batch_alter_table("payments") as batch:
        for column in ("user_id", "status", "transaction_id"):
            batch.drop_index(f"ix_payments_business_id_{column}")
        batch.drop_constraint(op.f("ck_payments_refunded_is_within_amount"), type_="check")
        batch.drop_column("amount_refunded_minor")
    op.drop_table("webhook_events")
