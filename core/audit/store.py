"""SQL of the audit trail. Every statement names one business."""

import secrets
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    Table,
    bindparam,
    delete,
    func,
    null,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from core.audit.rules import NO_HASH, End, Event
from core.database.bulk_rows import array_of
from core.database.bulk_sql import BulkInsert, BulkSelect
from core.database.changes import AUDITED
from core.database.connections import Connection
from core.database.paging import Page, PagedList, PageRequest
from core.database.schema import (
    audit_addresses,
    audit_chains,
    audit_events,
    audit_pending,
    bound_to,
    metadata,
    wallet_transactions,
    wallets,
)
from core.database.transactions import Transaction
from core.security.keyring import KEY_BYTES, Keyring

CHAIN_ID = "1"
"""A business has one chain."""
SubjectKey = tuple[str, str]
"""Kind and id of an object."""


class Pending(NamedTuple):
    """A recorded change that is not in the chain yet."""

    business_id: str
    event_id: str
    occurred_at: datetime
    actor: str
    actor_id: str
    action: str
    transition: str
    change: str
    subject: str
    subject_id: str
    request_id: str
    after_hash: str
    user_id: str | None
    address: str | None


class Chain(NamedTuple):
    """The end of a business's chain, and its key."""

    sealed_key: str
    end: End


class Known(NamedTuple):
    """What is known of an object by the last event about it."""

    after_hash: str | None
    user_id: str | None
    payment_id: str | None


@dataclass(frozen=True, slots=True)
class Listed:
    """An event with its hash and address."""

    event: Event
    hash: str
    address: str | None = None


_EVENT = tuple(audit_events.c[name] for name in Event._fields)
_PENDING = tuple(audit_pending.c[name] for name in Pending._fields)
_INSERT_EVENTS, _INSERT_ADDRESSES = BulkInsert(audit_events), BulkInsert(audit_addresses)
_BUSINESS: BindParameter[str] = bindparam("of_business")
_CHAIN = select(audit_chains.c.sealed_key, audit_chains.c.sequence, audit_chains.c.hash).where(
    audit_chains.c.business_id == _BUSINESS, audit_chains.c.chain_id == CHAIN_ID
)
_FREE_CHAIN = _CHAIN.with_for_update(skip_locked=True)
_LOCKED_CHAIN = _CHAIN.with_for_update()
_BEGIN_CHAIN = {
    "postgresql": postgresql.insert(audit_chains).on_conflict_do_nothing(),
    "sqlite": sqlite.insert(audit_chains).on_conflict_do_nothing(),
}
_EVENTS: PagedList[Listed] = PagedList(
    "audit_events",
    columns=(*_EVENT, audit_events.c.hash),
    row=lambda *values: Listed(Event(*values[:-1]), values[-1]),
    key=(audit_events.c.business_id, audit_events.c.event_id),
    moment=audit_events.c.occurred_at,
    order=(audit_events.c.occurred_at, audit_events.c.event_id),
)


def key_purpose() -> str:
    """Return the purpose under which the key of a chain is sealed."""
    return bound_to(audit_chains.c.sealed_key, chain_id=CHAIN_ID)


async def next_pending(transaction: Transaction, after: str) -> str | None:
    """Return the first business after another one that has changes which are not chained."""
    return await _next_of(transaction, audit_pending, after)


async def next_chained(transaction: Transaction, after: str) -> str | None:
    """Return the first business after another one that has a chain, or events without one."""
    found = [await _next_of(transaction, each, after) for each in (audit_chains, audit_events)]
    return min((each for each in found if each is not None), default=None)


async def _next_of(transaction: Transaction, table: Table, after: str) -> str | None:
    column = table.c.business_id
    found: str | None = await transaction.connection.scalar(
        select(column).where(column > after).order_by(column).limit(1)
    )
    return found


async def begin_chain(transaction: Transaction, business_id: str, keyring: Keyring) -> None:
    """Begin a business's chain with a random key that `keyring` seals, unless it has one."""
    connection = transaction.connection
    await connection.execute(
        _BEGIN_CHAIN[connection.dialect.name],
        {
            "business_id": business_id,
            "chain_id": CHAIN_ID,
            "sealed_key": keyring.seal_bytes(
                secrets.token_bytes(KEY_BYTES), business_id=business_id, purpose=key_purpose()
            ),
            "sequence": 0,
            "hash": NO_HASH,
            "updated_at": transaction.now,
        },
    )


async def chain(transaction: Transaction, business_id: str, *, lock: bool = False) -> Chain | None:
    """Return a business's chain. With `lock`, None also if another transaction has locked it."""
    query = _FREE_CHAIN if lock else _CHAIN
    row = (await transaction.connection.execute(query, {"of_business": business_id})).one_or_none()
    return Chain(row[0], End(row[1], row[2])) if row else None


async def save_end(transaction: Transaction, business_id: str, end: End) -> None:
    """Store the end of a chain whose row is locked."""
    await transaction.connection.execute(
        update(audit_chains)
        .where(audit_chains.c.business_id == business_id, audit_chains.c.chain_id == CHAIN_ID)
        .values(sequence=end.sequence, hash=end.hash, updated_at=transaction.now)
    )


async def pending(transaction: Transaction, business_id: str, limit: int) -> list[Pending]:
    """Return changes of a business that are committed and not in its chain, in order of ids."""
    rows = await transaction.connection.execute(
        select(*_PENDING)
        .where(audit_pending.c.business_id == business_id)
        .order_by(audit_pending.c.event_id)
        .limit(limit)
    )
    return [Pending(*row) for row in rows]


async def known(
    transaction: Transaction, business_id: str, subjects: Collection[SubjectKey]
) -> dict[SubjectKey, Known]:
    """Return what the last event about each object says."""
    of, connection = audit_events.c, transaction.connection
    ids: dict[str, list[str]] = defaultdict(list)
    for subject, subject_id in subjects:
        ids[subject].append(subject_id)
    last: list[int] = []
    for subject, of_subject in sorted(ids.items()):
        rows = await connection.execute(
            select(func.max(of.sequence))
            .where(
                of.business_id == business_id,
                of.subject == subject,
                _is_any(connection, of.subject_id, of_subject),
            )
            .group_by(of.subject_id)
        )
        last += rows.scalars()
    if not last:
        return {}
    found = await connection.execute(
        select(of.subject, of.subject_id, of.after_hash, of.user_id, of.payment_id).where(
            of.business_id == business_id, _is_any(connection, of.sequence, last)
        )
    )
    return {(row[0], row[1]): Known(*row[2:]) for row in found}


def _is_any(
    connection: Connection, column: Column[Any], values: Collection[Any]
) -> ColumnElement[bool]:
    """Return the condition that a column has one of the values, which both find by an index."""
    if connection.dialect.name == "postgresql":
        return column == func.any(bindparam(None, list(values), array_of(column.type)))
    return column.in_(list(values))


def _owners_of(table: Table) -> BulkSelect | None:
    columns, key = table.c, table.c[AUDITED[table.name]]
    payment_id = columns.payment_id if "payment_id" in columns else null()
    names = ("business_id", key.name)
    if table is wallet_transactions:
        joined = select(key, wallets.c.user_id, payment_id).join_from(table, wallets)
        return BulkSelect(joined, table, key=names)
    if "user_id" not in columns:
        return None
    return BulkSelect(select(key, columns.user_id, payment_id), table, key=names)


_OWNERS = {name: _owners_of(metadata.tables[name]) for name in AUDITED}


async def owners(
    transaction: Transaction, business_id: str, subject: str, ids: Collection[str]
) -> dict[SubjectKey, Known]:
    """Return the users and payments of objects of a kind that exist."""
    query = _OWNERS[subject]
    if query is None:
        return {}
    rows = await query.execute(transaction.connection, [(business_id, each) for each in ids])
    return {(subject, row[0]): Known(None, row[1], row[2]) for row in rows}


async def append(
    transaction: Transaction, listed: Sequence[Listed], taken: Sequence[Pending]
) -> None:
    """Store events of a business at the end of its chain, whose row is locked, once."""
    connection = transaction.connection
    await _INSERT_EVENTS.execute(
        connection, [each.event._asdict() | {"hash": each.hash} for each in listed]
    )
    addresses = [
        {
            "business_id": each.event.business_id,
            "event_id": each.event.event_id,
            "user_id": each.event.user_id,
            "address": each.address,
        }
        for each in listed
        if each.address is not None
    ]
    if addresses:
        await _INSERT_ADDRESSES.execute(connection, addresses)
    deleted = await connection.execute(
        delete(audit_pending).where(
            audit_pending.c.business_id == taken[0].business_id,
            _is_any(connection, audit_pending.c.event_id, [each.event_id for each in taken]),
        )
    )
    assert deleted.rowcount == len(taken), "only the sequencer with the chain's lock takes them"


async def events(
    transaction: Transaction, business_id: str, after: int, limit: int
) -> list[Listed]:
    """Return a business's events after a position of its chain, in their order."""
    rows = await transaction.connection.execute(
        select(*_EVENT, audit_events.c.hash, audit_addresses.c.address)
        .select_from(
            audit_events.outerjoin(
                audit_addresses,
                (audit_addresses.c.business_id == audit_events.c.business_id)
                & (audit_addresses.c.event_id == audit_events.c.event_id),
            )
        )
        .where(audit_events.c.business_id == business_id, audit_events.c.sequence > after)
        .order_by(audit_events.c.sequence)
        .limit(limit)
    )
    return [Listed(Event(*row[:-2]), row[-2], row[-1]) for row in rows]


async def hashes(
    transaction: Transaction, business_id: str, sequences: Collection[int]
) -> dict[int, str]:
    """Return the hashes of a business's events at these positions that exist."""
    rows = await transaction.connection.execute(
        select(audit_events.c.sequence, audit_events.c.hash).where(
            audit_events.c.business_id == business_id,
            _is_any(transaction.connection, audit_events.c.sequence, sequences),
        )
    )
    return {row[0]: row[1] for row in rows}


async def page(
    transaction: Transaction,
    *,
    business_id: str,
    user_id: str | None,
    payment_id: str | None,
    action: str | None,
    page: PageRequest,
) -> Page[Listed]:
    """Return a page of a business's events, newest first."""
    of = audit_events.c
    equal = {
        of.business_id: business_id,
        of.user_id: user_id,
        of.payment_id: payment_id,
        of.action: action,
    }
    return await _EVENTS.read(transaction, page, equal=equal)


async def addresses(
    transaction: Transaction, business_id: str, event_ids: Collection[str]
) -> dict[str, str]:
    """Return the addresses of a business's events that have one."""
    if not event_ids:
        return {}
    of = audit_addresses.c
    rows = await transaction.connection.execute(
        select(of.event_id, of.address).where(
            of.business_id == business_id,
            _is_any(transaction.connection, of.event_id, event_ids),
        )
    )
    return {row[0]: row[1] for row in rows}


async def erase_addresses(
    transaction: Transaction, business_id: str, user_id: str, keyring: Keyring
) -> None:
    """Erase where the requests about a user came from.

    The events stay, and their chain verifies as before. Of some pending changes the user is not
    known yet, so that all their addresses go. The chain is locked, and begun before if there is
    none, so that the sequencer does not store an address meanwhile that it read before; it locks
    nothing else.
    """
    of, waits = audit_addresses.c, audit_pending.c
    await begin_chain(transaction, business_id, keyring)
    await transaction.connection.execute(_LOCKED_CHAIN, {"of_business": business_id})
    await transaction.connection.execute(
        delete(audit_addresses).where(of.business_id == business_id, of.user_id == user_id)
    )
    await transaction.connection.execute(
        update(audit_pending)
        .where(
            waits.business_id == business_id,
            waits.address.is_not(None),
            waits.user_id.is_(None) | (waits.user_id == user_id),
        )
        .values(address=None)
    )
