"""Indexes for the filters of lists.

Phase: expand.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011_lists"
down_revision = "0010_follow_payments"
branch_labels = None
depends_on = None

_REPLACED = (
    ("users", "ix_users_business_id_created_at", ["created_at", "user_id"]),
    ("payments", "ix_payments_business_id_created_at", ["created_at", "payment_id"]),
    ("payments", "ix_payments_business_id_user_id", ["user_id", "created_at"]),
    ("payments", "ix_payments_business_id_status", ["status", "created_at"]),
    ("recurring_jobs", "ix_recurring_jobs_business_id_created_at", ["created_at", "recurring_id"]),
    ("recurring_logs", "ix_recurring_logs_business_id_attempted_at", ["attempted_at", "log_id"]),
)
_PAYMENT, _JOB, _LOG = (
    ["created_at", "payment_id"],
    ["status", "created_at", "recurring_id"],
    ["status", "attempted_at", "log_id"],
)
_ADDED = (
    ("payments", "ix_payments_newest", ["env", *_PAYMENT]),
    ("payments", "ix_payments_by_status", ["env", "gateway", "status", *_PAYMENT]),
    ("payments", "ix_payments_by_user", ["user_id", "env", "gateway", "status", *_PAYMENT]),
    ("recurring_jobs", "ix_recurring_jobs_by_status", ["env", *_JOB]),
    ("recurring_jobs", "ix_recurring_jobs_by_user", ["user_id", "env", *_JOB]),
    ("recurring_logs", "ix_recurring_logs_by_status", _LOG),
    ("recurring_logs", "ix_recurring_logs_by_user", ["user_id", *_LOG]),
    ("recurring_logs", "ix_recurring_logs_by_job", ["recurring_id", *_LOG]),
)
"""Table, name, and the columns after `business_id`."""


def upgrade() -> None:
    """Build the indexes; whoever writes to these tables waits meanwhile."""
    for table, name, columns in _ADDED:
        op.create_index(name, table, ["business_id", *columns])
    op.create_index(
        "ix_users_active",
        "users",
        ["business_id", "created_at", "user_id"],
        sqlite_where=sa.text("active"),
        postgresql_where=sa.text("active"),
    )
    for table, name, _ in _REPLACED:
        op.drop_index(name, table)


def downgrade() -> None:
    """Build the previous indexes."""
    for table, name, columns in _REPLACED:
        op.create_index(name, table, ["business_id", *columns])
    op.drop_index("ix_users_active", "users")
    for table, name, _ in _ADDED:
        op.drop_index(name, table)
