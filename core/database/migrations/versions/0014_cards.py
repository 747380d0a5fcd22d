"""Removed cards, and fingerprints of cards.

Phase: expand.
"""

import sqlalchemy as sa
from alembic import op

from core.database.schema import UtcDateTime

revision = "0014_cards"
down_revision = "0013_refunds"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table, and add the column."""
    op.add_column("cards", sa.Column("fingerprint", sa.String(length=64), nullable=True))
    op.create_table(
        "removed_cards",
        sa.Column("business_id", sa.String(length=64), nullable=False),
        sa.Column("card_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("env", sa.String(length=32), nullable=False),
        sa.Column("gateway", sa.String(length=32), nullable=False),
        sa.Column("customer_id", sa.String(length=255), nullable=False),
        sa.Column("gateway_card_id", sa.String(length=255), nullable=False),
        sa.Column("brand", sa.String(length=32), nullable=False),
        sa.Column("last4", sa.String(length=4), nullable=False),
        sa.Column("exp_month", sa.Integer(), nullable=False),
        sa.Column("exp_year", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("removed_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("env IN ('TEST', 'LIVE')", name=op.f("ck_removed_cards_env_is_known")),
        sa.CheckConstraint(
            "gateway IN ('stripe', 'authorize')", name=op.f("ck_removed_cards_gateway_is_known")
        ),
        sa.ForeignKeyConstraint(
            ["business_id", "user_id"],
            ["users.business_id", "users.user_id"],
            name=op.f("fk_removed_cards_users"),
        ),
        sa.PrimaryKeyConstraint("business_id", "card_id", name=op.f("pk_removed_cards")),
    )
    op.create_index(
        "ix_removed_cards_gateway_card_id",
        "removed_cards",
        ["business_id", "env", "gateway", "gateway_card_id"],
    )


def downgrade() -> None:
    """Drop the table and the column."""
    op.drop_table("removed_cards")
    op.drop_column("cards", "fingerprint")
