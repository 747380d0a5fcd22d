"""Reads wallets and their transactions."""

from core.caller import Caller
from core.database.paging import Page, PageRequest
from core.database.transactions import Database, Transaction
from core.users.service import existing_user
from core.users.store import User
from core.wallet import store


class WalletService:
    """The use cases of WalletService."""

    def __init__(self, database: Database) -> None:
        """Read wallets from `database`."""
        self._database = database

    async def get(self, caller: Caller, user_id: str, env: str) -> store.Wallet:
        """Return the user's wallet of an environment. Creates it on first use.

        Raises:
            Refusal: USER_NOT_FOUND.
        """
        async with self._database.transaction() as transaction:
            user = await existing_user(transaction, caller.business_id, user_id)
            return await _wallet_of(transaction, caller, user, env)

    async def history(
        self, caller: Caller, user_id: str, env: str, page: PageRequest
    ) -> tuple[Page[store.WalletTransaction], store.Wallet]:
        """Return a page of the wallet's transactions, and the wallet. Creates it on first use.

        Raises:
            InvalidFields: as `PagedList.read` does.
            Refusal: USER_NOT_FOUND.
        """
        async with self._database.listing() as transaction:
            wallets = await store.wallets_of_users(
                transaction, [(caller.business_id, user_id, env)]
            )
            for wallet in wallets.values():
                return await _history(transaction, caller, wallet, page), wallet
        wallet = await self.get(caller, user_id, env)
        async with self._database.listing() as transaction:
            return await _history(transaction, caller, wallet, page), wallet


async def _history(
    transaction: Transaction, caller: Caller, wallet: store.Wallet, page: PageRequest
) -> Page[store.WalletTransaction]:
    return await store.history(
        transaction, business_id=caller.business_id, wallet_id=wallet.wallet_id, page=page
    )


async def _wallet_of(
    transaction: Transaction, caller: Caller, user: User, env: str
) -> store.Wallet:
    return await store.wallet_of_user(
        transaction,
        business_id=caller.business_id,
        user_id=user.user_id,
        env=env,
        currency=user.currency,
    )
