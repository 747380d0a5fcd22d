"""Makes the engine that a database URL asks for: SQLite for one process, PostgreSQL for production.

SQLite is used by exactly one connection in one process (SQLite before 3.51.3 can corrupt a WAL
database that several connections share: sqlite.org/wal.html#walresetbug), so its pool holds one
connection, and a transaction must not begin another.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

SQLITE_BUSY_SECONDS = 10
"""How long a starting core waits for the one before it to let go of the file."""
POOL_WAIT_SECONDS = 5.0
POSTGRESQL_CONNECTIONS = 10
POSTGRESQL_POOL_WAIT_SECONDS = 2.6
POSTGRESQL_OPEN_SECONDS = 2.7
"""Until a transaction is open: the wait for a connection, connecting, and its first answer."""
LOCK_SECONDS = 1.8
STATEMENT_SECONDS = 2.0
SILENCE_SECONDS = 0.2
"""A server that hangs does not end a statement by itself, so it is given up so much later.

Opening and the first statement that hangs are over within 5 seconds.
"""
EXAMINATION_STATEMENT_SECONDS = 120.0
"""How long a statement of an examination may take: nobody's request waits for it."""
_EXAMPLES = "sqlite:////path/to/file or postgresql://user:password@host/database"
_TLS_OPTIONS = ("sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl")
_TLS_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_OPTIONS = ("host", "port", *_TLS_OPTIONS, "target_session_attrs")
"""What may follow the `?`, by the names that libpq gives it."""


def engine_for(
    url: str,
    *,
    busy_seconds: float = SQLITE_BUSY_SECONDS,
    pool_wait_seconds: float = POOL_WAIT_SECONDS,
    connections: int = POSTGRESQL_CONNECTIONS,
    migrating: bool = False,
    statement_seconds: float = STATEMENT_SECONDS,
) -> AsyncEngine:
    """Return the engine of a URL; nothing is connected yet.

    `connections` is for PostgreSQL, which ends a statement after `statement_seconds`. An engine for
    `migrating` may take any time for one, and SQLite does not enforce foreign keys in it: there a
    table is changed by building it anew, and others refer to it meanwhile.

    Raises:
        ValueError: the URL names no database that we can use. The message holds no part of it but
            its scheme and the names of its options, because it may hold a password.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the latter where the port is no number
        raise ValueError(f"NIVISCO_DATABASE_URL is not a database URL; use {_EXAMPLES}") from None
    if parsed.drivername in ("sqlite", "sqlite+aiosqlite"):
        return _sqlite(parsed, busy_seconds, pool_wait_seconds, foreign_keys=not migrating)
    if parsed.drivername in ("postgresql", "postgres", "postgresql+asyncpg"):
        seconds = None if migrating else statement_seconds
        return _postgresql(parsed, pool_wait_seconds, connections, seconds)
    raise ValueError(f"NIVISCO_DATABASE_URL: {parsed.drivername} is not supported; use {_EXAMPLES}")


def check_file(url: str) -> None:
    """Make sure that a SQLite file is there, which connecting would make.

    Raises:
        ValueError: it is not.
    """
    if url.startswith("sqlite") and not Path(make_url(url).database or "").is_file():
        raise ValueError(f"there is no SQLite database at {make_url(url).database}")


def _postgresql(
    url: URL, pool_wait_seconds: float, connections: int, statement_seconds: float | None
) -> AsyncEngine:
    options = _postgresql_options(url.query)
    limits, silence_seconds = {}, None
    if statement_seconds is not None:
        silence_seconds = statement_seconds + SILENCE_SECONDS
        limits = {
            "statement_timeout": f"{statement_seconds * 1000:.0f}ms",
            "lock_timeout": f"{LOCK_SECONDS * 1000:.0f}ms",
        }
    engine = create_async_engine(
        url.set(drivername="postgresql+asyncpg").difference_update_query([*options, "ssl"]),
        pool_size=connections,
        max_overflow=0,
        pool_timeout=min(pool_wait_seconds, POSTGRESQL_POOL_WAIT_SECONDS),
        connect_args={
            # asyncpg knows libpq's options in a DSN only. What the URL says otherwise wins over it.
            "dsn": f"postgresql://?{urlencode(options)}",
            "timeout": POSTGRESQL_OPEN_SECONDS,
            "command_timeout": silence_seconds,
            "server_settings": {
                "application_name": "nivisco-core",
                "timezone": "UTC",
                "idle_in_transaction_session_timeout": "30s",
                # A generic plan made while a table was empty is a bad plan once it is not.
                "plan_cache_mode": "force_custom_plan",
                **limits,
            },
        },
        hide_parameters=True,  # an error's text must not carry what a row holds
    )
    event.listen(engine.sync_engine, "invalidate", _drop_postgresql)
    return engine


def _postgresql_options(query: Mapping[str, Any]) -> dict[str, str]:
    """Return the options of a URL that the driver must be told by a DSN.

    Raises:
        ValueError: one is unknown, or has a value that cannot work.
    """
    unknown = sorted(query.keys() - {*_OPTIONS, "ssl"})
    if unknown:
        raise ValueError(
            f"NIVISCO_DATABASE_URL: the option {unknown[0]} is not supported; "
            f"those are {', '.join(_OPTIONS)}"
        )
    options = {name: str(query[name]) for name in _OPTIONS[2:] if name in query}
    if "ssl" in query:  # as other drivers spell it
        options.setdefault("sslmode", {"true": "require"}.get(str(query["ssl"]), str(query["ssl"])))
    if options.get("sslmode", "prefer") not in _TLS_MODES:
        raise ValueError(f"NIVISCO_DATABASE_URL: sslmode is not one of {', '.join(_TLS_MODES)}")
    for name in _TLS_OPTIONS[1:]:
        if name in options and not Path(options[name]).is_file():
            raise ValueError(f"NIVISCO_DATABASE_URL: the file of {name} does not exist")
    return options


def _drop_postgresql(connection: Any, _record: object, _error: object) -> None:
    """End a connection that failed at once: a server that hangs says no good-bye."""
    connection.driver_connection.terminate()


def _sqlite(
    url: URL, busy_seconds: float, pool_wait_seconds: float, *, foreign_keys: bool
) -> AsyncEngine:
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
    prepare = partial(_prepare_sqlite, foreign_keys=foreign_keys)
    event.listen(engine.sync_engine, "connect", prepare)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object, *, foreign_keys: bool) -> None:
    # The driver must not begin transactions by itself: it would leave DDL outside of them.
    connection.isolation_level = None
    try:
        cursor = connection.cursor()
        for pragma in (
            "locking_mode=EXCLUSIVE",
            "journal_mode=WAL",
            "synchronous=FULL",
            f"foreign_keys={'ON' if foreign_keys else 'OFF'}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
    except Exception:
        connection.close()  # the pool does not know it yet
        raise


def _begin_sqlite(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN")
