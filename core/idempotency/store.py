"""SQL of idempotency records."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from sqlalchemy import and_, bindparam, delete, exists, func, or_, select, tuple_, union_all, update
from sqlalchemy.dialects import postgresql, sqlite

from core.database.bulk_sql import one_of
from core.database.schema import bound_to, payments, refunds, users
from core.database.schema import idempotency_records as records
from core.database.transactions import Transaction

RecordKey = tuple[str, str]
"""`business_id` and `key` of a record."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record as stored, without its key."""

    action: str
    fingerprint: str = field(repr=False)
    fingerprint_key_id: str
    payment_id: str | None
    sealed_answer: str | None = field(repr=False)
    answer_schema: int | None
    expires_at: datetime


RECORD_COLUMNS = tuple(records.c[each.name] for each in fields(Record))
"""The columns of `Record`, in its order."""
_KEY = (records.c.business_id, records.c.key)
_HAS_KEY = and_(
    records.c.business_id == bindparam("of_business"), records.c.key == bindparam("of_key")
)
_FIND = select(*RECORD_COLUMNS).where(_HAS_KEY)
_FIND_FOR_UPDATE = _FIND.with_for_update()
_LOCK = select(records.c.key).where(_HAS_KEY).with_for_update()
_SET_PAYMENT_ANSWER = update(records).where(
    _HAS_KEY,
    records.c.payment_id == bindparam("of_payment"),
    records.c.sealed_answer.is_not_distinct_from(
        bindparam("replaced", type_=records.c.sealed_answer.type)
    ),
)
_INSERT = {
    "postgresql": postgresql.insert(records).on_conflict_do_nothing(),
    "sqlite": sqlite.insert(records).on_conflict_do_nothing(),
}
# A value, not EXISTS, for which PostgreSQL may first read all payments with these statuses.
_PAYMENT_STATUS = (
    select(payments.c.status)
    .where(
        payments.c.business_id == records.c.business_id,
        payments.c.payment_id == records.c.payment_id,
    )
    .scalar_subquery()
)
_IS_CLOSED = or_(
    records.c.sealed_answer.is_not(None),
    func.coalesce(_PAYMENT_STATUS, "").not_in(
        ["pending", "needs_review", "requires_action", "held_for_review"]
    ),
)
"""Records that may expire: the rest await the outcome of a payment."""


def answer_purpose(key: RecordKey) -> str:
    """Return the purpose under which the answer of a record is sealed."""
    return bound_to(records.c.sealed_answer, key=key[1])


async def find(
    transaction: Transaction, key: RecordKey, *, for_update: bool = False
) -> Record | None:
    """Return a record, or None. `for_update` locks it until the transaction ends."""
    query = _FIND_FOR_UPDATE if for_update else _FIND
    row = (await transaction.connection.execute(query, _of(key))).one_or_none()
    return Record(*row) if row else None


async def lock(transaction: Transaction, key: RecordKey) -> None:
    """Lock a record until the transaction ends."""
    await transaction.connection.execute(_LOCK, _of(key))


async def insert_missing(transaction: Transaction, row: Mapping[str, Any]) -> bool:
    """Insert a record unless its key has one, and return whether it was inserted.

    On PostgreSQL this waits for an insert of the same key that is not committed yet.
    """
    connection = transaction.connection
    return (await connection.execute(_INSERT[connection.dialect.name], row)).rowcount == 1


async def set_payment(transaction: Transaction, key: RecordKey, payment_id: str) -> None:
    """Store the payment that the call began."""
    await transaction.connection.execute(
        update(records).where(*_is(key)).values(payment_id=payment_id)
    )


async def resolved_by_payment(
    transaction: Transaction, business_id: str, payment_id: str
) -> tuple[str, str, str]:
    """Return environment, gateway and currency of a payment or refund, whichever has the id."""
    rows = await transaction.connection.execute(
        union_all(
            *(
                select(table.c.env, table.c.gateway, table.c.currency).where(
                    table.c.business_id == business_id, row_id == payment_id
                )
                for table, row_id in (
                    (payments, payments.c.payment_id),
                    (refunds, refunds.c.refund_id),
                )
            )
        )
    )
    env, gateway, currency = rows.one()
    return env, gateway, currency


async def currency_of_user(transaction: Transaction, business_id: str, user_id: str) -> str | None:
    """Return the currency of a user's wallets, or None if there is no such user."""
    currency: str | None = await transaction.connection.scalar(
        select(users.c.currency).where(
            users.c.business_id == business_id, users.c.user_id == user_id
        )
    )
    return currency


async def set_answer(
    transaction: Transaction, key: RecordKey, answer: Mapping[str, Any], *, unless_payment: bool
) -> bool:
    """Store the answer's columns and return whether a record was there.

    With `unless_payment`, a record that has a payment counts as absent.
    """
    condition = [records.c.payment_id.is_(None)] if unless_payment else []
    updated = await transaction.connection.execute(
        update(records).where(*_is(key), *condition).values(**answer)
    )
    return updated.rowcount > 0


async def set_payment_answer(
    transaction: Transaction,
    key: RecordKey,
    payment_id: str,
    answer: Mapping[str, Any],
    *,
    replaced: str | None,
    expires_at: datetime,
) -> bool:
    """Store the outcome of a payment as the answer if it replaces this one; return whether it did.

    None replaces none: then the record has no answer yet.
    """
    updated = await transaction.connection.execute(
        _SET_PAYMENT_ANSWER,
        {
            **_of(key),
            "of_payment": payment_id,
            "replaced": replaced,
            **answer,
            "expires_at": expires_at,
        },
    )
    return updated.rowcount > 0


async def stored_answer(transaction: Transaction, key: RecordKey) -> str | None:
    """Return the sealed answer of a record."""
    found: str | None = await transaction.connection.scalar(
        select(records.c.sealed_answer).where(*_is(key))
    )
    return found


async def has_payment_answer(transaction: Transaction, key: RecordKey, payment_id: str) -> bool:
    """Return whether the record is of this payment and has an answer."""
    found = await transaction.connection.execute(
        select(records.c.key).where(
            *_is(key), records.c.payment_id == payment_id, records.c.sealed_answer.is_not(None)
        )
    )
    return found.one_or_none() is not None


async def delete_closed(transaction: Transaction, key: RecordKey) -> bool:
    """Delete an expired record unless its payment is open, and return whether it was deleted.

    It may be another one than was read: a call may have stored its own record since.
    One that another transaction has locked is not deleted either. To wait for it could deadlock: a
    batch has locked wallets, which others lock after their record.
    """
    is_expired = records.c.expires_at <= transaction.now
    free = select(*_KEY).where(*_is(key), is_expired, _IS_CLOSED).with_for_update(skip_locked=True)
    deleted = await transaction.connection.execute(delete(records).where(tuple_(*_KEY).in_(free)))
    return deleted.rowcount == 1


async def expired(transaction: Transaction, limit: int) -> list[RecordKey]:
    """Return and lock up to `limit` records that have expired and are not locked by others."""
    rows = await transaction.connection.execute(
        select(*_KEY)
        .where(records.c.expires_at <= transaction.now, _IS_CLOSED)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [(row.business_id, row.key) for row in rows]


async def count_expired(transaction: Transaction) -> tuple[int, datetime | None]:
    """Return how many records `expired` would return without a limit, and the oldest's creation."""
    rows = await transaction.connection.execute(
        select(func.count(), func.min(records.c.created_at)).where(
            records.c.expires_at <= transaction.now, _IS_CLOSED
        )
    )
    count, oldest = rows.one()
    return count, oldest


async def delete_many(transaction: Transaction, keys: Collection[RecordKey]) -> None:
    """Delete the records with these keys."""
    connection = transaction.connection
    await connection.execute(delete(records).where(one_of(connection, _KEY, keys)))


async def has_answer_for(
    transaction: Transaction, key: RecordKey, *, action: str, api_key_hash: str, since: datetime
) -> bool:
    """Return whether this API key, retired or not, made this call after `since`, with an answer."""
    found = await transaction.connection.execute(
        select(records.c.key).where(
            *_is(key),
            records.c.action == action,
            records.c.api_key_hash == api_key_hash,
            records.c.sealed_answer.is_not(None),
            records.c.created_at > since,
        )
    )
    return found.one_or_none() is not None


async def uses_key(transaction: Transaction, key_id: str) -> bool:
    """Return whether a record has this key's fingerprint. Reads the whole table."""
    found = exists().where(records.c.fingerprint_key_id == key_id, records.c.fingerprint != "")
    return bool(await transaction.connection.scalar(select(found)))


def _is(key: RecordKey) -> tuple[Any, Any]:
    return (records.c.business_id == key[0], records.c.key == key[1])


def _of(key: RecordKey) -> dict[str, str]:
    """Return the parameters of `_HAS_KEY`."""
    return {"of_business": key[0], "of_key": key[1]}
