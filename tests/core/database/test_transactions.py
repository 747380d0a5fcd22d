"""Transactions that fail: what remains, and which error they raise."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, ProgrammingError

from core.database.changes import Change
from core.database.clock import SystemClock
from core.database.sqlite import SqliteConnection
from core.database.transactions import CommitUnknownError, Database, DatabaseUnavailableError

CUT_OFF = OperationalError("COMMIT", {}, Exception("the connection was cut"))


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """A database with one table."""
    opened = Database(f"sqlite:///{tmp_path / 'n.db'}", pool_wait_seconds=0.5)
    async with opened.transaction() as transaction:
        await transaction.connection.execute(text("CREATE TABLE notes (note TEXT UNIQUE)"))
    yield opened
    await opened.close()


async def write(database: Database, *notes: str) -> None:
    async with database.transaction() as transaction:
        for note in notes:
            statement = text("INSERT INTO notes VALUES (:note)")
            await transaction.connection.execute(statement, {"note": note})


async def notes(database: Database) -> list[str]:
    async with database.transaction() as transaction:
        return (await transaction.connection.execute(text("SELECT note FROM notes"))).scalars()


def fail_once(moment: str, error: Exception) -> None:
    """Make the next commit or rollback raise `error` instead."""

    carry_out = getattr(SqliteConnection, moment)

    async def fail(_connection: SqliteConnection) -> None:
        setattr(SqliteConnection, moment, carry_out)
        raise error

    setattr(SqliteConnection, moment, fail)


async def test_a_statement_that_the_database_cannot_execute_is_rolled_back_and_unavailable(
    database: Database,
) -> None:
    async with database.transaction() as transaction:
        await transaction.connection.execute(text("PRAGMA max_page_count = 1"))
    with pytest.raises(DatabaseUnavailableError, match="disk is full"):
        await write(database, "small", "x" * 100_000)
    assert await notes(database) == []


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("INSERT INTO notes VALUES ('a'), ('a')", IntegrityError),
        ("SELECT ?", ProgrammingError),
    ],
)
async def test_a_wrong_statement_raises_its_own_error(
    database: Database, statement: str, fault: type[DBAPIError]
) -> None:
    with pytest.raises(fault):
        async with database.transaction() as transaction:
            await transaction.connection.run(statement)
    assert await notes(database) == []


async def test_a_transaction_whose_audit_rows_cannot_be_made_is_rolled_back(
    tmp_path: Path,
) -> None:
    def broken(_business_id: str, _content: bytes) -> str:
        raise RuntimeError("no digest")

    database = Database(f"sqlite:///{tmp_path / 'audited.db'}", digest=broken)
    try:
        async with database.transaction() as transaction:
            await transaction.connection.execute(text("CREATE TABLE notes (note TEXT)"))
        change = Change("users", "created", "BUS-1", "USR-1", ())
        insert = text("INSERT INTO notes VALUES ('a')")

        async def write() -> None:
            async with database.transaction() as transaction:
                await transaction.connection.execute(insert)
                transaction.connection.changes.append(change)

        with pytest.raises(RuntimeError, match="no digest"):
            await write()
        assert await notes(database) == []
    finally:
        await database.close()


async def test_an_unconfirmed_commit_is_unknown_and_the_next_one_works(
    database: Database,
) -> None:
    fail_once("commit", CUT_OFF)
    with pytest.raises(CommitUnknownError, match="the connection was cut"):
        await write(database, "a")
    await write(database, "b")
    assert await notes(database) == ["b"]


@pytest.mark.parametrize(
    ("raised", "expected"),
    [(KeyError("ours"), KeyError), (CUT_OFF, DatabaseUnavailableError)],
)
async def test_a_failed_rollback_keeps_the_error_and_leaves_nothing(
    database: Database, raised: Exception, expected: type[Exception]
) -> None:
    fail_once("rollback", OperationalError("ROLLBACK", {}, Exception("gone")))

    async def write_and_raise() -> None:
        async with database.transaction() as transaction:
            await transaction.connection.execute(text("INSERT INTO notes VALUES ('a')"))
            raise raised

    with pytest.raises(expected):
        await write_and_raise()
    assert await notes(database) == []


class _Stopped(Exception):
    """Ends a transaction."""


@pytest.mark.parametrize("end", ["commit", "rollback", "unknown"])
async def test_a_transaction_calls_what_it_is_asked_to_when_it_has_ended(
    database: Database, end: str
) -> None:
    called: list[str] = []
    expected: tuple[type[Exception], ...] = ()
    if end == "unknown":
        fail_once("commit", CUT_OFF)
        expected = (CommitUnknownError,)
    try:
        async with database.shared_transaction("test.outer"):
            async with database.transaction() as inner:
                inner.at_end.append(lambda: called.append("ended"))
            assert called == []
            if end == "rollback":
                expected = (_Stopped,)
                raise _Stopped
    except expected:
        pass
    assert called == ["ended"]


async def test_the_time_without_a_query_is_the_database_s(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite's clock is this machine's, which is an hour slow here."""
    slow = timedelta(hours=1)
    monkeypatch.setattr(SystemClock, "now", lambda _self: datetime.now(UTC) - slow)
    opened = Database(database_url)
    await opened.ping()
    behind = datetime.now(UTC) - opened.now()
    expected = slow if opened.has_one_process else timedelta()
    assert abs(behind - expected) < timedelta(minutes=1)
    await opened.close()


async def test_a_loop_of_reads_lets_others_run(database: Database) -> None:
    async with asyncio.timeout(60):
        ran = asyncio.Event()
        asyncio.get_running_loop().call_soon(ran.set)
        while not ran.is_set():
            async with database.read():
                pass
            await database.fetch(text("SELECT 1"))
