"""Lists and settles receivables: what users owe a business for fundings that were reversed.

A settlement is a movement of the ledger like any other. It reads what is owed after the wallet is
locked, as does whatever else posts a receivable, so no more is settled than is owed. It locks the
wallet, and then inserts the idempotency record, as a batch of movements does.
"""

from dataclasses import dataclass
from typing import assert_never

from google.type import money_pb2

from core.business import caps
from core.caller import Caller
from core.database.paging import Page, PageRequest
from core.database.transactions import Database
from core.errors import Reason, Refusal
from core.ids import new_wallet_transaction_id
from core.money import Amount
from core.stops import payments_stopped
from core.users import store as users_store
from core.users.service import active_user
from core.wallet import ledger, receivable_store, store
from core.wallet.batch import amount_in_currency, refusal_of
from core.wallet.receivable_store import Receivable
from core.wallet.rules import (
    Movement,
    MovementRefusal,
    SettlementRefusal,
    WalletState,
    settled_minor,
    settlement,
)


@dataclass(frozen=True, slots=True)
class Settled:
    """A settlement, with the user's wallet after it and what is still owed, in minor units."""

    user_id: str
    movement: Movement
    wallet: WalletState
    receivable_minor: int


class Receivables:
    """The use cases of receivables."""

    def __init__(self, database: Database) -> None:
        """Keep receivables in `database`."""
        self._database = database

    async def page(
        self, caller: Caller, env: str, user_id: str | None, page: PageRequest
    ) -> Page[Receivable]:
        """Return a page of what the caller's users owe, newest first.

        Raises:
            InvalidFields: as `PagedList.read` does.
        """
        async with self._database.listing() as transaction:
            return await receivable_store.receivable_page(
                transaction, business_id=caller.business_id, env=env, user_id=user_id, page=page
            )

    async def settle(
        self, caller: Caller, user_id: str, env: str, money: money_pb2.Money | None
    ) -> Settled:
        """Move an amount that the user owes from the wallet to the business's receivables.

        Without `money`, as much as is owed and available.

        Raises:
            Refusal: USER_NOT_FOUND, USER_INACTIVE, PAYMENTS_STOPPED, RECEIVABLE_TOO_LOW,
                WALLET_TOO_LOW or API_KEY_CAPPED.
            InvalidFields: the amount is not in the wallet's currency.
        """
        business_id = caller.business_id
        async with self._database.transaction() as transaction:
            user = await active_user(transaction, business_id, user_id)
            wallet = await store.lock_wallet_of_user(
                transaction,
                business_id=business_id,
                user_id=user_id,
                env=env,
                currency=user.currency,
            )
            found = await users_store.barriers(transaction, business_id, user_id)
            if found.stops.refuse_movement:
                raise payments_stopped()
            asked_minor = money and amount_in_currency(money, wallet.currency).minor
            owed_minor = await receivable_store.receivable_of_wallet(
                transaction, business_id=business_id, wallet_id=wallet.wallet_id
            )
            amount_minor = settled_minor(
                asked_minor, owed_minor=owed_minor, available_minor=wallet.available_minor
            )
            if isinstance(amount_minor, SettlementRefusal):
                raise _refusal_of(amount_minor)
            movement = settlement(
                business_id, wallet.wallet_id, new_wallet_transaction_id(), amount_minor
            )
            (after,) = await ledger.move(transaction, [movement])
            assert isinstance(after, WalletState), "the locked balance covers the settlement"
            await caps.reserve(transaction, caller, Amount(amount_minor, wallet.currency))
            return Settled(user_id, movement, after, owed_minor - amount_minor)


def _refusal_of(refusal: SettlementRefusal) -> Refusal:
    match refusal:
        case SettlementRefusal.RECEIVABLE_TOO_LOW:
            return Refusal(
                Reason.ERROR_REASON_RECEIVABLE_TOO_LOW,
                "The user owes the business nothing, or less than the amount",
            )
        case SettlementRefusal.WALLET_TOO_LOW:
            return refusal_of(MovementRefusal.WALLET_TOO_LOW)
        case _:
            assert_never(refusal)
