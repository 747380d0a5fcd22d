"""A sealed value that is moved to another row, field or business does not open."""

import asyncio
from pathlib import Path
from string import Formatter
from typing import Any

import pytest
from sqlalchemy import Column, select, update

from core.credentials.service import check_keyring
from core.database.schema import (
    SEALED_COLUMNS,
    bound_to,
    keyring_canaries,
    metadata,
)
from core.database.transactions import Database, Transaction
from core.security.keyring import SealBrokenError
from tests.core.sealing.sealed import BUSINESSES, READERS, Secrets, ring
from tests.databases import fresh_sqlite

Place = tuple[Column[Any], str, str]
"""A sealed column, a business, and the second column of the row's key."""
PLACES: list[Place] = [
    (column, business_id, row)
    for column, (_, rows) in READERS.items()
    for business_id in BUSINESSES
    for row in rows
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with something in every sealed column; each test leaves it as it was."""
    made = fresh_sqlite(tmp_path_factory.mktemp("sealed") / "nivisco.db")

    async def store() -> None:
        database = Database(made)
        await Secrets(database, ring("a1")).store_all()
        await database.close()

    asyncio.run(store())
    return made


def _is(place: Place) -> tuple[Any, Any]:
    business_id, key = place[0].table.primary_key.columns
    return business_id == place[1], key == place[2]


async def stored(transaction: Transaction, place: Place) -> str:
    found: str = await transaction.connection.scalar(select(place[0]).where(*_is(place)))
    return found


async def _store(transaction: Transaction, place: Place, value: str) -> None:
    moved = update(place[0].table).where(*_is(place)).values({place[0].name: value})
    await transaction.connection.execute(moved)


def test_every_sealed_column_names_what_it_is_bound_to_and_is_tested() -> None:
    named = {
        column
        for table in metadata.sorted_tables
        for column in table.columns
        if column.name.startswith("sealed")
    }
    assert named == {*SEALED_COLUMNS, keyring_canaries.c.sealed}
    assert set(SEALED_COLUMNS) == READERS.keys()


@pytest.mark.parametrize("column", SEALED_COLUMNS, ids=str)
def test_a_binding_names_the_row_and_only_this_field(column: Column[Any]) -> None:
    business_id, *key = (each.name for each in column.table.primary_key.columns)
    assert business_id == "business_id"
    fields = [name for _, name, _, _ in Formatter().parse(column.info["bound_to"]) if name]
    assert fields == key
    row = {"env": "x", "key": "x", "chain_id": "x"}
    others = {bound_to(each, **row) for each in SEALED_COLUMNS if each is not column}
    assert bound_to(column, **row) not in others


@pytest.mark.parametrize(
    "target",
    [each for each in PLACES if each[1] == "B1"],
    ids=lambda place: f"{place[0]} of {place[2]}",
)
async def test_a_moved_value_does_not_open(url: str, target: Place) -> None:
    column, business_id, row = target
    database = Database(url)
    secrets = Secrets(database, ring("a1"))
    read = READERS[column][0]
    async with database.shared_transaction("test.move") as transaction:
        assert await read(secrets, transaction, business_id, row)
        own = await stored(transaction, target)
        values = [await stored(transaction, place) for place in PLACES if place != target]
        for value in values:
            await _store(transaction, target, value)
            with pytest.raises(SealBrokenError):
                await read(secrets, transaction, business_id, row)
        await _store(transaction, target, own)
    await database.close()


async def test_a_canary_is_its_own_key_s(tmp_path: Path) -> None:
    database = Database(fresh_sqlite(tmp_path / "nivisco.db"))
    keyring = ring("a1", "b2")
    await check_keyring(database, keyring)
    await check_keyring(database, ring("b2", "a1"))
    async with database.transaction("test.move") as transaction:
        table = keyring_canaries
        place = (table.c.sealed, "ADMIN-BUSINESS", "a1")
        await transaction.connection.execute(
            update(table)
            .where(table.c.key_id == "b2")
            .values(sealed=await stored(transaction, place))
        )
    with pytest.raises(ValueError, match="sealed with key 'b2'"):
        await check_keyring(database, keyring)
    await database.close()
