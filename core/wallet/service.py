"""Reads wallets and their transactions."""

from dataclasses import replace
from datetime import datetime

from core.caller import Caller
from core.database.paging import Page, PageRequest
from core.database.transactions import Database, Transaction
from core.users.service import user_not_found
from core.wallet import receivable_store, store


class WalletService:
    """The use cases of WalletService that move nothing."""

    def __init__(self, database: Database) -> None:
        """Read wallets from `database`."""
        self._database = database

    async def get(self, caller: Caller, user_id: str, env: str) -> store.Wallet:
        """Return the user's wallet of an environment. Creates it on first use.

        Raises:
            Refusal: USER_NOT_FOUND.
        """
        owner = {"business_id": caller.business_id, "user_id": user_id, "env": env}
        found = await store.currency_and_wallet(self._database, **owner)
        if found is None:
            raise user_not_found()
        currency, wallet = found
        if wallet is not None:
            return wallet
        async with self._database.transaction() as transaction:
            return await store.wallet_of_user(transaction, **owner, currency=currency)

    async def get_at(
        self, caller: Caller, user_id: str, env: str, moment: datetime
    ) -> store.Wallet:
        """Return the user's wallet as of a time. Creates it on first use.

        Raises:
            Refusal: USER_NOT_FOUND.
        """
        wallet = await self.get(caller, user_id, env)
        async with self._database.listing() as transaction:
            business_id = caller.business_id
            then = await store.wallet_at(
                transaction, business_id=business_id, wallet=wallet, moment=moment
            )
            owed_minor = await receivable_store.receivable_of_wallet(
                transaction, business_id=business_id, wallet_id=wallet.wallet_id, at=moment
            )
            return replace(then, receivable_minor=owed_minor)

    async def history(
        self, caller: Caller, user_id: str, env: str, page: PageRequest
    ) -> tuple[Page[store.WalletTransaction], store.Wallet]:
        """Return a page of the wallet's transactions, and the wallet. Creates it on first use.

        Raises:
            InvalidFields: as `PagedList.read` does.
            Refusal: USER_NOT_FOUND.
        """
        async with self._database.listing() as transaction:
            found = await store.currency_and_wallet(
                transaction, business_id=caller.business_id, user_id=user_id, env=env
            )
            if found is not None and (wallet := found[1]) is not None:
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
