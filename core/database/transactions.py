"""Database connections and transactions, each with its time."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import text
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from core.database.clock import Clock, SystemClock
from core.database.engines import (
    EXAMINATION_STATEMENT_SECONDS,
    LIST_SETTINGS,
    POOL_WAIT_SECONDS,
    POSTGRESQL_CONNECTIONS,
    POSTGRESQL_LIST_CONNECTIONS,
    POSTGRESQL_OPEN_SECONDS,
    SQLITE_BUSY_SECONDS,
    engine_for,
)

logger = logging.getLogger("core")

MIGRATION_LOCK = 0x4E49_564A
"""Key of PostgreSQL's advisory lock for migrations; other users of the database must not use it."""
MIGRATION_LOCK_SECONDS = 10
"""How long a migration waits for a table lock; queries behind it wait as long."""
_NOT_PERMITTED = "42501"
_LOCK_NOT_AVAILABLE = "55P03"
_QUERY_CANCELED = "57014"
_DATABASE_ERRORS = (PoolTimeoutError, DBAPIError, OSError)  # TimeoutError is an OSError
_STATEMENT_ERRORS = (DataError, IntegrityError, NotSupportedError, ProgrammingError)
"""Errors of our statements. Every other error means that the database is unavailable."""


class DatabaseUnavailableError(Exception):
    """The database is unavailable and nothing changed; the message says why and what to do."""


class LockTimeoutError(DatabaseUnavailableError):
    """Another transaction held a lock for longer than LOCK_SECONDS."""


class ListTimeoutError(DatabaseUnavailableError):
    """A list waited too long for a connection or could not be read in STATEMENT_SECONDS."""


class CommitUnknownError(Exception):
    """The database did not confirm a commit, which may have taken place."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """An open transaction and its time, which is constant."""

    connection: AsyncConnection
    now: datetime
    at_end: list[Callable[[], None]] = field(default_factory=list)
    """What to call once it has ended, whatever its outcome: drops values cached from before it."""


_shared: ContextVar[Transaction | None] = ContextVar("shared", default=None)


class Database:
    """Owner of the connection pools: on PostgreSQL one for lists, and one for all the rest."""

    def __init__(
        self,
        url: str,
        clock: Clock | None = None,
        *,
        busy_seconds: float = SQLITE_BUSY_SECONDS,
        pool_wait_seconds: float = POOL_WAIT_SECONDS,
        connections: int = POSTGRESQL_CONNECTIONS,
        list_connections: int = POSTGRESQL_LIST_CONNECTIONS,
        migrating: bool = False,
    ) -> None:
        """Prepare the database at `url`; it does not connect yet.

        SQLite waits `busy_seconds` for another process to release the file. PostgreSQL has up to
        `connections` connections, and `list_connections` that only lists use. A transaction waits
        `pool_wait_seconds` for a connection.
        `clock` defaults to the database's, which on SQLite is this machine's. `migrating` is for
        `migration` only.

        Raises:
            ValueError: the URL is not that of a supported database.
        """
        self._engine = engine_for(
            url,
            busy_seconds=busy_seconds,
            pool_wait_seconds=pool_wait_seconds,
            connections=connections,
            migrating=migrating,
        )
        self._url = url
        self._is_postgresql = self._engine.dialect.name == "postgresql"
        self._list_engine = self._engine
        if self._is_postgresql:
            self._list_engine = engine_for(
                url,
                pool_wait_seconds=pool_wait_seconds,
                connections=list_connections,
                settings=LIST_SETTINGS,
            )
        self._clock = clock or (None if self._is_postgresql else SystemClock())
        self._ahead = timedelta()
        """How far PostgreSQL's clock was ahead of this machine's at the last transaction."""

    @property
    def has_one_process(self) -> bool:
        """Whether no other process can use the database at the same time."""
        return not self._is_postgresql

    def now(self) -> datetime:
        """Return the time without a query: this machine's, corrected by the last transaction.

        Rules about stored rows use the time of their transaction.
        """
        return (self._clock or SystemClock()).now() + self._ahead

    @asynccontextmanager
    async def shared_transaction(self, name: str) -> AsyncIterator[Transaction]:
        """Open a transaction that every `transaction` and `read` of the running task joins.

        So an idempotency record commits with its use case. The block must not start tasks.

        Raises:
            DatabaseUnavailableError, CommitUnknownError: as `transaction` does.
        """
        async with self.transaction(name) as transaction:
            token = _shared.set(transaction)
            try:
                yield transaction
            finally:
                _shared.reset(token)

    @asynccontextmanager
    async def transaction(self, name: str = "") -> AsyncIterator[Transaction]:
        """Open a transaction that commits when the block ends and rolls back when it raises.

        Inside of a shared one, be part of that instead: it commits when the outer block ends.
        `name` identifies the commit in logs and in fault-injection tests, which kill a core around
        each named one. It is unique and stable, as "payments.begin".

        Raises:
            DatabaseUnavailableError: no connection could be had, or the database could not carry
                out a statement; it is rolled back. LockTimeoutError is one.
            CommitUnknownError: the commit was not confirmed.
        """
        if (shared := _shared.get()) is not None:
            yield shared
            return
        opening, end = self._open(self._engine), partial(self._commit, name=name)
        async with self._ended_by(end, opening) as transaction:
            yield transaction

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Transaction]:
        """Open a transaction that only reads; it is rolled back when the block ends.

        Inside of a shared one, be part of that instead.

        Raises:
            DatabaseUnavailableError: as `transaction` does.
        """
        if (shared := _shared.get()) is not None:
            yield shared
            return
        async with self._ended_by(_roll_back, self._open(self._engine)) as transaction:
            yield transaction

    @asynccontextmanager
    async def listing(self) -> AsyncIterator[Transaction]:
        """Open a transaction that reads a list; on PostgreSQL it sees one state of the database.

        It uses the connections of lists, so that it never waits for a charge, nor a charge for it.
        Inside of a shared one, be part of that instead.

        Raises:
            DatabaseUnavailableError: as `transaction` does. ListTimeoutError is one.
        """
        if (shared := _shared.get()) is not None:
            yield shared
            return
        opening = self._open(self._list_engine)
        async with self._ended_by(_roll_back, opening, timed_out=ListTimeoutError) as transaction:
            yield transaction

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Transaction]:
        """Open a read-only transaction that sees one state of the database.

        On PostgreSQL it has a connection of its own, whose statements may take long. On SQLite all
        other transactions wait for it.

        Raises:
            DatabaseUnavailableError: as `transaction` does.
        """
        async with AsyncExitStack() as stack:
            engine = self._engine
            options: dict[str, object] = {}
            if self._is_postgresql:
                engine = engine_for(self._url, statement_seconds=EXAMINATION_STATEMENT_SECONDS)
                stack.push_async_callback(engine.dispose)
                options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
            opening = self._begin(engine, **options)
            transaction = await stack.enter_async_context(self._ended_by(_roll_back, opening))
            try:
                yield transaction
            except Exception as error:
                if _has_state(error, _NOT_PERMITTED):
                    raise DatabaseUnavailableError(_reason(error)) from error
                raise

    @asynccontextmanager
    async def _ended_by(
        self,
        end: Callable[[AsyncConnection], Awaitable[None]],
        opening: Awaitable[tuple[AsyncConnection, datetime]],
        timed_out: type[DatabaseUnavailableError] = DatabaseUnavailableError,
    ) -> AsyncIterator[Transaction]:
        """Run a transaction: `end` it when the block ends, roll it back when the block raises.

        Raises:
            DatabaseUnavailableError: as `transaction` does; `timed_out` if time ran out.
        """
        async with AsyncExitStack() as stack:
            try:
                connection, now = await opening
            except _DATABASE_ERRORS as error:
                raise _unavailable(error, timed_out) from None
            transaction = Transaction(connection, now)
            stack.callback(_call_all, transaction.at_end)
            stack.push_async_exit(connection)
            try:
                yield transaction
            except BaseException as error:
                await _roll_back(connection, error)
                if _has_state(error, _LOCK_NOT_AVAILABLE):
                    raise LockTimeoutError(_reason(error)) from error
                if _is_unavailable(error):
                    raise _unavailable(error, timed_out) from error
                raise
            await end(connection)

    async def _commit(self, connection: AsyncConnection, name: str) -> None:
        try:
            await connection.commit()
        except _DATABASE_ERRORS as error:
            # After a failed commit SQLAlchemy neither rolls back nor resets the connection.
            await connection.invalidate()
            reason = _reason(error)
            logger.warning("commit not confirmed", extra={"transaction": name, "reason": reason})
            raise CommitUnknownError(reason) from error

    async def ping(self) -> None:
        """Query the database for a constant.

        Raises:
            DatabaseUnavailableError: it does not answer.
        """
        async with self.read() as transaction:
            await transaction.connection.execute(text("SELECT 1"))

    @asynccontextmanager
    async def migration(self) -> AsyncIterator[Transaction]:
        """Open a transaction that may alter tables, without a time limit, one at a time.

        It has a connection of its own. SQLite alters a table by rebuilding it, so foreign keys are
        checked at the commit only.

        Raises:
            DatabaseUnavailableError, CommitUnknownError: as of `transaction`.
        """
        await self.close()  # SQLite is used by one connection at a time
        database = Database(self._url, self._clock, migrating=True)
        try:
            async with database.transaction() as transaction:
                execute = transaction.connection.exec_driver_sql
                if self._is_postgresql:
                    await execute(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
                    await execute(f"SET LOCAL lock_timeout = '{MIGRATION_LOCK_SECONDS}s'")
                yield transaction
                if not self._is_postgresql:
                    broken = (await execute("PRAGMA foreign_key_check")).all()
                    assert not broken, "a migration breaks no foreign key"
        finally:
            await database.close()

    async def _open(self, engine: AsyncEngine) -> tuple[AsyncConnection, datetime]:
        """Return a connection in a transaction, and its time, within POSTGRESQL_OPEN_SECONDS.

        The first query fails on a connection that the server closed while it was idle. The pool
        then drops all such connections, so the second attempt gets a new one.
        """
        async with self._bounded():
            try:
                return await self._begin(engine)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
            return await self._begin(engine)

    async def _begin(
        self, engine: AsyncEngine, **options: object
    ) -> tuple[AsyncConnection, datetime]:
        connection = await engine.connect()
        try:
            if options:
                await connection.execution_options(**options)
            await connection.begin()
            now = await self._now(connection)
        except BaseException:
            await connection.close()
            raise
        return connection, now

    async def _now(self, connection: AsyncConnection) -> datetime:
        now = self._clock.now() if self._clock else None
        if self._is_postgresql:  # also with a clock: the query shows whether the server answers
            database_now = await connection.scalar(text("SELECT clock_timestamp()"))
            if now is None:
                now = database_now
                self._ahead = now - SystemClock().now()
        assert isinstance(now, datetime), "clock_timestamp() is a time"
        return now

    async def close(self) -> None:
        """Close all connections, without waiting for a server that hangs."""
        with suppress(TimeoutError):
            async with self._bounded():
                await self._engine.dispose()
                await self._list_engine.dispose()

    def _bounded(self) -> asyncio.Timeout:
        """Return the timeout for PostgreSQL; SQLite needs none."""
        return asyncio.timeout(POSTGRESQL_OPEN_SECONDS if self._is_postgresql else None)


def _call_all(calls: Iterable[Callable[[], None]]) -> None:
    for call in calls:
        call()


async def _roll_back(connection: AsyncConnection, error: BaseException | None = None) -> None:
    """Roll back. If that fails, drop the connection, which rolls back too."""
    if isinstance(error, TimeoutError):  # the server hangs, so a rollback would too
        await connection.invalidate()
        return
    try:
        await connection.rollback()
    except _DATABASE_ERRORS as failure:
        logger.warning("rollback failed, connection dropped", extra={"reason": _reason(failure)})
        await connection.invalidate()


def _is_unavailable(error: BaseException) -> bool:
    """Return whether an error means that the database is unavailable."""
    return isinstance(error, _DATABASE_ERRORS) and not isinstance(error, _STATEMENT_ERRORS)


def _unavailable(
    error: BaseException, timed_out: type[DatabaseUnavailableError]
) -> DatabaseUnavailableError:
    kind = timed_out if _is_timeout(error) else DatabaseUnavailableError
    return kind(_reason(error))


def _is_timeout(error: BaseException) -> bool:
    """Return whether an error means that time ran out: for a connection or a statement."""
    return isinstance(error, PoolTimeoutError | TimeoutError) or _has_state(error, _QUERY_CANCELED)


def _has_state(error: BaseException, sqlstate: str) -> bool:
    """Return whether PostgreSQL failed with this SQLSTATE."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", "") == sqlstate


def _reason(error: BaseException) -> str:
    if isinstance(error, PoolTimeoutError):
        return "all connections to the database are in use"
    text = str(error.orig) if isinstance(error, DBAPIError) else str(error)
    if "database is locked" in text:
        return "the database is in use by another process; use that process, or stop it"
    return f"the database does not answer: {text.splitlines()[0] if text else 'timed out'}"
