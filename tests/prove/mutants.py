"""Small wrong versions of the protocol, applied to a core at run time; the proof must catch each.

A mutant is what a programmer might write. It names the kills and the fault that show it; what
catches it are the same checks that judge every scenario.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.prove import mutations
from tests.prove.gateway_faults import LOST_AND_UNLISTED
from tests.prove.scenario import Scenario

_CHARGED: Final = "gateway.charge.after"
_BEGUN: Final = "payments.begin.after"
_WRITTEN: Final = "payments.write_outcome"
_MOVED: Final = "wallet.move"
_SWEPT: Final = "payments.sweep.after"
_LOOKED_UP: Final = "gateway.look_up_charge.after"
TRIES: Final = 12
"""How many numbers the scenario of a mutant is tried with; most are caught by the first."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A bug, and the scenario that shows it."""

    bug: str
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
        "an unknown outcome is told as a refusal",
        mutations.unknown_is_refused,
        (_BEGUN,),
        "listing_lag",
    ),
    "unknown_is_kept": Mutant(
        "an unknown outcome is kept as the answer",
        mutations.unknown_is_kept,
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
        "Stripe's 409 for a request under way is a refusal",
        mutations.key_in_use_is_a_refusal,
        (_BEGUN,),
        "timeout",
    ),
    "credit_apart": Mutant(
        "the wallet's credit commits apart from the outcome",
        mutations.credit_in_its_own_transaction,
        (f"{_WRITTEN}.before",),
    ),
    "body_not_compared": Mutant(
        "a key is replayed without comparing the body", mutations.body_is_not_compared, (_CHARGED,)
    ),
    "answer_not_kept": Mutant(
        "a payment's answer is not kept with its outcome", mutations.answer_is_not_kept, (_CHARGED,)
    ),
    "record_not_kept": Mutant(
        "an action keeps no record",
        mutations.record_is_not_kept,
        (f"{_MOVED}.after",),
    ),
    "record_apart": Mutant(
        "a movement's record commits after the movement",
        mutations.record_in_its_own_transaction,
        (f"{_MOVED}.after",),
    ),
    "told_before_commit": Mutant(
        "the caller is told before the commit",
        mutations.told_before_the_commit,
        ("CreateUser.before",),
    ),
    "keys_live_for_no_time": Mutant(
        "a key's life is over at once",
        mutations.keys_live_for_no_time,
        (f"{_MOVED}.after",),
    ),
    "resumed_as_if_new": Mutant(
        "a refusal of today's resend counts for yesterday's charge",
        mutations.resumed_as_if_new,
        (_SWEPT,),
        "rate_limit",
    ),
    "resent_when_key_is_gone": Mutant(
        "a charge is sent again when the gateway has forgotten its key",
        mutations.resent_when_the_key_is_gone,
        (_LOOKED_UP,),
    ),
    "resent_without_looking": Mutant(
        "a charge at Authorize.Net is sent again without looking first",
        mutations.resent_without_looking,
        (),
        LOST_AND_UNLISTED,
        "authorize",
    ),
    "second_one_stays": Mutant(
        "of two transactions on one invoice the second one is not voided",
        mutations.second_transaction_stays,
        (),
        LOST_AND_UNLISTED,
        "authorize",
    ),
    "unshown_is_refused": Mutant(
        "what Authorize.Net's lists do not show yet is taken for a refusal",
        mutations.unshown_is_refused,
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
    "unkeyed_retry_is_new": Mutant(
        "a retry without a key does not look for an open payment",
        mutations.unkeyed_retry_begins_anew,
        (_CHARGED,),
    ),
    "told_with_outcome": Mutant(
        "that somebody was told is noted before anybody is",
        mutations.told_is_noted_with_the_outcome,
        (f"{_WRITTEN}.after",),
    ),
    "nothing_sweeps": Mutant("nothing sweeps", mutations.nothing_sweeps, (_SWEPT,)),
    "sweep_closes_what_runs": Mutant(
        "the sweep closes what a dead core was charging",
        mutations.sweep_closes_what_runs,
        (_SWEPT,),
    ),
    "leases_never_end": Mutant(
        "a dead core's lease does not run out",
        mutations.leases_never_end,
        (_CHARGED,),
        database="postgresql",
    ),
    "retired_key_opens_nothing": Mutant(
        "a rotation is not replayed to the key that it retired",
        mutations.retired_key_opens_nothing,
        ("ChangeApiKey.after",),
    ),
    "one_posting": Mutant("a movement has one posting", mutations.one_posting, (_CHARGED,)),
    "credit_without_balance": Mutant(
        "a funding writes its movement and not the balance", mutations.version_stays, (_CHARGED,)
    ),
    "wallet_not_locked": Mutant(
        "a wallet is read, let go of, and written",
        mutations.wallet_is_not_locked,
        (f"{_MOVED}.before",),
    ),
    "success_not_written": Mutant(
        "a success is written as unknown and left to chance",
        mutations.commit_is_forgotten,
        (_CHARGED,),
    ),
}
