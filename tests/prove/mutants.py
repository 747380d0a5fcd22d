"""The mutants: bugs patched into a running core, which the checks of every scenario must catch.

A mutant is a bug that a programmer might write, with the kills and the fault that expose it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from tests.prove import later_mutations, mutations
from tests.prove.failpoints import LOST_ANSWERS
from tests.prove.gateway_faults import LOST_AND_UNLISTED
from tests.prove.plays import PLAYS
from tests.prove.scenario import CHARGES_ONLY, Mode, Scenario

_CHARGED: Final = "gateway.charge.after"
_BEGUN: Final = "payments.begin.after"
_WRITTEN: Final = "payments.write_outcome"
_MOVED: Final = "wallet.move"
_SWEPT: Final = "payments.sweep.after"
_LOOKED_UP: Final = "gateway.look_up_charge.after"
TRIES: Final = 12
"""How often a mutant's scenario is run, with other random numbers; most need one run."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A bug and the scenario that exposes it."""

    bug: str
    apply: Callable[[], None]
    kills: tuple[str, ...]
    fault: str = "none"
    gateway: str = "stripe"
    """The gateway of its charges."""
    database: str = ""
    """The only database that exposes it; empty: either."""
    play: str = ""
    """Its play, instead of clients' random operations."""
    has_jobs: bool = False
    """Whether a scheduler must run."""
    has_webhooks: bool = False
    """Whether gateways must send events."""

    @property
    def mode(self) -> Mode:
        """What happens besides charges."""
        if self.play:
            return replace(PLAYS[self.play][1], play=self.play)
        return replace(CHARGES_ONLY, has_jobs=self.has_jobs, has_webhooks=self.has_webhooks)

    def scenario(self, name: str, database: str, number: int) -> Scenario:
        """Return its scenario with these random numbers."""
        return Scenario(database, number, self.fault, self.kills, name)


MUTANTS: Final[dict[str, Mutant]] = {
    "new_gateway_key": Mutant(
        "each retry charges under a new gateway key", mutations.new_gateway_key, (_CHARGED,)
    ),
    "one_transaction": Mutant(
        "the payment's row is not committed before the gateway is called",
        mutations.one_transaction_around_all,
        (_CHARGED,),
    ),
    "unknown_is_declined": Mutant(
        "an unknown outcome is stored as declined",
        mutations.unknown_is_declined,
        (_BEGUN,),
        "listing_lag",
    ),
    "unknown_is_refused": Mutant(
        "an unknown outcome is answered as a refusal",
        mutations.unknown_is_refused,
        (_BEGUN,),
        "listing_lag",
    ),
    "unknown_is_stored": Mutant(
        "an unknown outcome is stored as the answer",
        mutations.unknown_is_stored,
        (_BEGUN,),
        "listing_lag",
    ),
    "empty_search_is_trusted": Mutant(
        "a search that finds nothing is a refusal",
        mutations.empty_search_is_trusted,
        (_BEGUN,),
        "listing_lag",
    ),
    "lost_connection_is_certain": Mutant(
        "a connection lost after sending means not sent",
        mutations.lost_connection_is_certain,
        (),
        "reset_after",
    ),
    "key_in_use_is_refused": Mutant(
        "Stripe's 409 for a request in flight is a refusal",
        mutations.key_in_use_is_a_refusal,
        (_BEGUN,),
        "timeout",
    ),
    "credit_apart": Mutant(
        "the wallet's credit commits in another transaction than the outcome",
        mutations.credit_in_its_own_transaction,
        (f"{_WRITTEN}.before",),
    ),
    "body_not_compared": Mutant(
        "a key is replayed without comparing the body", mutations.body_is_not_compared, (_CHARGED,)
    ),
    "answer_not_kept": Mutant(
        "a payment's answer is not stored with its outcome",
        mutations.answer_is_not_kept,
        (_CHARGED,),
    ),
    "record_not_kept": Mutant(
        "a wallet movement stores no idempotency record",
        mutations.record_is_not_kept,
        (f"{_MOVED}.after",),
    ),
    "record_apart": Mutant(
        "a movement's record commits after the movement",
        mutations.record_in_its_own_transaction,
        (f"{_MOVED}.after",),
    ),
    "answered_before_commit": Mutant(
        "the caller is answered before the commit",
        mutations.answered_before_the_commit,
        ("CreateUser.before",),
    ),
    "keys_expire_at_once": Mutant(
        "an idempotency key expires at once",
        mutations.keys_expire_at_once,
        (f"{_MOVED}.after",),
    ),
    "resumed_as_if_new": Mutant(
        "a refusal of a resend counts as the outcome of the first charge",
        mutations.resumed_as_if_new,
        (_SWEPT,),
        "rate_limit",
    ),
    "resent_after_key_expired": Mutant(
        "a charge is sent again after the gateway's key expired",
        mutations.resent_after_key_expired,
        (_LOOKED_UP,),
    ),
    "resent_without_lookup": Mutant(
        "a charge at Authorize.Net is sent again without a look-up",
        mutations.resent_without_lookup,
        (),
        LOST_AND_UNLISTED,
        "authorize",
    ),
    "second_one_not_voided": Mutant(
        "the second of two transactions with one invoice is not voided",
        mutations.second_transaction_stays,
        (),
        LOST_AND_UNLISTED,
        "authorize",
    ),
    "unlisted_is_refused": Mutant(
        "a charge missing in Authorize.Net's lists is a refusal",
        mutations.unlisted_is_refused,
        (),
        LOST_AND_UNLISTED,
        "authorize",
    ),
    "customer_under_new_key": Mutant(
        "each retry makes a customer under a new key",
        mutations.customer_under_a_new_key,
        ("gateway.create_customer.after",),
    ),
    "card_under_new_key": Mutant(
        "each retry saves a card under a new key",
        mutations.card_under_a_new_key,
        ("gateway.save_card.after",),
    ),
    "keyed_retry_is_new": Mutant(
        "a keyed retry does not look for the payment of its key",
        mutations.keyed_retry_begins_anew,
        (_CHARGED,),
    ),
    "record_without_payment": Mutant(
        "a key's record does not name the payment that it begins",
        mutations.record_without_its_payment,
        (_CHARGED,),
    ),
    "unkeyed_retry_is_new": Mutant(
        "a retry without a key does not look for an open payment",
        mutations.unkeyed_retry_begins_anew,
        (_CHARGED,),
    ),
    "answered_with_outcome": Mutant(
        "a payment is marked as answered before the response is sent",
        mutations.answered_is_set_with_the_outcome,
        (f"{_WRITTEN}.after",),
    ),
    "written_is_received": Mutant(
        "an answer counts as received when it is written, and not when it is acknowledged",
        later_mutations.written_answers_count_as_received,
        (LOST_ANSWERS,),
    ),
    "nothing_sweeps": Mutant("the sweep does nothing", mutations.nothing_sweeps, (_SWEPT,)),
    "sweep_closes_in_flight": Mutant(
        "the sweep closes charges that a dead core had in flight",
        mutations.sweep_closes_in_flight,
        (_SWEPT,),
    ),
    "leases_never_end": Mutant(
        "a dead core's lease does not expire",
        mutations.leases_never_end,
        (_CHARGED,),
        database="postgresql",
    ),
    "retired_key_is_refused": Mutant(
        "a key rotation is not replayed to the retired key",
        mutations.retired_key_is_refused,
        ("ChangeApiKey.after",),
    ),
    "one_posting": Mutant("a movement has one posting", mutations.one_posting, (_CHARGED,)),
    "credit_without_balance": Mutant(
        "a funding writes its movement and not the balance",
        mutations.credit_without_balance,
        (_CHARGED,),
    ),
    "wallet_not_locked": Mutant(
        "a wallet is read, unlocked and written",
        mutations.wallet_is_not_locked,
        (f"{_MOVED}.before",),
    ),
    "event_answered_early": Mutant(
        "an event is acknowledged before it is stored",
        later_mutations.event_is_answered_early,
        (),
        play="killed_receiver",
    ),
    "state_only_grows": Mutant(
        "a refund that failed still counts",
        later_mutations.failed_refunds_count,
        (),
        play="failed_refund",
    ),
    "late_success_not_followed": Mutant(
        "a cycle does not follow its payment, so that it is retried after a late success",
        later_mutations.cycles_do_not_follow,
        (),
        play="late_success",
    ),
    "metadata_trusted_first": Mutant(
        "the merchant's metadata, not the gateway's id, tells the payment of a refund",
        later_mutations.metadata_is_trusted_first,
        (),
        play="foreign_metadata",
    ),
    "zone_restarts_calendar": Mutant(
        "a change of the time zone restarts the calendar",
        later_mutations.zone_restarts_the_calendar,
        (),
        play="changed_zone",
    ),
    "poison_stops_claims": Mutant(
        "one job that cannot be claimed stops all claims",
        later_mutations.poison_stops_claims,
        (),
        play="poison",
    ),
    "contradiction_applied": Mutant(
        "an event that contradicts its payment is applied",
        later_mutations.contradictions_are_applied,
        (),
        play="false_event",
    ),
    "signature_not_checked": Mutant(
        "a forged event is applied",
        later_mutations.signatures_are_not_checked,
        (),
        play="false_event",
    ),
    "success_not_written": Mutant(
        "a success is written as unknown",
        mutations.success_is_not_written,
        (_CHARGED,),
    ),
    "refund_without_reservation": Mutant(
        "a refund counts only once its gateway has made it",
        later_mutations.refunds_are_not_reserved,
        (),
        play="give_back_in_flight",
    ),
    "part_is_voided": Mutant(
        "a part of an unsettled charge is refunded by a void of all of it",
        later_mutations.parts_are_voided,
        (),
        gateway="authorize",
        play="give_back_before_settlement",
    ),
    "refund_sent_anew": Mutant(
        "a refund with an unknown outcome is sent again as another one",
        later_mutations.refunds_are_resent_anew,
        ("gateway.refund.after",),
    ),
    "failed_refund_stays_reserved": Mutant(
        "a refund that an operator resolves as failed stays reserved",
        later_mutations.failed_decisions_free_nothing,
        (),
        gateway="authorize",
        play="give_back_lost",
    ),
    "hold_not_counted": Mutant(
        "a hold is stored, and what it holds can be spent",
        later_mutations.holds_are_not_counted,
        (),
        play="hold_and_spend",
    ),
    "hold_captured_twice": Mutant(
        "a captured hold stays open, so that it can be captured again",
        later_mutations.captured_holds_stay_open,
        (),
        play="capture_again",
    ),
    "transfer_in_two_commits": Mutant(
        "a transfer credits the receiver in a transaction before the debit",
        later_mutations.transfers_are_two_transactions,
        ("TransferWallet.before",),
    ),
    "payment_captured_twice": Mutant(
        "a second capture of a payment is answered as if it were made",
        later_mutations.second_captures_are_answered,
        (),
        play="capture_payment_again",
    ),
    "expiry_after_capture": Mutant(
        "an event of an expiry voids a payment that was captured",
        later_mutations.expiries_void_captures,
        (),
        play="expiry_after_capture",
    ),
    "unknown_capture_given_up": Mutant(
        "a capture with an unknown outcome is given up",
        later_mutations.unknown_captures_are_given_up,
        (),
        gateway="authorize",
        play="capture_lands_late",
    ),
    "retry_forgets_its_charge": Mutant(
        "the record of retry_recurring does not name the payment that it began",
        later_mutations.retries_forget_their_charge,
        ("recurring.end_retry.before",),
        has_jobs=True,
    ),
    "card_event_ends_first": Mutant(
        "an event of a card is marked as done before the card is stored",
        later_mutations.card_events_end_first,
        ("cards.follow.before",),
        has_webhooks=True,
    ),
}
