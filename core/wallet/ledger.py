"""The one way in which money moves between wallets and a business's accounts.

It takes a list of movements; one movement is the special case. It opens no transaction: what
belongs together with the movements commits with them.
"""

from collections.abc import Sequence

from core.database.transactions import Transaction
from core.wallet import store
from core.wallet.rules import Movement, MovementRefusal, WalletState, apply, postings_of


async def move(
    transaction: Transaction, movements: Sequence[Movement]
) -> list[WalletState | MovementRefusal]:
    """Make the movements in their order and return what became of each.

    Each succeeds or is refused by itself: its wallet's state after it, or the refusal. All wallets
    are locked first, in the order of their keys, so that two lists cannot deadlock.
    """
    keys = dict.fromkeys((movement.business_id, movement.wallet_id) for movement in movements)
    wallets = await store.lock_wallets(transaction, keys)
    assert wallets.keys() == keys.keys(), "movements name wallets that exist"
    results: list[WalletState | MovementRefusal] = []
    applied: list[store.Applied] = []
    for movement in movements:
        key = (movement.business_id, movement.wallet_id)
        result = apply(wallets[key], movement)
        results.append(result)
        if isinstance(result, WalletState):
            wallets[key] = result
            applied.append(store.Applied(movement, result, postings_of(result, movement)))
    if applied:
        await store.write_movements(transaction, applied)
    return results
