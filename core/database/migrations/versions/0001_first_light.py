"""Initial schema.

Phase: expand.
"""

import sqlalchemy as sa
from alembic import op

from core.database.schema import UtcDateTime

revision = "0001_first_light"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Migrate from the previous revision."""
    op.create_table(
        "businesses",
        sa.Column("business_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("domain", sa.String(length=253), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("api_key_hash", sa.String(length=64), nullable=False),
        sa.Column("default_env", sa.String(length=32), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "default_env IN ('TEST', 'LIVE')", name=op.f("ck_businesses_default_env_is_known")
        ),
        sa.PrimaryKeyConstraint("business_id", name=op.f("pk_businesses")),
    )
    op.create_table(
        "keyring_canaries",
        sa.Column("business_id", sa.String(length=64), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("business_id", "key_id", name=op.f("pk_keyring_canaries")),
    )
    op.create_table(
        "authorize_credentials",
        sa.Column("business_id", sa.String(length=64), nullable=False),
        sa.Column("env", sa.String(length=32), nullable=False),
        sa.Column("api_login_id", sa.String(length=64), nullable=False),
        sa.Column("sealed_transaction_key", sa.Text(), nullable=False),
        sa.Column("sealed_signature_key", sa.Text(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "env IN ('TEST', 'LIVE')", name=op.f("ck_authorize_credentials_env_is_known")
        ),
        sa.ForeignKeyConstraint(
            ["business_id"],
            ["businesses.business_id"],
            name=op.f("fk_authorize_credentials_businesses"),
        ),
        sa.PrimaryKeyConstraint("business_id", "env", name=op.f("pk_authorize_credentials")),
    )
    op.create_table(
        "stripe_credentials",
        sa.Column("business_id", sa.String(length=64), nullable=False),
        sa.Column("env", sa.String(length=32), nullable=False),
        sa.Column("sealed_secret_key", sa.Text(), nullable=False),
        sa.Column("public_key", sa.String(length=255), nullable=False),
        sa.Column("sealed_webhook_secret", sa.Text(), nullable=True),
        sa.Column("account_id", sa.String(length=128), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "env IN ('TEST', 'LIVE')", name=op.f("ck_stripe_credentials_env_is_known")
        ),
        sa.ForeignKeyConstraint(
            ["business_id"],
            ["businesses.business_id"],
            name=op.f("fk_stripe_credentials_businesses"),
        ),
        sa.PrimaryKeyConstraint("business_id", "env", name=op.f("pk_stripe_credentials")),
    )
    op.create_table(
        "users",
        sa.Column("business_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("default_gateway", sa.String(length=32), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["business_id"], ["businesses.business_id"], name=op.f("fk_users_businesses")
        ),
        sa.PrimaryKeyConstraint("business_id", "user_id", name=op.f("pk_users")),
    )
    with op.batch_alter_table("users", schema=None) as batch_op:
        batch_op.create_index(
            "ix_users_business_id_created_at",
            ["business_id", "created_at", "user_id"],
            unique=False,
        )

    op.create_table(
        "cards",
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
        sa.Column("is_primary", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["business_id", "user_id"],
            ["users.business_id", "users.user_id"],
            name=op.f("fk_cards_users"),
        ),
        sa.PrimaryKeyConstraint("business_id", "card_id", name=op.f("pk_cards")),
        sa.UniqueConstraint(
            "business_id",
            "env",
            "gateway",
            "gateway_card_id",
            name=op.f("uq_cards_business_id_env_gateway_gateway_card_id"),
        ),
    )
    with op.batch_alter_table("cards", schema=None) as batch_op:
        batch_op.create_index(
            "ix_cards_business_id_user_id", ["business_id", "user_id", "env"], unique=False
        )
        batch_op.create_index(
            "uq_cards_one_primary",
            ["business_id", "user_id", "gateway", "env"],
            unique=True,
            sqlite_where=sa.text("is_primary"),
            postgresql_where=sa.text("is_primary"),
        )

    op.create_table(
        "gateway_customers",
        sa.Column("business_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("env", sa.String(length=32), nullable=False),
        sa.Column("gateway", sa.String(length=32), nullable=False),
        sa.Column("customer_id", sa.String(length=255), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["business_id", "user_id"],
            ["users.business_id", "users.user_id"],
            name=op.f("fk_gateway_customers_users"),
        ),
        sa.PrimaryKeyConstraint(
            "business_id", "user_id", "env", "gateway", name=op.f("pk_gateway_customers")
        ),
    )
    op.create_table(
        "payments",
        sa.Column("business_id", sa.String(length=64), nullable=False),
        sa.Column("payment_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("env", sa.String(length=32), nullable=False),
        sa.Column("gateway", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("description", sa.String(length=500), nullable=True),
        sa.Column("idempotency_key", sa.String(length=64), nullable=True),
        sa.Column("customer_id", sa.String(length=255), nullable=False),
        sa.Column("gateway_card_id", sa.String(length=255), nullable=False),
        sa.Column("gateway_key", sa.String(length=255), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("attempt", sa.String(length=32), nullable=True),
        sa.Column("transaction_id", sa.String(length=255), nullable=True),
        sa.Column("decline_code", sa.String(length=255), nullable=True),
        sa.Column("answered", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "(status = 'pending') = (attempt IS NOT NULL)",
            name=op.f("ck_payments_attempt_while_pending"),
        ),
        sa.CheckConstraint("env IN ('TEST', 'LIVE')", name=op.f("ck_payments_env_is_known")),
        sa.CheckConstraint("kind IN ('charge', 'fund')", name=op.f("ck_payments_kind_is_known")),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_payments_amount_is_positive")),
        sa.ForeignKeyConstraint(
            ["business_id", "user_id"],
            ["users.business_id", "users.user_id"],
            name=op.f("fk_payments_users"),
        ),
        sa.PrimaryKeyConstraint("business_id", "payment_id", name=op.f("pk_payments")),
    )
    with op.batch_alter_table("payments", schema=None) as batch_op:
        batch_op.create_index(
            "ix_payments_business_id_created_at",
            ["business_id", "created_at", "payment_id"],
            unique=False,
        )
        batch_op.create_index(
            "ix_payments_idempotency_key", ["business_id", "idempotency_key"], unique=False
        )
        batch_op.create_index(
            "ix_payments_unanswered",
            ["business_id", "user_id"],
            unique=False,
            sqlite_where=sa.text("NOT answered"),
            postgresql_where=sa.text("NOT answered"),
        )

    op.create_table(
        "wallets",
        sa.Column("business_id", sa.String(length=64), nullable=False),
        sa.Column("wallet_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("env", sa.String(length=32), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("balance_minor", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("env IN ('TEST', 'LIVE')", name=op.f("ck_wallets_env_is_known")),
        sa.CheckConstraint("balance_minor >= 0", name=op.f("ck_wallets_balance_is_not_negative")),
        sa.ForeignKeyConstraint(
            ["business_id", "user_id"],
            ["users.business_id", "users.user_id"],
            name=op.f("fk_wallets_users"),
        ),
        sa.PrimaryKeyConstraint("business_id", "wallet_id", name=op.f("pk_wallets")),
        sa.UniqueConstraint(
            "business_id", "user_id", "env", name=op.f("uq_wallets_business_id_user_id_env")
        ),
    )
    op.create_table(
        "wallet_transactions",
        sa.Column("business_id", sa.String(length=64), nullable=False),
        sa.Column("transaction_id", sa.String(length=64), nullable=False),
        sa.Column("wallet_id", sa.String(length=64), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("balance_after_minor", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("description", sa.String(length=500), nullable=True),
        sa.Column("payment_id", sa.String(length=64), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "type IN ('credit', 'debit')", name=op.f("ck_wallet_transactions_type_is_known")
        ),
        sa.CheckConstraint(
            "amount_minor > 0", name=op.f("ck_wallet_transactions_amount_is_positive")
        ),
        sa.ForeignKeyConstraint(
            ["business_id", "wallet_id"],
            ["wallets.business_id", "wallets.wallet_id"],
            name=op.f("fk_wallet_transactions_wallets"),
        ),
        sa.PrimaryKeyConstraint(
            "business_id", "transaction_id", name=op.f("pk_wallet_transactions")
        ),
        sa.UniqueConstraint(
            "business_id",
            "payment_id",
            "reason",
            name=op.f("uq_wallet_transactions_business_id_payment_id_reason"),
        ),
        sa.UniqueConstraint(
            "business_id",
            "wallet_id",
            "version",
            name=op.f("uq_wallet_transactions_business_id_wallet_id_version"),
        ),
    )
    op.create_table(
        "postings",
        sa.Column("business_id", sa.String(length=64), nullable=False),
        sa.Column("transaction_id", sa.String(length=64), nullable=False),
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.ForeignKeyConstraint(
            ["business_id", "transaction_id"],
            ["wallet_transactions.business_id", "wallet_transactions.transaction_id"],
            name=op.f("fk_postings_wallet_transactions"),
        ),
        sa.PrimaryKeyConstraint(
            "business_id", "transaction_id", "account", name=op.f("pk_postings")
        ),
    )
    with op.batch_alter_table("postings", schema=None) as batch_op:
        batch_op.create_index(
            "ix_postings_business_id_account", ["business_id", "account"], unique=False
        )


def downgrade() -> None:
    """Migrate back to the previous revision."""
    with op.batch_alter_table("postings", schema=None) as batch_op:
        batch_op.drop_index("ix_postings_business_id_account")

    op.drop_table("postings")
    op.drop_table("wallet_transactions")
    op.drop_table("wallets")
    with op.batch_alter_table("payments", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_payments_unanswered",
            sqlite_where=sa.text("NOT answered"),
            postgresql_where=sa.text("NOT answered"),
        )
        batch_op.drop_index("ix_payments_idempotency_key")
        batch_op.drop_index("ix_payments_business_id_created_at")

    op.drop_table("payments")
    op.drop_table("gateway_customers")
    with op.batch_alter_table("cards", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_cards_one_primary",
            sqlite_where=sa.text("is_primary"),
            postgresql_where=sa.text("is_primary"),
        )
        batch_op.drop_index("ix_cards_business_id_user_id")

    op.drop_table("cards")
    with op.batch_alter_table("users", schema=None) as batch_op:
        batch_op.drop_index("ix_users_business_id_created_at")

    op.drop_table("users")
    op.drop_table("stripe_credentials")
    op.drop_table("authorize_credentials")
    op.drop_table("keyring_canaries")
    op.drop_table("businesses")
