"""Database connections and transactions, each with its time."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVarTuple, overload

from sqlalchemy import Executable, Row, text
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.selectable import TypedReturnsRows

from core.database.audit_rows import Digest, audit_rows
from core.database.batching import Batcher
from core.database.clock import Clock, SystemClock
from core.database.connections import Connection, Kind
from core.database.engines import (
    EXAMINATION_STATEMENT_SECONDS,
    LIST_SETTINGS,
    POOL_WAIT_SECONDS,
    POSTGRESQL_CONNECTIONS,
    POSTGRESQL_LIST_CONNECTIONS,
    POSTGRESQL_OPEN_SECONDS,
    POSTGRESQL_POOL_WAIT_SECONDS,
    POSTGRESQL_READ_CONNECTIONS,
    READ_SETTINGS,
    SQLITE_BUSY_SECONDS,
    TRANSACTION_SETTINGS,
    connector,
    engine_for,
    is_postgresql,
)
from core.database.pool import Pool, PoolTimeoutError
from core.database.results import Rows
from core.database.statements import Parameters
from core.ids import new_audit_event_id

logger = logging.getLogger("core")

MIGRATION_LOCK = 0x4E49_564A
"""Key of PostgreSQL's advisory lock for migrations; other users of the database must not use it."""
BUILD_LOCK = MIGRATION_LOCK + 1
"""Key of that for building indexes."""
_BUILD_TURN_SECONDS = 0.1
MIGRATION_LOCK_SECONDS = 10
"""How long a migration waits for a table lock; queries behind it wait as long."""
_NOT_PERMITTED = "42501"
_DEADLOCK = "40P01"
_LOCK_NOT_AVAILABLE = "55P03"
_QUERY_CANCELED = "57014"
_DATABASE_ERRORS = (DBAPIError, OSError)  # TimeoutError is an OSError
_STATEMENT_ERRORS = (DataError, IntegrityError, NotSupportedError, ProgrammingError)
"""Errors of our statements. Every other error means that the database is unavailable."""
_FIND_MAX = 256
"""Most keys of one round trip."""
_PING = text("SELECT 1")
_Ts = TypeVarTuple("_Ts")


class DatabaseUnavailableError(Exception):
    """The database is unavailable and nothing changed; the message says why and what to do."""


class LockTimeoutError(DatabaseUnavailableError):
    """Another transaction held a lock for longer than LOCK_SECONDS."""


class DeadlockError(DatabaseUnavailableError):
    """PostgreSQL ended the transaction, because another one and it waited for each other."""


class ListTimeoutError(DatabaseUnavailableError):
    """A list waited too long for a connection or could not be read in STATEMENT_SECONDS."""


class CommitUnknownError(Exception):
    """The database did not confirm a commit, which may have taken place."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """An open transaction and its time, which is constant."""

    connection: Connection
    now: datetime
    at_end: list[Callable[[], None]] = field(default_factory=list)
    """What to call once it has ended, whatever its outcome: drops values cached from before it."""

    async def find(self, statement: TypedReturnsRows[*_Ts], **key: str) -> Row[*_Ts] | None:
        """Return the row that a statement finds by its parameters `key`, or None."""
        return (await self.connection.execute(statement, key)).one_or_none()

    async def fetch(
        self, statement: TypedReturnsRows[*_Ts], parameters: Parameters | None = None
    ) -> Rows[*_Ts]:
        """Return the result of a statement that reads."""
        return await self.connection.execute(statement, parameters)


_shared: ContextVar[Transaction | None] = ContextVar("shared", default=None)


class Database:
    """Owner of the connection pools.

    On PostgreSQL these are one for lists, one for single reads, and one for transactions. SQLite
    has one connection.
    """

    def __init__(
        self,
        url: str,
        clock: Clock | None = None,
        *,
        busy_seconds: float = SQLITE_BUSY_SECONDS,
        pool_wait_seconds: float = POOL_WAIT_SECONDS,
        connections: int = POSTGRESQL_CONNECTIONS,
        list_connections: int = POSTGRESQL_LIST_CONNECTIONS,
        digest: Digest | None = None,
    ) -> None:
        """Prepare the database at `url`; it does not connect yet.

        SQLite waits `busy_seconds` for another process to release the file. PostgreSQL has up to
        `connections` connections, and `list_connections` that only lists use. A transaction waits
        `pool_wait_seconds` for a connection.
        `clock` defaults to the database's, which on SQLite is this machine's.
        `digest` makes the keyed digests of what is written, for the audit trail; without it,
        nothing is recorded.

        Raises:
            ValueError: the URL is not that of a supported database.
        """
        self._url = url
        self._is_postgresql = is_postgresql(url)
        if self._is_postgresql:
            wait_seconds = min(pool_wait_seconds, POSTGRESQL_POOL_WAIT_SECONDS)
            pool = partial(Pool, wait_seconds=wait_seconds)
            connect = connector(url, settings=TRANSACTION_SETTINGS)
            self._pool = pool(connect, size=connections)
            self._list_pool = pool(connector(url, settings=LIST_SETTINGS), size=list_connections)
            self._read_pool = pool(
                connector(url, settings=READ_SETTINGS), size=POSTGRESQL_READ_CONNECTIONS
            )
        else:
            connect = connector(url, busy_seconds=busy_seconds)
            self._pool = Pool(connect, size=1, wait_seconds=pool_wait_seconds)
            self._list_pool = self._read_pool = self._pool
        self._clock = clock or (None if self._is_postgresql else SystemClock())
        self._digest = digest
        self._audit_id = ""
        """Of the last transaction with changes."""
        self._ahead = timedelta()
        """How far PostgreSQL's clock was ahead of this machine's at the last transaction."""
        self._lookups: dict[object, Batcher[dict[str, str], Any]] = {}
        """By the statement that finds the rows."""

    @property
    def has_one_process(self) -> bool:
        """Whether no other process can use the database at the same time."""
        return not self._is_postgresql

    @property
    def pools(self) -> dict[str, Pool]:
        """The pools of connections by what they are for; SQLite has one connection for all."""
        if not self._is_postgresql:
            return {"all": self._pool}
        return {"transactions": self._pool, "lists": self._list_pool, "reads": self._read_pool}

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
        async with self._opened(self._pool, commit_name=name) as transaction:
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
        async with self._opened(self._pool) as transaction:
            yield transaction

    async def find(self, statement: TypedReturnsRows[*_Ts], **key: str) -> Row[*_Ts] | None:
        """Return the row that a statement finds by its parameters `key`, or None.

        The statement's first columns are those of the key, in the same order. Look-ups that wait at
        the same time are one round trip, and equal ones one query. It begins after each of them, so
        each sees what was committed before. Inside of a shared transaction, be part of that.

        Raises:
            DatabaseUnavailableError: as `transaction` does.
        """
        if (shared := _shared.get()) is not None:
            return await shared.find(statement, **key)
        if (lookups := self._lookups.get(statement)) is None:
            lookups = Batcher(partial(self._find_all, statement), max_size=_FIND_MAX)
            self._lookups[statement] = lookups
        row: Row[*_Ts] | None = await lookups.submit(key)
        return row

    async def _find_all(
        self, statement: TypedReturnsRows[*_Ts], keys: Sequence[dict[str, str]]
    ) -> list[Row[*_Ts] | None]:
        values = [tuple(key.values()) for key in keys]
        distinct = dict(zip(values, keys, strict=True))
        rows = await self.fetch(statement, list(distinct.values()))
        found = {tuple(row[: len(values[0])]): row for row in rows}
        return [found.get(each) for each in values]

    @overload
    async def fetch(
        self,
        statement: TypedReturnsRows[*_Ts],
        parameters: Parameters | Sequence[Parameters] | None = None,
    ) -> Rows[*_Ts]: ...

    @overload
    async def fetch(
        self, statement: Executable, parameters: Parameters | Sequence[Parameters] | None = None
    ) -> Rows[*tuple[Any, ...]]: ...

    async def fetch(
        self, statement: Executable, parameters: Parameters | Sequence[Parameters] | None = None
    ) -> Rows[Any]:
        """Return the result of one statement that reads, without a transaction.

        It is executed once for each of the `parameters` if they are a sequence, in one round trip.
        Inside of a shared transaction, it is executed there.

        Raises:
            DatabaseUnavailableError: as `transaction` does.
        """
        if (shared := _shared.get()) is not None:
            return await shared.connection.execute(statement, parameters)
        try:
            try:
                return await self._fetch(statement, parameters)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
            self._read_pool.drop_idle()
            return await self._fetch(statement, parameters)
        except _DATABASE_ERRORS as error:
            if _is_unavailable(error):
                raise _unavailable(error) from error
            raise

    async def _fetch(
        self, statement: Executable, parameters: Parameters | Sequence[Parameters] | None
    ) -> Rows[Any]:
        await self._take_turn()
        async with self._bounded():
            connection = await self._read_pool.acquire()
        try:
            return await connection.execute(statement, parameters)
        except TimeoutError:
            connection.drop()
            raise
        finally:
            self._read_pool.release(connection)

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
        opened = self._opened(self._list_pool, Kind.LONG, timed_out=ListTimeoutError)
        async with opened as transaction:
            yield transaction

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Transaction]:
        """Open a read-only transaction that sees one state of the database.

        On PostgreSQL it has a connection of its own, whose statements may take long. On SQLite all
        other transactions wait for it.

        Raises:
            DatabaseUnavailableError: as `transaction` does.
        """
        pool = self._pool
        if self._is_postgresql:
            connect = connector(self._url, statement_seconds=EXAMINATION_STATEMENT_SECONDS)
            pool = Pool(connect, size=1, wait_seconds=0)
        try:
            async with self._opened(pool, Kind.SNAPSHOT) as transaction:
                yield transaction
        except ProgrammingError as error:
            if _has_state(error, _NOT_PERMITTED):
                raise DatabaseUnavailableError(_reason(error)) from error
            raise
        finally:
            if pool is not self._pool:
                await self._closed(pool)

    @asynccontextmanager
    async def _opened(
        self,
        pool: Pool,
        kind: Kind = Kind.SHORT,
        *,
        commit_name: str | None = None,
        timed_out: type[DatabaseUnavailableError] = DatabaseUnavailableError,
    ) -> AsyncIterator[Transaction]:
        """Open a transaction. It commits as `commit_name`; with None, it only reads.

        Raises:
            DatabaseUnavailableError: as `transaction` does; `timed_out` if time ran out.
            CommitUnknownError: the commit was not confirmed.
        """
        try:
            connection, now = await self._begin(pool, kind)
        except _DATABASE_ERRORS as error:
            raise _unavailable(error, timed_out) from None
        transaction = Transaction(connection, now)
        connection.changes.clear()
        connection.audited = ()
        try:
            try:
                yield transaction
            except BaseException as error:
                await _roll_back(connection, error)
                if _is_unavailable(error):
                    raise _unavailable(error, timed_out) from error
                raise
            if commit_name is None:
                await _roll_back(connection)
            else:
                self._audit(transaction, commit_name)
                await self._commit(connection, commit_name)
        finally:
            pool.release(connection)
            for call in transaction.at_end:
                call()

    def _audit(self, transaction: Transaction, name: str) -> None:
        """Have the commit store what the transaction changed."""
        connection = transaction.connection
        if connection.changes and self._digest is not None:
            changes, now = connection.changes, transaction.now
            # By the database's clock: the chain orders rows of several cores by their ids.
            self._audit_id = new_audit_event_id(self.now(), self._audit_id)
            connection.audited = audit_rows(changes, name, now, self._audit_id, self._digest)

    async def _commit(self, connection: Connection, name: str) -> None:
        try:
            await connection.commit()
        except BaseException as error:
            connection.drop()  # its transaction may still be open
            if not isinstance(error, _DATABASE_ERRORS):
                raise
            reason = _reason(error)
            logger.warning("commit not confirmed", extra={"transaction": name, "reason": reason})
            raise CommitUnknownError(reason) from error

    async def ping(self) -> None:
        """Query the database for a constant.

        Raises:
            DatabaseUnavailableError: it does not answer.
        """
        async with self.read() as transaction:
            await transaction.connection.execute(_PING)

    @asynccontextmanager
    async def migration(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that may alter tables, without a time limit, one at a time.

        It has a connection of its own, which is SQLAlchemy's, as Alembic needs. SQLite alters a
        table by rebuilding it, so foreign keys are checked at the commit only.

        Raises:
            DatabaseUnavailableError, CommitUnknownError: as of `transaction`.
        """
        await self.close()  # SQLite is used by one connection at a time
        engine = engine_for(self._url)
        is_committing = False
        try:
            async with engine.begin() as connection:
                execute = connection.exec_driver_sql
                if self._is_postgresql:
                    await execute(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
                    await execute(f"SET LOCAL lock_timeout = '{MIGRATION_LOCK_SECONDS}s'")
                yield connection
                if not self._is_postgresql:
                    broken = (await execute("PRAGMA foreign_key_check")).all()
                    assert not broken, "a migration breaks no foreign key"
                is_committing = True
        except _DATABASE_ERRORS as error:
            if is_committing:
                raise CommitUnknownError(_reason(error)) from error
            if _is_unavailable(error):
                raise _unavailable(error) from error
            raise
        finally:
            await engine.dispose()

    @asynccontextmanager
    async def building(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection to PostgreSQL whose statements commit each, one at a time.

        It polls for its turn: a statement that waits has a snapshot, whose end an index that is
        built CONCURRENTLY waits for.

        Raises:
            DatabaseUnavailableError: as of `transaction`.
        """
        engine = engine_for(self._url)
        try:
            async with engine.connect() as opened:
                connection = await opened.execution_options(isolation_level="AUTOCOMMIT")
                take_turn = text(f"SELECT pg_try_advisory_lock({BUILD_LOCK})")
                while not await connection.scalar(take_turn):  # noqa: ASYNC110 - of other processes
                    await asyncio.sleep(_BUILD_TURN_SECONDS)
                yield connection
        except _DATABASE_ERRORS as error:
            if _is_unavailable(error):
                raise _unavailable(error) from error
            raise
        finally:
            await engine.dispose()

    async def _begin(self, pool: Pool, kind: Kind) -> tuple[Connection, datetime]:
        """Return a connection in a transaction, and its time, within POSTGRESQL_OPEN_SECONDS.

        The first query fails on a connection that the server closed while it was idle. Then all
        idle ones are dropped, so that the second attempt gets a new one.
        """
        await self._take_turn()
        async with self._bounded():
            try:
                return await self._begin_once(pool, kind)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
            pool.drop_idle()
            return await self._begin_once(pool, kind)

    async def _take_turn(self) -> None:
        """Let other tasks run: SQLite answers at once, so a loop of reads would stop them all."""
        if not self._is_postgresql:
            await asyncio.sleep(0)

    async def _begin_once(self, pool: Pool, kind: Kind) -> tuple[Connection, datetime]:
        connection = await pool.acquire()
        try:
            return connection, self._now(await connection.begin(kind))
        except BaseException:
            connection.drop()
            pool.release(connection)
            raise

    def _now(self, database_now: datetime | None) -> datetime:
        if self._clock is not None:
            return self._clock.now()
        assert database_now is not None, "PostgreSQL has a clock"
        self._ahead = database_now - SystemClock().now()
        return database_now

    async def close(self) -> None:
        """Close all idle connections, without waiting for a server that hangs."""
        for pool in {self._pool, self._list_pool, self._read_pool}:
            await self._closed(pool)

    async def _closed(self, pool: Pool) -> None:
        with suppress(TimeoutError):
            async with self._bounded():
                await pool.close()

    def _bounded(self) -> asyncio.Timeout:
        """Return the timeout for PostgreSQL; SQLite needs none."""
        return asyncio.timeout(POSTGRESQL_OPEN_SECONDS if self._is_postgresql else None)


async def _roll_back(connection: Connection, error: BaseException | None = None) -> None:
    """Roll back. If that fails, drop the connection, which rolls back too."""
    if isinstance(error, TimeoutError):  # the server hangs, so a rollback would too
        connection.drop()
        return
    try:
        await connection.rollback()
    except _DATABASE_ERRORS as failure:
        logger.warning("rollback failed, connection dropped", extra={"reason": _reason(failure)})
        connection.drop()
    except BaseException:
        connection.drop()
        raise


def _is_unavailable(error: BaseException) -> bool:
    """Return whether an error means that the database is unavailable."""
    return isinstance(error, _DATABASE_ERRORS) and not isinstance(error, _STATEMENT_ERRORS)


def _unavailable(
    error: BaseException, timed_out: type[DatabaseUnavailableError] = DatabaseUnavailableError
) -> DatabaseUnavailableError:
    """Return the error of callers; it is `timed_out` if time ran out but for a lock."""
    if _has_state(error, _LOCK_NOT_AVAILABLE):
        return LockTimeoutError(_reason(error))
    if _has_state(error, _DEADLOCK):
        return DeadlockError(_reason(error))
    is_timeout = isinstance(error, TimeoutError) or _has_state(error, _QUERY_CANCELED)
    return (timed_out if is_timeout else DatabaseUnavailableError)(_reason(error))


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
