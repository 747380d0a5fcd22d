"""Makes the engine that a database URL asks for: SQLite for one process, PostgreSQL for production.

SQLite is used by exactly one connection in one process (SQLite before 3.51.3 can corrupt a WAL
database that several connections share: sqlite.org/wal.html#walresetbug), so its pool holds one
connection, and a transaction must not begin another.
"""

from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

SQLITE_BUSY_SECONDS = 10
"""How long a starting core waits for the one before it to let go of the file."""
POOL_WAIT_SECONDS = 5.0
POSTGRESQL_CONNECTIONS = 10
POSTGRESQL_POOL_WAIT_SECONDS = 2.0
CONNECT_SECONDS = 3.0
STATEMENT_SECONDS = 3.0
LOCK_SECONDS = 2.0
"""A database that hangs is answered for within 5 seconds, waiting for a connection included."""
EXAMINATION_STATEMENT_SECONDS = 120.0
"""How long a statement of an examination may take: nobody's request waits for it."""
_EXAMPLES = "sqlite:////path/to/file or postgresql://user:password@host/database"


def engine_for(
    url: str,
    *,
    busy_seconds: float = SQLITE_BUSY_SECONDS,
    pool_wait_seconds: float = POOL_WAIT_SECONDS,
    statement_seconds: float = STATEMENT_SECONDS,
) -> AsyncEngine:
    """Return the engine of a URL; nothing is connected yet.

    PostgreSQL ends a statement after `statement_seconds`; SQLite never does.

    Raises:
        ValueError: the URL names no database that we can use. The message holds no part of it but
            its scheme, because it may hold a password.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ValueError(f"NIVISCO_DATABASE_URL is not a database URL; use {_EXAMPLES}") from None
    if parsed.drivername in ("sqlite", "sqlite+aiosqlite"):
        return _sqlite(parsed, busy_seconds, pool_wait_seconds)
    if parsed.drivername in ("postgresql", "postgres", "postgresql+asyncpg"):
        return _postgresql(parsed, pool_wait_seconds, statement_seconds)
    raise ValueError(f"NIVISCO_DATABASE_URL: {parsed.drivername} is not supported; use {_EXAMPLES}")


def check_file(url: str) -> None:
    """Make sure that a SQLite file is there, which connecting would make.

    Raises:
        ValueError: it is not.
    """
    if url.startswith("sqlite") and not Path(make_url(url).database or "").is_file():
        raise ValueError(f"there is no SQLite database at {make_url(url).database}")


def _postgresql(url: URL, pool_wait_seconds: float, statement_seconds: float) -> AsyncEngine:
    return create_async_engine(
        url.set(drivername="postgresql+asyncpg"),
        pool_size=POSTGRESQL_CONNECTIONS,
        max_overflow=0,
        pool_timeout=min(pool_wait_seconds, POSTGRESQL_POOL_WAIT_SECONDS),
        pool_pre_ping=True,  # a server that restarted costs no request
        connect_args={
            "timeout": CONNECT_SECONDS,
            "command_timeout": statement_seconds,
            "server_settings": {
                "application_name": "nivisco-core",
                "timezone": "UTC",
                "statement_timeout": f"{statement_seconds:.0f}s",
                "lock_timeout": f"{LOCK_SECONDS:.0f}s",
                "idle_in_transaction_session_timeout": "30s",
                # A generic plan made while a table was empty is a bad plan once it is not.
                "plan_cache_mode": "force_custom_plan",
            },
        },
        hide_parameters=True,  # an error's text must not carry what a row holds
    )


def _sqlite(url: URL, busy_seconds: float, pool_wait_seconds: float) -> AsyncEngine:
    if not url.database or url.database == ":memory:":
        raise ValueError("NIVISCO_DATABASE_URL: SQLite needs a file, sqlite:////path/to/file")
    if not Path(url.database).absolute().parent.is_dir():
        raise ValueError("NIVISCO_DATABASE_URL: the folder of the SQLite file does not exist")
    engine = create_async_engine(
        url.set(drivername="sqlite+aiosqlite"),
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
