"""CHECK constraints refuse impossible amounts and enums."""

import pytest
from sqlalchemy import CheckConstraint
from sqlalchemy.exc import IntegrityError

from core.database.migrations.upgrade import migrate
from core.database.schema import metadata
from core.database.transactions import Database
from tests.core.database.migrations.rows import NOW, ROWS, write

IMPOSSIBLE: dict[str, dict[str, object]] = {
    "ck_businesses_default_env_is_known": {"default_env": "test"},
    "ck_businesses_max_failed_cycles_is_positive": {"max_failed_cycles": 0},
    "ck_businesses_requests_per_second_is_not_negative": {"requests_per_second": -1},
    "ck_businesses_gateway_requests_is_not_negative": {"gateway_requests": -1},
    "ck_stripe_credentials_env_is_known": {"env": ""},
    "ck_authorize_credentials_env_is_known": {"env": "PRODUCTION"},
    "ck_users_default_gateway_is_known": {"default_gateway": "paypal"},
    "ck_gateway_customers_env_is_known": {"env": "live"},
    "ck_gateway_customers_gateway_is_known": {"gateway": "Stripe"},
    "ck_cards_env_is_known": {"env": "live"},
    "ck_cards_gateway_is_known": {"gateway": ""},
    "ck_removed_cards_env_is_known": {"env": "live"},
    "ck_removed_cards_gateway_is_known": {"gateway": ""},
    "ck_payments_amount_is_positive": {"amount_minor": 0},
    "ck_payments_attempt_while_pending": {"attempt": "unknown", "look_at": NOW},
    "ck_payments_success_has_a_transaction": {"transaction_id": None},
    "ck_payments_env_is_known": {"env": "live"},
    "ck_payments_gateway_is_known": {"gateway": "paypal"},
    "ck_payments_kind_is_known": {"kind": "refund"},
    "ck_payments_status_is_known": {"status": "paid"},
    "ck_payments_attempt_is_known": {"status": "pending", "attempt": "done", "look_at": NOW},
    "ck_payments_lease_while_running": {"leased_until": NOW},
    "ck_payments_looked_at_while_pending": {"status": "pending", "attempt": "unknown"},
    "ck_payments_set_aside_with_error": {"set_aside_at": NOW},
    "ck_payments_refunded_is_within_amount": {"amount_refunded_minor": 2551},
    "ck_payments_amount_is_within_authorized": {"authorized_minor": 2549},
    "ck_payments_capture_has_an_amount": {
        "kind": "charge",
        "authorized_minor": 2550,
        "closing": "capture",
    },
    "ck_payments_void_reason_is_known": {"void_reason": "bored"},
    "ck_payments_closing_is_known": {
        "kind": "charge",
        "authorized_minor": 2550,
        "closing": "refund",
    },
    "ck_refunds_amount_is_positive": {"amount_minor": 0},
    "ck_refunds_attempt_while_pending": {"attempt": "unknown", "look_at": NOW},
    "ck_refunds_lease_while_running": {"lease_owner": "c", "leased_until": NOW},
    "ck_refunds_lease_has_owner_and_end": {"lease_owner": "c"},
    "ck_refunds_looked_at_during_attempt": {"look_at": NOW},
    "ck_refunds_set_aside_with_error": {"set_aside_at": NOW},
    "ck_refunds_env_is_known": {"env": "live"},
    "ck_refunds_gateway_is_known": {"gateway": "paypal"},
    "ck_refunds_reason_is_known": {"reason": "other"},
    "ck_refunds_status_is_known": {"status": "made"},
    "ck_refunds_attempt_is_known": {"status": "pending", "attempt": "sent", "look_at": NOW},
    "ck_webhook_events_looked_at_while_waiting": {"state": "waiting"},
    "ck_webhook_events_set_aside_with_error": {"set_aside_error": "damaged"},
    "ck_webhook_events_env_is_known": {"env": "live"},
    "ck_webhook_events_gateway_is_known": {"gateway": "paypal"},
    "ck_webhook_events_state_is_known": {"state": "lost"},
    "ck_wallets_balance_is_not_negative": {"balance_minor": -1},
    "ck_wallets_version_is_not_negative": {"version": -1},
    "ck_wallets_held_is_within_balance": {"held_minor": 2551},
    "ck_wallets_env_is_known": {"env": "live"},
    "ck_wallets_receivable_since_owed": {"receivable_minor": 1},
    "ck_wallet_holds_amount_is_positive": {"amount_minor": 0},
    "ck_wallet_holds_captured_is_within_amount": {
        "status": "captured",
        "captured_minor": 501,
        "transaction_id": "WTX-1",
        "look_at": None,
        "closed_at": NOW,
    },
    "ck_wallet_holds_captured_with_a_transaction": {"captured_minor": 500},
    "ck_wallet_holds_looked_at_while_open": {"look_at": None},
    "ck_wallet_holds_set_aside_with_error": {"set_aside_error": "damaged"},
    "ck_wallet_holds_env_is_known": {"env": "live"},
    "ck_wallet_holds_status_is_known": {
        "status": "gone",
        "look_at": None,
        "closed_at": NOW,
    },
    "ck_wallet_transactions_amount_is_positive": {"amount_minor": 0},
    "ck_wallet_transactions_balance_after_is_not_negative": {"balance_after_minor": -1},
    "ck_wallet_transactions_version_is_positive": {"version": 0},
    "ck_wallet_transactions_type_is_known": {"type": "transfer"},
    "ck_wallet_transactions_source_is_known": {"source": "s"},
    "ck_wallet_transactions_reason_is_known": {"reason": ""},
    "ck_wallet_transactions_transfer_has_an_other_user": {"transfer_id": "TRF-1"},
    "ck_postings_amount_is_not_zero": {"amount_minor": 0},
    "ck_recurring_jobs_amount_is_positive": {"amount_minor": 0},
    "ck_recurring_jobs_interval_is_positive": {"interval_value": 0},
    "ck_recurring_jobs_max_cycles_is_positive": {"max_cycles": 0},
    "ck_recurring_jobs_executed_cycles_is_not_negative": {"executed_cycles": -1},
    "ck_recurring_jobs_failed_cycles_is_not_negative": {"failed_cycles": -1},
    "ck_recurring_jobs_fencing_token_is_not_negative": {"fencing_token": -1},
    "ck_recurring_jobs_lease_has_owner_and_end": {"lease_owner": "s"},
    "ck_recurring_jobs_due_while_active": {"due_at": None},
    "ck_recurring_jobs_set_aside_with_error": {"set_aside_error": "damaged"},
    "ck_recurring_jobs_next_run_while_active": {"status": "paused"},
    "ck_recurring_jobs_env_is_known": {"env": "live"},
    "ck_recurring_jobs_source_is_known": {"source": "paypal"},
    "ck_recurring_jobs_interval_type_is_known": {"interval_type": "hour"},
    "ck_recurring_jobs_catch_up_is_known": {"catch_up": ""},
    "ck_recurring_jobs_max_failed_cycles_is_positive": {"max_failed_cycles": 0},
    "ck_recurring_jobs_paused_reason_is_known": {"paused_reason": "unknown"},
    "ck_recurring_jobs_status_is_known": {"status": "stopped", "next_run": None},
    "ck_recurring_occurrences_amount_is_positive": {"amount_minor": 0},
    "ck_recurring_occurrences_attempt_is_positive": {"attempt": 0},
    "ck_recurring_occurrences_checks_is_not_negative": {"checks": -1},
    "ck_recurring_occurrences_source_is_known": {"source": ""},
    "ck_recurring_occurrences_status_is_known": {"status": "done"},
    "ck_recurring_logs_attempt_is_not_negative": {"attempt": -1},
    "ck_recurring_logs_status_is_known": {"status": "open"},
    "ck_stops_gateway_is_known": {"gateway": "wallet"},
    "ck_stops_what_is_known": {"what": "refunds"},
    "ck_test_clocks_env_is_known": {"env": "LIVE"},
    "ck_test_clocks_ahead_is_not_negative": {"ahead_microseconds": -1},
    "ck_decisions_subject_is_known": {"subject": "card"},
    "ck_decisions_action_is_known": {"action": "undo", "resolution": None},
    "ck_decisions_resolution_is_known": {"resolution": "paid"},
    "ck_decisions_resolution_of_resolve": {"resolution": None},
    "ck_audit_events_actor_is_known": {"actor": "merchant"},
    "ck_audit_events_change_is_known": {"change": "read"},
    "ck_audit_events_sequence_is_positive": {"sequence": 0},
    "ck_key_usage_amount_is_not_negative": {"amount_minor": -1},
}
"""A value that each constraint must refuse."""


def test_every_check_has_a_row_that_it_refuses() -> None:
    declared = {
        str(constraint.name)
        for table in metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint)
    }
    assert declared == IMPOSSIBLE.keys()


async def test_an_impossible_row_is_refused(database: Database) -> None:
    await migrate(database)
    refused = dict(IMPOSSIBLE)
    for table, row in ROWS.items():
        for name in [name for name in refused if name.startswith(f"ck_{table}_")]:
            with pytest.raises(IntegrityError, match=name):
                await write(database, table, row | refused.pop(name))
        await write(database, table, row)
    assert refused == {}
