"""SQL of stops."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    ScalarSelect,
    String,
    bindparam,
    case,
    func,
    literal_column,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from core.database.schema import stops
from core.database.transactions import Transaction
from core.stops import ALL, What


@dataclass(frozen=True, slots=True)
class Scope:
    """What a stop is of."""

    business_id: str
    """ALL: of every business."""
    gateway: str
    """ALL: of every gateway and the wallets."""
    what: str


@dataclass(frozen=True, slots=True)
class Stop(Scope):
    """A stop as stored. It stays when it has ended, until the next one of its scope."""

    stopped_at: datetime
    stopped_by: str
    reason: str
    ended_at: datetime | None = None
    """None: it is in force."""
    ended_by: str | None = None
    ended_reason: str | None = None


_COLUMNS = tuple(stops.c[each.name] for each in fields(Stop))
_IN_FORCE = (
    select(*_COLUMNS)
    .where(stops.c.ended_at.is_(None))
    .order_by(stops.c.stopped_at, stops.c.business_id, stops.c.gateway, stops.c.what)
)
_OF_CYCLES = select(stops.c.business_id).where(
    stops.c.ended_at.is_(None),
    stops.c.gateway == ALL,
    stops.c.what.in_((What.RECURRING.value, What.EVERYTHING.value)),
)
_BUSINESS_ID = bindparam("business_id", type_=String)


def stops_of_business(business_id: ColumnElement[str] = _BUSINESS_ID) -> ScalarSelect[str]:
    """Return the column with what is stopped for the business that `business_id` binds or is.

    As `Stops.of` reads it. NULL: nothing is. It is a part of the statements that admit a caller,
    begin a charge or lock wallets, so that none needs another one.
    """
    word = stops.c.what + literal_column("':'") + stops.c.gateway
    return (
        select(func.aggregate_strings(word, " "))
        .where(
            or_(
                stops.c.business_id == business_id,
                stops.c.business_id == literal_column(f"'{ALL}'"),
            ),
            stops.c.ended_at.is_(null()),
        )
        .scalar_subquery()
    )


async def put_stop(transaction: Transaction, stop: Stop) -> Stop:
    """Store a stop and return it. One of its scope in force keeps its time."""
    dialect = transaction.connection.dialect.name
    new = (postgresql if dialect == "postgresql" else sqlite).insert(stops).values(**asdict(stop))
    since = case((stops.c.ended_at.is_(None), stops.c.stopped_at), else_=new.excluded.stopped_at)
    changed = ("stopped_by", "reason", "ended_at", "ended_by", "ended_reason")
    result = await transaction.connection.execute(
        new.on_conflict_do_update(
            index_elements=list(stops.primary_key.columns),
            set_={"stopped_at": since} | {name: new.excluded[name] for name in changed},
        ).returning(*_COLUMNS)
    )
    return Stop(*result.one())


async def end_stop(transaction: Transaction, scope: Scope, *, by: str, reason: str) -> Stop | None:
    """End the stop of this scope and return it, None if there is none in force."""
    result = await transaction.connection.execute(
        update(stops)
        .where(
            stops.c.business_id == scope.business_id,
            stops.c.gateway == scope.gateway,
            stops.c.what == scope.what,
            stops.c.ended_at.is_(None),
        )
        # The gateway stays: it is written so that the audit trail's digest has it.
        .values(gateway=scope.gateway, ended_at=transaction.now, ended_by=by, ended_reason=reason)
        .returning(*_COLUMNS)
    )
    row = result.one_or_none()
    return Stop(*row) if row else None


async def stops_in_force(transaction: Transaction) -> list[Stop]:
    """Return the stops in force, the first one first."""
    return [Stop(*row) for row in await transaction.connection.execute(_IN_FORCE)]


async def businesses_without_cycles(transaction: Transaction) -> Sequence[str]:
    """Return the businesses whose cycles are stopped whatever they are charged to; ALL: all."""
    return [row[0] for row in await transaction.connection.execute(_OF_CYCLES)]
