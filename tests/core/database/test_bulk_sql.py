"""Rows are found by many keys, through the index of the keys, on each database."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import Select, insert, select

from core.database.bulk_sql import BulkSelect, one_of
from core.database.migrations.upgrade import migrate
from core.database.schema import keyring_canaries
from core.database.transactions import Database, Transaction
from tests.core.database.recording import recorded

KEYS = [("B1", "k1"), ("B1", "k3"), ("B2", "k2"), ("B2", "none")]
COLUMNS = (keyring_canaries.c.business_id, keyring_canaries.c.key_id)
QUERY: Select[Any] = select(*COLUMNS)


@pytest.fixture
async def rows(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    await migrate(database)
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            insert(keyring_canaries),
            [
                {"business_id": business_id, "key_id": key_id, "sealed": ""}
                for business_id in ("B1", "B2")
                for key_id in ("k1", "k2", "k3")
            ],
        )
    yield database
    await database.close()


async def by_bulk_select(transaction: Transaction) -> set[tuple[Any, ...]]:
    bulk = BulkSelect(QUERY, keyring_canaries, key=("business_id", "key_id"))
    return {tuple(row) for row in await bulk.execute(transaction.connection, KEYS)}


async def by_condition(transaction: Transaction) -> set[tuple[Any, ...]]:
    condition = one_of(transaction.connection, COLUMNS, set(KEYS))
    return {tuple(row) for row in await transaction.connection.execute(QUERY.where(condition))}


@pytest.mark.parametrize("find", [by_bulk_select, by_condition])
async def test_rows_are_found_by_their_keys(rows: Database, find: Any) -> None:
    async with rows.read() as transaction:
        with recorded() as statements:
            assert await find(transaction) == set(KEYS[:3])
        ((statement, arguments, _),) = statements
        if rows.has_one_process:
            explained = f"EXPLAIN QUERY PLAN {statement}"
            steps = await transaction.connection.run(explained, arguments)
            shown = [row[-1] for row in steps.records]
            assert "SCAN keyring_canaries" not in shown, shown
            assert any(step.startswith("SEARCH keyring_canaries USING") for step in shown), shown


@pytest.mark.parametrize("count", [0, 1, 1000])
async def test_any_number_of_keys_is_looked_up(rows: Database, count: int) -> None:
    keys = [("B1", "k1"), *(("B9", f"k{number}") for number in range(count - 1))][:count]
    async with rows.read() as transaction:
        connection = transaction.connection
        bulk = BulkSelect(QUERY, keyring_canaries, key=("business_id", "key_id"))
        found = await bulk.execute(connection, keys)
        assert [tuple(row) for row in found] == [("B1", "k1")][:count]
        found = await connection.execute(QUERY.where(one_of(connection, COLUMNS, keys)))
        assert [tuple(row) for row in found] == [("B1", "k1")][:count]
