"""Payments that are authorized first, and the captures and voids that are requested of them.

Phase: expand.
"""

import sqlalchemy as sa
from alembic import op

revision = "0019_capture"
down_revision = "0017_lookups"
branch_labels = None
depends_on = None

_LATER = {"postgresql_not_valid": True}
"""`migrate` validates such constraints without keeping writers out."""
_STATUS = "ck_payments_status_is_known"
_BEFORE = (
    "status IN ('pending', 'succeeded', 'declined', 'requires_action', 'failed', 'needs_review', "
    "'held_for_review', 'voided', 'partially_refunded', 'refunded', 'disputed'"
)
_CHECKS = (
    (
        "amount_is_within_authorized",
        "(authorized_minor IS NULL AND status <> 'authorized' AND closing IS NULL) OR "
        "(authorized_minor IS NOT NULL AND authorized_minor >= amount_minor AND kind = 'charge')",
    ),
    (
        "capture_has_an_amount",
        "(closing IS NOT NULL AND closing = 'capture') = (closing_minor IS NOT NULL)",
    ),
    ("closing_is_known", "closing IN ('capture', 'void')"),
)


def upgrade() -> None:
    """Add the columns, which are NULL for payments from before, and the status."""
    with op.batch_alter_table("payments") as batch:
        batch.add_column(sa.Column("authorized_minor", sa.BigInteger(), nullable=True))
        batch.add_column(sa.Column("closing", sa.String(length=32), nullable=True))
        batch.add_column(sa.Column("closing_minor", sa.BigInteger(), nullable=True))
        batch.add_column(sa.Column("closing_key", sa.String(length=64), nullable=True))
        batch.drop_constraint(op.f(_STATUS), type_="check")
        batch.create_check_constraint(op.f(_STATUS), sa.text(f"{_BEFORE}, 'authorized')"), **_LATER)
        for name, condition in _CHECKS:
            batch.create_check_constraint(op.f(f"ck_payments_{name}"), sa.text(condition), **_LATER)


def downgrade() -> None:
    """Drop the columns. A payment that is still authorized must be looked up at its gateway."""
    op.execute("UPDATE payments SET status = 'needs_review' WHERE status = 'authorized'")
    with op.batch_alter_table("payments") as batch:
        for name, _ in _CHECKS:
            batch.drop_constraint(op.f(f"ck_payments_{name}"), type_="check")
        batch.drop_constraint(op.f(_STATUS), type_="check")
        batch.create_check_constraint(op.f(_STATUS), sa.text(f"{_BEFORE})"))
        for name in ("closing_key", "closing_minor", "closing", "authorized_minor"):
            batch.drop_column(name)
