"""Several API keys of a business, each with its scopes.

Phase: expand.
"""

import sqlalchemy as sa
from alembic import op

from core.database.schema import UtcDateTime

revision = "0026_api_keys"
down_revision = "0023_business_dunning"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table, and add the columns of the default key, which are NULL."""
    op.add_column("businesses", sa.Column("api_key_last4", sa.String(length=4), nullable=True))
    op.add_column("businesses", sa.Column("api_key_created_at", UtcDateTime(), nullable=True))
    op.add_column("businesses", sa.Column("api_key_used_at", UtcDateTime(), nullable=True))
    op.create_table(
        "api_keys",
        sa.Column("business_id", sa.String(length=64), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("key_hash", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("scopes", sa.String(length=64), nullable=False),
        sa.Column("last4", sa.String(length=4), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("replaced_at", UtcDateTime(), nullable=True),
        sa.Column("revoked_at", UtcDateTime(), nullable=True),
        sa.Column("last_used_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["business_id"],
            ["businesses.business_id"],
            name=op.f("fk_api_keys_businesses"),
        ),
        sa.PrimaryKeyConstraint("business_id", "key_id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint(
            "business_id", "key_hash", name=op.f("uq_api_keys_business_id_key_hash")
        ),
    )


def downgrade() -> None:
    """Drop them: keys besides the default one stop working."""
    op.drop_table("api_keys")
    op.drop_column("businesses", "api_key_used_at")
    op.drop_column("businesses", "api_key_created_at")
    op.drop_column("businesses", "api_key_last4")
