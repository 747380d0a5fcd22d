"""Makes the engine of a database URL: SQLite for one process, PostgreSQL for production.

SQLite is used by exactly one connection in one process (SQLite before 3.51.3 can corrupt a WAL
database that several connections share: sqlite.org/wal.html#walresetbug), so its pool holds one
connection, and a transaction must not open another one.
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
"""How long a starting core waits for the previous one to release the file."""
POOL_WAIT_SECONDS = 5.0
POSTGRESQL_CONNECTIONS = 10
POSTGRESQL_LIST_CONNECTIONS = 3
"""Connections that only lists use, so that slow ones leave the others to charges."""
POSTGRESQL_POOL_WAIT_SECONDS = 2.6
POSTGRESQL_OPEN_SECONDS = 2.7
"""Limit for opening a transaction: waiting for a connection, connecting, and the first query."""
LOCK_SECONDS = 1.8
STATEMENT_SECONDS = 2.0
CLIENT_EXTRA_SECONDS = 0.2
"""The client's timeout for a statement is this much longer than the server's.

A server that hangs does not enforce its own. Opening a transaction and its first statement take at
most 5 seconds together.
"""
LIST_SETTINGS = {
    # Total and rows of a list come from one state of the database.
    "default_transaction_isolation": "repeatable read",
    "default_transaction_read_only": "on",
    # An index has every list in its order: core.database.paging. Statistics that are old must not
    # make the planner read a whole table, nor compile for longer than the query runs.
    "enable_seqscan": "off",
    "jit": "off",
}
EXAMINATION_STATEMENT_SECONDS = 120.0
"""Limit for a statement of `nivisco doctor`, which no request waits for."""
_EXAMPLES = "sqlite:////path/to/file or postgresql://user:password@host/database"
_TLS_OPTIONS = ("sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl")
_TLS_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_OPTIONS = ("host", "port", *_TLS_OPTIONS, "target_session_attrs")
"""Supported query parameters of a URL, with libpq's names."""


def engine_for(
    url: str,
    *,
    busy_seconds: float = SQLITE_BUSY_SECONDS,
    pool_wait_seconds: float = POOL_WAIT_SECONDS,
    connections: int = POSTGRESQL_CONNECTIONS,
    migrating: bool = False,
    statement_seconds: float = STATEMENT_SECONDS,
    settings: Mapping[str, str] | None = None,
) -> AsyncEngine:
    """Return the engine of a URL; it does not connect yet.

    PostgreSQL has up to `connections` connections with additional `settings` and cancels a
    statement after `statement_seconds`. An engine for `migrating` has no time limit, and does not
    enforce foreign keys on SQLite, where a table is altered by rebuilding it.

    Raises:
        ValueError: the URL is not that of a supported database. The message contains only its
            scheme and the names of its options, because a URL may contain a password.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # ValueError: the port is no number
        raise ValueError(f"NIVISCO_DATABASE_URL is not a database URL; use {_EXAMPLES}") from None
    if parsed.drivername in ("sqlite", "sqlite+aiosqlite"):
        return _sqlite(parsed, busy_seconds, pool_wait_seconds, foreign_keys=not migrating)
    if parsed.drivername in ("postgresql", "postgres", "postgresql+asyncpg"):
        seconds = None if migrating else statement_seconds
        return _postgresql(parsed, pool_wait_seconds, connections, seconds, settings or {})
    raise ValueError(f"NIVISCO_DATABASE_URL: {parsed.drivername} is not supported; use {_EXAMPLES}")


def check_file(url: str) -> None:
    """Check that the SQLite file of a URL exists; connecting would create it.

    Raises:
        ValueError: the file does not exist.
    """
    if url.startswith("sqlite") and not Path(make_url(url).database or "").is_file():
        raise ValueError(f"there is no SQLite database at {make_url(url).database}")


def _postgresql(
    url: URL,
    pool_wait_seconds: float,
    connections: int,
    statement_seconds: float | None,
    settings: Mapping[str, str],
) -> AsyncEngine:
    options = _postgresql_options(url.query)
    limits, client_seconds = {}, None
    if statement_seconds is not None:
        client_seconds = statement_seconds + CLIENT_EXTRA_SECONDS
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
            # asyncpg reads libpq's options from a DSN only. The URL's other parts override it.
            "dsn": f"postgresql://?{urlencode(options)}",
            "timeout": POSTGRESQL_OPEN_SECONDS,
            "command_timeout": client_seconds,
            "server_settings": {
                "application_name": "nivisco-core",
                "timezone": "UTC",
                # Over what the role or database sets: a pending payment must be on disk before its
                # card is charged, and waiting for a row lock must read the row as it is then.
                "synchronous_commit": "on",
                "default_transaction_isolation": "read committed",
                "idle_in_transaction_session_timeout": "30s",
                # A generic plan that was made for an empty table is bad for a full one.
                "plan_cache_mode": "force_custom_plan",
                # With statistics from before a backlog, the planner would read and sort all due
                # rows for the first few, rather than follow the index in their order.
                "enable_bitmapscan": "off",
                **limits,
                **settings,
            },
        },
        hide_parameters=True,  # error texts must not contain values of rows
    )
    event.listen(engine.sync_engine, "invalidate", _drop_postgresql)
    return engine


def _postgresql_options(query: Mapping[str, Any]) -> dict[str, str]:
    """Return the options of a URL that asyncpg reads from a DSN.

    Raises:
        ValueError: an option is not supported, or its value is invalid.
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
    """Abort a failed connection; closing it would wait for a server that hangs."""
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
        hide_parameters=True,  # error texts must not contain values of rows
    )
    prepare = partial(_prepare_sqlite, foreign_keys=foreign_keys)
    event.listen(engine.sync_engine, "connect", prepare)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object, *, foreign_keys: bool) -> None:
    # The driver must not begin transactions itself, which would leave DDL outside of them.
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
        connection.close()  # it is not in the pool yet
        raise


def _begin_sqlite(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN")
