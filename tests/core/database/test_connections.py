"""Statements on the drivers: types, results, savepoints, errors, commits; on each database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    bindparam,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import DataError, IntegrityError, InvalidRequestError

from core.database.connections import Savepoint
from core.database.postgresql import PostgresqlConnection
from core.database.schema import UtcDateTime
from core.database.sqlite import SqliteConnection
from core.database.transactions import CommitUnknownError, Database, DatabaseUnavailableError
from tests.core.database.recording import recorded
from tests.databases import OwnPostgresql, own_postgresql

SECRET = "obviously-a-secret"
notes = Table(
    "notes",
    MetaData(),
    Column("note_id", String(64), primary_key=True),
    Column("is_read", Boolean),
    Column("size", BigInteger),
    Column("price", Numeric(10, 2)),
    Column("content", LargeBinary),
    Column("written_at", UtcDateTime),
)
BY_ID = select(notes).where(notes.c.note_id == bindparam("note_id"))
NOTE = {
    "note_id": "N",
    "is_read": True,
    "size": 2**62,
    "price": Decimal("12.30"),
    "content": b"\0\xff",
    "written_at": datetime(2026, 1, 2, 3, 4, 5, 6, UTC),
}
NOTHING = dict.fromkeys(NOTE, None) | {"note_id": "nothing"}


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A database with the table."""
    opened = Database(database_url)
    async with opened.migration() as connection:
        await connection.run_sync(notes.metadata.create_all)
    yield opened
    await opened.close()


async def write(database: Database, *rows: dict[str, Any]) -> None:
    async with database.transaction() as transaction:
        await transaction.connection.execute(insert(notes), rows)


async def test_values_come_back_as_they_were_written(database: Database) -> None:
    await write(database, NOTE, NOTHING)
    for row in (NOTE, NOTHING):
        found = (await database.fetch(BY_ID, {"note_id": row["note_id"]})).one()
        assert found._asdict() == row
        assert [type(value) for value in found] == [type(value) for value in row.values()]


async def test_a_time_of_another_zone_is_stored_in_utc(database: Database) -> None:
    moment = datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=2)))
    await write(database, NOTE | {"written_at": moment})
    (found,) = (await database.fetch(select(notes.c.written_at))).scalars()
    assert (found, found and found.tzinfo) == (moment, UTC)


async def test_a_result_tells_how_many_rows_were_written(database: Database) -> None:
    await write(database, NOTE, NOTHING)
    async with database.transaction() as transaction:
        execute = transaction.connection.execute
        assert (await execute(update(notes).values(size=1))).rowcount == 2
        assert (await execute(delete(notes).where(notes.c.note_id == "none"))).rowcount == 0
        deleted = await execute(delete(notes).returning(notes.c.note_id, notes.c.size))
        assert deleted.rowcount == 2
        assert sorted(tuple(row) for row in deleted) == [("N", 1), ("nothing", 1)]


async def test_a_built_statement_is_executed_with_its_own_values(database: Database) -> None:
    """Statements with one text share what was compiled."""
    await write(database, NOTE, NOTHING)
    for note_id in ("N", "nothing", "none"):
        found = await database.fetch(select(notes.c.note_id).where(notes.c.note_id == note_id))
        assert found.scalars() == [note_id] * (note_id != "none")
        listed = select(notes.c.note_id).where(notes.c.note_id.in_([note_id, "other"][:1]))
        assert (await database.fetch(listed)).scalars() == found.scalars()


ADD = update(notes).where(notes.c.note_id == bindparam("of")).values(size=notes.c.size + 10)
"""Declared, with a value of its own beside its parameter."""


@pytest.mark.parametrize("returning", [False, True])
async def test_a_statement_for_several_rows_is_executed_with_the_values_of_each(
    database: Database, returning: bool
) -> None:
    """Rows share a value, differ in it, and have none."""
    first = datetime(2026, 1, 2, 3, 4, 5, 6, UTC)
    moments = [first, first, None, first + timedelta(days=1), first]
    rows = [
        NOTE | {"note_id": f"N{number}", "size": number, "written_at": moment}
        for number, moment in enumerate(moments)
    ]
    await write(database, *rows)
    async with database.transaction() as transaction:
        statement = ADD.returning(notes.c.size) if returning else ADD
        ids = [{"of": each} for each in ("N1", "N4", "none")]
        added = await transaction.connection.execute(statement, ids)
        if returning:
            assert (added.scalars(), added.rowcount) == ([11, 14], 2)
    found = await database.fetch(select(notes.c.size, notes.c.written_at).order_by(notes.c.note_id))
    sizes = [0, 11, 2, 3, 14]
    assert [tuple(row) for row in found] == list(zip(sizes, moments, strict=True))


@pytest.mark.parametrize("count", [1, 2])
async def test_a_parameter_without_a_value_is_an_error_that_names_it(
    database: Database, count: int
) -> None:
    async with database.transaction() as transaction:
        with pytest.raises(InvalidRequestError, match="'of'"):
            await transaction.connection.execute(ADD, [{"off": "N"}] * count)


async def test_several_rows_of_which_one_breaks_a_constraint_are_an_error(
    database: Database,
) -> None:
    with pytest.raises(IntegrityError):
        await write(database, NOTHING, NOTE, NOTE)
    assert not (await database.fetch(select(notes.c.note_id))).all()


async def test_a_list_of_values_may_have_any_length(database: Database) -> None:
    await write(database, NOTE, NOTHING)
    query = select(notes.c.note_id).where(
        notes.c.note_id.in_(bindparam("ids", expanding=True)), notes.c.is_read
    )
    for ids, expected in (([], []), (["N"], ["N"]), (["x", "nothing", "N"], ["N"])):
        assert (await database.fetch(query, {"ids": ids})).scalars() == expected


async def test_a_savepoint_undoes_what_its_block_did(database: Database) -> None:
    async with database.transaction() as transaction:
        connection = transaction.connection
        await connection.execute(insert(notes), [NOTE])
        with suppress(IntegrityError):
            async with connection.begin_nested():
                await connection.execute(insert(notes), [NOTHING])
                await connection.execute(insert(notes), [NOTE])
        async with connection.begin_nested():
            await connection.execute(update(notes).values(size=5))
        savepoint: Savepoint = await connection.begin_nested()
        await connection.execute(delete(notes))
        await savepoint.rollback()
    assert [tuple(row) for row in await database.fetch(select(notes.c.note_id, notes.c.size))] == [
        ("N", 5)
    ]


async def test_errors_contain_no_values(database: Database) -> None:
    secret = NOTE | {"note_id": SECRET}
    await write(database, secret)
    with pytest.raises(IntegrityError) as violated:
        await write(database, secret)
    assert SECRET not in str(violated.value)
    assert violated.value.__suppress_context__
    if not database.has_one_process:
        with pytest.raises(DataError) as invalid:
            await database.fetch(BY_ID, {"note_id": [SECRET]})
        assert SECRET not in str(invalid.value)


async def test_a_single_read_is_one_statement_and_cannot_write(database: Database) -> None:
    await write(database, NOTE)
    with recorded() as statements:
        await database.fetch(BY_ID, {"note_id": "N"})
    assert len(statements) == 1
    if not database.has_one_process:
        with pytest.raises(DatabaseUnavailableError, match="read-only transaction"):
            await database.fetch(delete(notes).returning(notes.c.note_id))


async def test_a_single_read_inside_of_a_shared_transaction_sees_what_it_wrote(
    database: Database,
) -> None:
    async with database.shared_transaction("t") as transaction:
        await transaction.connection.execute(insert(notes), [NOTE])
        assert (await database.fetch(select(func.count()).select_from(notes))).scalar() == 1


async def test_a_commit_is_not_cancelled(database: Database) -> None:
    """The task is cancelled while the commit is under way, and ends with that after it."""
    is_committing = asyncio.Event()
    driver = SqliteConnection if database.has_one_process else PostgresqlConnection
    commit = driver.commit

    async def note_and_commit(self: Any) -> None:
        is_committing.set()
        await commit(self)

    with patch.object(driver, "commit", note_and_commit):
        writing = asyncio.create_task(write(database, NOTE))
        await is_committing.wait()
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
    assert (await database.fetch(select(notes.c.note_id))).scalars() == ["N"]


async def test_a_commit_that_its_standby_may_not_have_is_unknown() -> None:
    with own_postgresql() as server:
        await configure(server, "synchronous_standby_names = 'nobody'")
        database = Database(server.url)
        writing = asyncio.create_task(create_table(database))
        cancelled = text(
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        )
        while not (await database.fetch(cancelled)).all():
            pass
        with pytest.raises(CommitUnknownError, match="canceling wait for synchronous replication"):
            await writing
        await configure(server, "synchronous_standby_names = ''")
        await database.ping()
        await database.close()


async def create_table(database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.connection.run("CREATE TABLE notes (note TEXT)")


async def configure(server: OwnPostgresql, setting: str) -> None:
    connection = await Database(server.url)._pool.acquire()
    assert isinstance(connection, PostgresqlConnection)
    await connection.run(f"ALTER SYSTEM SET {setting}")
    await connection.run("SELECT pg_reload_conf()")
    await connection.close()


async def test_a_transaction_whose_statement_failed_does_not_commit_in_silence(
    postgresql_database: str,
) -> None:
    database = Database(postgresql_database)

    async def fail() -> None:
        async with database.transaction() as transaction:
            with suppress(DataError):
                await transaction.connection.execute(text("SELECT 1 / 0"))

    with pytest.raises(AssertionError, match="is rolled back"):
        await fail()
    await database.close()
