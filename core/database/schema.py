"""All tables. Every primary key begins with `business_id`, so that tenants can be distributed.

Amounts are integers in the currency's minor unit. Enums (env, gateway, status …) are stored as
their words in JSON.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeDecorator

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


_FromDriver = Callable[[Any], datetime | None]


class UtcDateTime(TypeDecorator[datetime]):
    """A time in UTC, aware in Python. SQLite stores it without the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert an aware value to UTC, for SQLite without the zone."""
        if value is None:
            return None
        assert value.tzinfo is not None, "times are aware"
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def result_processor(
        self,
        dialect: Dialect,
        coltype: object,  # noqa: ARG002 - SQLAlchemy's signature
    ) -> _FromDriver | None:
        """Return what makes SQLite's text an aware time; PostgreSQL's driver returns one."""
        return _time_of_text if dialect.name == "sqlite" else None


def _time_of_text(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).replace(tzinfo=UTC)


def _id(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, String(64), nullable=nullable)


def _word(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, String(32), nullable=nullable)


def _moment(name: str) -> Column[datetime]:
    return Column(name, UtcDateTime, nullable=False)


GATEWAYS = ("stripe", "authorize")
PAYMENT_STATUSES = (
    "pending",
    "succeeded",
    "declined",
    "requires_action",
    "failed",
    "needs_review",
    "held_for_review",
    "voided",
    "partially_refunded",
    "refunded",
    "disputed",
    "authorized",
)
VOID_REASONS = ("duplicate", "fraudulent", "requested_by_customer", "abandoned")
REFUND_STATUSES = ("pending", "succeeded", "failed", "canceled")
JOB_STATUSES = ("active", "paused", "cancelled", "completed")
HOLD_STATUSES = ("open", "captured", "released", "expired")
GATEWAY_EVENT_STATES = ("waiting", "applied", "contradicting", "ignored")
RECEIVED = "type NOT IN ('nivisco.read', 'nivisco.decision')"
"""Condition of events that a gateway sent: core.payments.event_store writes the others."""
LOG_STATUSES = ("succeeded", "declined", "requires_action", "failed", "skipped")


def _set_aside() -> tuple[Column[Any], ...]:
    """Return the columns of rows with due work, besides the time of the next look.

    `failed_looks` counts looks that failed for an error of the row's own since it was released. A
    row that is set aside is not looked at until `set_aside_at` is NULL again: see core.due_work.
    """
    return (
        Column("set_aside_at", UtcDateTime, nullable=True),
        Column("set_aside_error", String(500), nullable=True),
        Column("failed_looks", Integer, nullable=False, server_default=text("0")),
    )


def _due_work(table: str, look_at: str, *lane: str) -> tuple[CheckConstraint | Index, ...]:
    """Return the constraint and the indexes of a table with due work, in order of `look_at`."""
    is_due = text(f"{look_at} IS NOT NULL AND set_aside_at IS NULL")
    is_aside = text("set_aside_at IS NOT NULL")
    indexes = (
        ("due", (*lane, look_at), is_due),
        ("due_by_business", (*lane, "business_id", look_at), is_due),
        ("set_aside", ("set_aside_at",), is_aside),
    )
    return (
        CheckConstraint(
            "(set_aside_at IS NULL) = (set_aside_error IS NULL)", name="set_aside_with_error"
        ),
        *(
            Index(f"ix_{table}_{name}", *columns, sqlite_where=where, postgresql_where=where)
            for name, columns, where in indexes
        ),
    )


def _metadata() -> Column[str]:
    """Return the column of a resource's pairs of strings, see core.metadata. NULL: it has none."""
    return Column("metadata", Text, nullable=True)


def _sealed(name: str, bound_to: str, *, nullable: bool = False) -> Column[str]:
    """Return the column of a sealed secret: see core.security.keyring.

    `bound_to` is its purpose: the field, and in braces the columns that name its row. It never
    changes, or what is stored cannot be opened.
    """
    return Column(name, Text, nullable=nullable, info={"bound_to": bound_to})


def _one_of(column: str, *words: str) -> CheckConstraint:
    listed = ", ".join(f"'{word}'" for word in words)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_is_known")


businesses = Table(
    "businesses",
    metadata,
    Column("business_id", String(64), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("email", String(254), nullable=False),
    Column("domain", String(253), nullable=False),
    Column("active", Boolean, nullable=False),
    Column("api_key_hash", String(64), nullable=False),
    _word("default_env"),
    _moment("created_at"),
    _moment("updated_at"),
    # Whether what a user owes is settled whenever the user's wallet is credited.
    Column("settle_receivables", Boolean, nullable=False, server_default=text("false")),
    # Of jobs that leave it open, as in `recurring_jobs`; NULL: the defaults of core.dunning.
    Column("retry_days", String(64), nullable=True),
    Column("max_failed_cycles", Integer, nullable=True),
    CheckConstraint("max_failed_cycles > 0", name="max_failed_cycles_is_positive"),
    # Of the default API key, whose hash is `api_key_hash`. NULL: it is older than the column, or
    # was not used. A core of the previous version replaces the hash alone.
    Column("api_key_last4", String(4), nullable=True),
    Column("api_key_created_at", UtcDateTime, nullable=True),
    Column("api_key_used_at", UtcDateTime, nullable=True),
    # Since when an operator suspends the business, and why. NULL: it is not suspended.
    Column("suspended_at", UtcDateTime, nullable=True),
    Column("suspended_reason", String(500), nullable=True),
    # Limits of core.limits.BusinessLimits, 0 for none; NULL: the core's defaults.
    Column("requests_per_second", Integer, nullable=True),
    Column("gateway_requests", Integer, nullable=True),
    CheckConstraint("requests_per_second >= 0", name="requests_per_second_is_not_negative"),
    CheckConstraint("gateway_requests >= 0", name="gateway_requests_is_not_negative"),
    _one_of("default_env", "TEST", "LIVE"),
)

api_keys = Table(
    # API keys besides the default one, and default keys that were replaced and still work.
    "api_keys",
    metadata,
    Column("business_id", String(64), primary_key=True),
    Column("key_id", String(64), primary_key=True),
    Column("key_hash", String(64), nullable=False),
    Column("name", String(200), nullable=False),
    # Words of ApiKeyScope, in alphabetical order, with spaces between them.
    Column("scopes", String(64), nullable=False),
    Column("last4", String(4), nullable=True),
    _moment("created_at"),
    Column("expires_at", UtcDateTime, nullable=True),
    Column("replaced_at", UtcDateTime, nullable=True),
    Column("revoked_at", UtcDateTime, nullable=True),
    Column("last_used_at", UtcDateTime, nullable=True),
    # The key in whose row the replacement is, and with which this one is revoked.
    Column("replaced_by", String(64), nullable=True),
    # What the key may take and move, in minor units: in one call, and on a day (UTC). They never
    # change. NULL: it has no such cap.
    Column("cap_currency", String(3), nullable=True),
    Column("max_minor", BigInteger, nullable=True),
    Column("max_minor_per_day", BigInteger, nullable=True),
    ForeignKeyConstraint(["business_id"], ["businesses.business_id"]),
    UniqueConstraint("business_id", "key_hash"),
)

key_usage = Table(
    # What API keys with a cap per day have moved on each day (UTC), in minor units of the cap.
    "key_usage",
    metadata,
    Column("business_id", String(64), primary_key=True),
    Column("key_id", String(64), primary_key=True),
    Column("day", String(10), primary_key=True),
    Column("amount_minor", BigInteger, nullable=False),
    CheckConstraint("amount_minor >= 0", name="amount_is_not_negative"),
)

stops = Table(
    # What operators have stopped. `*` stands for every business, and for every gateway.
    "stops",
    metadata,
    Column("business_id", String(64), primary_key=True),
    Column("gateway", String(32), primary_key=True),
    Column("what", String(32), primary_key=True),
    _moment("stopped_at"),
    Column("stopped_by", String(200), nullable=False),
    Column("reason", String(500), nullable=False),
    # NULL: it is in force.
    Column("ended_at", UtcDateTime, nullable=True),
    Column("ended_by", String(200), nullable=True),
    Column("ended_reason", String(500), nullable=True),
    _one_of("gateway", "*", *GATEWAYS),
    _one_of("what", "charges", "recurring", "everything"),
)

keyring_canaries = Table(
    # A constant sealed with each key, so that a core with another keyring refuses to start.
    "keyring_canaries",
    metadata,
    Column("business_id", String(64), primary_key=True),
    Column("key_id", String(64), primary_key=True),
    # The row is the key's that seals.
    _sealed("sealed", "canary"),
)

stripe_credentials = Table(
    "stripe_credentials",
    metadata,
    Column("business_id", String(64), primary_key=True),
    Column("env", String(32), primary_key=True),
    _sealed("sealed_secret_key", "stripe/{env}/stripe_secret_key"),
    Column("public_key", String(255), nullable=False),
    _sealed("sealed_webhook_secret", "stripe/{env}/stripe_webhook_secret", nullable=True),
    Column("account_id", String(128), nullable=True),
    _moment("created_at"),
    _moment("updated_at"),
    ForeignKeyConstraint(["business_id"], ["businesses.business_id"]),
    _one_of("env", "TEST", "LIVE"),
)

authorize_credentials = Table(
    "authorize_credentials",
    metadata,
    Column("business_id", String(64), primary_key=True),
    Column("env", String(32), primary_key=True),
    Column("api_login_id", String(64), nullable=False),
    _sealed("sealed_transaction_key", "authorize/{env}/transaction_key"),
    _sealed("sealed_signature_key", "authorize/{env}/signature_key", nullable=True),
    _moment("created_at"),
    _moment("updated_at"),
    ForeignKeyConstraint(["business_id"], ["businesses.business_id"]),
    _one_of("env", "TEST", "LIVE"),
)

users = Table(
    "users",
    metadata,
    Column("business_id", String(64), primary_key=True),
    Column("user_id", String(64), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("email", String(254), nullable=False),
    Column("active", Boolean, nullable=False),
    Column("currency", String(3), nullable=False),
    _word("default_gateway", nullable=True),
    _moment("created_at"),
    _moment("updated_at"),
    _metadata(),
    # NULL: the user is not suspended.
    Column("suspended_at", UtcDateTime, nullable=True),
    # How many requests to save a card there were since a moment: core.limits.
    Column("card_saves", Integer, nullable=False, server_default=text("0")),
    Column("card_saves_since", UtcDateTime, nullable=True),
    ForeignKeyConstraint(["business_id"], ["businesses.business_id"]),
    _one_of("default_gateway", *GATEWAYS),
    Index(
        "ix_users_active",
        "business_id",
        "created_at",
        "user_id",
        sqlite_where=text("active"),
        postgresql_where=text("active"),
    ),
)

gateway_customers = Table(
    # One customer at the gateway for each user and environment, reused for all cards.
    "gateway_customers",
    metadata,
    Column("business_id", String(64), primary_key=True),
    Column("user_id", String(64), primary_key=True),
    Column("env", String(32), primary_key=True),
    Column("gateway", String(32), primary_key=True),
    Column("customer_id", String(255), nullable=False),
    _moment("created_at"),
    ForeignKeyConstraint(["business_id", "user_id"], ["users.business_id", "users.user_id"]),
    _one_of("env", "TEST", "LIVE"),
    _one_of("gateway", *GATEWAYS),
    Index("ix_gateway_customers_customer_id", "business_id", "env", "gateway", "customer_id"),
)

cards = Table(
    "cards",
    metadata,
    Column("business_id", String(64), primary_key=True),
    Column("card_id", String(64), primary_key=True),
    _id("user_id"),
    _word("env"),
    _word("gateway"),
    Column("customer_id", String(255), nullable=False),
    Column("gateway_card_id", String(255), nullable=False),
    _word("brand"),
    Column("last4", String(4), nullable=False),
    Column("exp_month", Integer, nullable=False),
    Column("exp_year", Integer, nullable=False),
    Column("is_primary", Boolean, nullable=False),
    _moment("created_at"),
    # The gateway's, equal for all of its cards with one number. Cards saved before have none.
    Column("fingerprint", String(64), nullable=True),
    ForeignKeyConstraint(["business_id", "user_id"], ["users.business_id", "users.user_id"]),
    UniqueConstraint("business_id", "env", "gateway", "gateway_card_id"),
    _one_of("env", "TEST", "LIVE"),
    _one_of("gateway", *GATEWAYS),
    Index(
        "uq_cards_one_primary",
        "business_id",
        "user_id",
        "gateway",
        "env",
        unique=True,
        sqlite_where=text("is_primary"),
        postgresql_where=text("is_primary"),
    ),
    Index("ix_cards_business_id_user_id", "business_id", "user_id", "env"),
)

removed_cards = Table(
    # Cards that were removed here and at their gateway. No charge reads them.
    "removed_cards",
    metadata,
    Column("business_id", String(64), primary_key=True),
    Column("card_id", String(64), primary_key=True),
    _id("user_id"),
    _word("env"),
    _word("gateway"),
    Column("customer_id", String(255), nullable=False),
    Column("gateway_card_id", String(255), nullable=False),
    _word("brand"),
    Column("last4", String(4), nullable=False),
    Column("exp_month", Integer, nullable=False),
    Column("exp_year", Integer, nullable=False),
    _moment("created_at"),
    _moment("removed_at"),
    ForeignKeyConstraint(["business_id", "user_id"], ["users.business_id", "users.user_id"]),
    _one_of("env", "TEST", "LIVE"),
    _one_of("gateway", *GATEWAYS),
    Index("ix_removed_cards_gateway_card_id", "business_id", "env", "gateway", "gateway_card_id"),
)

payments = Table(
    "payments",
    metadata,
    Column("business_id", String(64), primary_key=True),
    Column("payment_id", String(64), primary_key=True),
    _id("user_id"),
    _word("env"),
    _word("gateway"),
    _word("kind"),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("description", String(500), nullable=True),
    Column("idempotency_key", String(64), nullable=True),
    Column("customer_id", String(255), nullable=False),
    Column("gateway_card_id", String(255), nullable=False),
    Column("gateway_key", String(255), nullable=False),
    _word("status"),
    # running: a core calls the gateway, or died; unknown: sent, outcome unknown; not_sent: not
    # sent, for certain. NULL once the payment has an outcome.
    _word("attempt", nullable=True),
    Column("transaction_id", String(255), nullable=True),
    Column("decline_code", String(255), nullable=True),
    # Whether a caller received the success, set after the response was sent. Any other outcome sets
    # it at once; false before the outcome.
    Column("answered", Boolean, nullable=False),
    _moment("created_at"),
    _moment("updated_at"),
    # The core with the lease of a running attempt; on an unanswered success the core that sends the
    # response. `leased_until` is the end of the lease unless renewed.
    _id("lease_owner", nullable=True),
    Column("leased_until", UtcDateTime, nullable=True),
    # Whether an equal request without a key joins this attempt: its caller left, or was told that a
    # retry is safe.
    Column("joinable", Boolean, nullable=False),
    # When a core looks at the payment next, and how many looks there were. While an attempt runs it
    # is the end of the lease. NULL: there is nothing to look for.
    Column("look_at", UtcDateTime, nullable=True),
    Column("checks", Integer, nullable=False),
    # When the charge was last sent to the gateway; NULL: at created_at.
    Column("sent_at", UtcDateTime, nullable=True),
    # Sum of the refunds, without those that failed.
    Column("amount_refunded_minor", BigInteger, nullable=False, server_default=text("0")),
    *_set_aside(),
    # Since when the payment is to be canceled at its gateway, if nobody completes it before.
    Column("cancel_at", UtcDateTime, nullable=True),
    # When it first succeeded; NULL before, and for payments from before revision 0010.
    Column("succeeded_at", UtcDateTime, nullable=True),
    # The status that followed `pending`, and since when; NULL before, and for payments that had an
    # outcome before revision 0017.
    _word("first_outcome", nullable=True),
    Column("first_outcome_at", UtcDateTime, nullable=True),
    # The requested amount, if it is authorized first; then amount_minor is what is captured, once
    # it is. NULL: it is charged at once.
    Column("authorized_minor", BigInteger, nullable=True),
    # The capture or void that was requested of an authorized payment, the amount to capture, and
    # the request's idempotency key. While the payment is authorized, the gateway is to do it.
    _word("closing", nullable=True),
    Column("closing_minor", BigInteger, nullable=True),
    Column("closing_key", String(64), nullable=True),
    _metadata(),
    _word("void_reason", nullable=True),  # of that void, if the request named one
    _id("capped_key_id", nullable=True),  # the API key that began it, if that has caps
    ForeignKeyConstraint(["business_id", "user_id"], ["users.business_id", "users.user_id"]),
    CheckConstraint("amount_minor > 0", name="amount_is_positive"),
    CheckConstraint(
        "amount_refunded_minor >= 0 AND amount_refunded_minor <= amount_minor",
        name="refunded_is_within_amount",
    ),
    CheckConstraint("(status = 'pending') = (attempt IS NOT NULL)", name="attempt_while_pending"),
    CheckConstraint(
        "(leased_until IS NOT NULL) = (attempt IS NOT NULL AND attempt = 'running')",
        name="lease_while_running",
    ),
    CheckConstraint("status <> 'pending' OR look_at IS NOT NULL", name="looked_at_while_pending"),
    CheckConstraint(
        "(authorized_minor IS NULL AND status <> 'authorized' AND closing IS NULL) OR "
        "(authorized_minor IS NOT NULL AND authorized_minor >= amount_minor AND kind = 'charge')",
        name="amount_is_within_authorized",
    ),
    CheckConstraint(
        "(closing IS NOT NULL AND closing = 'capture') = (closing_minor IS NOT NULL)",
        name="capture_has_an_amount",
    ),
    CheckConstraint(
        "status <> 'succeeded' OR transaction_id IS NOT NULL", name="success_has_a_transaction"
    ),
    _one_of("env", "TEST", "LIVE"),
    _one_of("gateway", *GATEWAYS),
    _one_of("kind", "charge", "fund"),
    _one_of("status", *PAYMENT_STATUSES),
    _one_of("attempt", "running", "unknown", "not_sent"),
    _one_of("closing", "capture", "void"),
    _one_of("void_reason", *VOID_REASONS),
    # The three of the list, by its filters: core.database.paging says how they serve each.
    Index("ix_payments_newest", "business_id", "env", "created_at", "payment_id"),
    Index(
        "ix_payments_by_status",
        "business_id",
        "env",
        "gateway",
        "status",
        "created_at",
        "payment_id",
    ),
    Index(
        "ix_payments_by_user",
        "business_id",
        "user_id",
        "env",
        "gateway",
        "status",
        "created_at",
        "payment_id",
    ),
    Index("ix_payments_business_id_transaction_id", "business_id", "transaction_id"),
    *_due_work("payments", "look_at", "gateway"),
    Index(
        "ix_payments_unanswered",
        "business_id",
        "user_id",
        sqlite_where=text("NOT answered"),
        postgresql_where=text("NOT answered"),
    ),
)

metadata_pairs = Table(
    # Which resources have a pair of metadata, newest first: the lists by one pair. Its key is the
    # index of these lists. Rows are written and deleted with their resource.
    "metadata_pairs",
    metadata,
    Column("business_id", String(64), primary_key=True),
    # Of kind, environment, key and value: core.metadata.digest_of.
    Column("digest", String(64), primary_key=True),
    # The resource's.
    Column("created_at", UtcDateTime, primary_key=True),
    Column("resource_id", String(64), primary_key=True),
)

refunds = Table(
    # Refunds that were requested here; those of the gateways' dashboards are events only. Rows are
    # written with their payment locked, but for leases.
    "refunds",
    metadata,
    Column("business_id", String(64), primary_key=True),
    Column("refund_id", String(64), primary_key=True),
    _id("payment_id"),
    _id("user_id"),
    _word("env"),
    _word("gateway"),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    # Whether all of the payment was refunded by this one, so that it can be voided.
    Column("is_whole", Boolean, nullable=False),
    _word("reason", nullable=True),
    Column("description", String(500), nullable=True),
    Column("idempotency_key", String(64), nullable=True),
    Column("gateway_key", String(255), nullable=False),
    # pending: reserved, or not finished at the gateway.
    _word("status"),
    # running: a core calls the gateway, or died; unknown: sent, outcome unknown; unsettled: to be
    # sent when the payment settles. NULL once the gateway has the refund, or refused it.
    _word("attempt", nullable=True),
    _id("lease_owner", nullable=True),
    Column("leased_until", UtcDateTime, nullable=True),
    Column("look_at", UtcDateTime, nullable=True),
    Column("checks", Integer, nullable=False),
    # When the refund was sent to the gateway first and last.
    _moment("first_sent_at"),
    _moment("sent_at"),
    # The gateway's id; of a payment that was voided, the payment's transaction id.
    Column("gateway_refund_id", String(255), nullable=True),
    Column("failure_code", String(255), nullable=True),
    _moment("created_at"),
    _moment("updated_at"),
    *_set_aside(),
    _metadata(),
    ForeignKeyConstraint(
        ["business_id", "payment_id"], ["payments.business_id", "payments.payment_id"]
    ),
    CheckConstraint("amount_minor > 0", name="amount_is_positive"),
    CheckConstraint("attempt IS NULL OR status = 'pending'", name="attempt_while_pending"),
    CheckConstraint(
        "(leased_until IS NOT NULL) = (attempt IS NOT NULL AND attempt = 'running')",
        name="lease_while_running",
    ),
    CheckConstraint(
        "(lease_owner IS NULL) = (leased_until IS NULL)", name="lease_has_owner_and_end"
    ),
    CheckConstraint("(attempt IS NULL) = (look_at IS NULL)", name="looked_at_during_attempt"),
    _one_of("env", "TEST", "LIVE"),
    _one_of("gateway", *GATEWAYS),
    _one_of("reason", "duplicate", "fraudulent", "requested_by_customer"),
    _one_of("status", *REFUND_STATUSES),
    _one_of("attempt", "running", "unknown", "unsettled"),
    Index(
        "ix_refunds_by_payment",
        "business_id",
        "payment_id",
        "env",
        "status",
        "created_at",
        "refund_id",
    ),
    Index("ix_refunds_by_status", "business_id", "env", "status", "created_at", "refund_id"),
    Index(
        "ix_refunds_by_user", "business_id", "user_id", "env", "status", "created_at", "refund_id"
    ),
    *_due_work("refunds", "look_at", "gateway"),
)

idempotency_records = Table(
    # Answers to mutating calls, for replays. A record without an answer belongs to a payment or
    # refund, whose id is in `payment_id`, with an unknown outcome.
    "idempotency_records",
    metadata,
    Column("business_id", String(64), primary_key=True),
    Column("key", String(80), primary_key=True),
    Column("action", String(64), nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("fingerprint_key_id", String(64), nullable=False),
    Column("api_key_hash", String(64), nullable=False),
    _id("payment_id", nullable=True),
    _sealed("sealed_answer", "idempotency/{key}", nullable=True),
    _moment("created_at"),
    _moment("expires_at"),
    # core.idempotency.call.ANSWER_SCHEMA of the core that wrote the answer; NULL is 1.
    Column("answer_schema", Integer, nullable=True),
    ForeignKeyConstraint(["business_id"], ["businesses.business_id"]),
    Index("ix_idempotency_records_expires_at", "expires_at"),
)

wallets = Table(
    "wallets",
    metadata,
    Column("business_id", String(64), primary_key=True),
    Column("wallet_id", String(64), primary_key=True),
    _id("user_id"),
    _word("env"),
    Column("currency", String(3), nullable=False),
    Column("balance_minor", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    _moment("created_at"),
    _moment("updated_at"),
    # Sum of the open holds.
    Column("held_minor", BigInteger, nullable=False, server_default=text("0")),
    ForeignKeyConstraint(["business_id", "user_id"], ["users.business_id", "users.user_id"]),
    # What the user owes the business, and since when: the sum of the wallet's transactions with
    # reason `receivable`, written with each of them. Whatever moves money reads these.
    Column("receivable_minor", BigInteger, nullable=False, server_default=text("0")),
    Column("receivable_since", UtcDateTime, nullable=True),
    UniqueConstraint("business_id", "user_id", "env"),
    CheckConstraint("balance_minor >= 0", name="balance_is_not_negative"),
    CheckConstraint("version >= 0", name="version_is_not_negative"),
    CheckConstraint(
        "receivable_minor >= 0 AND (receivable_minor > 0) = (receivable_since IS NOT NULL)",
        name="receivable_since_owed",
    ),
    CheckConstraint(
        "held_minor = 0 OR (held_minor > 0 AND held_minor <= balance_minor)",
        name="held_is_within_balance",
    ),
    _one_of("env", "TEST", "LIVE"),
    Index(
        "ix_wallets_owing",
        "business_id",
        "env",
        "receivable_since",
        "wallet_id",
        sqlite_where=text("receivable_minor > 0"),
        postgresql_where=text("receivable_minor > 0"),
    ),
)

wallet_holds = Table(
    # Parts of a wallet's balance that only their capture can debit.
    "wallet_holds",
    metadata,
    Column("business_id", String(64), primary_key=True),
    Column("hold_id", String(64), primary_key=True),
    _id("wallet_id"),
    _id("user_id"),
    _word("env"),
    Column("currency", String(3), nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("captured_minor", BigInteger, nullable=True),
    _word("status"),
    Column("description", String(500), nullable=True),
    # The wallet transaction that captured it.
    _id("transaction_id", nullable=True),
    _moment("expires_at"),
    # When the queue closes the hold: at expires_at. NULL once it is closed.
    Column("look_at", UtcDateTime, nullable=True),
    _moment("created_at"),
    Column("closed_at", UtcDateTime, nullable=True),
    *_set_aside(),
    _metadata(),
    _id("capped_key_id", nullable=True),  # the API key that began it, if that has caps
    ForeignKeyConstraint(
        ["business_id", "wallet_id"], ["wallets.business_id", "wallets.wallet_id"]
    ),
    CheckConstraint("amount_minor > 0", name="amount_is_positive"),
    CheckConstraint(
        "captured_minor > 0 AND captured_minor <= amount_minor", name="captured_is_within_amount"
    ),
    CheckConstraint(
        "(status = 'captured') = (captured_minor IS NOT NULL)"
        " AND (status = 'captured') = (transaction_id IS NOT NULL)",
        name="captured_with_a_transaction",
    ),
    CheckConstraint(
        "(status = 'open') = (look_at IS NOT NULL) AND (status = 'open') = (closed_at IS NULL)",
        name="looked_at_while_open",
    ),
    _one_of("env", "TEST", "LIVE"),
    _one_of("status", *HOLD_STATUSES),
    Index("ix_wallet_holds_by_status", "business_id", "env", "status", "created_at", "hold_id"),
    Index(
        "ix_wallet_holds_by_user",
        "business_id",
        "user_id",
        "env",
        "status",
        "created_at",
        "hold_id",
    ),
    *_due_work("wallet_holds", "look_at"),
)

wallet_transactions = Table(
    # One movement of a wallet. `version` is the wallet's after the movement.
    "wallet_transactions",
    metadata,
    Column("business_id", String(64), primary_key=True),
    Column("transaction_id", String(64), primary_key=True),
    _id("wallet_id"),
    Column("version", BigInteger, nullable=False),
    _word("type"),
    Column("amount_minor", BigInteger, nullable=False),
    Column("balance_after_minor", BigInteger, nullable=False),
    _word("source"),
    _word("reason"),
    Column("description", String(500), nullable=True),
    _id("payment_id", nullable=True),
    _moment("created_at"),
    # Sum of the payment's movements for refunds and disputes before this one, in both directions.
    # Unique, so that each happens once.
    Column("taken_before_minor", BigInteger, nullable=False, server_default=text("0")),
    # Of a transfer, which is a debit of one wallet and a credit of another.
    _id("transfer_id", nullable=True),
    _id("other_user_id", nullable=True),
    ForeignKeyConstraint(
        ["business_id", "wallet_id"], ["wallets.business_id", "wallets.wallet_id"]
    ),
    UniqueConstraint("business_id", "wallet_id", "version"),
    UniqueConstraint(
        "business_id",
        "payment_id",
        "reason",
        "taken_before_minor",
        name="uq_wallet_transactions_step",
    ),
    Index("ix_wallet_transactions_by_time", "business_id", "created_at"),
    Index(
        "ix_wallet_transactions_receivable",
        "business_id",
        "wallet_id",
        sqlite_where=text("reason = 'receivable'"),
        postgresql_where=text("reason = 'receivable'"),
    ),
    Index(
        "uq_wallet_transactions_transfer",
        "business_id",
        "transfer_id",
        "type",
        unique=True,
        sqlite_where=text("transfer_id IS NOT NULL"),
        postgresql_where=text("transfer_id IS NOT NULL"),
    ),
    CheckConstraint("amount_minor > 0", name="amount_is_positive"),
    CheckConstraint("balance_after_minor >= 0", name="balance_after_is_not_negative"),
    CheckConstraint(
        "(transfer_id IS NOT NULL) = (reason = 'transfer')"
        " AND (transfer_id IS NULL) = (other_user_id IS NULL)",
        name="transfer_has_an_other_user",
    ),
    CheckConstraint("version > 0", name="version_is_positive"),
    _one_of("type", "credit", "debit"),
    _one_of("source", "system", "manual", "stripe", "authorize", "recurring"),
    _one_of(
        "reason",
        "business_charge",
        "manual_credit",
        "wallet_fund",
        "refund",
        "dispute",
        "recurring_charge",
        "receivable",
        "transfer",
        "hold_capture",
    ),
)

postings = Table(
    # The two postings of each movement: the user's wallet and an account of the business. They sum
    # to zero and are immutable.
    "postings",
    metadata,
    Column("business_id", String(64), primary_key=True),
    Column("transaction_id", String(64), primary_key=True),
    Column("account", String(64), primary_key=True),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    ForeignKeyConstraint(
        ["business_id", "transaction_id"],
        ["wallet_transactions.business_id", "wallet_transactions.transaction_id"],
    ),
    CheckConstraint("amount_minor <> 0", name="amount_is_not_zero"),
    Index("ix_postings_business_id_account", "business_id", "account"),
)

recurring_jobs = Table(
    # Schedules of charges. Times are those of the job's clock: the database's, for TEST jobs plus
    # the offset of the business's test clock. Leases use the database's.
    "recurring_jobs",
    metadata,
    Column("business_id", String(64), primary_key=True),
    Column("recurring_id", String(64), primary_key=True),
    _id("user_id"),
    _word("env"),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    # NULL: the user's default gateway at the time of the charge.
    _word("source", nullable=True),
    Column("description", String(500), nullable=True),
    _word("interval_type"),
    Column("interval_value", Integer, nullable=False),
    # Anchor of the calendar: a wall-clock time in `timezone`, ISO 8601 without an offset.
    Column("starts_local", String(32), nullable=False),
    Column("timezone", String(64), nullable=False),
    # Occurrences up to this time do not count: they precede the creation or resumption, have begun
    # or were skipped, or precede the next one after a change of the calendar.
    _moment("counts_from"),
    Column("end_at", UtcDateTime, nullable=True),
    Column("max_cycles", Integer, nullable=True),
    _word("catch_up"),
    _word("status"),
    Column("next_run", UtcDateTime, nullable=True),
    Column("last_run", UtcDateTime, nullable=True),
    Column("executed_cycles", Integer, nullable=False),
    # Failed cycles since the last success or resumption.
    Column("failed_cycles", Integer, nullable=False),
    # The claimed occurrence that has no outcome yet.
    Column("open_occurrence", UtcDateTime, nullable=True),
    # When to claim the job next: an occurrence, a retry, or the check of an unknown outcome.
    Column("due_at", UtcDateTime, nullable=True),
    _id("lease_owner", nullable=True),
    Column("leased_until", UtcDateTime, nullable=True),
    Column("fencing_token", BigInteger, nullable=False),
    _moment("created_at"),
    _moment("updated_at"),
    # Wall-clock time of the last occurrence that began or was skipped, like `starts_local`; NULL:
    # none did since revision 0008.
    Column("last_cycle_local", String(32), nullable=True),
    *_set_aside(),
    # Since when and why the job is paused; what they say of a job that is not paused is past.
    Column("paused_at", UtcDateTime, nullable=True),
    _word("paused_reason", nullable=True),
    # Days of the retries, separated by commas, and the failed cycles that pause the job; NULL: the
    # business's.
    Column("retry_days", String(64), nullable=True),
    Column("max_failed_cycles", Integer, nullable=True),
    _metadata(),
    ForeignKeyConstraint(["business_id", "user_id"], ["users.business_id", "users.user_id"]),
    CheckConstraint("amount_minor > 0", name="amount_is_positive"),
    CheckConstraint("interval_value > 0", name="interval_is_positive"),
    CheckConstraint("max_cycles > 0", name="max_cycles_is_positive"),
    CheckConstraint("max_failed_cycles > 0", name="max_failed_cycles_is_positive"),
    CheckConstraint("executed_cycles >= 0", name="executed_cycles_is_not_negative"),
    CheckConstraint("failed_cycles >= 0", name="failed_cycles_is_not_negative"),
    CheckConstraint("fencing_token >= 0", name="fencing_token_is_not_negative"),
    CheckConstraint(
        "(lease_owner IS NULL) = (leased_until IS NULL)", name="lease_has_owner_and_end"
    ),
    CheckConstraint(
        "(due_at IS NOT NULL) = (status = 'active' OR open_occurrence IS NOT NULL)",
        name="due_while_active",
    ),
    CheckConstraint("status = 'active' OR next_run IS NULL", name="next_run_while_active"),
    _one_of("env", "TEST", "LIVE"),
    _one_of("source", *GATEWAYS, "wallet"),
    _one_of("interval_type", "day", "week", "month", "year"),
    _one_of("catch_up", "latest", "all", "skip"),
    _one_of("paused_reason", "requested", "failed_cycles"),
    _one_of("status", *JOB_STATUSES),
    Index(
        "ix_recurring_jobs_by_status", "business_id", "env", "status", "created_at", "recurring_id"
    ),
    Index(
        "ix_recurring_jobs_by_user",
        "business_id",
        "user_id",
        "env",
        "status",
        "created_at",
        "recurring_id",
    ),
    *_due_work("recurring_jobs", "due_at"),
)

recurring_occurrences = Table(
    # Claimed occurrences, unique for each job. Amount and source are fixed at the claim.
    "recurring_occurrences",
    metadata,
    Column("business_id", String(64), primary_key=True),
    Column("recurring_id", String(64), primary_key=True),
    Column("occurrence", UtcDateTime, primary_key=True),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    _word("source", nullable=True),
    Column("description", String(500), nullable=True),
    # Number of the current or next attempt, from 1.
    Column("attempt", Integer, nullable=False),
    # Card payment of that attempt, once begun.
    _id("payment_id", nullable=True),
    # Unsuccessful checks of the attempt.
    Column("checks", Integer, nullable=False),
    # open, or the outcome.
    _word("status"),
    _moment("created_at"),
    _moment("updated_at"),
    ForeignKeyConstraint(
        ["business_id", "recurring_id"],
        ["recurring_jobs.business_id", "recurring_jobs.recurring_id"],
    ),
    CheckConstraint("amount_minor > 0", name="amount_is_positive"),
    CheckConstraint("attempt > 0", name="attempt_is_positive"),
    CheckConstraint("checks >= 0", name="checks_is_not_negative"),
    _one_of("source", *GATEWAYS, "wallet"),
    _one_of("status", "open", "succeeded", "declined", "requires_action", "failed", "skipped"),
)

recurring_logs = Table(
    # One row for each attempt with an outcome, and for each skipped occurrence.
    "recurring_logs",
    metadata,
    Column("business_id", String(64), primary_key=True),
    Column("log_id", String(64), primary_key=True),
    _id("recurring_id"),
    _id("user_id"),
    Column("occurrence", UtcDateTime, nullable=False),
    # Number of the attempt, from 1; 0: none, the occurrence was skipped.
    Column("attempt", Integer, nullable=False),
    _word("status"),
    Column("message", String(500), nullable=False),
    Column("transaction_id", String(255), nullable=True),
    _id("payment_id", nullable=True),
    _moment("attempted_at"),
    ForeignKeyConstraint(
        ["business_id", "recurring_id"],
        ["recurring_jobs.business_id", "recurring_jobs.recurring_id"],
    ),
    UniqueConstraint("business_id", "recurring_id", "occurrence", "attempt"),
    CheckConstraint("attempt >= 0", name="attempt_is_not_negative"),
    _one_of("status", *LOG_STATUSES),
    Index("ix_recurring_logs_by_status", "business_id", "status", "attempted_at", "log_id"),
    Index(
        "ix_recurring_logs_by_user", "business_id", "user_id", "status", "attempted_at", "log_id"
    ),
    Index(
        "ix_recurring_logs_by_job",
        "business_id",
        "recurring_id",
        "status",
        "attempted_at",
        "log_id",
    ),
)

test_clocks = Table(
    # Offset of a business's TEST jobs to the database's time.
    "test_clocks",
    metadata,
    Column("business_id", String(64), primary_key=True),
    Column("env", String(32), primary_key=True),
    Column("ahead_microseconds", BigInteger, nullable=False),
    _moment("updated_at"),
    ForeignKeyConstraint(["business_id"], ["businesses.business_id"]),
    CheckConstraint("ahead_microseconds >= 0", name="ahead_is_not_negative"),
    _one_of("env", "TEST"),
)

webhook_events = Table(
    # Gateway events, each stored once, reduced to what payments depend on.
    "webhook_events",
    metadata,
    Column("business_id", String(64), primary_key=True),
    Column("gateway", String(32), primary_key=True),
    Column("env", String(32), primary_key=True),
    Column("event_id", String(255), primary_key=True),
    Column("type", String(255), nullable=False),
    Column("transaction_id", String(255), nullable=True),
    _id("payment_id", nullable=True),
    # core.gateways.events.Fact as JSON; NULL: no payment depends on the event.
    Column("fact", Text, nullable=True),
    Column("needs_lookup", Boolean, nullable=False),
    # waiting: for its payment or a gateway lookup; applied; contradicting: it disagrees with its
    # payment and changed nothing; ignored: no payment depends on it.
    _word("state"),
    _moment("occurred_at"),
    _moment("received_at"),
    # When a waiting event is looked at next, and how many looks there were.
    Column("look_at", UtcDateTime, nullable=True),
    Column("checks", Integer, nullable=False),
    *_set_aside(),
    # Our id of the refund that it is about, if the event carries it.
    _id("refund_id", nullable=True),
    # When it stopped waiting; NULL before, and for events from before revision 0041.
    Column("processed_at", UtcDateTime, nullable=True),
    ForeignKeyConstraint(["business_id"], ["businesses.business_id"]),
    CheckConstraint("(look_at IS NOT NULL) = (state = 'waiting')", name="looked_at_while_waiting"),
    _one_of("env", "TEST", "LIVE"),
    _one_of("gateway", *GATEWAYS),
    _one_of("state", *GATEWAY_EVENT_STATES),
    Index(
        "ix_webhook_events_business_id_transaction_id",
        "business_id",
        "transaction_id",
        "gateway",
        "env",
    ),
    Index("ix_webhook_events_business_id_payment_id", "business_id", "payment_id"),
    Index(
        "ix_webhook_events_ignored",
        "received_at",
        sqlite_where=text("state = 'ignored'"),
        postgresql_where=text("state = 'ignored'"),
    ),
    Index(
        "ix_webhook_events_received",
        "business_id",
        "env",
        "gateway",
        "state",
        "received_at",
        "event_id",
        sqlite_where=text(RECEIVED),
        postgresql_where=text(RECEIVED),
    ),
    *_due_work("webhook_events", "look_at", "gateway"),
)

decisions = Table(
    # What operators decided about payments, work that was set aside, and users. Rows are never
    # changed or deleted.
    "decisions",
    metadata,
    Column("business_id", String(64), primary_key=True),
    Column("decision_id", String(64), primary_key=True),
    # What it is about, by the id that people know.
    _word("subject"),
    Column("subject_id", String(320), nullable=False),
    _word("action"),
    # Of a resolved payment: its outcome, and the gateway's id as the operator named it.
    _word("resolution", nullable=True),
    Column("transaction_id", String(255), nullable=True),
    _word("previous_status", nullable=True),
    # Whether it was made against what the gateway said.
    Column("is_forced", Boolean, nullable=False),
    Column("decided_by", String(200), nullable=False),
    Column("reason", String(1000), nullable=False),
    # What the gateway said then: core.payments.evidence.Finding as JSON.
    Column("findings", Text, nullable=False),
    _moment("decided_at"),
    ForeignKeyConstraint(["business_id"], ["businesses.business_id"]),
    CheckConstraint(
        "(action = 'resolve') = (resolution IS NOT NULL)", name="resolution_of_resolve"
    ),
    _one_of(
        "subject", "payment", "recurring_job", "webhook_event", "refund", "wallet_hold", "user"
    ),
    _one_of("action", "resolve", "retry", "release", "erase"),
    _one_of("resolution", "succeeded", "declined", "failed"),
    Index("ix_decisions_business_id_subject", "business_id", "subject", "subject_id", "decided_at"),
)

audit_pending = Table(
    # Changes in the transactions that made them, until the sequencer puts them into the chain of
    # their business. Nothing refers to them, and they refer to nothing, so that they lock nothing.
    "audit_pending",
    metadata,
    Column("business_id", String(64), primary_key=True),
    Column("event_id", String(64), primary_key=True),
    _moment("occurred_at"),
    _word("actor"),
    Column("actor_id", String(200), nullable=False),
    Column("action", String(64), nullable=False),
    Column("transition", String(64), nullable=False),
    _word("change"),
    _word("subject"),
    _id("subject_id"),
    Column("request_id", String(64), nullable=False),
    Column("after_hash", String(64), nullable=False),
    # NULL: the change names none. Of its object, the sequencer may find one.
    _id("user_id", nullable=True),
    # NULL: none is known, or it was erased.
    Column("address", String(64), nullable=True),
)

audit_events = Table(
    # The audit trail. Rows are inserted by the sequencer and never changed. `hash` is a keyed
    # digest of the row and of the hash before it: see core.audit.rules.
    "audit_events",
    metadata,
    Column("business_id", String(64), primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    _id("event_id"),
    _moment("occurred_at"),
    _word("actor"),
    Column("actor_id", String(200), nullable=False),
    Column("action", String(64), nullable=False),
    Column("transition", String(64), nullable=False),
    _word("change"),
    _word("subject"),
    _id("subject_id"),
    Column("request_id", String(64), nullable=False),
    _id("user_id", nullable=True),
    _id("payment_id", nullable=True),
    Column("before_hash", String(64), nullable=True),
    Column("after_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    UniqueConstraint("business_id", "event_id"),
    CheckConstraint("sequence > 0", name="sequence_is_positive"),
    _one_of("actor", "api_key", "operator", "scheduler", "gateway", "core"),
    _one_of("change", "created", "updated", "deleted"),
    Index("ix_audit_events_newest", "business_id", "occurred_at", "event_id"),
    Index("ix_audit_events_by_action", "business_id", "action", "occurred_at", "event_id"),
    Index("ix_audit_events_by_user", "business_id", "user_id", "occurred_at", "event_id"),
    Index("ix_audit_events_by_payment", "business_id", "payment_id", "occurred_at", "event_id"),
    Index("ix_audit_events_by_subject", "business_id", "subject", "subject_id", "sequence"),
)

audit_addresses = Table(
    # Where requests came from: personal data, kept apart from the chain, so that it can be erased.
    "audit_addresses",
    metadata,
    Column("business_id", String(64), primary_key=True),
    Column("event_id", String(64), primary_key=True),
    _id("user_id", nullable=True),
    Column("address", String(64), nullable=False),
    Index("ix_audit_addresses_by_user", "business_id", "user_id"),
)

audit_chains = Table(
    # The end of each business's chain. Whoever appends to a chain has its row locked.
    "audit_chains",
    metadata,
    Column("business_id", String(64), primary_key=True),
    Column("chain_id", String(64), primary_key=True),
    # The chain's own key, random, so that it verifies whatever keys the keyring has had.
    _sealed("sealed_key", "audit/{chain_id}"),
    Column("sequence", BigInteger, nullable=False),
    # Of the last event; empty before the first.
    Column("hash", String(64), nullable=False),
    _moment("updated_at"),
)

SEALED_COLUMNS = tuple(
    column
    for table in metadata.sorted_tables
    if table is not keyring_canaries
    for column in table.columns
    if "bound_to" in column.info
)
"""What keys of the keyring seal, besides the canary of each."""


def bound_to(column: Column[Any], **row: str) -> str:
    """Return the purpose under which the secret in a sealed column of a row is sealed."""
    purpose: str = column.info["bound_to"]
    return purpose.format_map(row)
