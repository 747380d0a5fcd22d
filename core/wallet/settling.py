"""Settles what users owe after their wallets are credited, in the transaction of the credit.

Whether a business wants that is its `settle_receivables`. A settlement is a movement of its own, so
the credit's response and its transaction have the balance before it.
"""

from collections.abc import Collection

from core.database.transactions import Transaction
from core.ids import new_wallet_transaction_id
from core.wallet import ledger, receivable_store
from core.wallet.ledger import Decided, WalletKey
from core.wallet.rules import Movement, SettlementRefusal, WalletState, settled_minor, settlement


async def settlements(
    transaction: Transaction, keys: Collection[WalletKey], decided: Decided
) -> list[Movement]:
    """Return the settlements to make in locked wallets after what was decided about them."""
    if not keys:
        return []
    after = {
        (each.movement.business_id, each.movement.wallet_id): each.wallet
        for each in decided.applied
    }
    owing = await receivable_store.owing_wallets(transaction, sorted(keys & after.keys()))
    found = [await _settlement(transaction, key, after[key]) for key in owing]
    return [each for each in found if each is not None]


async def settle_after_credit(
    transaction: Transaction, key: WalletKey, wallet: WalletState
) -> None:
    """Settle what the user of a locked wallet owes, from the balance after a credit."""
    movement = await _settlement(transaction, key, wallet)
    if movement is not None:
        (settled,) = await ledger.move(transaction, [movement])
        assert isinstance(settled, WalletState), "the locked balance covers the settlement"


async def _settlement(
    transaction: Transaction, key: WalletKey, wallet: WalletState
) -> Movement | None:
    owed_minor = await receivable_store.receivable_of_wallet(
        transaction, business_id=key[0], wallet_id=key[1]
    )
    available_minor = wallet.available_minor
    amount_minor = settled_minor(None, owed_minor=owed_minor, available_minor=available_minor)
    if isinstance(amount_minor, SettlementRefusal):
        return None
    return settlement(*key, new_wallet_transaction_id(), amount_minor)
