"""Changes that break one invariant each, and the check that must find them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import delete, insert, literal, select, update

from core.database.schema import (
    authorize_credentials,
    gateway_customers,
    idempotency_records,
    keyring_canaries,
    payments,
    postings,
    recurring_jobs,
    recurring_occurrences,
    refunds,
    stops,
    stripe_credentials,
    users,
    wallet_holds,
    wallet_transactions,
    wallets,
)
from core.doctor.rules import Verdict

LONG_AGO = datetime.now(UTC) - timedelta(hours=3)
LAST_MONTH = datetime.now(UTC) - timedelta(days=32)
NEVER = datetime.now(UTC) + timedelta(days=3)
FUNDING = "funding:TEST:usd"
OTHER_SEAL = "v1:k0:AAAA"


@dataclass(frozen=True)
class Case:
    """A change of the database, and what the doctor must find."""

    id: str
    change: tuple[Any, ...]
    check: str
    row: dict[str, str]
    also: frozenset[str] = frozenset()
    """Other checks that the change breaks too."""
    verdict: Verdict = Verdict.BROKEN


def posting(transaction_id: str, at: str, **values: Any) -> Any:
    return (
        update(postings)
        .where(postings.c.transaction_id == transaction_id, postings.c.account == at)
        .values(**values)
    )


def wallet(**values: Any) -> Any:
    return update(wallets).where(wallets.c.wallet_id == "WAL-1").values(**values)


def hold(**values: Any) -> Any:
    row = {
        "business_id": "B",
        "hold_id": "HLD-1",
        "wallet_id": "WAL-1",
        "user_id": "U1",
        "env": "TEST",
        "currency": "usd",
        "amount_minor": 300,
        "status": "open",
        "created_at": LONG_AGO,
        "expires_at": NEVER,
        "look_at": NEVER,
    }
    return insert(wallet_holds).values(row | values)


def movement(transaction_id: str, **values: Any) -> Any:
    table = wallet_transactions
    return update(table).where(table.c.transaction_id == transaction_id).values(**values)


def payment(which: str, **values: Any) -> Any:
    return update(payments).where(payments.c.payment_id == which).values(**values)


def record(of_payment: str, **values: Any) -> Any:
    table = idempotency_records
    return update(table).where(table.c.key == f"key:{of_payment.lower()}").values(**values)


def refund(**values: Any) -> Any:
    columns = {
        "business_id": "B",
        "refund_id": "REF-1",
        "payment_id": "P-CHARGE",
        "user_id": "U1",
        "env": "TEST",
        "gateway": "stripe",
        "amount_minor": 100,
        "currency": "usd",
        "is_whole": False,
        "gateway_key": "B/REF-1",
        "status": "pending",
        "attempt": "unknown",
        "look_at": NEVER,
        "checks": 1,
        "first_sent_at": datetime.now(UTC),
        "sent_at": datetime.now(UTC),
        "created_at": LONG_AGO,
        "updated_at": LONG_AGO,
    }
    return insert(refunds).values(columns | values)


RESERVED = payment("P-CHARGE", status="partially_refunded", amount_refunded_minor=100)


def job(**values: Any) -> Any:
    columns = {
        "business_id": "B",
        "recurring_id": "REC-1",
        "user_id": "U1",
        "env": "TEST",
        "amount_minor": 500,
        "currency": "usd",
        "source": "wallet",
        "interval_type": "day",
        "interval_value": 1,
        "starts_local": "2024-03-01T08:00:00",
        "timezone": "UTC",
        "counts_from": LONG_AGO,
        "catch_up": "latest",
        "status": "active",
        "next_run": LONG_AGO,
        "executed_cycles": 0,
        "failed_cycles": 0,
        "due_at": LONG_AGO,
        "fencing_token": 0,
        "created_at": LONG_AGO,
        "updated_at": LONG_AGO,
    }
    return insert(recurring_jobs).values(**(columns | values))


def open_occurrence() -> Any:
    return insert(recurring_occurrences).values(
        business_id="B",
        recurring_id="REC-1",
        occurrence=LONG_AGO,
        amount_minor=500,
        currency="usd",
        source="wallet",
        attempt=1,
        checks=0,
        status="open",
        created_at=LONG_AGO,
        updated_at=LONG_AGO,
    )


def removed(table: Any, column: str, value: str) -> Any:
    return delete(table).where(table.c[column] == value)


def new_movement(**values: Any) -> Any:
    """Insert WTX-9, which credits WAL-1 with 5.00 after all others; without its postings."""
    columns = {
        "business_id": "B",
        "transaction_id": "WTX-9",
        "wallet_id": "WAL-1",
        "version": 4,
        "type": "credit",
        "amount_minor": 500,
        "balance_after_minor": 1700,
        "source": "stripe",
        "reason": "wallet_fund",
        "created_at": LONG_AGO,
    }
    return insert(wallet_transactions).values(**columns | values)


def new_posting(transaction_id: str, account: str, amount_minor: int, currency: str = "usd") -> Any:
    return insert(postings).values(
        business_id="B",
        transaction_id=transaction_id,
        account=account,
        amount_minor=amount_minor,
        currency=currency,
    )


def reversal(type_: str, amount_minor: int, reason: str, account: str = FUNDING) -> tuple[Any, ...]:
    """Move an amount of WAL-1 for P-FUND as the ledger would."""
    signed = amount_minor if type_ == "credit" else -amount_minor
    return (
        new_movement(
            type=type_,
            amount_minor=amount_minor,
            balance_after_minor=1200 + signed,
            reason=reason,
            payment_id="P-FUND",
        ),
        new_posting("WTX-9", "WAL-1", signed),
        new_posting("WTX-9", account, -signed),
        wallet(balance_minor=1200 + signed, version=4),
    )


def refunds_of_funding(
    problem: str, status: str = "succeeded", *, taken: int = 0, debited: int = 0, borne: int = 0
) -> dict[str, str]:
    """Return the row of P-FUND that the doctor shows."""
    return of(
        "payment_id",
        "P-FUND",
        problem,
        status=status,
        amount_refunded_minor="0",
        credited_minor="500",
        taken_minor=str(taken),
        debited_minor=str(debited),
        borne_minor=str(borne),
    )


def credit(**values: Any) -> tuple[Any, ...]:
    """Credit WAL-1 with 5.00 as the ledger would."""
    return (
        new_movement(**values),
        new_posting("WTX-9", "WAL-1", 500),
        new_posting("WTX-9", FUNDING, -500),
        wallet(balance_minor=1700, version=4),
    )


def of(name: str, identifier: str, problem: str, **more: str) -> dict[str, str]:
    return {"business_id": "B", name: identifier} | more | {"problem": problem}


def shown(name: str, moment: datetime = LONG_AGO) -> dict[str, str]:
    return {name: f"{moment:%Y-%m-%d %H:%M:%S}"}


CASES = [
    # The ledger.
    Case(
        "an unbalanced posting",
        (posting("WTX-1", FUNDING, amount_minor=-499),),
        "ledger_sums",
        {"business_id": "B", "env": "TEST", "currency": "usd", "sum_minor": "1"},
        also=frozenset({"postings"}),
    ),
    Case(
        "a posting without a transaction",
        (
            insert(postings).from_select(
                ["business_id", "transaction_id", "account", "amount_minor", "currency"],
                select(
                    postings.c.business_id,
                    literal("WTX-GONE"),
                    literal("WAL-GONE"),
                    postings.c.amount_minor,
                    postings.c.currency,
                ).where(postings.c.transaction_id == "WTX-1", postings.c.account == "WAL-1"),
            ),
        ),
        "ledger_sums",
        {"business_id": "B", "currency": "usd", "sum_minor": "500"},
        also=frozenset({"orphans"}),
    ),
    Case(
        "a missing posting",
        (
            delete(postings).where(
                postings.c.transaction_id == "WTX-3", postings.c.account != "WAL-1"
            ),
        ),
        "postings",
        of("transaction_id", "WTX-3", "has not two postings", wallet_id="WAL-1"),
        also=frozenset({"ledger_sums"}),
    ),
    Case(
        "a third posting",
        (new_posting("WTX-3", "revenue:LIVE:usd", 0),),
        "postings",
        of("transaction_id", "WTX-3", "has not two postings", wallet_id="WAL-1"),
    ),
    Case(
        "postings that do not sum to zero",
        (posting("WTX-3", "revenue:TEST:usd", amount_minor=201),),
        "postings",
        of("transaction_id", "WTX-3", "its postings do not sum to zero", wallet_id="WAL-1"),
        also=frozenset({"ledger_sums"}),
    ),
    Case(
        "postings in another currency",
        (update(postings).where(postings.c.transaction_id == "WTX-3").values(currency="eur"),),
        "postings",
        of(
            "transaction_id",
            "WTX-3",
            "a posting is not in the wallet's currency",
            wallet_id="WAL-1",
        ),
    ),
    Case(
        "postings of another amount",
        (
            posting("WTX-3", "WAL-1", amount_minor=-300),
            posting("WTX-3", "revenue:TEST:usd", amount_minor=300),
        ),
        "postings",
        of("transaction_id", "WTX-3", "the wallet's posting is not its amount", wallet_id="WAL-1"),
        also=frozenset({"wallet_balances"}),
    ),
    Case(
        "a posting in another environment",
        (posting("WTX-4", FUNDING, account="funding:LIVE:usd"),),
        "postings",
        of(
            "transaction_id",
            "WTX-4",
            "no posting on an account of the wallet's environment and currency",
            wallet_id="WAL-2",
        ),
        also=frozenset({"ledger_sums"}),
    ),
    # Wallets.
    Case(
        "a wallet below zero",
        (wallet(balance_minor=-1),),
        "wallets_below_zero",
        of("wallet_id", "WAL-1", "is below zero", balance_minor="-1"),
        also=frozenset({"wallet_balances", "wallet_histories", "wallet_holds"}),
    ),
    Case(
        "a balance that was changed by hand",
        (wallet(balance_minor=1300), movement("WTX-3", balance_after_minor=1300)),
        "wallet_balances",
        of(
            "wallet_id",
            "WAL-1",
            "balance is not its postings' sum",
            balance_minor="1300",
            postings_minor="1200",
        ),
        also=frozenset({"wallet_histories"}),
    ),
    Case(
        "a version that no transaction has",
        (wallet(version=4),),
        "wallet_histories",
        of(
            "wallet_id",
            "WAL-1",
            "version is not its last transaction's",
            version="4",
            last_version="3",
        ),
    ),
    Case(
        "a balance that is not the last transaction's",
        (wallet(balance_minor=1201), posting("WTX-2", "WAL-1", amount_minor=901)),
        "wallet_histories",
        of(
            "wallet_id",
            "WAL-1",
            "balance is not what its last transaction left",
            version="3",
            last_version="3",
        ),
        also=frozenset({"postings", "ledger_sums"}),
    ),
    Case(
        "a wallet that holds what no hold does",
        (wallet(held_minor=1),),
        "wallet_holds",
        of(
            "wallet_id",
            "WAL-1",
            "held is not its open holds' sum",
            balance_minor="1200",
            held_minor="1",
            open_holds_minor="0",
        ),
    ),
    Case(
        "a wallet that holds more than its balance",
        (hold(amount_minor=1201), wallet(held_minor=1201)),
        "wallet_holds",
        of(
            "wallet_id",
            "WAL-1",
            "more is held than its balance",
            balance_minor="1200",
            held_minor="1201",
            open_holds_minor="1201",
        ),
    ),
    Case(
        "a captured hold without a debit",
        (
            hold(
                status="captured",
                captured_minor=1,
                transaction_id="WTX-GONE",
                look_at=None,
                closed_at=LONG_AGO,
            ),
        ),
        "wallet_holds",
        of("hold_id", "HLD-1", "was captured without a debit", wallet_id="WAL-1"),
    ),
    Case(
        "a captured hold with another transaction",
        (
            hold(
                status="captured",
                captured_minor=200,
                transaction_id="WTX-3",
                look_at=None,
                closed_at=LONG_AGO,
            ),
        ),
        "wallet_holds",
        of("hold_id", "HLD-1", "its transaction is not its capture", wallet_id="WAL-1"),
    ),
    Case(
        "a hold that was not closed",
        (hold(look_at=LONG_AGO), wallet(held_minor=300)),
        "overdue_checks",
        of("hold_id", "HLD-1", "was not looked at", **shown("look_at")),
    ),
    Case(
        "a hold that is set aside",
        (hold(set_aside_at=LONG_AGO, set_aside_error="damaged"), wallet(held_minor=300)),
        "set_aside",
        of(
            "hold_id",
            "HLD-1",
            "is set aside",
            set_aside_error="damaged",
            command="nivisco queue release wallet_hold HLD-1 --reason TEXT",
            **shown("set_aside_at"),
        ),
        verdict=Verdict.WARNING,
    ),
    Case(
        "a transfer without its other side",
        (movement("WTX-4", transfer_id="TRF-1", other_user_id="U", reason="transfer"),),
        "wallet_transfers",
        of(
            "transaction_id",
            "WTX-4",
            "the transfer has no other side",
            wallet_id="WAL-2",
            transfer_id="TRF-1",
        ),
    ),
    Case(
        "a transfer of two amounts",
        tuple(
            movement(each, transfer_id="TRF-1", other_user_id="U", reason="transfer")
            for each in ("WTX-3", "WTX-4")
        ),
        "wallet_transfers",
        of(
            "transaction_id",
            "WTX-3",
            "the other side has another amount",
            wallet_id="WAL-1",
            transfer_id="TRF-1",
        ),
    ),
    Case(
        "a gap in a history",
        (movement("WTX-3", version=4), wallet(version=4)),
        "wallet_histories",
        of(
            "transaction_id",
            "WTX-3",
            "a version is missing before it",
            wallet_id="WAL-1",
            version="4",
        ),
    ),
    Case(
        "a history that begins late",
        (
            movement("WTX-4", version=2),
            update(wallets).where(wallets.c.wallet_id == "WAL-2").values(version=2),
        ),
        "wallet_histories",
        of(
            "transaction_id",
            "WTX-4",
            "a version is missing before it",
            wallet_id="WAL-2",
            version="2",
        ),
    ),
    Case(
        "a balance_after that does not follow",
        (
            movement("WTX-4", balance_after_minor=101),
            update(wallets).where(wallets.c.wallet_id == "WAL-2").values(balance_minor=101),
        ),
        "wallet_histories",
        of(
            "transaction_id",
            "WTX-4",
            "balance_after is not the one before it and its amount",
            wallet_id="WAL-2",
            version="1",
        ),
        also=frozenset({"wallet_balances"}),
    ),
    # Fundings.
    Case(
        "a funding that credited nothing",
        (movement("WTX-1", payment_id=None),),
        "funding_credits",
        of("payment_id", "P-FUND", "succeeded, but credited no wallet", status="succeeded"),
    ),
    Case(
        "a funding that credited twice",
        credit(payment_id="P-FUND", reason="again"),
        "funding_credits",
        of(
            "payment_id",
            "P-FUND",
            "credited a wallet more than once",
            status="succeeded",
            wallet_transaction_id="WTX-1",
        ),
    ),
    Case(
        "a funding of another amount",
        (payment("P-FUND", amount_minor=501),),
        "funding_credits",
        of(
            "payment_id",
            "P-FUND",
            "credited another amount",
            status="succeeded",
            wallet_transaction_id="WTX-1",
        ),
    ),
    Case(
        "a funding in another currency",
        (payment("P-FUND", currency="eur"),),
        "funding_credits",
        of(
            "payment_id",
            "P-FUND",
            "credited another amount",
            status="succeeded",
            wallet_transaction_id="WTX-1",
        ),
    ),
    Case(
        "a funding of another user",
        (payment("P-FUND", user_id="U2"),),
        "funding_credits",
        of(
            "payment_id",
            "P-FUND",
            "credited another wallet than the user's of its environment",
            status="succeeded",
            wallet_transaction_id="WTX-1",
        ),
    ),
    Case(
        "a charge that credited a wallet",
        credit(payment_id="P-CHARGE"),
        "funding_credits",
        of(
            "payment_id",
            "P-CHARGE",
            "a charge credited a wallet",
            status="succeeded",
            wallet_transaction_id="WTX-9",
        ),
    ),
    Case(
        "a pending funding that credited a wallet",
        credit(payment_id="P-OPEN"),
        "funding_credits",
        of(
            "payment_id",
            "P-OPEN",
            "credited a wallet, though it did not succeed",
            status="pending",
            wallet_transaction_id="WTX-9",
        ),
    ),
    Case(
        "a voided funding whose wallet kept the money",
        (payment("P-FUND", status="voided"),),
        "funding_refunds",
        of(
            "payment_id",
            "P-FUND",
            "voided, but not taken back",
            status="voided",
            amount_refunded_minor="0",
            credited_minor="500",
            taken_minor="0",
            debited_minor="0",
            borne_minor="0",
        ),
    ),
    Case(
        "a refunded funding whose wallet kept the money",
        (payment("P-FUND", status="partially_refunded", amount_refunded_minor=200),),
        "funding_refunds",
        of(
            "payment_id",
            "P-FUND",
            "less was taken back than refunded",
            status="partially_refunded",
            amount_refunded_minor="200",
            credited_minor="500",
            taken_minor="0",
            debited_minor="0",
            borne_minor="0",
        ),
    ),
    Case(
        "a disputed funding that took back more than it credited",
        (payment("P-FUND", status="disputed"), *reversal("debit", 600, "dispute")),
        "funding_refunds",
        refunds_of_funding("more was taken back than credited", "disputed", taken=600, debited=600),
    ),
    Case(
        "a dispute that returned more than it took",
        (payment("P-FUND", status="disputed"), *reversal("credit", 200, "dispute")),
        "funding_refunds",
        refunds_of_funding("more was returned than taken back", "disputed", taken=-200),
    ),
    Case(
        "a receivable without a refund",
        reversal("credit", 200, "receivable", account="receivables:TEST:usd"),
        "funding_refunds",
        refunds_of_funding("the business bore more than was taken back", borne=200),
        also=frozenset({"receivables"}),
    ),
    Case(
        "a receivable that was changed by hand",
        (wallet(receivable_minor=300, receivable_since=LONG_AGO),),
        "receivables",
        of(
            "wallet_id",
            "WAL-1",
            "receivable is not its postings' sum",
            receivable_minor="300",
            postings_minor="0",
        ),
    ),
    Case(
        "a settlement of nothing owed",
        (
            new_movement(
                type="debit", balance_after_minor=700, source="system", reason="receivable"
            ),
            new_posting("WTX-9", "WAL-1", -500),
            new_posting("WTX-9", "receivables:TEST:usd", 500),
            wallet(balance_minor=700, version=4),
        ),
        "receivables",
        of(
            "wallet_id",
            "WAL-1",
            "more was settled than was owed",
            receivable_minor="0",
            postings_minor="-500",
        ),
    ),
    Case(
        "a refund in the wallet that the payment does not have",
        reversal("debit", 300, "refund"),
        "funding_refunds",
        refunds_of_funding(
            "more was taken back than refunded, and no dispute is open or lost",
            taken=300,
            debited=300,
        ),
    ),
    Case(
        "a credit of a payment that does not exist",
        credit(payment_id="P-GONE"),
        "funding_credits",
        of("transaction_id", "WTX-9", "its payment does not exist", payment_id="P-GONE"),
    ),
    # Payments.
    Case(
        "a payment pending for hours",
        (payment("P-OPEN", created_at=LONG_AGO), record("P-OPEN", created_at=LONG_AGO)),
        "pending_payments",
        of(
            "payment_id",
            "P-OPEN",
            "is pending for over an hour",
            attempt="unknown",
            command="nivisco payments show P-OPEN",
            **shown("created_at"),
        ),
    ),
    Case(
        "a payment for review",
        (
            payment(
                "P-OPEN", status="needs_review", attempt=None, look_at=None, created_at=LONG_AGO
            ),
        ),
        "payments_for_review",
        of(
            "payment_id",
            "P-OPEN",
            "the outcome is unknown",
            gateway="stripe",
            command="nivisco payments show P-OPEN",
            **shown("created_at"),
        ),
        verdict=Verdict.WARNING,
    ),
    Case(
        "an expired lease",
        (
            payment(
                "P-OPEN",
                attempt="running",
                lease_owner="dead",
                leased_until=LONG_AGO,
                look_at=LONG_AGO,
            ),
        ),
        "stale_leases",
        of(
            "payment_id",
            "P-OPEN",
            "its lease expired",
            lease_owner="dead",
            **shown("leased_until"),
        ),
    ),
    Case(
        "a payment that was not looked at",
        (payment("P-OPEN", look_at=LONG_AGO),),
        "overdue_checks",
        of("payment_id", "P-OPEN", "was not looked at", status="pending", **shown("look_at")),
    ),
    Case(
        "a payment that is set aside",
        (payment("P-OPEN", set_aside_at=LONG_AGO, set_aside_error="key k0"),),
        "set_aside",
        of(
            "payment_id",
            "P-OPEN",
            "is set aside",
            set_aside_error="key k0",
            command="nivisco queue release payment P-OPEN --reason TEXT",
            **shown("set_aside_at"),
        ),
        verdict=Verdict.WARNING,
    ),
    # Refunds.
    Case(
        "a refund that its payment does not count",
        (refund(),),
        "refunds",
        of(
            "payment_id",
            "P-CHARGE",
            "its refunds are more than what is refunded of it",
            status="succeeded",
            amount_refunded_minor="0",
            counted_minor="100",
        ),
    ),
    Case(
        "an authorization that must have expired",
        (
            payment(
                "P-CHARGE",
                status="authorized",
                authorized_minor=1000,
                created_at=LAST_MONTH,
            ),
        ),
        "expired_authorizations",
        of(
            "payment_id",
            "P-CHARGE",
            "is authorized for over 31 days",
            command="nivisco payments show P-CHARGE",
            **shown("created_at", LAST_MONTH),
        ),
        verdict=Verdict.WARNING,
    ),
    Case(
        "a refund whose outcome stays unknown",
        (RESERVED, refund(first_sent_at=LONG_AGO)),
        "pending_refunds",
        of(
            "refund_id",
            "REF-1",
            "its outcome is unknown for over an hour",
            payment_id="P-CHARGE",
            attempt="unknown",
            command="nivisco refunds show REF-1",
            **shown("first_sent_at"),
        ),
        verdict=Verdict.WARNING,
    ),
    Case(
        "a refund whose core died",
        (
            RESERVED,
            refund(attempt="running", lease_owner="dead", leased_until=LONG_AGO, look_at=LONG_AGO),
        ),
        "stale_leases",
        of(
            "refund_id",
            "REF-1",
            "its lease expired",
            lease_owner="dead",
            **shown("leased_until"),
        ),
    ),
    Case(
        "a refund that was not looked at",
        (RESERVED, refund(look_at=LONG_AGO)),
        "overdue_checks",
        of("refund_id", "REF-1", "was not looked at", attempt="unknown", **shown("look_at")),
    ),
    Case(
        "a refund that is set aside",
        (RESERVED, refund(set_aside_at=LONG_AGO, set_aside_error="not shown")),
        "set_aside",
        of(
            "refund_id",
            "REF-1",
            "is set aside",
            set_aside_error="not shown",
            command="nivisco refunds show REF-1",
            **shown("set_aside_at"),
        ),
        verdict=Verdict.WARNING,
    ),
    Case(
        "a refund without the answer to its key",
        (
            RESERVED,
            refund(attempt=None, look_at=None, status="succeeded"),
            record("P-CHARGE", payment_id="REF-1", sealed_answer=None),
            payment("P-CHARGE", idempotency_key=None),
        ),
        "idempotency_records",
        {
            "business_id": "B",
            "key": "key:p-charge",
            "payment_id": "REF-1",
            "problem": "has no answer, though its refund has an outcome",
        },
    ),
    # Recurring jobs.
    Case(
        "a job that was not claimed",
        (job(),),
        "overdue_jobs",
        of("recurring_id", "REC-1", "was not claimed", **shown("due_at")),
    ),
    Case(
        "a job whose scheduler is gone",
        (job(lease_owner="gone", leased_until=LONG_AGO),),
        "overdue_jobs",
        of(
            "recurring_id",
            "REC-1",
            "its lease expired",
            lease_owner="gone",
            **shown("due_at"),
            **shown("leased_until"),
        ),
    ),
    Case(
        "a job at an occurrence that is not there",
        (job(open_occurrence=LONG_AGO, due_at=NEVER),),
        "recurring_occurrences",
        of(
            "recurring_id",
            "REC-1",
            "its open occurrence is not open",
            executed_cycles="0",
            **shown("open_occurrence"),
        ),
    ),
    Case(
        "a job that is set aside",
        (job(set_aside_at=LONG_AGO, set_aside_error="timezone Mars/Olympus"),),
        "set_aside",
        of(
            "recurring_id",
            "REC-1",
            "is set aside",
            set_aside_error="timezone Mars/Olympus",
            command="nivisco queue release recurring_job REC-1 --reason TEXT",
            **shown("set_aside_at"),
        ),
        verdict=Verdict.WARNING,
    ),
    Case(
        "a job with a charge that has no log",
        (job(executed_cycles=1, due_at=NEVER),),
        "recurring_occurrences",
        of(
            "recurring_id",
            "REC-1",
            "its logs have another number of charges",
            executed_cycles="1",
        ),
    ),
    Case(
        "an open occurrence that its job does not name",
        (job(due_at=NEVER), open_occurrence()),
        "recurring_occurrences",
        of(
            "recurring_id",
            "REC-1",
            "is open, but not its job's open occurrence",
            **shown("occurrence"),
        ),
    ),
    # Idempotency records.
    Case(
        "a record of a payment that does not exist",
        (record("P-FUND", key="key:x", payment_id="P-GONE"),),
        "idempotency_records",
        of("key", "key:x", "its payment or refund does not exist", payment_id="P-GONE"),
    ),
    Case(
        "a record without the answer that its payment has",
        (record("P-FUND", sealed_answer=None),),
        "idempotency_records",
        of(
            "key",
            "key:p-fund",
            "has no answer, though its payment has an outcome",
            payment_id="P-FUND",
        ),
    ),
    Case(
        "a record with an answer that its payment does not have",
        (record("P-OPEN", sealed_answer="v1:k1:AAAA"),),
        "idempotency_records",
        of(
            "key",
            "key:p-open",
            "has an answer, though its payment has no outcome",
            payment_id="P-OPEN",
        ),
    ),
    Case(
        "a pending payment whose record is gone",
        (removed(idempotency_records, "key", "key:p-open"),),
        "idempotency_records",
        of("payment_id", "P-OPEN", "is pending, but its idempotency record is gone"),
    ),
    Case(
        "a payment whose record points elsewhere",
        (record("P-FUND", payment_id="P-CHARGE"),),
        "idempotency_records",
        of(
            "payment_id",
            "P-FUND",
            "its idempotency record points elsewhere",
            key="key:p-fund",
            record_payment_id="P-CHARGE",
        ),
    ),
    Case(
        "a record that was not reaped",
        (record("P-FUND", expires_at=LONG_AGO),),
        "expired_records",
        of("key", "key:p-fund", "expired and is still there", **shown("expires_at")),
        verdict=Verdict.WARNING,
    ),
    Case(
        "payments that are stopped",
        (
            insert(stops).values(
                business_id="B",
                gateway="*",
                what="charges",
                stopped_at=LONG_AGO,
                stopped_by="ops",
                reason="r",
            ),
        ),
        "stops",
        {
            "business_id": "B",
            "what": "charges",
            "gateway": "*",
            "stopped_by": "ops",
            "reason": "r",
            "stopped_at": f"{LONG_AGO:%Y-%m-%d %H:%M:%S}",
            "problem": "is stopped by an operator",
        },
        verdict=Verdict.WARNING,
    ),
    # What belongs to something else.
    Case(
        "a card without its customer",
        (removed(gateway_customers, "user_id", "U1"),),
        "cards",
        of("card_id", "CRD-1", "its user is no customer at its gateway", user_id="U1"),
    ),
    Case(
        "a wallet without its user",
        (removed(users, "user_id", "U2"),),
        "orphans",
        of("wallet_id", "WAL-2", "its row in users does not exist", table="wallets"),
    ),
    Case(
        "a transaction without its wallet",
        (removed(wallets, "wallet_id", "WAL-2"),),
        "orphans",
        of(
            "transaction_id",
            "WTX-4",
            "its row in wallets does not exist",
            table="wallet_transactions",
        ),
        also=frozenset({"ledger_sums"}),
    ),
    # Secrets.
    Case(
        "Stripe keys under another key",
        (update(stripe_credentials).values(sealed_webhook_secret=OTHER_SEAL),),
        "keyring",
        of(
            "env",
            "TEST",
            "sealed_webhook_secret is sealed with a key that is not in the keyring",
            table="stripe_credentials",
        ),
    ),
    Case(
        "Authorize.Net keys under another key",
        (update(authorize_credentials).values(sealed_transaction_key="v1:K1:AAAA"),),
        "keyring",
        of(
            "env",
            "TEST",
            "sealed_transaction_key is sealed with a key that is not in the keyring",
            table="authorize_credentials",
        ),
    ),
    Case(
        "an answer under another key",
        (record("P-FUND", sealed_answer=OTHER_SEAL),),
        "keyring",
        of(
            "key",
            "key:p-fund",
            "is sealed with a key that is not in the keyring",
            table="idempotency_records",
        ),
    ),
    Case(
        "a fingerprint under another key",
        (record("P-OPEN", fingerprint_key_id="k0"),),
        "keyring",
        of(
            "key",
            "key:p-open",
            "its fingerprint was made with a key that is not in the keyring",
            table="idempotency_records",
        ),
    ),
    *(
        Case(
            f"{table.name} under an older key",
            (update(table).where(table.c[key] == row).values({column: "v2:older:AAAA"}),),
            "old_keys",
            of(key, row, f"{column} is sealed with older, not k1", table=table.name),
            verdict=Verdict.WARNING,
        )
        for table, key, row, column in (
            (stripe_credentials, "env", "TEST", "sealed_webhook_secret"),
            (authorize_credentials, "env", "TEST", "sealed_transaction_key"),
            (idempotency_records, "key", "key:p-fund", "sealed_answer"),
        )
    ),
    Case(
        "metadata that no list finds",
        (payment("P-CHARGE", metadata='{"a":"1"}'),),
        "metadata_pairs",
        of(
            "resource_id",
            "P-CHARGE",
            "the list by its metadata does not have it",
            table="payments",
        ),
    ),
    Case(
        "a key that the keyring lost",
        (update(keyring_canaries).values(key_id="k0"),),
        "keyring",
        of("key_id", "k0", "this key is not in the keyring", table="keyring_canaries"),
    ),
]
