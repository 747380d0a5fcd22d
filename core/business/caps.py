"""Amount caps of API keys: counts what a call moves, and refuses what is above a cap.

An amount counts in the transaction that begins to move it: a charge from its pending payment on,
whatever is captured, refunded or voided of it later, until it certainly failed. The counter's row
is the last that such a transaction locks, but for the idempotency record that an action's pipeline
inserts at the end, and for the wallet that a late success credits: two calls with one key for
different actions, or a success that followed a failure, may deadlock with another call of the same
API key, which PostgreSQL ends and the caller repeats.
"""

from typing import Final

from core.business import cap_store
from core.caller import Caller
from core.database.transactions import Transaction
from core.errors import Reason, Refusal
from core.money import Amount, amount_text

_FAILED: Final = frozenset({"declined", "failed"})
"""Statuses of payments that certainly took nothing."""


async def reserve(transaction: Transaction, caller: Caller, amount: Amount) -> None:
    """Count an amount that a call of a key with caps moves. Of a key without, it does nothing.

    Raises:
        Refusal: API_KEY_CAPPED. The transaction must not commit.
    """
    caps = caller.caps
    if caps is None:
        return
    if amount.currency != caps.currency:
        raise capped("currency", f"The API key may move {caps.currency} only")
    if caps.max_minor is not None and amount.minor > caps.max_minor:
        raise _above("max_amount", "in one call", Amount(caps.max_minor, caps.currency))
    if caps.max_minor_per_day is None:
        return
    if amount.minor > caps.max_minor_per_day or not await cap_store.add_within(
        transaction,
        caller.business_id,
        caller.key_id,
        amount.minor,
        max_minor=caps.max_minor_per_day,
    ):
        used_minor = await cap_store.used(transaction, caller.business_id, caller.key_id)
        left_minor = max(caps.max_minor_per_day - used_minor, 0)
        raise _above("max_amount_per_day", "today (UTC)", Amount(left_minor, caps.currency))


async def reserve_rest(
    transaction: Transaction, caller: Caller, amount: Amount, *, begun_by: str | None
) -> None:
    """Count an amount that a call takes of what a call with the key `begun_by` reserved.

    What the caller's key began has counted then. None stands for a key without caps.

    Raises:
        Refusal: API_KEY_CAPPED. The transaction must not commit.
    """
    if begun_by != caller.key_id:
        await reserve(transaction, caller, amount)


async def follow_status(
    transaction: Transaction,
    *,
    business_id: str,
    key_id: str,
    day: str,
    amount_minor: int,
    before: str,
    after: str,
) -> None:
    """Have the counter follow a new status of a locked payment that a key with caps began."""
    if (before in _FAILED) != (after in _FAILED):
        more_minor = -amount_minor if after in _FAILED else amount_minor
        await cap_store.add(transaction, business_id, key_id, day, more_minor)


def capped(cap: str, message: str, left: str | None = None) -> Refusal:
    """Return the refusal of what the caps of an API key forbid."""
    metadata = {"cap": cap} if left is None else {"cap": cap, "left": left}
    return Refusal(Reason.ERROR_REASON_API_KEY_CAPPED, message, metadata=metadata)


def _above(cap: str, when: str, left: Amount) -> Refusal:
    text = amount_text(left)
    return capped(cap, f"The API key may move {text} {when}. Nothing was done.", text)
