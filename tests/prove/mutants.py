"""Small wrong versions of the protocol, applied to a core at run time; the proof must catch each.

A mutant is what a programmer might write. It names the kills and the fault that show it; what
catches it are the same checks that judge every scenario.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.prove import mistakes
from tests.prove.faults import TORN_NETS
from tests.prove.scenario import Scenario

_CHARGED: Final = "gateway.charge.after"
_BEGUN: Final = "payments.service.PaymentsService._committed.after"
_WRITTEN: Final = "payments.attempts.Attempts._write"
_AT_ONCE: Final = "idempotency.pipeline.IdempotencyInterceptor._run_in_one_transaction"
_MOVED: Final = "wallet.batch.WalletBatch._carry_out"
_SWEPT: Final = "payments.sweep.Sweep.run.after"
_LOOKED_UP: Final = "gateway.look_up_charge.after"
TRIES: Final = 12
"""How many numbers the scenario of a mutant is tried with; most are caught by the first."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A mistake, and the scenario that shows it."""

    mistake: str
    apply: Callable[[], None]
    kills: tuple[str, ...]
    fault: str = "none"
    gateway: str = "stripe"
    """The one that its clients charge at."""
    database: str = ""
    """The only one that it shows on; either, where empty."""

    def scenario(self, name: str, database: str, number: int) -> Scenario:
        """Return its scenario with a number."""
        return Scenario(database, number, self.fault, self.kills, name)


MUTANTS: Final[dict[str, Mutant]] = {
    "new_gateway_key": Mutant(
        "each retry charges under a new gateway key", mistakes.new_gateway_key, (_CHARGED,)
    ),
    "one_transaction": Mutant(
        "the payment's row is not committed before the gateway is called",
        mistakes.one_transaction_around_all,
        (_CHARGED,),
    ),
    "unknown_is_declined": Mutant(
        "an unknown outcome is stored as declined",
        mistakes.unknown_is_declined,
        (_BEGUN,),
        "listing_lag",
    ),
    "unknown_is_refused": Mutant(
        "an unknown outcome is told as a refusal",
        mistakes.unknown_is_refused,
        (_BEGUN,),
        "listing_lag",
    ),
    "unknown_is_kept": Mutant(
        "an unknown outcome is kept as the answer",
        mistakes.unknown_is_kept,
        (_BEGUN,),
        "listing_lag",
    ),
    "empty_search_is_trusted": Mutant(
        "a search that finds nothing is a refusal",
        mistakes.empty_search_is_trusted,
        (_BEGUN,),
        "listing_lag",
    ),
    "lost_connection_is_certain": Mutant(
        "a connection lost after sending means not sent",
        mistakes.lost_connection_is_certain,
        (),
        "reset_after",
    ),
    "key_in_use_is_refused": Mutant(
        "Stripe's 409 for a request under way is a refusal",
        mistakes.key_in_use_is_a_refusal,
        (_BEGUN,),
        "slower_than_we_wait",
    ),
    "credit_apart": Mutant(
        "the wallet's credit commits apart from the outcome",
        mistakes.credit_in_its_own_transaction,
        (f"{_WRITTEN}.before",),
    ),
    "body_not_compared": Mutant(
        "a key is replayed without comparing the body", mistakes.body_is_not_compared, (_CHARGED,)
    ),
    "answer_not_kept": Mutant(
        "a payment's answer is not kept with its outcome", mistakes.answer_is_not_kept, (_CHARGED,)
    ),
    "record_not_kept": Mutant(
        "an action keeps no record",
        mistakes.record_is_not_kept,
        (f"{_MOVED}.after",),
    ),
    "record_apart": Mutant(
        "a movement's record commits after the movement",
        mistakes.record_in_its_own_transaction,
        (f"{_MOVED}.after",),
    ),
    "told_before_commit": Mutant(
        "the caller is told before the commit",
        mistakes.told_before_the_commit,
        (f"{_AT_ONCE}/CreateUser.before",),
    ),
    "keys_live_for_no_time": Mutant(
        "a key's life is over at once",
        mistakes.keys_live_for_no_time,
        (f"{_MOVED}.after",),
    ),
    "resumed_as_if_new": Mutant(
        "a refusal of today's resend counts for yesterday's charge",
        mistakes.resumed_as_if_new,
        (_SWEPT,),
        "turned_away",
    ),
    "resent_when_key_is_gone": Mutant(
        "a charge is sent again when the gateway has forgotten its key",
        mistakes.resent_when_the_key_is_gone,
        (_LOOKED_UP,),
    ),
    "resent_without_looking": Mutant(
        "a charge at Authorize.Net is sent again without looking first",
        mistakes.resent_without_looking,
        (),
        TORN_NETS,
        "authorize",
    ),
    "second_one_stays": Mutant(
        "of two transactions on one invoice the second one is not voided",
        mistakes.second_transaction_stays,
        (),
        TORN_NETS,
        "authorize",
    ),
    "unshown_is_refused": Mutant(
        "what Authorize.Net's lists do not show yet is taken for a refusal",
        mistakes.unshown_is_refused,
        (),
        TORN_NETS,
        "authorize",
    ),
    "customer_under_new_key": Mutant(
        "each retry makes a customer under a new key",
        mistakes.customer_under_a_new_key,
        ("gateway.create_customer.after",),
    ),
    "card_under_new_key": Mutant(
        "each retry saves a card under a new key",
        mistakes.card_under_a_new_key,
        ("gateway.save_card.after",),
    ),
    "keyed_retry_is_new": Mutant(
        "a keyed retry does not look for the payment of its key",
        mistakes.keyed_retry_begins_anew,
        (_CHARGED,),
    ),
    "unkeyed_retry_is_new": Mutant(
        "a retry without a key does not look for an open payment",
        mistakes.unkeyed_retry_begins_anew,
        (_CHARGED,),
    ),
    "told_with_outcome": Mutant(
        "that somebody was told is noted before anybody is",
        mistakes.told_is_noted_with_the_outcome,
        (f"{_WRITTEN}.after",),
    ),
    "nothing_sweeps": Mutant("nothing sweeps", mistakes.nothing_sweeps, (_SWEPT,)),
    "sweep_closes_what_runs": Mutant(
        "the sweep closes what a dead core was charging", mistakes.sweep_closes_what_runs, (_SWEPT,)
    ),
    "leases_never_end": Mutant(
        "a dead core's lease does not run out",
        mistakes.leases_never_end,
        (_CHARGED,),
        database="postgresql",
    ),
    "retired_key_opens_nothing": Mutant(
        "a rotation is not replayed to the key that it retired",
        mistakes.retired_key_opens_nothing,
        (f"{_AT_ONCE}/ChangeApiKey.after",),
    ),
    "one_posting": Mutant("a movement has one posting", mistakes.one_posting, (_CHARGED,)),
    "credit_without_balance": Mutant(
        "a funding writes its movement and not the balance", mistakes.version_stays, (_CHARGED,)
    ),
    "wallet_not_locked": Mutant(
        "a wallet is read, let go of, and written",
        mistakes.wallet_is_not_locked,
        (f"{_MOVED}.before",),
    ),
    "success_not_written": Mutant(
        "a success is written as unknown and left to chance",
        mistakes.commit_is_forgotten,
        (_CHARGED,),
    ),
}
