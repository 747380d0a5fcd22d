"""An index of the users' customers at the gateways by their ids.

Phase: expand.
"""

from alembic import op

revision = "0021_imports"
down_revision = "0020_metadata"
branch_labels = None
depends_on = None

_INDEX = "ix_gateway_customers_customer_id"


def upgrade() -> None:
    """Create the index."""
    op.create_index(_INDEX, "gateway_customers", ["business_id", "env", "gateway", "customer_id"])


def downgrade() -> None:
    """Drop the index."""
    op.drop_index(_INDEX, "gateway_customers")
