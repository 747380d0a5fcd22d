"""SQL of wallets and their transactions; `batch_store` writes them."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Select,
    and_,
    bindparam,
    case,
    cast,
    func,
    insert,
    literal,
    or_,
    select,
)
from sqlalchemy.exc import IntegrityError

from core.database.bulk_sql import BulkSelect
from core.database.paging import Page, PagedList, PageRequest
from core.database.schema import (
    UtcDateTime,
    users,
    wallet_holds,
    wallet_transactions,
    wallets,
)
from core.database.transactions import Database, Transaction
from core.ids import new_wallet_id
from core.wallet.rules import WalletState

OVERLAP = timedelta(minutes=1)
"""How much earlier the time of a movement can be than that of the wallet's previous one.

It is the time at which its transaction began, which may have waited for the wallet since.
"""
_FIRST = datetime.min.replace(tzinfo=UTC) + OVERLAP
_LAST = datetime.max.replace(tzinfo=UTC) - OVERLAP

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
    created_at: datetime
    updated_at: datetime
    held_minor: int = 0
    """Sum of the open holds."""
    receivable_minor: int = 0
    """What the user owes the business, in minor units."""

    @property
    def available_minor(self) -> int:
        """What debits and new holds can take."""
        return self.balance_minor - self.held_minor


@dataclass(frozen=True, slots=True)
class WalletTransaction:
    """A wallet transaction as stored."""

    transaction_id: str
    type: str
    amount_minor: int
    source: str
    reason: str
    description: str | None
    payment_id: str | None
    balance_after_minor: int
    created_at: datetime
    transfer_id: str | None = None
    other_user_id: str | None = None
    """The user at the other side of the transfer."""


@dataclass(frozen=True, slots=True)
class TakenBack:
    """What a wallet lost for refunds, voids and disputes of one payment, in minor units."""

    net_minor: int
    """Debits less the credits of refunds that failed and disputes that were won."""
    moved_minor: int
    """Sum of these movements in both directions, which grows with each."""


_MOVED = wallet_transactions.c
_MOVED_BY_PAYMENT = (
    select(
        _MOVED.wallet_id,
        _MOVED.reason,
        _MOVED.type,
        cast(func.sum(_MOVED.amount_minor), BigInteger).label("amount_minor"),
    )
    .where(
        _MOVED.business_id == bindparam("of_business"),
        _MOVED.payment_id == bindparam("of_payment"),
    )
    .group_by(_MOVED.wallet_id, _MOVED.reason, _MOVED.type)
)
_WALLET_COLUMNS = tuple(wallets.c[each.name] for each in fields(Wallet))
_WALLET_OF_USER = select(*_WALLET_COLUMNS).where(
    wallets.c.business_id == bindparam("business_id"),
    wallets.c.user_id == bindparam("user_id"),
    wallets.c.env == bindparam("env"),
)
_WALLET_BY_ID = select(*_WALLET_COLUMNS).where(
    wallets.c.business_id == bindparam("business_id"),
    wallets.c.wallet_id == bindparam("wallet_id"),
)
_LOCK_WALLET_OF_USER = _WALLET_OF_USER.with_for_update(of=wallets, key_share=True)
_ENV = bindparam("env", type_=wallets.c.env.type)
_USER_AND_WALLET = (
    select(
        users.c.business_id,
        users.c.user_id,
        _ENV.label("env"),
        users.c.currency,
        *_WALLET_COLUMNS,
    )
    .select_from(users)
    .outerjoin(
        wallets,
        and_(
            wallets.c.business_id == users.c.business_id,
            wallets.c.user_id == users.c.user_id,
            wallets.c.env == _ENV,
        ),
    )
    .where(users.c.business_id == bindparam("business_id"), users.c.user_id == bindparam("user_id"))
)
# Rows are locked in sort order. Keys never change, so that order holds after a wait for another
# transaction too. FOR NO KEY UPDATE, so that inserts of rows that refer to the wallet do not wait.
_LOCK_WALLETS = BulkSelect(
    select(
        wallets.c.business_id,
        wallets.c.wallet_id,
        wallets.c.env,
        wallets.c.currency,
        wallets.c.balance_minor,
        wallets.c.version,
        wallets.c.held_minor,
    )
    .order_by(wallets.c.business_id, wallets.c.wallet_id)
    .with_for_update(of=wallets, key_share=True),
    wallets,
    key=("business_id", "wallet_id"),
)
_HISTORY = PagedList(
    "wallet_transactions",
    columns=tuple(wallet_transactions.c[each.name] for each in fields(WalletTransaction)),
    row=WalletTransaction,
    key=tuple(wallet_transactions.c[name] for name in ("business_id", "wallet_id", "version")),
    moment=wallet_transactions.c.created_at,
    order=(wallet_transactions.c.version,),
)


async def wallet_of_user(
    transaction: Transaction, *, business_id: str, user_id: str, env: str, currency: str
) -> Wallet:
    """Return the user's wallet of an environment. Creates it in `currency` on first use."""
    return await _wallet_of_user(transaction, _WALLET_OF_USER, business_id, user_id, env, currency)


async def lock_wallet_of_user(
    transaction: Transaction, *, business_id: str, user_id: str, env: str, currency: str
) -> Wallet:
    """Return the user's wallet as `wallet_of_user` does, locked until the transaction ends."""
    return await _wallet_of_user(
        transaction, _LOCK_WALLET_OF_USER, business_id, user_id, env, currency
    )


async def _wallet_of_user(
    transaction: Transaction,
    query: Select[Any],
    business_id: str,
    user_id: str,
    env: str,
    currency: str,
) -> Wallet:
    key = {"business_id": business_id, "user_id": user_id, "env": env}
    row = (await transaction.connection.execute(query, key)).one_or_none()
    if row is None:
        with suppress(IntegrityError):  # a concurrent transaction created it
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
        row = (await transaction.connection.execute(query, key)).one()
    return Wallet(*row)


async def wallet_by_id(
    transaction: Transaction, *, business_id: str, wallet_id: str
) -> Wallet | None:
    """Return the business's wallet, or None."""
    row = await transaction.find(_WALLET_BY_ID, business_id=business_id, wallet_id=wallet_id)
    return Wallet(*row) if row else None


async def currency_and_wallet(
    reader: Database | Transaction, *, business_id: str, user_id: str, env: str
) -> tuple[str, Wallet | None] | None:
    """Return the currency of a user's wallets, and the one of an environment if it exists.

    None if the business has no such user. Read in a transaction, or without one.
    """
    row = await reader.find(_USER_AND_WALLET, business_id=business_id, user_id=user_id, env=env)
    if row is None:
        return None
    _, _, _, currency, *wallet = row
    return currency, None if wallet[0] is None else Wallet(*wallet)


async def lock_wallets(
    transaction: Transaction, keys: Collection[WalletKey]
) -> dict[WalletKey, WalletState]:
    """Lock wallets in the order of their keys and return their states."""
    rows = await _LOCK_WALLETS.execute(transaction.connection, list(keys))
    return {(row[0], row[1]): WalletState(*row[2:]) for row in rows}


async def wallet_after_credit(
    transaction: Transaction, *, business_id: str, payment_id: str
) -> Wallet:
    """Return the wallet that a payment funded, as it was just after the credit."""
    table = wallet_transactions
    rows = await transaction.connection.execute(
        select(
            wallets.c.wallet_id,
            wallets.c.user_id,
            wallets.c.env,
            wallets.c.currency,
            table.c.balance_after_minor,
            wallets.c.created_at,
            table.c.created_at,
            _held_at(table.c.created_at),
        )
        .join_from(table, wallets)
        .where(
            table.c.business_id == business_id,
            table.c.payment_id == payment_id,
            table.c.reason == "wallet_fund",
        )
    )
    wallet = Wallet(*rows.one())
    return replace(wallet, held_minor=min(wallet.held_minor, wallet.balance_minor))


def _held_at(moment: ColumnElement[datetime]) -> ColumnElement[int]:
    """Return the sum of a wallet's holds that were open at a time, in minor units.

    Times are those at which transactions began, so that it may not fit the balance of then exactly.
    """
    total = (
        select(func.coalesce(func.sum(wallet_holds.c.amount_minor), 0))
        .where(
            wallet_holds.c.business_id == wallets.c.business_id,
            wallet_holds.c.user_id == wallets.c.user_id,
            wallet_holds.c.env == wallets.c.env,
            wallet_holds.c.created_at <= moment,
            or_(wallet_holds.c.closed_at.is_(None), wallet_holds.c.closed_at > moment),
        )
        .correlate_except(wallet_holds)
        .scalar_subquery()
    )
    return cast(total, BigInteger)


async def moved_by_payment(
    transaction: Transaction, *, business_id: str, payment_id: str
) -> tuple[str | None, TakenBack]:
    """Return the wallet that a payment funded, or None, and what was taken back since."""
    rows = await transaction.connection.execute(
        _MOVED_BY_PAYMENT, {"of_business": business_id, "of_payment": payment_id}
    )
    wallet_id, net_minor, moved_minor = None, 0, 0
    for row in rows:
        if row.reason == "wallet_fund":
            wallet_id = row.wallet_id
        elif row.reason in ("refund", "dispute"):
            net_minor += row.amount_minor if row.type == "debit" else -row.amount_minor
            moved_minor += row.amount_minor
    return wallet_id, TakenBack(net_minor, moved_minor)


async def history(
    transaction: Transaction, *, business_id: str, wallet_id: str, page: PageRequest
) -> Page[WalletTransaction]:
    """Return a page of a wallet's transactions, newest first.

    An index of their times would slow every movement. Versions grow with time, so dates are turned
    into versions, which have an index.
    """
    table = wallet_transactions
    equal = {table.c.business_id: business_id, table.c.wallet_id: wallet_id}
    within: list[ColumnElement[bool]] = []
    if page.from_date is not None:
        last, _ = await _versions_around(transaction, equal, max(page.from_date, _FIRST) - OVERLAP)
        within.append(table.c.version > last)
    if page.to_date is not None:
        _, first = await _versions_around(transaction, equal, min(page.to_date, _LAST) + OVERLAP)
        within.append(table.c.version < first)
    return await _HISTORY.read(transaction, page, equal=equal, within=within)


async def wallet_at(
    transaction: Transaction, *, business_id: str, wallet: Wallet, moment: datetime
) -> Wallet:
    """Return a wallet as its newest transaction up to a time left it.

    That is what replaying its postings up to that transaction gives. A time of the last seconds may
    get another transaction, which began before it and has not committed yet.
    """
    table = wallet_transactions
    of_wallet = {table.c.business_id: business_id, table.c.wallet_id: wallet.wallet_id}
    _, first = await _versions_around(transaction, of_wallet, min(moment, _LAST) + OVERLAP)
    rows = await transaction.connection.execute(
        select(table.c.balance_after_minor, table.c.created_at)
        .where(
            *(column == value for column, value in of_wallet.items()),
            table.c.version < first,
            table.c.created_at <= moment,
        )
        .order_by(table.c.version.desc())
        .limit(1)
    )
    row = rows.one_or_none()
    balance_minor, updated_at = (0, wallet.created_at) if row is None else (row[0], row[1])
    held = await transaction.connection.scalar(
        select(_held_at(literal(moment, UtcDateTime)))
        .select_from(wallets)
        .where(wallets.c.business_id == business_id, wallets.c.wallet_id == wallet.wallet_id)
    )
    return replace(
        wallet,
        balance_minor=balance_minor,
        updated_at=updated_at,
        held_minor=min(held or 0, balance_minor),
    )


async def _versions_around(
    transaction: Transaction, equal: Mapping[Column[str], str], moment: datetime
) -> tuple[int, int]:
    """Return the last version before a time, 0 if none, and the first one after it.

    A binary search: each step halves the versions between `last`, which is before, and `first`.
    """
    table = wallet_transactions
    of_wallet = [column == value for column, value in equal.items()]
    newest = func.coalesce(func.max(table.c.version), 0)
    search = (
        select(literal(0, BigInteger).label("last"), (newest + 1).label("first"))
        .where(*of_wallet)
        .cte("search", recursive=True)
    )
    is_before = table.c.created_at < moment
    search = search.union_all(
        select(
            case((is_before, table.c.version), else_=search.c.last),
            case((is_before, search.c.first), else_=table.c.version),
        )
        .select_from(search)
        .join(table, table.c.version == (search.c.last + search.c.first) // 2)
        .where(search.c.first - search.c.last > 1, *of_wallet)
    )
    found = await transaction.connection.execute(
        select(func.max(search.c.last), func.min(search.c.first))
    )
    last, first = found.one()
    return last, first
