"""SQL of receivables: what users owe a business for fundings that were reversed.

The transactions with reason `receivable` are the truth: their sum, by an index that has no others,
decides how much is settled. The columns of the wallet repeat it for look-ups and lists.
"""

from collections.abc import Collection
from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy import bindparam, case, func, select, text, update

from core.database.bulk_sql import BulkSelect
from core.database.paging import Page, PagedList, PageRequest
from core.database.schema import UtcDateTime, wallet_transactions, wallets
from core.database.transactions import Transaction

WalletKey = tuple[str, str]
"""Business id and wallet id."""


@dataclass(frozen=True, slots=True)
class Receivable:
    """What a user owes, in minor units of the currency of the user's wallet."""

    user_id: str
    wallet_id: str
    env: str
    currency: str
    receivable_minor: int
    receivable_since: datetime


_MOVED = wallet_transactions.c
_OWED = select(
    func.coalesce(
        func.sum(case((_MOVED.type == "credit", _MOVED.amount_minor), else_=-_MOVED.amount_minor)),
        0,
    )
).where(
    _MOVED.business_id == bindparam("of_business"),
    _MOVED.wallet_id == bindparam("of_wallet"),
    # In these words the planners know ix_wallet_transactions_receivable by it.
    text("wallet_transactions.reason = 'receivable'"),
)
_OWED_AT = _OWED.where(_MOVED.created_at <= bindparam("moment", type_=UtcDateTime))
_OWED_MINOR = bindparam("owed_minor", type_=wallets.c.receivable_minor.type)
_WRITE = (
    update(wallets)
    .where(
        wallets.c.business_id == bindparam("of_business"),
        wallets.c.wallet_id == bindparam("of_wallet"),
    )
    .values(
        receivable_minor=_OWED_MINOR,
        receivable_since=case(
            (_OWED_MINOR == 0, None),
            else_=func.coalesce(wallets.c.receivable_since, bindparam("now", type_=UtcDateTime)),
        ),
    )
)
_OWING = BulkSelect(
    select(wallets.c.business_id, wallets.c.wallet_id).where(wallets.c.receivable_minor > 0),
    wallets,
    key=("business_id", "wallet_id"),
)
_RECEIVABLES = PagedList(
    "receivables",
    columns=tuple(wallets.c[each.name] for each in fields(Receivable)),
    row=Receivable,
    key=(wallets.c.business_id, wallets.c.wallet_id),
    moment=wallets.c.receivable_since,
    order=(wallets.c.receivable_since, wallets.c.wallet_id),
    only=(text("wallets.receivable_minor > 0"),),  # as the index ix_wallets_owing has it
)


async def receivable_of_wallet(
    transaction: Transaction, *, business_id: str, wallet_id: str, at: datetime | None = None
) -> int:
    """Return what the wallet's user owes the business for reversed fundings, in minor units.

    Or what was owed `at` a time.
    """
    of_wallet = {"of_business": business_id, "of_wallet": wallet_id}
    query, at_moment = (_OWED, {}) if at is None else (_OWED_AT, {"moment": at})
    total = await transaction.connection.scalar(query, of_wallet | at_moment)
    return int(total or 0)


async def owing_wallets(transaction: Transaction, keys: Collection[WalletKey]) -> list[WalletKey]:
    """Return those of the wallets whose users owe something, in the order of their keys."""
    if not keys:
        return []
    rows = await _OWING.execute(transaction.connection, list(keys))
    return sorted((row[0], row[1]) for row in rows)


async def write_receivables(transaction: Transaction, keys: Collection[WalletKey]) -> None:
    """Write what is owed into wallets that are locked, after their transactions."""
    for business_id, wallet_id in sorted(keys):
        owed_minor = await receivable_of_wallet(
            transaction, business_id=business_id, wallet_id=wallet_id
        )
        assert owed_minor >= 0, "no more is settled than is owed"
        await transaction.connection.execute(
            _WRITE,
            {
                "of_business": business_id,
                "of_wallet": wallet_id,
                "owed_minor": owed_minor,
                "now": transaction.now,
            },
        )


async def receivable_page(
    transaction: Transaction,
    *,
    business_id: str,
    env: str,
    user_id: str | None,
    page: PageRequest,
) -> Page[Receivable]:
    """Return a page of what users owe a business, newest first."""
    return await _RECEIVABLES.read(
        transaction,
        page,
        equal={
            wallets.c.business_id: business_id,
            wallets.c.env: env,
            wallets.c.user_id: user_id,
        },
    )
