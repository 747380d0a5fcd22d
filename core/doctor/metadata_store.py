"""Reads of the doctor that compare metadata with its index, `metadata_pairs`.

SQL cannot compute the digests of pairs, so these compare in Python what they read.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

from sqlalchemy import Column, Table, and_, bindparam, func, select, tuple_

from core.database.bulk_sql import BulkSelect
from core.database.schema import (
    metadata_pairs,
    payments,
    recurring_jobs,
    refunds,
    users,
    wallet_holds,
)
from core.database.transactions import Transaction
from core.doctor.store import Comparison, Scope
from core.metadata import Kind, digests_of

PAIRS_AT_ONCE: Final = 500
"""Pairs that are read in one transaction, or looked up by one statement."""

Problem = dict[str, Any]
PairKey = tuple[str, str, datetime, str]
"""Business, digest, and the resource's time of creation and id: the key of a pair."""
_KEY = ("business_id", "digest", "created_at", "resource_id")
_PAIR = tuple(metadata_pairs.c[name] for name in _KEY)
_PRESENT = BulkSelect(select(*_PAIR), metadata_pairs, key=_KEY)
_WANTED = func.json_each(bindparam("keys")).table_valued("value", name="wanted")
_PRESENT_IN_SQLITE = select(*_PAIR).join_from(
    _WANTED,
    metadata_pairs,
    and_(
        *(
            column == func.json_extract(_WANTED.c.value, f"$[{place}]")
            for place, column in enumerate(_PAIR)
        )
    ),
)
"""By a list of keys SQLite would compare all pairs with one digest: it compares a list of rows as
text, and `created_at` is none by its type."""
_FIRST = select(*_PAIR).order_by(*_PAIR)
_NEXT = _FIRST.where(
    tuple_(*_PAIR)
    > tuple_(*(bindparam(f"after_{name}", type_=metadata_pairs.c[name].type) for name in _KEY))
)


class _Resource:
    """A table of resources with metadata."""

    def __init__(self, kind: Kind, table: Table) -> None:
        """Read resources of a kind from `table`, whose key is the business and an id."""
        self.kind, self.table = kind, table
        self.key: tuple[Column[Any], ...] = tuple(table.primary_key.columns)
        self._has_env = kind is not Kind.USER
        others = [table.c.created_at, table.c.metadata]
        others += [table.c.env] if self._has_env else [table.c.active]
        self.rows = select(*self.key, *others).where(table.c.metadata.is_not(None))
        self.by_key = BulkSelect(self.rows, table, key=[each.name for each in self.key])

    def pairs_of(self, row: Sequence[Any]) -> list[PairKey]:
        """Return the keys of the pairs of a row. Only active users have some."""
        business_id, resource_id, created_at, metadata, last = row
        if not self._has_env and not last:
            return []
        digests = digests_of(self.kind, last if self._has_env else None, metadata)
        return [(business_id, digest, created_at, resource_id) for digest in digests]


_RESOURCES = (
    _Resource(Kind.USER, users),
    _Resource(Kind.PAYMENT, payments),
    _Resource(Kind.REFUND, refunds),
    _Resource(Kind.JOB, recurring_jobs),
    _Resource(Kind.HOLD, wallet_holds),
)


async def resources_without_pairs(
    transaction: Transaction, scope: Scope, resource: _Resource
) -> list[Problem]:
    """Return the resources of a chunk that a list by one of their pairs does not find."""
    rows = await transaction.connection.execute(
        resource.rows.where(scope.contains(resource.key[0], resource.key[1]))
    )
    expected = [pair for row in rows for pair in resource.pairs_of(row)]
    missing = set(expected)
    for first in range(0, len(expected), PAIRS_AT_ONCE):
        missing -= await _present(transaction, expected[first : first + PAIRS_AT_ONCE])
    found = dict.fromkeys((pair[0], pair[3]) for pair in expected if pair in missing)
    return [
        {
            "business_id": business_id,
            "resource_id": resource_id,
            "table": resource.table.name,
            "problem": "the list by its metadata does not have it",
        }
        for business_id, resource_id in found
    ]


async def _present(transaction: Transaction, keys: Sequence[PairKey]) -> set[PairKey]:
    """Return those of the pairs that exist."""
    if transaction.connection.dialect.name == "postgresql":
        rows = await _PRESENT.execute(transaction.connection, keys)
    else:
        listed = json.dumps([(*key[:2], f"{key[2]:%Y-%m-%d %H:%M:%S.%f}", key[3]) for key in keys])
        rows = await transaction.connection.execute(_PRESENT_IN_SQLITE, {"keys": listed})
    return {(row[0], row[1], row[2], row[3]) for row in rows}


async def pairs_without_resource(
    transaction: Transaction, after: PairKey | None
) -> tuple[list[Problem], PairKey | None]:
    """Return those of the next pairs that no resource has, and the last pair; None after all.

    They are read in parts, because any number of resources may have one pair.
    """
    query, given = _FIRST, {}
    if after is not None:
        query = _NEXT
        given = {f"after_{name}": value for name, value in zip(_KEY, after, strict=True)}
    rows = await transaction.connection.execute(query.limit(PAIRS_AT_ONCE), given)
    pairs: list[PairKey] = [(row[0], row[1], row[2], row[3]) for row in rows]
    ids = list(dict.fromkeys((pair[0], pair[3]) for pair in pairs))
    founded: set[PairKey] = set()
    for resource in _RESOURCES if pairs else ():
        found = await resource.by_key.execute(transaction.connection, ids)
        founded.update(pair for row in found for pair in resource.pairs_of(row))
    problems = [
        {
            "business_id": pair[0],
            "resource_id": pair[3],
            "digest": pair[1],
            "problem": "no resource with that id and time has the pair",
        }
        for pair in pairs
        if pair not in founded
    ]
    return problems, pairs[-1] if len(pairs) == PAIRS_AT_ONCE else None


COMPARISONS = tuple(
    Comparison(partial(resources_without_pairs, resource=each), table=each.table)
    for each in _RESOURCES
)
