"""Idempotency records and leases of attempts, for several cores on one database.

Phase: contract.
"""

import sqlalchemy as sa
from alembic import op

from core.database.schema import UtcDateTime

revision = "0003_idempotency"
down_revision = "0002_checks"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Migrate from the previous revision."""
    op.create_table(
        "idempotency_records",
        sa.Column("business_id", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=80), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("fingerprint_key_id", sa.String(length=64), nullable=False),
        sa.Column("api_key_hash", sa.String(length=64), nullable=False),
        sa.Column("payment_id", sa.String(length=64), nullable=True),
        sa.Column("sealed_answer", sa.Text(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["business_id"],
            ["businesses.business_id"],
            name=op.f("fk_idempotency_records_businesses"),
        ),
        sa.PrimaryKeyConstraint("business_id", "key", name=op.f("pk_idempotency_records")),
    )
    op.create_index("ix_idempotency_records_expires_at", "idempotency_records", ["expires_at"])
    op.drop_index("ix_payments_idempotency_key", "payments")
    op.add_column("payments", sa.Column("lease_owner", sa.String(length=64), nullable=True))
    op.add_column("payments", sa.Column("leased_until", UtcDateTime(), nullable=True))
    op.add_column("payments", sa.Column("joinable", sa.Boolean(), nullable=True))
    op.add_column("payments", sa.Column("check_at", UtcDateTime(), nullable=True))
    op.add_column("payments", sa.Column("checks", sa.Integer(), nullable=True))
    op.create_index(
        "ix_payments_pending",
        "payments",
        ["created_at"],
        sqlite_where=sa.text("status = 'pending'"),
        postgresql_where=sa.text("status = 'pending'"),
    )
    # No core executes these attempts any more: cores are stopped for the upgrade.
    op.execute("UPDATE payments SET leased_until = updated_at WHERE attempt = 'running'")
    op.execute("UPDATE payments SET joinable = (attempt IS NOT NULL AND attempt = 'running')")
    op.execute("UPDATE payments SET checks = 0")
    op.execute("UPDATE payments SET check_at = updated_at WHERE attempt <> 'running'")
    with op.batch_alter_table("payments") as batch:
        batch.alter_column("checks", existing_type=sa.Integer(), nullable=False)
        batch.alter_column("joinable", existing_type=sa.Boolean(), nullable=False)
        batch.create_check_constraint(
            op.f("ck_payments_lease_while_running"),
            "(leased_until IS NOT NULL) = (attempt IS NOT NULL AND attempt = 'running')",
        )
        batch.create_check_constraint(
            op.f("ck_payments_checked_while_open"),
            "(check_at IS NOT NULL) = (attempt IS NOT NULL AND attempt <> 'running')",
        )


def downgrade() -> None:
    """Migrate back to the previous revision."""
    with op.batch_alter_table("payments") as batch:
        batch.drop_constraint(op.f("ck_payments_checked_while_open"), type_="check")
        batch.drop_constraint(op.f("ck_payments_lease_while_running"), type_="check")
        batch.drop_index("ix_payments_pending")
        for name in ("lease_owner", "leased_until", "joinable", "check_at", "checks"):
            batch.drop_column(name)
    op.create_index("ix_payments_idempotency_key", "payments", ["business_id", "idempotency_key"])
    op.drop_table("idempotency_records")
