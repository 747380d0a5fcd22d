"""SQL of what is sealed, over all sealed columns of the schema."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, bindparam, case, func, null, select, tuple_

from core.database.bulk_sql import BulkSelect, BulkUpdate
from core.database.schema import SEALED_COLUMNS, bound_to, idempotency_records
from core.database.transactions import Transaction

_PREFIX_CHARACTERS = 80
"""More than a version and the id of a key have."""

Secrets = Mapping[str, str | None]
"""What is sealed in a row, or the beginning of it, by column."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row with sealed columns; the last four are those of an idempotency record."""

    business_id: str
    key: str
    """The second column of the primary key."""
    prefixes: Secrets
    fingerprint_key_id: str | None
    created_at: datetime | None
    expires_at: datetime | None
    is_open: bool
    """Whether it has no answer yet, and stays until its payment has an outcome."""


class SealedTable:
    """The statements for a table with sealed columns."""

    def __init__(self, table: Table) -> None:
        """Prepare the statements."""
        business_id, key = table.primary_key.columns
        self.name = table.name
        self._columns = {each.name: each for each in SEALED_COLUMNS if each.table is table}
        self._key = key.name
        names = [business_id.name, key.name]
        prefixes = (func.substr(each, 1, _PREFIX_CHARACTERS) for each in self._columns.values())
        self._page = (
            select(business_id, key, *_of_record(table), *prefixes)
            .where(tuple_(business_id, key) > tuple_(bindparam("business"), bindparam("key")))
            .order_by(business_id, key)
            .limit(bindparam("limit"))
        )
        # To wait for locked rows could deadlock with their holder; the next pass finds them.
        locked = select(key, *self._columns.values()).with_for_update(of=table, skip_locked=True)
        self._locked = BulkSelect(locked, table, key=names)
        self._update = BulkUpdate(table, key=names, changed=list(self._columns))

    def purpose(self, column: str, key: str) -> str:
        """Return the purpose under which a column of a row is sealed."""
        return bound_to(self._columns[column], **{self._key: key})

    async def rows(self, transaction: Transaction, after: tuple[str, str], limit: int) -> list[Row]:
        """Return up to `limit` rows after a business and key, in their order."""
        found = await transaction.connection.execute(
            self._page, {"business": after[0], "key": after[1], "limit": limit}
        )
        return [
            Row(
                business_id,
                key,
                dict(zip(self._columns, prefixes, strict=True)),
                fingerprint_key_id,
                created_at,
                expires_at,
                bool(is_open),
            )
            for (
                business_id,
                key,
                fingerprint_key_id,
                created_at,
                expires_at,
                is_open,
                *prefixes,
            ) in found.all()
        ]

    async def lock(
        self, transaction: Transaction, business_id: str, keys: Sequence[str]
    ) -> dict[str, Secrets]:
        """Return what is sealed in rows of a business, by key, and lock them.

        Those are left out that another transaction has locked.
        """
        found = await self._locked.execute(
            transaction.connection, [(business_id, key) for key in keys]
        )
        return {key: dict(zip(self._columns, sealed, strict=True)) for key, *sealed in found.all()}

    async def write(
        self, transaction: Transaction, business_id: str, rows: Mapping[str, Secrets]
    ) -> None:
        """Store what is sealed in rows of a business, by key; at least one."""
        values = [{"business_id": business_id, self._key: key, **rows[key]} for key in sorted(rows)]
        await self._update.execute(transaction.connection, values)


def _of_record(table: Table) -> tuple[ColumnElement[Any], ...]:
    """Return the columns of `Row` that only idempotency records have."""
    record = idempotency_records.c
    if table is not idempotency_records:
        return (null(), null(), null(), null())
    return (
        case((record.fingerprint != "", record.fingerprint_key_id)),
        record.created_at,
        record.expires_at,
        and_(record.payment_id.is_not(None), record.sealed_answer.is_(None)),
    )


TABLES = tuple(SealedTable(each) for each in dict.fromkeys(each.table for each in SEALED_COLUMNS))
"""All tables with sealed columns, in a constant order."""
