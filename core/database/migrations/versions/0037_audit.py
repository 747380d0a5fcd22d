"""The audit trail: changes that wait for the sequencer, the chained events, and the chains.

Cores of the version before need no stop: they record nothing, and read none of these tables.

Phase: expand.
"""

import sqlalchemy as sa
from alembic import op

from core.database.schema import UtcDateTime

revision = "0037_audit"
down_revision = "0034_stops"
branch_labels = None
depends_on = None


def _recorded() -> list[sa.Column[str]]:
    return [
        sa.Column("actor", sa.String(32), nullable=False),
        sa.Column("actor_id", sa.String(200), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("transition", sa.String(64), nullable=False),
        sa.Column("change", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(32), nullable=False),
        sa.Column("subject_id", sa.String(64), nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
    ]


def _business() -> sa.Column[str]:
    return sa.Column("business_id", sa.String(64), nullable=False)


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "audit_pending",
        _business(),
        sa.Column("event_id", sa.String(64), nullable=False),
        sa.Column("occurred_at", UtcDateTime, nullable=False),
        *_recorded(),
        sa.Column("after_hash", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(64), nullable=True),
        sa.Column("address", sa.String(64), nullable=True),
        sa.PrimaryKeyConstraint("business_id", "event_id", name=op.f("pk_audit_pending")),
    )
    op.create_table(
        "audit_events",
        _business(),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("event_id", sa.String(64), nullable=False),
        sa.Column("occurred_at", UtcDateTime, nullable=False),
        *_recorded(),
        sa.Column("user_id", sa.String(64), nullable=True),
        sa.Column("payment_id", sa.String(64), nullable=True),
        sa.Column("before_hash", sa.String(64), nullable=True),
        sa.Column("after_hash", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.UniqueConstraint(
            "business_id", "event_id", name=op.f("uq_audit_events_business_id_event_id")
        ),
        sa.CheckConstraint("sequence > 0", name=op.f("ck_audit_events_sequence_is_positive")),
        sa.CheckConstraint(
            "actor IN ('api_key', 'operator', 'scheduler', 'gateway', 'core')",
            name=op.f("ck_audit_events_actor_is_known"),
        ),
        sa.CheckConstraint(
            "change IN ('created', 'updated', 'deleted')",
            name=op.f("ck_audit_events_change_is_known"),
        ),
        sa.PrimaryKeyConstraint("business_id", "sequence", name=op.f("pk_audit_events")),
    )
    for name, *columns in (
        ("newest", "occurred_at", "event_id"),
        ("by_action", "action", "occurred_at", "event_id"),
        ("by_user", "user_id", "occurred_at", "event_id"),
        ("by_payment", "payment_id", "occurred_at", "event_id"),
        ("by_subject", "subject", "subject_id", "sequence"),
    ):
        op.create_index(f"ix_audit_events_{name}", "audit_events", ["business_id", *columns])
    op.create_table(
        "audit_addresses",
        _business(),
        sa.Column("event_id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(64), nullable=True),
        sa.Column("address", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("business_id", "event_id", name=op.f("pk_audit_addresses")),
    )
    op.create_index("ix_audit_addresses_by_user", "audit_addresses", ["business_id", "user_id"])
    op.create_table(
        "audit_chains",
        _business(),
        sa.Column("chain_id", sa.String(64), nullable=False),
        sa.Column("sealed_key", sa.Text, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("business_id", "chain_id", name=op.f("pk_audit_chains")),
    )


def downgrade() -> None:
    """Drop them, with the trail."""
    for table in ("audit_chains", "audit_addresses", "audit_events", "audit_pending"):
        op.drop_table(table)
