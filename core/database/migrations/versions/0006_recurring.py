"""Recurring jobs, their occurrences and logs, and test clocks.

Phase: expand.
"""

import sqlalchemy as sa
from alembic import op

from core.database.schema import UtcDateTime

revision = "0006_recurring"
down_revision = "0005_webhooks"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Migrate from the previous revision."""
    op.create_table(
        "recurring_jobs",
        sa.Column("business_id", sa.String(length=64), nullable=False),
        sa.Column("recurring_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("env", sa.String(length=32), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("source", sa.String(length=32), nullable=True),
        sa.Column("description", sa.String(length=500), nullable=True),
        sa.Column("interval_type", sa.String(length=32), nullable=False),
        sa.Column("interval_value", sa.Integer(), nullable=False),
        sa.Column("starts_local", sa.String(length=32), nullable=False),
        sa.Column("timezone", sa.String(length=64), nullable=False),
        sa.Column("counts_from", UtcDateTime(), nullable=False),
        sa.Column("end_at", UtcDateTime(), nullable=True),
        sa.Column("max_cycles", sa.Integer(), nullable=True),
        sa.Column("catch_up", sa.String(length=32), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("next_run", UtcDateTime(), nullable=True),
        sa.Column("last_run", UtcDateTime(), nullable=True),
        sa.Column("executed_cycles", sa.Integer(), nullable=False),
        sa.Column("failed_cycles", sa.Integer(), nullable=False),
        sa.Column("open_occurrence", UtcDateTime(), nullable=True),
        sa.Column("due_at", UtcDateTime(), nullable=True),
        sa.Column("lease_owner", sa.String(length=64), nullable=True),
        sa.Column("leased_until", UtcDateTime(), nullable=True),
        sa.Column("fencing_token", sa.BigInteger(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "amount_minor > 0",
            name=op.f("ck_recurring_jobs_amount_is_positive"),
        ),
        sa.CheckConstraint(
            "catch_up IN ('latest', 'all', 'skip')",
            name=op.f("ck_recurring_jobs_catch_up_is_known"),
        ),
        sa.CheckConstraint(
            "(due_at IS NOT NULL) = (status = 'active' OR open_occurrence IS NOT NULL)",
            name=op.f("ck_recurring_jobs_due_while_active"),
        ),
        sa.CheckConstraint(
            "env IN ('TEST', 'LIVE')",
            name=op.f("ck_recurring_jobs_env_is_known"),
        ),
        sa.CheckConstraint(
            "executed_cycles >= 0",
            name=op.f("ck_recurring_jobs_executed_cycles_is_not_negative"),
        ),
        sa.CheckConstraint(
            "failed_cycles >= 0",
            name=op.f("ck_recurring_jobs_failed_cycles_is_not_negative"),
        ),
        sa.CheckConstraint(
            "fencing_token >= 0",
            name=op.f("ck_recurring_jobs_fencing_token_is_not_negative"),
        ),
        sa.CheckConstraint(
            "interval_value > 0",
            name=op.f("ck_recurring_jobs_interval_is_positive"),
        ),
        sa.CheckConstraint(
            "interval_type IN ('day', 'week', 'month', 'year')",
            name=op.f("ck_recurring_jobs_interval_type_is_known"),
        ),
        sa.CheckConstraint(
            "(lease_owner IS NULL) = (leased_until IS NULL)",
            name=op.f("ck_recurring_jobs_lease_has_owner_and_end"),
        ),
        sa.CheckConstraint(
            "max_cycles > 0",
            name=op.f("ck_recurring_jobs_max_cycles_is_positive"),
        ),
        sa.CheckConstraint(
            "status = 'active' OR next_run IS NULL",
            name=op.f("ck_recurring_jobs_next_run_while_active"),
        ),
        sa.CheckConstraint(
            "source IN ('stripe', 'authorize', 'wallet')",
            name=op.f("ck_recurring_jobs_source_is_known"),
        ),
        sa.CheckConstraint(
            "status IN ('active', 'paused', 'cancelled', 'completed')",
            name=op.f("ck_recurring_jobs_status_is_known"),
        ),
        sa.ForeignKeyConstraint(
            ["business_id", "user_id"],
            ["users.business_id", "users.user_id"],
            name=op.f("fk_recurring_jobs_users"),
        ),
        sa.PrimaryKeyConstraint("business_id", "recurring_id", name=op.f("pk_recurring_jobs")),
    )
    op.create_index(
        "ix_recurring_jobs_business_id_created_at",
        "recurring_jobs",
        ["business_id", "created_at", "recurring_id"],
    )
    op.create_index(
        "ix_recurring_jobs_due_at",
        "recurring_jobs",
        ["due_at"],
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_table(
        "recurring_occurrences",
        sa.Column("business_id", sa.String(length=64), nullable=False),
        sa.Column("recurring_id", sa.String(length=64), nullable=False),
        sa.Column("occurrence", UtcDateTime(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("source", sa.String(length=32), nullable=True),
        sa.Column("description", sa.String(length=500), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("payment_id", sa.String(length=64), nullable=True),
        sa.Column("checks", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "amount_minor > 0",
            name=op.f("ck_recurring_occurrences_amount_is_positive"),
        ),
        sa.CheckConstraint(
            "attempt > 0",
            name=op.f("ck_recurring_occurrences_attempt_is_positive"),
        ),
        sa.CheckConstraint(
            "checks >= 0",
            name=op.f("ck_recurring_occurrences_checks_is_not_negative"),
        ),
        sa.CheckConstraint(
            "source IN ('stripe', 'authorize', 'wallet')",
            name=op.f("ck_recurring_occurrences_source_is_known"),
        ),
        sa.CheckConstraint(
            "status IN ('open', 'succeeded', 'declined', 'requires_action', 'failed', 'skipped')",
            name=op.f("ck_recurring_occurrences_status_is_known"),
        ),
        sa.ForeignKeyConstraint(
            ["business_id", "recurring_id"],
            ["recurring_jobs.business_id", "recurring_jobs.recurring_id"],
            name=op.f("fk_recurring_occurrences_recurring_jobs"),
        ),
        sa.PrimaryKeyConstraint(
            "business_id", "recurring_id", "occurrence", name=op.f("pk_recurring_occurrences")
        ),
    )
    op.create_table(
        "recurring_logs",
        sa.Column("business_id", sa.String(length=64), nullable=False),
        sa.Column("log_id", sa.String(length=64), nullable=False),
        sa.Column("recurring_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("occurrence", UtcDateTime(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("message", sa.String(length=500), nullable=False),
        sa.Column("transaction_id", sa.String(length=255), nullable=True),
        sa.Column("payment_id", sa.String(length=64), nullable=True),
        sa.Column("attempted_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "attempt >= 0",
            name=op.f("ck_recurring_logs_attempt_is_not_negative"),
        ),
        sa.CheckConstraint(
            "status IN ('succeeded', 'declined', 'requires_action', 'failed', 'skipped')",
            name=op.f("ck_recurring_logs_status_is_known"),
        ),
        sa.ForeignKeyConstraint(
            ["business_id", "recurring_id"],
            ["recurring_jobs.business_id", "recurring_jobs.recurring_id"],
            name=op.f("fk_recurring_logs_recurring_jobs"),
        ),
        sa.PrimaryKeyConstraint("business_id", "log_id", name=op.f("pk_recurring_logs")),
        sa.UniqueConstraint(
            "business_id",
            "recurring_id",
            "occurrence",
            "attempt",
            name=op.f("uq_recurring_logs_business_id_recurring_id_occurrence_attempt"),
        ),
    )
    op.create_index(
        "ix_recurring_logs_business_id_attempted_at",
        "recurring_logs",
        ["business_id", "attempted_at", "log_id"],
    )
    op.create_table(
        "test_clocks",
        sa.Column("business_id", sa.String(length=64), nullable=False),
        sa.Column("env", sa.String(length=32), nullable=False),
        sa.Column("ahead_microseconds", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "ahead_microseconds >= 0",
            name=op.f("ck_test_clocks_ahead_is_not_negative"),
        ),
        sa.CheckConstraint(
            "env IN ('TEST')",
            name=op.f("ck_test_clocks_env_is_known"),
        ),
        sa.ForeignKeyConstraint(
            ["business_id"], ["businesses.business_id"], name=op.f("fk_test_clocks_businesses")
        ),
        sa.PrimaryKeyConstraint("business_id", "env", name=op.f("pk_test_clocks")),
    )


def downgrade() -> None:
    """Migrate back to the previous revision."""
    op.drop_table("test_clocks")
    op.drop_table("recurring_logs")
    op.drop_table("recurring_occurrences")
    op.drop_table("recurring_jobs")
