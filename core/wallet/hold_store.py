"""SQL of holds, and of the sum of its open holds that a wallet carries."""

from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy import BigInteger, bindparam, insert, select, update

from core.database.metadata_pairs import insert_pairs
from core.database.paging import Page, PagedList, PageRequest
from core.database.schema import HOLD_STATUSES, wallet_holds, wallets
from core.database.transactions import Transaction
from core.due_work.rules import Key
from core.due_work.store import HOLDS
from core.metadata import Kind
from core.wallet.hold_rules import HoldStatus


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold as stored."""

    business_id: str
    hold_id: str
    wallet_id: str
    user_id: str
    env: str
    currency: str
    amount_minor: int
    captured_minor: int | None
    status: str
    description: str | None
    transaction_id: str | None
    expires_at: datetime
    created_at: datetime
    closed_at: datetime | None
    metadata: str | None
    """As `core.metadata.stored_metadata` returns it."""
    capped_key_id: str | None = None
    """The API key with caps that began the hold, which they count; None: its key has none."""


@dataclass(frozen=True, slots=True)
class HoldFilter:
    """Conditions for the holds to list; None is no condition."""

    env: str
    user_id: str | None = None
    status: str | None = None
    digest: str | None = None
    """Of a pair of metadata; then the filters above are None but for `env`."""


_COLUMNS = tuple(wallet_holds.c[each.name] for each in fields(Hold))
_LOCK_HOLD = (
    select(*_COLUMNS)
    .where(
        wallet_holds.c.business_id == bindparam("business_id"),
        wallet_holds.c.hold_id == bindparam("hold_id"),
    )
    .with_for_update()
)
_CHANGE_HELD = (
    update(wallets)
    .where(
        wallets.c.business_id == bindparam("of_business"),
        wallets.c.wallet_id == bindparam("of_wallet"),
    )
    .values(
        held_minor=wallets.c.held_minor + bindparam("change_minor", type_=BigInteger),
        updated_at=bindparam("now", type_=wallets.c.updated_at.type),
    )
)
_LIST = PagedList(
    "wallet_holds",
    columns=_COLUMNS,
    row=Hold,
    key=(wallet_holds.c.business_id, wallet_holds.c.hold_id),
    moment=wallet_holds.c.created_at,
    order=(wallet_holds.c.created_at, wallet_holds.c.hold_id),
)


async def insert_hold(transaction: Transaction, hold: Hold) -> None:
    """Insert an open hold with its metadata, and count it in its locked wallet, which covers it.

    Raises:
        IntegrityError: the wallet does not cover it.
    """
    values = {each.name: getattr(hold, each.name) for each in fields(Hold)}
    await transaction.connection.execute(
        insert(wallet_holds).values(**values, look_at=hold.expires_at)
    )
    await insert_pairs(
        transaction,
        Kind.HOLD,
        business_id=hold.business_id,
        env=hold.env,
        resource_id=hold.hold_id,
        created_at=hold.created_at,
        metadata=hold.metadata,
    )
    await _change_held(transaction, hold, hold.amount_minor)


async def lock_hold(transaction: Transaction, *, business_id: str, hold_id: str) -> Hold | None:
    """Lock and return the business's hold, or None."""
    row = await transaction.find(_LOCK_HOLD, business_id=business_id, hold_id=hold_id)
    return Hold(*row) if row else None


async def due_hold(transaction: Transaction, key: Key) -> Hold | None:
    """Lock and return a hold that is due; None if it is not, or is locked by others."""
    rows = await transaction.connection.execute(
        select(*_COLUMNS)
        .where(HOLDS.is_key(key), HOLDS.is_due(transaction.now))
        .with_for_update(skip_locked=True)
    )
    row = rows.one_or_none()
    return Hold(*row) if row else None


async def close_hold(
    transaction: Transaction,
    hold: Hold,
    status: HoldStatus,
    *,
    captured_minor: int | None = None,
    transaction_id: str | None = None,
) -> Hold:
    """Close an open hold, which is locked, and count it no more in its wallet. Return it closed.

    The wallet is locked by it until the transaction ends.
    """
    assert hold.status == HoldStatus.OPEN, "a hold is closed once"
    await _change_held(transaction, hold, -hold.amount_minor)
    rows = await transaction.connection.execute(
        update(wallet_holds)
        .where(
            wallet_holds.c.business_id == hold.business_id,
            wallet_holds.c.hold_id == hold.hold_id,
            wallet_holds.c.status == HoldStatus.OPEN,
        )
        .values(
            status=status,
            captured_minor=captured_minor,
            transaction_id=transaction_id,
            closed_at=transaction.now,
            look_at=None,
        )
        .returning(*_COLUMNS)
    )
    return Hold(*rows.one())


async def list_holds(
    transaction: Transaction, *, business_id: str, which: HoldFilter, page: PageRequest
) -> Page[Hold]:
    """Return a page of the business's holds, newest first."""
    if which.digest is not None:
        return await _LIST.read_with_pair(
            transaction, page, business_id=business_id, digest=which.digest
        )
    equal = {
        wallet_holds.c.business_id: business_id,
        wallet_holds.c.env: which.env,
        wallet_holds.c.user_id: which.user_id,
        wallet_holds.c.status: which.status,
    }
    return await _LIST.read(
        transaction, page, equal=equal, words={wallet_holds.c.status: HOLD_STATUSES}
    )


async def _change_held(transaction: Transaction, hold: Hold, change_minor: int) -> None:
    result = await transaction.connection.execute(
        _CHANGE_HELD,
        {
            "of_business": hold.business_id,
            "of_wallet": hold.wallet_id,
            "change_minor": change_minor,
            "now": transaction.now,
        },
    )
    assert result.rowcount == 1, "wallets are never deleted"
