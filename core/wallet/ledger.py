"""The only function that moves money between wallets and a business's accounts.

It takes a list of movements and opens no transaction: the caller's transaction commits the
movements together with what they belong to.
"""

from collections.abc import Sequence

from core.database.transactions import Transaction
from core.wallet import store
from core.wallet.rules import Movement, MovementRefusal, WalletState, apply, postings_of


async def move(
    transaction: Transaction, movements: Sequence[Movement]
) -> list[WalletState | MovementRefusal]:
    """Make the movements in their order and return each one's wallet after it, or its refusal.

    Each succeeds or is refused on its own. All wallets are locked first, in the order of their
    keys, so that two lists cannot deadlock.
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
