"""Refunds that are requested here, and the events about them.

Phase: expand.
"""

import sqlalchemy as sa
from alembic import op

from core.database.schema import UtcDateTime

revision = "0013_refunds"
down_revision = "0012_decisions"
branch_labels = None
depends_on = None

_SUBJECT = "ck_decisions_subject_is_known"
_BEFORE = "subject IN ('payment', 'recurring_job', 'webhook_event')"
_AFTER = "subject IN ('payment', 'recurring_job', 'webhook_event', 'refund')"


def upgrade() -> None:
    """Create the table, and the column of its id on events."""
    op.create_table(
        "refunds",
        sa.Column("business_id", sa.String(length=64), nullable=False),
        sa.Column("refund_id", sa.String(length=64), nullable=False),
        sa.Column("payment_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("env", sa.String(length=32), nullable=False),
        sa.Column("gateway", sa.String(length=32), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("is_whole", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=True),
        sa.Column("description", sa.String(length=500), nullable=True),
        sa.Column("idempotency_key", sa.String(length=64), nullable=True),
        sa.Column("gateway_key", sa.String(length=255), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("attempt", sa.String(length=32), nullable=True),
        sa.Column("lease_owner", sa.String(length=64), nullable=True),
        sa.Column("leased_until", UtcDateTime(), nullable=True),
        sa.Column("look_at", UtcDateTime(), nullable=True),
        sa.Column("checks", sa.Integer(), nullable=False),
        sa.Column("first_sent_at", UtcDateTime(), nullable=False),
        sa.Column("sent_at", UtcDateTime(), nullable=False),
        sa.Column("gateway_refund_id", sa.String(length=255), nullable=True),
        sa.Column("failure_code", sa.String(length=255), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("set_aside_at", UtcDateTime(), nullable=True),
        sa.Column("set_aside_error", sa.String(length=500), nullable=True),
        sa.Column("failed_looks", sa.Integer(), server_default=sa.text("0"), nullable=False),
        *(sa.CheckConstraint(each, name=op.f(f"ck_refunds_{name}")) for name, each in _CHECKS),
        sa.ForeignKeyConstraint(
            ["business_id", "payment_id"],
            ["payments.business_id", "payments.payment_id"],
            name=op.f("fk_refunds_payments"),
        ),
        sa.PrimaryKeyConstraint("business_id", "refund_id", name=op.f("pk_refunds")),
    )
    for name, columns, where in _INDEXES:
        condition = None if where is None else sa.text(where)
        op.create_index(
            f"ix_refunds_{name}",
            "refunds",
            columns,
            sqlite_where=condition,
            postgresql_where=condition,
        )
    op.add_column("webhook_events", sa.Column("refund_id", sa.String(length=64), nullable=True))
    with op.batch_alter_table("decisions") as batch:
        batch.drop_constraint(op.f(_SUBJECT), type_="check")
        batch.create_check_constraint(op.f(_SUBJECT), sa.text(_AFTER))


def downgrade() -> None:
    """Drop the table and the column. Released refunds are no subject of decisions any more."""
    op.execute("DELETE FROM decisions WHERE subject = 'refund'")
    with op.batch_alter_table("decisions") as batch:
        batch.drop_constraint(op.f(_SUBJECT), type_="check")
        batch.create_check_constraint(op.f(_SUBJECT), sa.text(_BEFORE))
    op.drop_column("webhook_events", "refund_id")
    op.drop_table("refunds")


_CHECKS = (
    ("amount_is_positive", "amount_minor > 0"),
    ("attempt_while_pending", "attempt IS NULL OR status = 'pending'"),
    (
        "lease_while_running",
        "(leased_until IS NOT NULL) = (attempt IS NOT NULL AND attempt = 'running')",
    ),
    ("lease_has_owner_and_end", "(lease_owner IS NULL) = (leased_until IS NULL)"),
    ("looked_at_during_attempt", "(attempt IS NULL) = (look_at IS NULL)"),
    ("set_aside_with_error", "(set_aside_at IS NULL) = (set_aside_error IS NULL)"),
    ("env_is_known", "env IN ('TEST', 'LIVE')"),
    ("gateway_is_known", "gateway IN ('stripe', 'authorize')"),
    ("reason_is_known", "reason IN ('duplicate', 'fraudulent', 'requested_by_customer')"),
    ("status_is_known", "status IN ('pending', 'succeeded', 'failed', 'canceled')"),
    ("attempt_is_known", "attempt IN ('running', 'unknown', 'unsettled')"),
)
_NEWEST = ["created_at", "refund_id"]
_DUE = "look_at IS NOT NULL AND set_aside_at IS NULL"
_INDEXES: tuple[tuple[str, list[str], str | None], ...] = (
    ("by_payment", ["business_id", "payment_id", "env", "status", *_NEWEST], None),
    ("by_status", ["business_id", "env", "status", *_NEWEST], None),
    ("by_user", ["business_id", "user_id", "env", "status", *_NEWEST], None),
    ("due", ["gateway", "look_at"], _DUE),
    ("due_by_business", ["gateway", "business_id", "look_at"], _DUE),
    ("set_aside", ["set_aside_at"], "set_aside_at IS NOT NULL"),
)
