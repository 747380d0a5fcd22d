"""Due work in one form: time of the next look, failed looks, and rows that are set aside.

Phase: contract.
"""

import sqlalchemy as sa
from alembic import op

from core.database.schema import UtcDateTime

revision = "0009_due_work"
down_revision = "0008_cycles"
branch_labels = None
depends_on = None

_PENDING = "ck_payments_looked_at_while_pending"
_WAITING = "ck_webhook_events_looked_at_while_waiting"
_WAITING_BEFORE = "ck_webhook_events_checked_while_waiting"
_OPEN_BEFORE = "ck_payments_checked_while_open"
_ASIDE = "(set_aside_at IS NULL) = (set_aside_error IS NULL)"
_TABLES = ("payments", "webhook_events", "recurring_jobs")
_LANE = {"payments": ["gateway"], "webhook_events": ["gateway"], "recurring_jobs": []}


def upgrade() -> None:
    """Migrate from the previous revision. A running attempt is looked at when its lease ends."""
    op.drop_index("ix_payments_pending", "payments")
    op.drop_index("ix_webhook_events_waiting", "webhook_events")
    op.drop_index("ix_recurring_jobs_due_at", "recurring_jobs")
    for table, constraint in (("payments", _OPEN_BEFORE), ("webhook_events", _WAITING_BEFORE)):
        with op.batch_alter_table(table) as batch:
            batch.drop_constraint(op.f(constraint), type_="check")
            batch.alter_column("check_at", new_column_name="look_at")
            batch.add_column(sa.Column("set_aside_at", UtcDateTime(), nullable=True))
            batch.add_column(sa.Column("set_aside_error", sa.String(500), nullable=True))
    op.execute("UPDATE payments SET look_at = leased_until WHERE attempt = 'running'")
    for table in _TABLES:
        with op.batch_alter_table(table) as batch:
            batch.add_column(
                sa.Column("failed_looks", sa.Integer(), nullable=False, server_default=sa.text("0"))
            )
            batch.create_check_constraint(op.f(f"ck_{table}_set_aside_with_error"), sa.text(_ASIDE))
        _create_indexes(table)
    with op.batch_alter_table("payments") as batch:
        batch.create_check_constraint(
            op.f(_PENDING), sa.text("status <> 'pending' OR look_at IS NOT NULL")
        )
    with op.batch_alter_table("webhook_events") as batch:
        batch.create_check_constraint(
            op.f(_WAITING), sa.text("(look_at IS NOT NULL) = (state = 'waiting')")
        )


def _create_indexes(table: str) -> None:
    look_at = "due_at" if table == "recurring_jobs" else "look_at"
    is_due = sa.text(f"{look_at} IS NOT NULL AND set_aside_at IS NULL")
    is_aside = sa.text("set_aside_at IS NOT NULL")
    for name, columns, where in (
        ("due", [*_LANE[table], look_at], is_due),
        ("due_by_business", [*_LANE[table], "business_id", look_at], is_due),
        ("set_aside", ["set_aside_at"], is_aside),
    ):
        op.create_index(
            f"ix_{table}_{name}", table, columns, sqlite_where=where, postgresql_where=where
        )


def downgrade() -> None:
    """Migrate back to the previous revision. What is set aside is due again, but for jobs."""
    for table in _TABLES:
        for name in ("due", "due_by_business", "set_aside"):
            op.drop_index(f"ix_{table}_{name}", table)
        with op.batch_alter_table(table) as batch:
            batch.drop_constraint(op.f(f"ck_{table}_set_aside_with_error"), type_="check")
            batch.drop_column("failed_looks")
    for table, constraint in (("payments", _PENDING), ("webhook_events", _WAITING)):
        with op.batch_alter_table(table) as batch:
            batch.drop_constraint(op.f(constraint), type_="check")
            batch.alter_column("look_at", new_column_name="check_at")
            batch.drop_column("set_aside_at")
            batch.drop_column("set_aside_error")
    op.execute("UPDATE payments SET check_at = NULL WHERE attempt IS NULL OR attempt = 'running'")
    with op.batch_alter_table("payments") as batch:
        batch.create_check_constraint(
            op.f(_OPEN_BEFORE),
            sa.text("(check_at IS NOT NULL) = (attempt IS NOT NULL AND attempt <> 'running')"),
        )
    with op.batch_alter_table("webhook_events") as batch:
        batch.create_check_constraint(
            op.f(_WAITING_BEFORE), sa.text("(check_at IS NOT NULL) = (state = 'waiting')")
        )
    for name, table, column, condition in (
        ("ix_payments_pending", "payments", "created_at", "status = 'pending'"),
        ("ix_webhook_events_waiting", "webhook_events", "check_at", "state = 'waiting'"),
        ("ix_recurring_jobs_due_at", "recurring_jobs", "due_at", "due_at IS NOT NULL"),
    ):
        where = sa.text(condition)
        op.create_index(name, table, [column], sqlite_where=where, postgresql_where=where)
