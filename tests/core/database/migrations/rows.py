"""A row for each table of the first revision, parents first."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert

from core.database.schema import metadata
from core.database.transactions import Database

NOW = datetime(2026, 1, 31, 12, 30, 15, 123456, UTC)
_MADE = {"created_at": NOW, "updated_at": NOW}
_USER = {"business_id": "B", "user_id": "USR-1"}
_CARD = {"gateway": "stripe", "customer_id": "cus_1", "created_at": NOW}
OLD_ROWS: dict[str, dict[str, Any]] = {
    "businesses": {
        "business_id": "B",
        "name": "n",
        "email": "a@b.c",
        "domain": "b.c",
        "active": True,
        "api_key_hash": "h",
        "default_env": "TEST",
        **_MADE,
    },
    "keyring_canaries": {"business_id": "B", "key_id": "k1", "sealed": "s"},
    "stripe_credentials": {
        "business_id": "B",
        "env": "TEST",
        "sealed_secret_key": "s",
        "public_key": "p",
        **_MADE,
    },
    "authorize_credentials": {
        "business_id": "B",
        "env": "LIVE",
        "api_login_id": "l",
        "sealed_transaction_key": "s",
        **_MADE,
    },
    "users": {**_USER, "name": "n", "email": "e", "active": True, "currency": "usd", **_MADE},
    "gateway_customers": {**_USER, "env": "TEST", **_CARD},
    "cards": {
        **_USER,
        **_CARD,
        "card_id": "CRD-1",
        "env": "TEST",
        "gateway_card_id": "pm_1",
        "brand": "visa",
        "last4": "4242",
        "exp_month": 12,
        "exp_year": 2030,
        "is_primary": True,
    },
    "payments": {
        **_USER,
        "payment_id": "PAY-1",
        "env": "TEST",
        "gateway": "stripe",
        "kind": "fund",
        "amount_minor": 2550,
        "currency": "usd",
        "customer_id": "cus_1",
        "gateway_card_id": "pm_1",
        "gateway_key": "g",
        "status": "succeeded",
        "transaction_id": "pi_1",
        "answered": True,
        **_MADE,
    },
    "wallets": {
        **_USER,
        "wallet_id": "WAL-1",
        "env": "TEST",
        "currency": "usd",
        "balance_minor": 2550,
        "version": 1,
        **_MADE,
    },
    "wallet_transactions": {
        "business_id": "B",
        "transaction_id": "WTX-1",
        "wallet_id": "WAL-1",
        "version": 1,
        "type": "credit",
        "amount_minor": 2550,
        "balance_after_minor": 2550,
        "source": "stripe",
        "reason": "wallet_fund",
        "payment_id": "PAY-1",
        "created_at": NOW,
    },
    "postings": {
        "business_id": "B",
        "transaction_id": "WTX-1",
        "account": "WAL-1",
        "amount_minor": 2550,
        "currency": "usd",
    },
}
ROWS = OLD_ROWS | {
    "payments": OLD_ROWS["payments"] | {"joinable": False, "checks": 0},
    "idempotency_records": {
        "business_id": "B",
        "key": "key:1",
        "action": "ChargeWallet",
        "fingerprint": "f",
        "fingerprint_key_id": "k1",
        "api_key_hash": "h",
        "created_at": NOW,
        "expires_at": NOW,
    },
    "wallet_holds": {
        "business_id": "B",
        "hold_id": "HLD-1",
        "wallet_id": "WAL-1",
        "user_id": "USR-1",
        "env": "TEST",
        "currency": "usd",
        "amount_minor": 500,
        "status": "open",
        "expires_at": NOW,
        "look_at": NOW,
        "created_at": NOW,
    },
    "recurring_jobs": {
        **_USER,
        "recurring_id": "REC-1",
        "env": "TEST",
        "amount_minor": 2500,
        "currency": "usd",
        "source": "wallet",
        "interval_type": "month",
        "interval_value": 1,
        "starts_local": "2024-03-01T08:00:00",
        "timezone": "America/Chicago",
        "counts_from": NOW,
        "catch_up": "latest",
        "status": "active",
        "next_run": NOW,
        "executed_cycles": 0,
        "failed_cycles": 0,
        "open_occurrence": NOW,
        "due_at": NOW,
        "fencing_token": 0,
        **_MADE,
    },
    "recurring_occurrences": {
        "business_id": "B",
        "recurring_id": "REC-1",
        "occurrence": NOW,
        "amount_minor": 2500,
        "currency": "usd",
        "source": "wallet",
        "attempt": 1,
        "checks": 0,
        "status": "open",
        **_MADE,
    },
    "recurring_logs": {
        "business_id": "B",
        "log_id": "LOG-1",
        "recurring_id": "REC-1",
        "user_id": "USR-1",
        "occurrence": NOW,
        "attempt": 1,
        "status": "succeeded",
        "message": "Charge completed",
        "attempted_at": NOW,
    },
    "test_clocks": {"business_id": "B", "env": "TEST", "ahead_microseconds": 0, "updated_at": NOW},
    "webhook_events": {
        "business_id": "B",
        "gateway": "stripe",
        "env": "TEST",
        "event_id": "evt_1",
        "type": "charge.refunded",
        "needs_lookup": False,
        "state": "applied",
        "occurred_at": NOW,
        "received_at": NOW,
        "checks": 0,
    },
    "decisions": {
        "business_id": "B",
        "decision_id": "DEC-1",
        "subject": "payment",
        "subject_id": "PAY-1",
        "action": "resolve",
        "resolution": "failed",
        "is_forced": False,
        "decided_by": "ana",
        "reason": "r",
        "findings": "[]",
        "decided_at": NOW,
    },
}
"""A row for each table of this version's schema."""


async def write(database: Database, table: str, row: dict[str, Any]) -> None:
    """Insert a row into a table."""
    async with database.transaction() as transaction:
        await transaction.connection.execute(insert(metadata.tables[table]).values(row))
