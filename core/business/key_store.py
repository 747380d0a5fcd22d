"""SQL of API keys."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import String, and_, bindparam, cast, delete, func, insert, or_, select, update

from core.business.stop_store import stops_of_business
from core.business.store import Business
from core.caller import ALL_SCOPES, DEFAULT_KEY_ID
from core.database.schema import UtcDateTime, api_keys, businesses
from core.database.transactions import Database, Transaction
from core.limits import KeyCaps
from core.stops import Stops


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key as stored."""

    key_id: str
    key_hash: str = field(repr=False)
    name: str
    scopes: frozenset[str]
    last4: str | None
    created_at: datetime
    expires_at: datetime | None = None
    replaced_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    replaced_by: str | None = None
    """Id of the key that replaced this one."""
    cap_currency: str | None = None
    """Of the caps; None: the key has none."""
    max_minor: int | None = None
    max_minor_per_day: int | None = None

    @property
    def caps(self) -> KeyCaps | None:
        """What the key may take and move; None: it has no caps."""
        if self.cap_currency is None:
            return None
        return KeyCaps(self.cap_currency, self.max_minor, self.max_minor_per_day)

    def works_at(self, now: datetime) -> bool:
        """Return whether the key is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class Found(NamedTuple):
    """A business, as its credentials find it."""

    business: Business
    key: ApiKey | None
    """The presented key, if it is one besides the default one."""
    stops: Stops
    """What operators have stopped for the business."""


@dataclass(frozen=True, slots=True)
class Use:
    """The last use of a key."""

    business_id: str
    key_id: str
    used_at: datetime


_BUSINESS = tuple(businesses.c[each.name] for each in fields(Business))
_KEY = tuple(api_keys.c[each.name] for each in fields(ApiKey))
_PRESENTED = bindparam("key_hash", type_=String)
_BY_KEY = (
    select(
        businesses.c.business_id,
        cast(_PRESENTED, String(64)),
        *_BUSINESS,
        *_KEY,
        stops_of_business(),
    )
    .outerjoin_from(
        businesses,
        api_keys,
        and_(api_keys.c.business_id == businesses.c.business_id, api_keys.c.key_hash == _PRESENTED),
    )
    .where(businesses.c.business_id == bindparam("business_id"))
)
# FOR NO KEY UPDATE: inserts of rows that refer to the business do not wait.
_LOCK = (
    select(businesses.c.business_id)
    .where(businesses.c.business_id == bindparam("business_id"))
    .with_for_update(key_share=True)
)
_USED_BUSINESS = (
    update(businesses)
    .where(
        businesses.c.business_id == bindparam("of_business"),
        or_(
            businesses.c.api_key_used_at.is_(None),
            businesses.c.api_key_used_at <= bindparam("before", type_=UtcDateTime),
        ),
    )
    .values(api_key_used_at=bindparam("used_at", type_=UtcDateTime))
)
_USED_KEY = (
    update(api_keys)
    .where(
        api_keys.c.business_id == bindparam("of_business"),
        api_keys.c.key_id == bindparam("of_key"),
        or_(
            api_keys.c.last_used_at.is_(None),
            api_keys.c.last_used_at <= bindparam("before", type_=UtcDateTime),
        ),
    )
    .values(last_used_at=bindparam("used_at", type_=UtcDateTime))
)


async def business_by_key(
    reader: Database | Transaction, business_id: str, key_hash: str
) -> Found | None:
    """Return the business, its key besides the default one that has this hash, and its stops.

    Read in a transaction, or without one.
    """
    row = await reader.find(_BY_KEY, business_id=business_id, key_hash=key_hash)
    if row is None:
        return None
    stored = row[2:-1]
    key = stored[len(_BUSINESS) :]
    return Found(
        Business(*stored[: len(_BUSINESS)]),
        None if key[0] is None else _key(key),
        Stops.of(row[-1]),
    )


async def lock_keys(transaction: Transaction, business_id: str) -> None:
    """Lock the keys of the business until the transaction ends, by the business's row."""
    await transaction.connection.execute(_LOCK, {"business_id": business_id})


async def keys_of(transaction: Transaction, business_id: str) -> list[ApiKey]:
    """Return the business's keys, the default one first, then the newest first."""
    b = businesses.c
    default = (
        await transaction.connection.execute(
            select(
                b.api_key_hash,
                b.api_key_last4,
                func.coalesce(b.api_key_created_at, b.created_at),
                b.api_key_used_at,
            ).where(b.business_id == business_id)
        )
    ).one()
    rows = await transaction.connection.execute(
        select(*_KEY)
        .where(api_keys.c.business_id == business_id)
        .order_by(api_keys.c.created_at.desc(), api_keys.c.key_id.desc())
    )
    first = ApiKey(
        key_id=DEFAULT_KEY_ID,
        key_hash=default[0],
        name=DEFAULT_KEY_ID,
        scopes=ALL_SCOPES,
        last4=default[1],
        created_at=default[2],
        last_used_at=default[3],
    )
    return [first, *(_key(row) for row in rows)]


async def insert_key(transaction: Transaction, business_id: str, key: ApiKey) -> None:
    """Store a new key."""
    await transaction.connection.execute(
        insert(api_keys).values(business_id=business_id, **_values(key))
    )


async def save_key(transaction: Transaction, business_id: str, key: ApiKey) -> None:
    """Store what changed of a key."""
    await transaction.connection.execute(
        update(api_keys)
        .where(api_keys.c.business_id == business_id, api_keys.c.key_id == key.key_id)
        .values(_values(key))
    )


async def delete_keys(transaction: Transaction, business_id: str, key_ids: Sequence[str]) -> None:
    """Delete keys."""
    await transaction.connection.execute(
        delete(api_keys).where(
            api_keys.c.business_id == business_id, api_keys.c.key_id.in_(key_ids)
        )
    )


async def save_uses(transaction: Transaction, uses: Sequence[Use], *, interval: timedelta) -> None:
    """Store the last use of each key unless a later one, or one not `interval` before it, is."""
    ordered = sorted(uses, key=lambda use: (use.business_id, use.key_id))
    for is_default, statement in ((True, _USED_BUSINESS), (False, _USED_KEY)):
        rows = [
            {
                "of_business": use.business_id,
                "before": use.used_at - interval,
                "used_at": use.used_at,
                **({} if is_default else {"of_key": use.key_id}),
            }
            for use in ordered
            if (use.key_id == DEFAULT_KEY_ID) is is_default
        ]
        if rows:
            await transaction.connection.execute(statement, rows)


def _key(row: Sequence[object]) -> ApiKey:
    values = dict(zip((each.name for each in fields(ApiKey)), row, strict=True))
    return ApiKey(**values | {"scopes": frozenset(str(values["scopes"]).split())})  # type: ignore[arg-type]


def _values(key: ApiKey) -> dict[str, object]:
    return asdict(key) | {"scopes": " ".join(sorted(key.scopes))}
