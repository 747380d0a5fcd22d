"""What the database is asked and told about wallets and the ledger."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    bindparam,
    insert,
    select,
    tuple_,
    update,
)
from sqlalchemy.exc import IntegrityError

from core.database import Transaction
from core.ids import new_wallet_id
from core.page_store import page_of
from core.pages import PageRequest
from core.schema import postings, wallet_transactions, wallets
from core.wallet.rules import Movement, Posting, WalletState

WalletKey = tuple[str, str]
"""Business id and wallet id."""


@dataclass(frozen=True, slots=True)
class Wallet:
    """A wallet as stored."""

    wallet_id: str
    user_id: str
    env: str
    currency: str
    balance_minor: int
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class WalletTransaction:
    """A movement as stored."""

    transaction_id: str
    type: str
    amount_minor: int
    source: str
    reason: str
    description: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Applied:
    """A movement that was made, with its wallet after it."""

    movement: Movement
    wallet: WalletState
    postings: tuple[Posting, Posting]


_WALLET_COLUMNS = (
    wallets.c.wallet_id,
    wallets.c.user_id,
    wallets.c.env,
    wallets.c.currency,
    wallets.c.balance_minor,
    wallets.c.updated_at,
)


async def wallet_of_user(
    transaction: Transaction, *, business_id: str, user_id: str, env: str, currency: str
) -> Wallet:
    """Return the user's wallet of an environment, made now in `currency` if it is first used."""
    query = select(*_WALLET_COLUMNS).where(
        wallets.c.business_id == business_id,
        wallets.c.user_id == user_id,
        wallets.c.env == env,
    )
    row = (await transaction.connection.execute(query)).one_or_none()
    if row is None:
        with suppress(IntegrityError):  # another transaction made it meanwhile
            async with transaction.connection.begin_nested():
                await transaction.connection.execute(
                    insert(wallets).values(
                        business_id=business_id,
                        wallet_id=new_wallet_id(),
                        user_id=user_id,
                        env=env,
                        currency=currency,
                        balance_minor=0,
                        version=0,
                        created_at=transaction.now,
                        updated_at=transaction.now,
                    )
                )
        row = (await transaction.connection.execute(query)).one()
    return Wallet(*row)


async def wallets_of_users(
    transaction: Transaction, keys: Collection[tuple[str, str, str]]
) -> dict[tuple[str, str, str], Wallet]:
    """Return the wallets that there are of these business ids, user ids and environments."""
    owner = (wallets.c.business_id, wallets.c.user_id, wallets.c.env)
    rows = await transaction.connection.execute(
        select(wallets.c.business_id, *_WALLET_COLUMNS).where(tuple_(*owner).in_(sorted(keys)))
    )
    return {(row[0], row.user_id, row.env): Wallet(*row[1:]) for row in rows}


async def lock_wallets(
    transaction: Transaction, keys: Sequence[WalletKey]
) -> dict[WalletKey, WalletState]:
    """Lock wallets in the order of their keys and return their states."""
    query = (
        select(
            wallets.c.business_id,
            wallets.c.wallet_id,
            wallets.c.env,
            wallets.c.currency,
            wallets.c.balance_minor,
            wallets.c.version,
        )
        .where(tuple_(wallets.c.business_id, wallets.c.wallet_id).in_(sorted(keys)))
        .order_by(wallets.c.business_id, wallets.c.wallet_id)
        .with_for_update()
    )
    rows = await transaction.connection.execute(query)
    return {(row[0], row[1]): WalletState(*row[2:]) for row in rows}


async def write_movements(transaction: Transaction, applied: Sequence[Applied]) -> None:
    """Write the movements, their postings, and the last state of each wallet."""
    await transaction.connection.execute(
        insert(wallet_transactions), [_transaction_row(transaction, each) for each in applied]
    )
    await transaction.connection.execute(
        insert(postings),
        [
            {
                "business_id": each.movement.business_id,
                "transaction_id": each.movement.transaction_id,
                "account": posting.account,
                "amount_minor": posting.amount_minor,
                "currency": posting.currency,
            }
            for each in applied
            for posting in each.postings
        ],
    )
    last = {(each.movement.business_id, each.movement.wallet_id): each.wallet for each in applied}
    await transaction.connection.execute(
        update(wallets)
        .where(
            wallets.c.business_id == bindparam("key_business_id"),
            wallets.c.wallet_id == bindparam("key_wallet_id"),
        )
        .values(
            balance_minor=bindparam("new_balance_minor"),
            version=bindparam("new_version"),
            updated_at=transaction.now,
        ),
        [
            {
                "key_business_id": business_id,
                "key_wallet_id": wallet_id,
                "new_balance_minor": state.balance_minor,
                "new_version": state.version,
            }
            for (business_id, wallet_id), state in last.items()
        ],
    )


def _transaction_row(transaction: Transaction, each: Applied) -> Mapping[str, object]:
    movement = each.movement
    return {
        "business_id": movement.business_id,
        "transaction_id": movement.transaction_id,
        "wallet_id": movement.wallet_id,
        "version": each.wallet.version,
        "type": movement.direction.value,
        "amount_minor": movement.amount_minor,
        "balance_after_minor": each.wallet.balance_minor,
        "source": movement.source,
        "reason": movement.reason,
        "description": movement.description,
        "payment_id": movement.payment_id,
        "created_at": transaction.now,
    }


async def credit_of_payment(
    transaction: Transaction, *, business_id: str, payment_id: str
) -> tuple[str, int]:
    """Return the wallet that a payment funded, and its balance just after that."""
    table = wallet_transactions
    rows = await transaction.connection.execute(
        select(table.c.wallet_id, table.c.balance_after_minor).where(
            table.c.business_id == business_id,
            table.c.payment_id == payment_id,
            table.c.reason == "wallet_fund",
        )
    )
    wallet_id, balance_minor = rows.one()
    return wallet_id, balance_minor


async def history(
    transaction: Transaction, *, business_id: str, wallet_id: str, page: PageRequest
) -> tuple[list[WalletTransaction], int]:
    """Return a page of a wallet's transactions, newest first, and how many there are."""
    table = wallet_transactions
    rows, total = await page_of(
        transaction,
        (
            table.c.transaction_id,
            table.c.type,
            table.c.amount_minor,
            table.c.source,
            table.c.reason,
            table.c.description,
            table.c.created_at,
        ),
        where=[table.c.business_id == business_id, table.c.wallet_id == wallet_id],
        moment=table.c.created_at,
        newest_first=[table.c.version],
        page=page,
    )
    return [WalletTransaction(*row) for row in rows], total
