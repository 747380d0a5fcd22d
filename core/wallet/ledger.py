"""The only way that money moves between wallets and a business's accounts.

It takes a list of movements and opens no transaction: the caller's transaction commits the
movements together with what they belong to. `move` does it all. A batch, which reads and writes
more in the same two statements, calls `decide` and `write`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.database.transactions import Transaction
from core.wallet import batch_store, receivable_store, store
from core.wallet.batch_store import Applied
from core.wallet.rules import (
    RECEIVABLES,
    Movement,
    MovementRefusal,
    WalletState,
    apply,
    postings_of,
)

WalletKey = tuple[str, str]
"""Business id and wallet id."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What a list of movements does."""

    results: list[WalletState | MovementRefusal]
    """Each one's wallet after it, or its refusal."""
    applied: list[Applied]
    """Those that are not refused."""


async def move(
    transaction: Transaction, movements: Sequence[Movement]
) -> list[WalletState | MovementRefusal]:
    """Make the movements in their order and return each one's wallet after it, or its refusal.

    Each succeeds or is refused on its own. All wallets are locked first, in the order of their
    keys, so that two lists cannot deadlock.
    """
    keys = dict.fromkeys((movement.business_id, movement.wallet_id) for movement in movements)
    decided = decide(await store.lock_wallets(transaction, keys), movements)
    if decided.applied:
        await write(transaction, decided)
    return decided.results


def decide(wallets: Mapping[WalletKey, WalletState], movements: Sequence[Movement]) -> Decided:
    """Decide on the movements in their order, from the states of their locked wallets."""
    states = dict(wallets)
    decided = Decided([], [])
    for movement in movements:
        key = (movement.business_id, movement.wallet_id)
        before = states.get(key)
        assert before is not None, "movements name wallets that exist"
        after = apply(before, movement)
        decided.results.append(after)
        if isinstance(after, WalletState):
            assert after.balance_minor >= after.held_minor >= 0, "holds are covered by the balance"
            assert after.version == before.version + 1, "a movement is a step of its wallet"
            states[key] = after
            decided.applied.append(Applied(movement, after, postings_of(after, movement)))
    return decided


async def write(
    transaction: Transaction, decided: Decided, records: Sequence[Mapping[str, Any]] = ()
) -> bool:
    """Write what was decided, together with new idempotency records, in the order of their keys.

    Returns whether no key had a record. Otherwise the transaction must not commit.

    Raises:
        IntegrityError: a payment has made this movement already.
    """
    is_new = await batch_store.write(transaction, decided.applied, records)
    owing = {
        (movement.business_id, movement.wallet_id)
        for movement, _, _ in decided.applied
        if movement.account == RECEIVABLES
    }
    if owing:
        await receivable_store.write_receivables(transaction, owing)
    return is_new
