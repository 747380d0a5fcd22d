"""CHECK constraints on amounts and enums.

Phase: contract.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002_checks"
down_revision = "0001_first_light"
branch_labels = None
depends_on = None

_ENV = "env IN ('TEST', 'LIVE')"
_GATEWAY = "gateway IN ('stripe', 'authorize')"
_CHECKS = {
    "users": {"default_gateway_is_known": "default_gateway IN ('stripe', 'authorize')"},
    "gateway_customers": {"env_is_known": _ENV, "gateway_is_known": _GATEWAY},
    "cards": {"env_is_known": _ENV, "gateway_is_known": _GATEWAY},
    "payments": {
        "success_has_a_transaction": "status <> 'succeeded' OR transaction_id IS NOT NULL",
        "gateway_is_known": _GATEWAY,
        "status_is_known": (
            "status IN ('pending', 'succeeded', 'declined', 'requires_action', 'failed', "
            "'needs_review', 'held_for_review', 'voided', 'partially_refunded', 'refunded', "
            "'disputed')"
        ),
        "attempt_is_known": "attempt IN ('running', 'unknown', 'not_sent')",
    },
    "wallets": {"version_is_not_negative": "version >= 0"},
    "wallet_transactions": {
        "balance_after_is_not_negative": "balance_after_minor >= 0",
        "version_is_positive": "version > 0",
        "source_is_known": "source IN ('system', 'manual', 'stripe', 'authorize', 'recurring')",
        "reason_is_known": (
            "reason IN ('business_charge', 'manual_credit', 'wallet_fund', 'refund', 'dispute', "
            "'recurring_charge')"
        ),
    },
    "postings": {"amount_is_not_zero": "amount_minor <> 0"},
}


def upgrade() -> None:
    """Migrate from the previous revision."""
    for table, checks in _CHECKS.items():
        with op.batch_alter_table(table) as batch_op:
            for name, condition in checks.items():
                batch_op.create_check_constraint(op.f(f"ck_{table}_{name}"), sa.text(condition))


def downgrade() -> None:
    """Migrate back to the previous revision."""
    for table, checks in _CHECKS.items():
        with op.batch_alter_table(table) as batch_op:
            for name in checks:
                batch_op.drop_constraint(op.f(f"ck_{table}_{name}"), type_="check")
