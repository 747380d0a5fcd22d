"""All checks of the doctor: their queries, invariants and advice."""

from dataclasses import dataclass

from core.database.schema import (
    cards,
    idempotency_records,
    payments,
    postings,
    recurring_jobs,
    recurring_occurrences,
    refunds,
    wallet_holds,
    wallet_transactions,
    wallets,
)
from core.doctor import (
    ledger_store,
    metadata_store,
    payments_store,
    records_store,
    recurring_store,
    refunds_store,
)
from core.doctor.rules import Verdict
from core.doctor.store import Comparison, Query

_WRONG_LEDGER = (
    "The ledger is wrong, or was changed by hand. Stop all cores, keep a copy, and compare with "
    "the last good backup and the gateway's dashboard. Do not correct anything by guessing."
)


@dataclass(frozen=True, slots=True)
class Check:
    """One check of the database."""

    name: str
    invariant: str
    advice: str
    """What a violation means, and what to do."""
    queries: tuple[Query | Comparison, ...] = ()
    severity: Verdict = Verdict.BROKEN
    needs_core: bool = False
    """Whether the invariant needs a running core. Without one, a violation is only a warning."""
    needs_keyring: bool = False


CLOCK = Check(
    "clock",
    "This machine's clock and the database's show the same time",
    "Leases and idempotency keys use the database's clock, logs use this machine's. Synchronize "
    "both machines with NTP.",
)
METADATA = Check(
    "metadata_pairs",
    "The lists by a pair of metadata have exactly the resources with that pair",
    "A list by metadata misses a resource, or shows one without this pair. The metadata itself, "
    "which every other answer shows, is right. Of a user or a recurring job an update to other "
    "metadata and back writes the pairs anew. Probably a restore was incomplete.",
    metadata_store.COMPARISONS,
)
"""Its pairs are also read in parts of their own, see `metadata_store.pairs_without_resource`."""

AUDIT = Check(
    "audit_trail",
    "The audit trail is whole: every event has its keyed hash, and none is missing",
    "Somebody altered the audit trail, or a restore was incomplete. Keep a copy, and compare with "
    "the checkpoints: `nivisco audit verify --checkpoints FILE` also finds an end that is cut off.",
    needs_keyring=True,
)
"""Verified by core.audit, which has the key."""

CHECKS = (
    Check(
        "ledger_sums",
        "All postings of a business, environment and currency sum to zero",
        _WRONG_LEDGER,
        (Query(ledger_store.ledger_sums, table=postings, is_sum=True),),
    ),
    Check(
        "postings",
        "Every wallet transaction has two postings: its amount on the wallet, and the opposite on "
        "an account of the business",
        _WRONG_LEDGER,
        (Query(ledger_store.transactions_without_postings, table=wallet_transactions),),
    ),
    Check(
        "wallets_below_zero",
        "No wallet has a negative balance",
        "The database's constraint was dropped or bypassed. " + _WRONG_LEDGER,
        (Query(ledger_store.wallets_below_zero, table=wallets),),
    ),
    Check(
        "wallet_balances",
        "A wallet's balance is the sum of its postings",
        _WRONG_LEDGER,
        (Query(ledger_store.wallets_not_matching_postings, table=wallets),),
    ),
    Check(
        "wallet_histories",
        "A wallet's transactions have no gap, and the last one has its balance",
        _WRONG_LEDGER,
        (
            Query(ledger_store.wallets_not_matching_last_transaction, table=wallets),
            Query(ledger_store.transactions_out_of_sequence, table=wallets),
        ),
    ),
    Check(
        "receivables",
        "What a user owes is the sum of the postings on the business's receivables",
        "What list_receivables shows is wrong; how much may be settled is decided by the postings. "
        + _WRONG_LEDGER,
        (Query(ledger_store.receivables_not_matching_postings, table=wallets),),
    ),
    Check(
        "wallet_transfers",
        "A transfer debited one wallet and credited another with the same amount",
        _WRONG_LEDGER,
        (Query(ledger_store.transfers_without_other_side, table=wallet_transactions),),
    ),
    Check(
        "wallet_holds",
        "What a wallet holds is the sum of its open holds and within its balance, and a captured "
        "hold debited it once",
        _WRONG_LEDGER,
        (
            Query(ledger_store.wallets_not_matching_holds, table=wallets),
            Query(ledger_store.captures_without_transaction, table=wallet_holds),
        ),
    ),
    Check(
        "funding_credits",
        "A successful funding credited its user's wallet once with its amount, and no other "
        "payment credited a wallet",
        "A card was charged without crediting the wallet, or a wallet was credited without a "
        "charge. Look the payment up in the gateway's dashboard before you correct the wallet. "
        + _WRONG_LEDGER,
        (
            Query(ledger_store.payments_not_matching_credits, table=payments),
            Query(ledger_store.transactions_without_payment, table=wallet_transactions),
        ),
    ),
    Check(
        "funding_refunds",
        "Refunds and voids of a funding were debited from its wallet",
        "A wallet was not debited for a refund, or was debited too much. Look the payment up in "
        "the gateway's dashboard before you correct the wallet. " + _WRONG_LEDGER,
        (Query(ledger_store.fundings_not_matching_refunds, table=payments),),
    ),
    Check(
        "pending_payments",
        "No payment is pending for more than an hour",
        "It is unknown whether these cards were charged. Look for the gateway's errors in the "
        "core's log: the gateway may be unavailable, or the business's keys revoked. The core "
        "keeps checking the payment, and sets it to needs_review after 26 hours, of Authorize.Net "
        "after 8, unless the gateway is away. "
        "`nivisco payments show` has all that is known.",
        (Query(payments_store.payments_pending_too_long, table=payments),),
    ),
    Check(
        "payments_for_review",
        "No payment needs a manual review",
        "The gateway did not report the outcome. Look for the payment_id in its dashboard, in the "
        "payment's metadata, then decide with `nivisco payments resolve`. "
        "`nivisco payments show` has all that is known.",
        (Query(payments_store.payments_for_review, table=payments),),
        severity=Verdict.WARNING,
    ),
    Check(
        "expired_authorizations",
        "No payment is authorized for longer than gateways hold an amount",
        "The gateway has released the amount or captured it, and did not tell. Look for its errors "
        "in the core's log: the business's keys may be revoked. `nivisco payments show` asks it, "
        "and `nivisco payments retry` follows what it says.",
        (Query(payments_store.payments_authorized_too_long, table=payments),),
        severity=Verdict.WARNING,
    ),
    Check(
        "refunds",
        "Refunds that are reserved or made count in what is refunded of their payment",
        "More may be refunded than was paid. Look the payment's refunds up in the gateway's "
        "dashboard before you refund more of it. " + _WRONG_LEDGER,
        (Query(refunds_store.payments_not_matching_refunds, table=payments),),
    ),
    Check(
        "pending_refunds",
        "No refund's outcome is unknown for more than an hour",
        "It is unknown whether the money was given back; it stays reserved. Look for the gateway's "
        "errors in the core's log: the gateway may be unavailable, or the business's keys revoked. "
        "The core keeps asking. If it cannot know the outcome, look for the refund_id in the "
        "gateway's dashboard, in the refund's metadata or invoice number, then decide with "
        "`nivisco refunds resolve`. `nivisco refunds show` has all that is known.",
        (Query(refunds_store.refunds_unknown_too_long, table=refunds),),
        severity=Verdict.WARNING,
    ),
    Check(
        "stale_leases",
        "No running attempt's lease expired more than a minute ago",
        "The core that ran the attempt died, and no core resumes it: none runs, or its looks at "
        "due work fail. Start a core, or look for the task due_work in its log.",
        (Query(payments_store.expired_leases), Query(refunds_store.expired_leases)),
        needs_core=True,
    ),
    Check(
        "overdue_checks",
        "No payment, refund, gateway event or hold is overdue for a core's look by more than "
        "ten minutes",
        "No core runs, or its looks at due work fail or are too slow, for example because a "
        "gateway does not answer. Start a core, or look for the task due_work in its log.",
        (
            Query(payments_store.overdue_payments),
            Query(payments_store.overdue_events),
            Query(refunds_store.overdue_refunds),
            Query(ledger_store.overdue_holds),
        ),
        needs_core=True,
    ),
    Check(
        "overdue_jobs",
        "No recurring job is overdue, or its lease expired, by more than ten minutes",
        "No scheduler runs, or it fails or is too slow: start one, or look for errors in its log. "
        "Overdue occurrences are then charged according to the job's catch_up.",
        (Query(recurring_store.overdue_jobs),),
        needs_core=True,
    ),
    Check(
        "set_aside",
        "No payment, gateway event, recurring job, refund or hold is set aside",
        "No core looks at it until it is released, because that failed: set_aside_error says why. "
        "Correct the cause: for an unknown time zone, update the package tzdata of every core; for "
        "a secret that cannot be decrypted, store it again; for an unexpected error, install a "
        "corrected version. Then run `nivisco queue release`. What a recurring job missed follows "
        "its catch_up; update_recurring with its timezone releases it, too. A refund that its "
        "gateway does not show is decided with `nivisco refunds resolve`.",
        (
            Query(payments_store.payments_set_aside),
            Query(payments_store.events_set_aside),
            Query(recurring_store.jobs_set_aside),
            Query(refunds_store.refunds_set_aside),
            Query(ledger_store.holds_set_aside),
        ),
        severity=Verdict.WARNING,
    ),
    Check(
        "recurring_occurrences",
        "A recurring job and its open occurrence refer to each other, and its logs have as many "
        "charges as it has executed cycles",
        "A cycle may be charged twice, or never. Pause the job first. " + _WRONG_LEDGER,
        (
            Query(recurring_store.jobs_not_matching_occurrences, table=recurring_jobs),
            Query(recurring_store.open_occurrences_without_job, table=recurring_occurrences),
        ),
    ),
    Check(
        "idempotency_records",
        "An idempotency record and its payment refer to each other and have the same outcome",
        "A retry with this key may get a wrong answer. Look the payment up before the caller "
        "retries.",
        (
            Query(records_store.records_not_matching_payments, table=idempotency_records),
            Query(records_store.payments_not_matching_records, table=payments),
        ),
    ),
    Check(
        "expired_records",
        "No idempotency record remains an hour after it expired",
        "They only take space: no core deletes them. Start a core, or look for the task "
        "reap_idempotency_records in its log.",
        (Query(records_store.unreaped_records),),
        severity=Verdict.WARNING,
    ),
    Check(
        "stops",
        "No payments are stopped by an operator",
        "What it names is refused, or waits, until `nivisco start` ends it. `nivisco stops` lists "
        "all.",
        (Query(records_store.stops_in_force),),
        severity=Verdict.WARNING,
    ),
    Check(
        "cards",
        "Every card's user is a customer of its gateway",
        "The card can be charged, but the next one is saved for a new customer. Probably a restore "
        "was incomplete.",
        (Query(records_store.cards_without_customer, table=cards),),
    ),
    METADATA,
    Check(
        "orphans",
        "Every row's parent exists",
        "A restore was incomplete, or constraints were disabled. Restore the missing rows from a "
        "backup; do not delete rows about money.",
        records_store.parent_queries(),
    ),
    Check(
        "keyring",
        "Every stored secret is sealed with a key of the keyring",
        "The secret cannot be decrypted. Give the core the keyring that sealed it; if that is "
        "lost, the business must store its gateway keys again.",
        records_store.unknown_key_queries(),
        needs_keyring=True,
    ),
    Check(
        "old_keys",
        "Every stored secret is sealed with the first key of the keyring",
        "The older key is still needed. `nivisco secrets rotate` seals what it sealed with the "
        "first one.",
        records_store.old_key_queries(),
        severity=Verdict.WARNING,
        needs_keyring=True,
    ),
)
