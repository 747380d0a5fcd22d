"""SQL of what API keys with caps have moved: a counter for each key and day."""

from sqlalchemy import BigInteger, bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite

from core.database.schema import key_usage
from core.database.transactions import Transaction

_IS_DAY = (
    key_usage.c.business_id == bindparam("of_business"),
    key_usage.c.key_id == bindparam("of_key"),
    key_usage.c.day == bindparam("of_day"),
)


def _add_within() -> dict[str, postgresql.Insert | sqlite.Insert]:
    """Return the statement that adds to a counter unless the sum is above a maximum."""
    statements: dict[str, postgresql.Insert | sqlite.Insert] = {}
    for name, insert in (("postgresql", postgresql.insert), ("sqlite", sqlite.insert)):
        new = insert(key_usage)
        total = key_usage.c.amount_minor + new.excluded.amount_minor
        statements[name] = new.on_conflict_do_update(
            index_elements=[key_usage.c.business_id, key_usage.c.key_id, key_usage.c.day],
            set_={"amount_minor": total},
            where=total <= bindparam("max_minor", type_=BigInteger),
        )
    return statements


_ADD_WITHIN = _add_within()
_ADD = (
    update(key_usage)
    .where(*_IS_DAY)
    .values(amount_minor=key_usage.c.amount_minor + bindparam("more_minor", type_=BigInteger))
)
_USED = select(key_usage.c.amount_minor).where(*_IS_DAY)
_USED_BY_KEYS = select(key_usage.c.key_id, key_usage.c.amount_minor).where(
    key_usage.c.business_id == bindparam("of_business"), key_usage.c.day == bindparam("of_day")
)


async def add_within(
    transaction: Transaction, business_id: str, key_id: str, amount_minor: int, *, max_minor: int
) -> bool:
    """Add an amount of at most `max_minor` to the key's counter of the present day (UTC).

    Return whether the sum is at most `max_minor`; else nothing is added. Other transactions that
    add to the counter wait until this one ends.
    """
    assert amount_minor <= max_minor, "the first amount of a day is not compared"
    result = await transaction.connection.execute(
        _ADD_WITHIN[transaction.connection.dialect.name],
        {
            "business_id": business_id,
            "key_id": key_id,
            "day": day_of(transaction),
            "amount_minor": amount_minor,
            "max_minor": max_minor,
        },
    )
    return result.rowcount == 1


async def add(
    transaction: Transaction, business_id: str, key_id: str, day: str, more_minor: int
) -> None:
    """Add to the key's counter of a day on which it has one, whatever the sum; or subtract."""
    await transaction.connection.execute(_ADD, _of(business_id, key_id, day, more=more_minor))


async def used(transaction: Transaction, business_id: str, key_id: str) -> int:
    """Return the key's counter of the present day."""
    rows = await transaction.connection.execute(
        _USED, _of(business_id, key_id, day_of(transaction))
    )
    row = rows.one_or_none()
    return row.amount_minor if row else 0


async def used_by_keys(transaction: Transaction, business_id: str) -> dict[str, int]:
    """Return the counters of the business's keys of the present day, by the keys' ids."""
    rows = await transaction.connection.execute(
        _USED_BY_KEYS, {"of_business": business_id, "of_day": day_of(transaction)}
    )
    return {row.key_id: row.amount_minor for row in rows}


def day_of(transaction: Transaction) -> str:
    """Return the present day (UTC), for example `2030-01-01`."""
    return transaction.now.date().isoformat()


def _of(business_id: str, key_id: str, day: str, more: int | None = None) -> dict[str, object]:
    values: dict[str, object] = {"of_business": business_id, "of_key": key_id, "of_day": day}
    return values if more is None else values | {"more_minor": more}
