"""Wallets for tests of the ledger function, and their stored state."""

import secrets
from collections.abc import Sequence
from typing import Any

from sqlalchemy import insert, select

from core.business import store as business_store
from core.database.schema import (
    postings,
    users,
    wallet_transactions,
    wallets,
)
from core.database.transactions import Database, Transaction
from core.ids import new_wallet_transaction_id
from core.wallet.rules import Direction, Movement

WalletKey = tuple[str, str]


async def open_wallets(
    transaction: Transaction, business_id: str, wallet_ids: Sequence[str]
) -> list[WalletKey]:
    """Create a business with one empty wallet, each of its own user, for each id."""
    await business_store.insert_business(
        transaction,
        business_id=business_id,
        name="n",
        email="a@b.c",
        domain="b.c",
        api_key_hash=secrets.token_hex(32),
    )
    moments = {"created_at": transaction.now, "updated_at": transaction.now}
    owner = {"business_id": business_id, "currency": "usd", **moments}
    await transaction.connection.execute(
        insert(users),
        [
            {**owner, "user_id": wallet_id, "name": "n", "email": "e", "active": True}
            for wallet_id in wallet_ids
        ],
    )
    await transaction.connection.execute(
        insert(wallets),
        [
            {
                **owner,
                "wallet_id": wallet_id,
                "user_id": wallet_id,
                "env": "TEST",
                "balance_minor": 0,
                "version": 0,
            }
            for wallet_id in wallet_ids
        ],
    )
    return [(business_id, wallet_id) for wallet_id in wallet_ids]


def movement(
    key: WalletKey, direction: Direction, amount_minor: int, payment_id: str | None = None
) -> Movement:
    """Return a manual movement of the wallet, or the credit of a payment."""
    return Movement(
        business_id=key[0],
        wallet_id=key[1],
        transaction_id=new_wallet_transaction_id(),
        direction=direction,
        amount_minor=amount_minor,
        source="stripe" if payment_id else "manual",
        reason="wallet_fund" if payment_id else "manual_credit",
        payment_id=payment_id,
    )


def credit(key: WalletKey, amount_minor: int, payment_id: str | None = None) -> Movement:
    """Return a credit of the wallet."""
    return movement(key, Direction.CREDIT, amount_minor, payment_id)


def debit(key: WalletKey, amount_minor: int) -> Movement:
    """Return a debit of the wallet."""
    return movement(key, Direction.DEBIT, amount_minor)


class Books:
    """The stored wallets, transactions and postings of some businesses."""

    def __init__(
        self, balances: dict[WalletKey, tuple[int, int]], history: list[Any], sides: list[Any]
    ) -> None:
        """Group the rows by their keys."""
        self.balances = balances
        """Balance and version of each wallet."""
        self.history = history
        """Rows of wallet_transactions, in the order of each wallet."""
        self.postings: dict[tuple[str, str], list[tuple[str, int, str]]] = {}
        """Account, amount and currency of the postings of each transaction."""
        for side in sides:
            key = (side.business_id, side.transaction_id)
            self.postings.setdefault(key, []).append(
                (side.account, side.amount_minor, side.currency)
            )

    def assert_consistent(self) -> None:
        """Check that no balance is negative, and that postings sum to zero and to each balance."""
        replayed = dict.fromkeys(self.balances, (0, 0))
        for row in self.history:
            key = (row.business_id, row.wallet_id)
            sides = self.postings[row.business_id, row.transaction_id]
            amount = row.amount_minor if row.type == "credit" else -row.amount_minor
            account = f"{'funding' if row.type == 'credit' else 'revenue'}:TEST:usd"
            assert sorted(sides) == sorted([(key[1], amount, "usd"), (account, -amount, "usd")])
            balance, version = replayed[key]
            replayed[key] = (balance + amount, version + 1)
            assert replayed[key] == (row.balance_after_minor, row.version)
            assert replayed[key][0] >= 0
        assert replayed == self.balances
        assert len(self.postings) == len(self.history)


async def read_books(database: Database, business_ids: Sequence[str]) -> Books:
    """Return the stored state of the businesses' wallets."""
    async with database.transaction() as transaction:
        execute = transaction.connection.execute
        balances = await execute(select(wallets).where(wallets.c.business_id.in_(business_ids)))
        history = await execute(
            select(wallet_transactions)
            .where(wallet_transactions.c.business_id.in_(business_ids))
            .order_by(wallet_transactions.c.wallet_id, wallet_transactions.c.version)
        )
        sides = await execute(select(postings).where(postings.c.business_id.in_(business_ids)))
        return Books(
            {(w.business_id, w.wallet_id): (w.balance_minor, w.version) for w in balances},
            list(history),
            list(sides),
        )
