"""Look-ups by key that wait at the same time share a round trip, on each database."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import bindparam, insert, select, update

from core.database import transactions
from core.database.migrations.upgrade import migrate
from core.database.schema import keyring_canaries
from core.database.transactions import Database, DatabaseUnavailableError
from tests.core.database.recording import recorded

_TABLE = keyring_canaries
FIND = select(_TABLE.c.business_id, _TABLE.c.key_id, _TABLE.c.sealed).where(
    _TABLE.c.business_id == bindparam("business_id"), _TABLE.c.key_id == bindparam("key_id")
)


class PausingDatabase(Database):
    """Has read, but not answered yet, until it may."""

    may_answer: asyncio.Event | None = None

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.has_read = asyncio.Event()

    async def fetch(self, *arguments: Any) -> Any:
        rows = await super().fetch(*arguments)
        self.has_read.set()
        if self.may_answer is not None:
            await self.may_answer.wait()
        return rows


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[PausingDatabase]:
    database = PausingDatabase(database_url)
    await migrate(database)
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            insert(_TABLE),
            [
                {"business_id": business_id, "key_id": "k1", "sealed": f"of {business_id}"}
                for business_id in ("B1", "B2")
            ],
        )
    yield database
    await database.close()


async def sealed(database: Database, business_id: str, key_id: str = "k1") -> str | None:
    row = await database.find(FIND, business_id=business_id, key_id=key_id)
    return row.sealed if row else None


async def change(database: Database, text: str) -> None:
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(_TABLE).values(sealed=text))


async def test_concurrent_lookups_are_one_round_trip_and_equal_ones_one_query(
    database: Database,
) -> None:
    keys = [("B1", "k1"), ("B2", "k1"), ("B1", "none"), ("B1", "k1"), ("B2", "k1")]
    with recorded() as statements:
        found = await asyncio.gather(*(sealed(database, *key) for key in keys))
    assert found == ["of B1", "of B2", None, "of B1", "of B2"]
    many = [each for each in statements if each.is_many]
    assert [sorted(each.arguments) for each in many] == [
        [["B1", "k1"], ["B1", "none"], ["B2", "k1"]]
    ]


async def test_a_lookup_alone_is_executed_at_once(database: Database) -> None:
    with recorded() as statements:
        assert await sealed(database, "B2") == "of B2"
    assert [(each.arguments, each.is_many) for each in statements] == [(["B2", "k1"], False)]


async def test_a_lookup_sees_what_was_committed_before_it_began(
    database: PausingDatabase,
) -> None:
    """Also while an equal one, which began before, waits for its answer."""
    database.may_answer = asyncio.Event()
    before = asyncio.create_task(sealed(database, "B1"))
    await database.has_read.wait()
    await change(database, "changed")
    after = asyncio.create_task(sealed(database, "B1"))
    await asyncio.sleep(0)
    database.may_answer.set()
    assert (await before, await after) == ("of B1", "changed")


async def test_a_lookup_in_a_shared_transaction_sees_its_changes(database: Database) -> None:
    async with database.shared_transaction("test"):
        await change(database, "changed")
        assert await sealed(database, "B1") == "changed"


async def test_more_keys_than_fit_into_one_round_trip_are_looked_up(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "_FIND_MAX", 2)
    found = await asyncio.gather(*(sealed(database, each) for each in ("B1", "B2", "B3", "B1")))
    assert found == ["of B1", "of B2", None, "of B1"]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_each_caller_learns_that_the_database_is_unavailable(
    kind: str, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}"  # a folder
    database = Database(url if kind == "sqlite" else "postgresql://nobody@127.0.0.1:9/none")
    calls = (sealed(database, each) for each in ("B1", "B2"))
    for end in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(end, DatabaseUnavailableError)
