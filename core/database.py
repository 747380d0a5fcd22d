"""Opens the database and hands out transactions; holds no query but the one that pings.

SQLite is used by exactly one connection in one process (SQLite before 3.51.3 can corrupt a WAL
database that several connections share: sqlite.org/wal.html#walresetbug), so the pool holds one
connection, and a transaction must not begin another.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from core.clock import Clock, SystemClock

logger = logging.getLogger("core")

SQLITE_BUSY_SECONDS = 10
"""How long a starting core waits for the one before it to let go of the file."""
POOL_WAIT_SECONDS = 5.0
_FAULTS_OF_OURS = (DataError, IntegrityError, NotSupportedError, ProgrammingError)
"""What a statement of ours does wrong; every other error is the database's own trouble."""


class DatabaseUnavailableError(Exception):
    """The database cannot be used and nothing was changed; the message says why and what to do."""


class CommitUnknownError(Exception):
    """The database was told to commit and did not confirm it, so it may or may not have."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """An open transaction and its time. Stores take both; `now` is the same throughout."""

    connection: AsyncConnection
    now: datetime


class Database:
    """The one owner of connections."""

    def __init__(
        self,
        url: str,
        clock: Clock | None = None,
        *,
        busy_seconds: float = SQLITE_BUSY_SECONDS,
        pool_wait_seconds: float = POOL_WAIT_SECONDS,
    ) -> None:
        """Prepare the database at `url`; nothing is connected yet.

        On SQLite, wait `busy_seconds` for another process to let go of the file. A transaction
        waits `pool_wait_seconds` for those before it.

        Raises:
            ValueError: the URL names no database that we can use.
        """
        self._engine = _engine(_parse(url), busy_seconds, pool_wait_seconds)
        self._clock = clock or SystemClock()

    @property
    def engine(self) -> AsyncEngine:
        """The engine, for migrations."""
        return self._engine

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Open a transaction that commits when the block ends and rolls back when it raises.

        Raises:
            DatabaseUnavailableError: no connection could be had, or the database could not carry
                out a statement; it is rolled back.
            CommitUnknownError: the commit was not confirmed.
        """
        async with AsyncExitStack() as stack:
            try:
                connection = await stack.enter_async_context(self._engine.connect())
                await connection.begin()
            except (PoolTimeoutError, DBAPIError, OSError) as error:
                raise DatabaseUnavailableError(_why(error)) from None
            try:
                yield Transaction(connection, self._clock.now())
            except BaseException as error:
                await _roll_back(connection)
                if isinstance(error, DBAPIError) and not isinstance(error, _FAULTS_OF_OURS):
                    raise DatabaseUnavailableError(_why(error)) from error
                raise
            try:
                await connection.commit()
            except (DBAPIError, OSError) as error:
                # After a failed commit SQLAlchemy neither rolls back nor resets the connection.
                await connection.invalidate()
                raise CommitUnknownError(_why(error)) from error

    async def ping(self) -> None:
        """Ask the database for an answer.

        Raises:
            DatabaseUnavailableError: it gives none.
            CommitUnknownError: it stopped answering in the middle.
        """
        async with self.transaction() as transaction:
            await transaction.connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()


async def _roll_back(connection: AsyncConnection) -> None:
    """Undo the transaction. A connection that cannot is given up, which undoes it too."""
    try:
        await connection.rollback()
    except (DBAPIError, OSError) as error:
        logger.warning("the rollback failed: %s", _why(error))
        await connection.invalidate()


def _why(error: Exception) -> str:
    text = str(error.orig) if isinstance(error, DBAPIError) else str(error)
    if "locked" in text:
        return "the database is in use by another process; ask that one, or stop it first"
    return f"the database does not answer: {text.splitlines()[0] if text else type(error).__name__}"


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ValueError("NIVISCO_DATABASE_URL is not a database URL") from None
    if parsed.drivername in ("sqlite", "sqlite+aiosqlite"):
        if not parsed.database or parsed.database == ":memory:":
            raise ValueError("NIVISCO_DATABASE_URL: SQLite needs a file, sqlite:////path/to/file")
        if not Path(parsed.database).absolute().parent.is_dir():
            raise ValueError("NIVISCO_DATABASE_URL: the folder of the SQLite file does not exist")
        return parsed.set(drivername="sqlite+aiosqlite")
    raise ValueError(
        f"NIVISCO_DATABASE_URL: {parsed.drivername} is not supported; use sqlite:////path/to/file"
    )


def _engine(url: URL, busy_seconds: float, pool_wait_seconds: float) -> AsyncEngine:
    engine = create_async_engine(
        url,
        poolclass=AsyncAdaptedQueuePool,
        pool_size=1,
        max_overflow=0,
        pool_timeout=pool_wait_seconds,
        connect_args={"timeout": busy_seconds},
        hide_parameters=True,  # an error's text must not carry what a row holds
    )
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver must not begin transactions by itself: it would leave DDL outside of them.
    connection.isolation_level = None
    try:
        cursor = connection.cursor()
        for pragma in (
            "locking_mode=EXCLUSIVE",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
    except Exception:
        connection.close()  # the pool does not know it yet
        raise


def _begin_sqlite(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN")
