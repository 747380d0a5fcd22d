"""Every check: what it asks, what has to hold, and what to do where it does not.

A check whose advice is to look at the core rather than at the books says so by `of_serving`.
"""

from dataclasses import dataclass

from core.database.schema import (
    authorize_credentials,
    cards,
    idempotency_records,
    keyring_canaries,
    payments,
    postings,
    recurring_jobs,
    recurring_occurrences,
    stripe_credentials,
    wallet_transactions,
    wallets,
)
from core.doctor import ledger_store, payments_store, records_store, recurring_store
from core.doctor.rules import Verdict
from core.doctor.store import Question

_BOOKS = (
    "The books are wrong, or were changed by hand. Stop what writes to them, keep a copy, compare "
    "with the last good backup and with the gateway's dashboard, and correct nothing by a guess."
)


@dataclass(frozen=True, slots=True)
class Check:
    """One check of the database."""

    name: str
    demand: str
    """What has to hold, as a sentence."""
    advice: str
    """What it means where that does not hold, and what to do."""
    questions: tuple[Question, ...] = ()
    severity: Verdict = Verdict.BROKEN
    of_serving: bool = False
    """Whether a core has to run for it to hold, so that it is only a warning where none can."""
    needs_keyring: bool = False


CLOCK = Check(
    "clock",
    "This machine's clock and the database's show the same time",
    "The database's clock counts for leases and idempotency keys, this machine's for logs. Have "
    "both machines keep their clocks with NTP.",
)

CHECKS = (
    Check(
        "ledger_sums",
        "All postings of a business, environment and currency sum to zero",
        _BOOKS,
        (Question(ledger_store.ledger_sums, walks=postings, adds_up=True),),
    ),
    Check(
        "postings",
        "Every wallet transaction has two postings: its amount at the wallet, the opposite at an "
        "account of the business",
        _BOOKS,
        (Question(ledger_store.movements_without_their_postings, walks=wallet_transactions),),
    ),
    Check(
        "wallets_below_zero",
        "No wallet is below zero",
        "The database's own constraint is gone or was circumvented. " + _BOOKS,
        (Question(ledger_store.wallets_below_zero, walks=wallets),),
    ),
    Check(
        "wallet_balances",
        "A wallet's balance is what replaying its postings gives",
        _BOOKS,
        (Question(ledger_store.wallets_that_are_not_their_postings, walks=wallets),),
    ),
    Check(
        "wallet_histories",
        "A wallet's transactions follow each other without a gap, up to its balance",
        _BOOKS,
        (
            Question(ledger_store.wallets_that_are_not_their_last_movement, walks=wallets),
            Question(ledger_store.movements_that_do_not_follow, walks=wallets),
        ),
    ),
    Check(
        "funding_credits",
        "A funding that succeeded credited its user's wallet once with its amount, and no other "
        "payment credited one",
        "A card was charged and the money is not where it belongs, or the other way round. Look "
        "the payment up in the gateway's dashboard before you correct the wallet. " + _BOOKS,
        (
            Question(ledger_store.payments_without_their_credit, walks=payments),
            Question(ledger_store.movements_without_their_payment, walks=wallet_transactions),
        ),
    ),
    Check(
        "funding_refunds",
        "What was refunded or voided of a funding was taken back from its wallet",
        "A wallet holds money that went back to its card, or gave back too much. Look the payment "
        "up in the gateway's dashboard before you correct the wallet. " + _BOOKS,
        (Question(ledger_store.fundings_not_taken_back, walks=payments),),
    ),
    Check(
        "pending_payments",
        "No payment is pending for more than an hour",
        "Nobody knows whether these cards were charged. Look for the gateway's errors in the "
        "core's log: the gateway may be away, or the business's keys be revoked. The core goes on "
        "asking by itself, and gives the payment to a person after 26 hours.",
        (Question(payments_store.payments_long_pending),),
    ),
    Check(
        "payments_for_review",
        "No payment waits for a person's review",
        "The gateway never told the outcome. Look for the payment_id in its dashboard, under the "
        "payment's metadata, and settle with the customer by hand.",
        (Question(payments_store.payments_for_review, walks=payments),),
        severity=Verdict.WARNING,
    ),
    Check(
        "stale_leases",
        "No running attempt's lease has been over for more than a minute",
        "The core that charged is gone, and no core takes over: none runs, or its sweep fails. "
        "Start one, or look for 'the sweep' in its log.",
        (Question(payments_store.leases_long_over),),
        of_serving=True,
    ),
    Check(
        "overdue_checks",
        "No open payment has been waiting for the core's sweep for more than ten minutes",
        "No core sweeps, or it does not get round. Start one, or look for 'the sweep' in its log.",
        (Question(payments_store.checks_long_due),),
        of_serving=True,
    ),
    Check(
        "overdue_jobs",
        "No recurring job has been due, or its scheduler's lease over, for more than ten minutes",
        "No scheduler claims jobs, or none gets round: start one, or look for its errors. Whatever "
        "is late is charged by the job's catch_up rule once one runs.",
        (Question(recurring_store.jobs_overdue),),
        of_serving=True,
    ),
    Check(
        "recurring_occurrences",
        "A recurring job and its open occurrence name each other, and its logs tell of as many "
        "charges as it counts",
        "A cycle may be charged twice, or never. Pause the job before anything else. " + _BOOKS,
        (
            Question(recurring_store.jobs_without_their_occurrence, walks=recurring_jobs),
            Question(recurring_store.occurrences_nobody_ends, walks=recurring_occurrences),
        ),
    ),
    Check(
        "idempotency_records",
        "An idempotency record and its payment name each other, and agree on the outcome",
        "Repeating a request with this key may be answered wrongly. Look the payment up before "
        "the caller repeats it.",
        (
            Question(records_store.records_without_their_payment, walks=idempotency_records),
            Question(records_store.payments_without_their_record, walks=payments),
        ),
    ),
    Check(
        "expired_records",
        "No idempotency record is left an hour after its time",
        "They do no harm but take space: no core deletes them. Start one, or look for 'reaping' in "
        "its log.",
        (Question(records_store.records_nobody_reaped),),
        severity=Verdict.WARNING,
    ),
    Check(
        "cards",
        "Every card's user is a customer of its gateway",
        "The card can be charged, but the next one is saved under a new customer. Look for a "
        "restore that was not complete.",
        (Question(records_store.cards_without_customer, walks=cards),),
    ),
    Check(
        "orphans",
        "Every row's parent exists",
        "A restore was not complete, or constraints were switched off. Restore what is missing "
        "from a backup; delete nothing that has to do with money.",
        records_store.parent_questions(),
    ),
    Check(
        "keyring",
        "Every stored secret is sealed with a key of the keyring",
        "It cannot be opened. Give the core the keyring that it was sealed with; where that is "
        "lost, have the business store its gateway keys again.",
        (
            Question(records_store.credentials_of_other_keys, walks=stripe_credentials),
            Question(
                records_store.authorize_credentials_of_other_keys, walks=authorize_credentials
            ),
            Question(records_store.records_of_other_keys, walks=idempotency_records),
            Question(records_store.canaries_of_other_keys, walks=keyring_canaries),
        ),
        needs_keyring=True,
    ),
)
