"""The check `metadata_pairs`: lists by metadata have exactly the resources with it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, insert, update

from core.database.metadata_pairs import insert_pairs
from core.database.migrations.upgrade import migrate
from core.database.schema import metadata, metadata_pairs, users
from core.database.transactions import Database
from core.doctor import metadata_store, store
from core.doctor.rules import Row
from core.doctor.service import DoctorService
from core.metadata import Kind, digest_of, stored_metadata
from tests.core.database.migrations.rows import NOW, ROWS, write
from tests.core.database.recording import recorded
from tests.core.recurring.running import ON_SQLITE

RESOURCES = {
    Kind.USER: ("users", "USR-1"),
    Kind.PAYMENT: ("payments", "PAY-1"),
    Kind.REFUND: ("refunds", "REF-1"),
    Kind.JOB: ("recurring_jobs", "REC-1"),
    Kind.HOLD: ("wallet_holds", "HLD-1"),
}
PAIRS = {"order": "1", "shop": "é"}
STORED = stored_metadata(PAIRS)
TABLE = metadata_pairs
MISSING = "the list by its metadata does not have it"
UNFOUNDED = "no resource with that id and time has the pair"


def digest(kind: Kind, key: str = "order", value: str = "1") -> str:
    return digest_of(kind, None if kind is Kind.USER else "TEST", key, value)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """One resource of each kind, all with the same two pairs."""
    opened = Database(database_url)
    await migrate(opened)
    for table in ("businesses", "users", "wallets"):
        await write(opened, table, ROWS[table] | ({"metadata": STORED} if table == "users" else {}))
    for table, _ in RESOURCES.values():
        if table != "users":
            await write(opened, table, ROWS[table] | {"metadata": STORED})
    async with opened.transaction() as transaction:
        for kind, (_, resource_id) in RESOURCES.items():
            await insert_pairs(
                transaction,
                kind,
                business_id="B",
                env=None if kind is Kind.USER else "TEST",
                resource_id=resource_id,
                created_at=NOW,
                metadata=STORED,
            )
    yield opened
    await opened.close()


async def problems(database: Database, *changes: Any) -> list[Row]:
    """Return what the check finds after changes."""
    for change in changes:
        async with database.transaction() as transaction:
            assert (await transaction.connection.execute(change)).rowcount
    examination = await DoctorService(database, key_ids=None).examine(limit=100)
    (finding,) = [each for each in examination.findings if each.name == "metadata_pairs"]
    assert finding.count == len(finding.rows)
    return list(finding.rows)


async def test_metadata_that_its_lists_have_breaks_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await problems(database) == []
    monkeypatch.setattr(metadata_store, "PAIRS_AT_ONCE", 1)
    monkeypatch.setattr(store, "CHUNK_ROWS", 1)
    assert await problems(database) == []


async def test_resources_that_their_lists_lack_are_found(database: Database) -> None:
    gone = [digest(kind) for kind in RESOURCES]
    found = await problems(database, delete(TABLE).where(TABLE.c.digest.in_(gone)))
    assert sorted(found, key=str) == sorted(
        (
            {"business_id": "B", "resource_id": resource_id, "table": table, "problem": MISSING}
            for table, resource_id in RESOURCES.values()
        ),
        key=str,
    )


async def test_pairs_that_their_resources_lack_are_found(database: Database) -> None:
    other = stored_metadata({"shop": "é"})
    changes = [
        update(metadata.tables[table]).values(metadata=other) for table, _ in RESOURCES.values()
    ]
    assert sorted(await problems(database, *changes), key=str) == sorted(
        (
            {
                "business_id": "B",
                "resource_id": resource_id,
                "digest": digest(kind),
                "problem": UNFOUNDED,
            }
            for kind, (_, resource_id) in RESOURCES.items()
        ),
        key=str,
    )


async def test_pairs_of_another_time_or_resource_and_of_inactive_users_are_found(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata_store, "PAIRS_AT_ONCE", 2)
    pair = {"business_id": "B", "created_at": NOW, "resource_id": "PAY-2", "digest": "d"}
    found = await problems(
        database,
        update(TABLE)
        .where(TABLE.c.digest == digest(Kind.PAYMENT))
        .values(created_at=NOW + timedelta(seconds=1)),
        insert(TABLE).values(pair),
        update(users).values(active=False),
    )
    shown = sorted((row["resource_id"], row["problem"]) for row in found)
    assert shown == [
        ("PAY-1", UNFOUNDED),
        ("PAY-1", MISSING),
        ("PAY-2", UNFOUNDED),
        ("USR-1", UNFOUNDED),
        ("USR-1", UNFOUNDED),
    ]


@ON_SQLITE
async def test_pairs_are_looked_up_by_all_of_their_key(database: Database) -> None:
    with recorded() as statements:
        assert await problems(database) == []
    (text, arguments), *others = [each[:2] for each in statements if "json_each" in each.text]
    assert len(others) == len(RESOURCES) - 1
    async with database.transaction() as transaction:
        plan = (await transaction.connection.run("EXPLAIN QUERY PLAN " + text, arguments)).records
    assert "digest=? AND created_at=? AND resource_id=?" in str(plan)
