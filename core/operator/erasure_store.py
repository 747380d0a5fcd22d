"""SQL of the erasure of a user: what forbids it, and the metadata of what belongs to the user."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Table, bindparam, func, select, update

from core.database.metadata_pairs import replace_pairs
from core.database.schema import (
    cards,
    gateway_customers,
    payments,
    recurring_jobs,
    refunds,
    wallet_holds,
)
from core.database.transactions import Transaction
from core.metadata import Kind

_OPEN_PAYMENTS = ("pending", "requires_action", "held_for_review", "authorized")
_LIVE_JOBS = ("active", "paused")
BATCH = 200
"""Rows of one transaction, so that traffic never waits long for their locks."""


@dataclass(frozen=True, slots=True)
class GatewayCustomer:
    """A user's customer at a gateway."""

    gateway: str
    env: str
    customer_id: str


@dataclass(frozen=True, slots=True)
class _Resource:
    kind: Kind
    table: Table
    id: str


_RESOURCES = (
    _Resource(Kind.PAYMENT, payments, "payment_id"),
    _Resource(Kind.REFUND, refunds, "refund_id"),
    _Resource(Kind.JOB, recurring_jobs, "recurring_id"),
    _Resource(Kind.HOLD, wallet_holds, "hold_id"),
)


async def unfinished(
    transaction: Transaction, *, business_id: str, user_id: str
) -> Mapping[str, int]:
    """Return the numbers of what a user still has that sends something to a gateway."""
    kinds: Mapping[str, tuple[Table, ColumnElement[bool] | None]] = {
        "cards": (cards, None),
        "recurring jobs": (recurring_jobs, recurring_jobs.c.status.in_(_LIVE_JOBS)),
        "open payments": (payments, payments.c.status.in_(_OPEN_PAYMENTS)),
        "pending refunds": (refunds, refunds.c.status == "pending"),
    }
    found = {}
    for name, (table, condition) in kinds.items():
        count = _of_user(select(func.count()).select_from(table), table, business_id, user_id)
        statement = count if condition is None else count.where(condition)
        found[name] = int(await transaction.connection.scalar(statement))
    return {name: number for name, number in found.items() if number}


async def customers_of(
    transaction: Transaction, *, business_id: str, user_id: str
) -> list[GatewayCustomer]:
    """Return the user's customers at the gateways."""
    columns = gateway_customers.c
    rows = await transaction.connection.execute(
        _of_user(
            select(columns.gateway, columns.env, columns.customer_id),
            gateway_customers,
            business_id,
            user_id,
        ).order_by(columns.gateway, columns.env)
    )
    return [GatewayCustomer(*row) for row in rows]


async def clear_metadata(transaction: Transaction, *, business_id: str, user_id: str) -> int:
    """Clear the metadata of at most a batch of what belongs to a user; return of how many rows."""
    cleared = 0
    for each in _RESOURCES:
        cleared += await _clear(transaction, each, business_id, user_id, BATCH - cleared)
    return cleared


async def _clear(
    transaction: Transaction, resource: _Resource, business_id: str, user_id: str, limit: int
) -> int:
    columns = resource.table.c
    rows = await transaction.connection.execute(
        _of_user(
            select(columns[resource.id], columns.env, columns.created_at, columns.metadata),
            resource.table,
            business_id,
            user_id,
        )
        .where(columns.metadata.is_not(None))
        .limit(limit)
        .with_for_update()
    )
    found = rows.all()
    for resource_id, env, created_at, metadata in found:
        await replace_pairs(
            transaction,
            resource.kind,
            business_id=business_id,
            env=env,
            resource_id=resource_id,
            created_at=created_at,
            old=metadata,
            new=None,
        )
    if found:
        await transaction.connection.execute(
            update(resource.table)
            .where(
                columns.business_id == bindparam("of_business"),
                columns[resource.id].in_(bindparam("ids", expanding=True)),
            )
            .values(metadata=None),
            {"of_business": business_id, "ids": [row[0] for row in found]},
        )
    return len(found)


def _of_user(statement: Any, table: Table, business_id: str, user_id: str) -> Any:
    return statement.where(table.c.business_id == business_id, table.c.user_id == user_id)
