"""SQL of users."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime

from sqlalchemy import bindparam, case, func, insert, select, text, update

from core.business.stop_store import stops_of_business
from core.database.metadata_pairs import insert_pairs, replace_pairs
from core.database.paging import Page, PagedList, PageRequest
from core.database.schema import UtcDateTime, businesses, users
from core.database.transactions import Database, Transaction
from core.metadata import Kind
from core.stops import Stops


@dataclass(frozen=True, slots=True)
class User:
    """A user as stored."""

    user_id: str
    name: str
    email: str
    active: bool
    currency: str
    default_gateway: str | None
    created_at: datetime
    updated_at: datetime
    metadata: str | None
    """As `core.metadata.stored_metadata` returns it."""
    suspended_at: datetime | None = None

    @property
    def is_suspended(self) -> bool:
        """Whether the user is suspended."""
        return self.suspended_at is not None


@dataclass(frozen=True, slots=True)
class CardSaves:
    """A user, and how many requests to save a card of theirs there were since a moment."""

    user: User
    count: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Barriers:
    """What keeps a user from being charged."""

    suspended: str | None
    """Who is suspended: `business`, `user` or nobody."""
    stops: Stops
    """What operators have stopped for the business."""


_COLUMNS = tuple(users.c[each.name] for each in fields(User))
_BY_ID = select(users.c.business_id, *_COLUMNS).where(
    users.c.business_id == bindparam("business_id"), users.c.user_id == bindparam("user_id")
)
# FOR NO KEY UPDATE, so that inserts of rows that refer to the user do not wait: a wallet is created
# both with and without this lock, and waiting for it would deadlock.
_LOCK_BY_ID = _BY_ID.with_for_update(key_share=True)
_BARRIERS = (
    select(
        businesses.c.suspended_at.is_not(None),
        users.c.suspended_at.is_not(None),
        stops_of_business(),
    )
    .join_from(businesses, users, businesses.c.business_id == users.c.business_id)
    .where(users.c.business_id == bindparam("business_id"), users.c.user_id == bindparam("user_id"))
)
# Saves are counted from the first one after those of the window before ended.
_IS_SINCE = users.c.card_saves_since > bindparam("since", type_=UtcDateTime)
_COUNT_CARD_SAVE = (
    update(users)
    .where(users.c.business_id == bindparam("of_business"), users.c.user_id == bindparam("of_user"))
    .values(
        card_saves=case((_IS_SINCE, users.c.card_saves + 1), else_=1),
        card_saves_since=case(
            (_IS_SINCE, users.c.card_saves_since), else_=bindparam("now", type_=UtcDateTime)
        ),
    )
    .returning(*_COLUMNS, users.c.card_saves, users.c.card_saves_since)
)
_ACTIVE_USERS = PagedList(
    "users",
    columns=_COLUMNS,
    row=User,
    key=(users.c.business_id, users.c.user_id),
    moment=users.c.created_at,
    order=(users.c.created_at, users.c.user_id),
    only=(text("users.active"),),  # SQLite's planner knows ix_users_active by these words only
)


async def count_card_save(
    transaction: Transaction, *, business_id: str, user_id: str, since: datetime
) -> CardSaves | None:
    """Count a request to save a card, and return it with its user; None: there is no such user.

    Counts begin anew once they began before `since`. The user is locked until the transaction ends.
    """
    result = await transaction.connection.execute(
        _COUNT_CARD_SAVE,
        {"of_business": business_id, "of_user": user_id, "since": since, "now": transaction.now},
    )
    row = result.one_or_none()
    return CardSaves(User(*row[:-2]), row[-2], row[-1]) if row else None


async def insert_user(
    transaction: Transaction,
    *,
    business_id: str,
    user_id: str,
    name: str,
    email: str,
    currency: str,
    metadata: str | None = None,
) -> User:
    """Store a new, active user."""
    user = User(
        user_id=user_id,
        name=name,
        email=email,
        active=True,
        currency=currency,
        default_gateway=None,
        created_at=transaction.now,
        updated_at=transaction.now,
        metadata=metadata,
    )
    await transaction.connection.execute(
        insert(users).values(business_id=business_id, **asdict(user))
    )
    await insert_pairs(
        transaction,
        Kind.USER,
        business_id=business_id,
        env=None,
        resource_id=user_id,
        created_at=user.created_at,
        metadata=metadata,
    )
    return user


async def user_by_id(
    reader: Database | Transaction, *, business_id: str, user_id: str, lock: bool = False
) -> User | None:
    """Return the business's user, or None. Read in a transaction, or without one.

    `lock` locks the row until the transaction ends.
    """
    statement = _LOCK_BY_ID if lock else _BY_ID
    row = await reader.find(statement, business_id=business_id, user_id=user_id)
    return User(*row[1:]) if row else None


async def active_users(
    transaction: Transaction, *, business_id: str, page: PageRequest, digest: str | None = None
) -> Page[User]:
    """Return a page of the business's active users, newest first.

    With `digest` only those with a pair of metadata.
    """
    if digest is not None:
        return await _ACTIVE_USERS.read_with_pair(
            transaction, page, business_id=business_id, digest=digest
        )
    return await _ACTIVE_USERS.read(transaction, page, equal={users.c.business_id: business_id})


async def update_user(
    transaction: Transaction,
    *,
    business_id: str,
    user_id: str,
    updates: Mapping[str, str | bool | None],
) -> User | None:
    """Set the columns in `updates` and return the user; None if the business has no such user.

    Only active users have rows in the index of metadata, as only they are listed.
    """
    before = None
    if "metadata" in updates or "active" in updates:
        before = await user_by_id(transaction, business_id=business_id, user_id=user_id, lock=True)
    result = await transaction.connection.execute(
        update(users)
        .where(users.c.business_id == business_id, users.c.user_id == user_id)
        .values(**updates, updated_at=transaction.now)
        .returning(*_COLUMNS)
    )
    row = result.one_or_none()
    user = User(*row) if row else None
    if before and user and (before.metadata, before.active) != (user.metadata, user.active):
        await replace_pairs(
            transaction,
            Kind.USER,
            business_id=business_id,
            env=None,
            resource_id=user_id,
            created_at=user.created_at,
            old=before.metadata,
            new=user.metadata if user.active else None,
        )
    return user


async def set_default_gateway(
    transaction: Transaction, *, business_id: str, user_id: str, gateway: str
) -> None:
    """Store the gateway of charges whose request specifies none."""
    await transaction.connection.execute(
        update(users)
        .where(users.c.business_id == business_id, users.c.user_id == user_id)
        .values(default_gateway=gateway, updated_at=transaction.now)
    )


async def barriers(transaction: Transaction, business_id: str, user_id: str) -> Barriers:
    """Return what keeps a user from being charged."""
    found = await transaction.connection.execute(
        _BARRIERS, {"business_id": business_id, "user_id": user_id}
    )
    row = found.one()
    party = "business" if row[0] else "user" if row[1] else None
    return Barriers(party, Stops.of(row[2]))


async def set_suspended(
    transaction: Transaction, *, business_id: str, user_id: str, is_suspended: bool
) -> User | None:
    """Suspend a user or end that; return the user, None if the business has no such user."""
    since = func.coalesce(users.c.suspended_at, transaction.now) if is_suspended else None
    result = await transaction.connection.execute(
        update(users)
        .where(users.c.business_id == business_id, users.c.user_id == user_id)
        .values(suspended_at=since, updated_at=transaction.now)
        .returning(*_COLUMNS)
    )
    row = result.one_or_none()
    return User(*row) if row else None
