"""From a database URL to connections: SQLite for one process, PostgreSQL for production.

SQLite is used by exactly one connection in one process (SQLite before 3.51.3 can corrupt a WAL
database that several connections share: sqlite.org/wal.html#walresetbug), so its pool holds one
connection, and a transaction must not open another one.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from core.database.connections import Connection
from core.database.postgresql import PostgresqlConnection, connect
from core.database.sqlite import PRAGMAS, SqliteConnection

SQLITE_BUSY_SECONDS = 10
"""How long a starting core waits for the previous one to release the file."""
POOL_WAIT_SECONDS = 5.0
POSTGRESQL_CONNECTIONS = 10
POSTGRESQL_LIST_CONNECTIONS = 3
"""Connections that only lists use, so that slow ones leave the others to charges."""
POSTGRESQL_READ_CONNECTIONS = 2
"""Connections that only single reads use, which take a fraction of a millisecond."""
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
TRANSACTION_SETTINGS = {
    # Each statement is planned once for a connection. It may be while tables are empty, so what is
    # good for an empty table only is off: every statement finds its rows by an index.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_incremental_sort": "off",
    "jit": "off",
}
"""Of connections whose statements find a few rows by their keys."""
READ_SETTINGS = TRANSACTION_SETTINGS | {"default_transaction_read_only": "on"}
EXAMINATION_STATEMENT_SECONDS = 120.0
"""Limit for a statement of `nivisco doctor`, which no request waits for."""
_DRIVERS = {
    "sqlite": ("sqlite", "sqlite+aiosqlite"),
    "postgresql": ("postgresql", "postgres", "postgresql+asyncpg"),
}
_EXAMPLES = "sqlite:////path/to/file or postgresql://user:password@host/database"
_TLS_OPTIONS = ("sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl")
_TLS_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_OPTIONS = ("host", "port", *_TLS_OPTIONS, "target_session_attrs")
"""Supported query parameters of a URL, with libpq's names."""

Connect = Callable[[], Awaitable[Connection]]
"""Opens a connection."""


def connector(
    url: str,
    *,
    busy_seconds: float = SQLITE_BUSY_SECONDS,
    statement_seconds: float = STATEMENT_SECONDS,
    settings: Mapping[str, str] | None = None,
) -> Connect:
    """Return what opens connections to the database of a URL.

    PostgreSQL cancels a statement after `statement_seconds` and has additional `settings`. SQLite
    waits `busy_seconds` for another process to release the file.

    Raises:
        ValueError: the URL is not that of a supported database. The message contains only its
            scheme and the names of its options, because a URL may contain a password.
    """
    parsed = _parsed(url)
    if parsed.get_backend_name() == "sqlite":
        return partial(SqliteConnection.open, _file_of(parsed), busy_seconds)
    arguments = _postgresql_arguments(parsed, statement_seconds, settings or {})

    async def open_postgresql() -> Connection:
        return PostgresqlConnection(await connect(arguments), arguments["command_timeout"])

    return open_postgresql


def engine_for(url: str) -> AsyncEngine:
    """Return SQLAlchemy's engine of a URL, for migrations; it does not connect yet.

    Its statements have no time limit. It does not enforce foreign keys on SQLite, where a table is
    altered by rebuilding it.

    Raises:
        ValueError: as `connector` does.
    """
    parsed = _parsed(url)
    options: dict[str, Any] = {
        "poolclass": NullPool,
        "hide_parameters": True,  # error texts must not contain values of rows
    }
    if parsed.get_backend_name() == "sqlite":
        engine = create_async_engine(
            f"sqlite+aiosqlite:///{_file_of(parsed)}",
            connect_args={"timeout": SQLITE_BUSY_SECONDS},
            **options,
        )
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
        return engine
    creator = partial(connect, _postgresql_arguments(parsed, None, {}))
    return create_async_engine("postgresql+asyncpg://", async_creator=creator, **options)


def is_postgresql(url: str) -> bool:
    """Return whether a URL is PostgreSQL's, and not SQLite's.

    Raises:
        ValueError: it is neither.
    """
    return _parsed(url).get_backend_name() == "postgresql"


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # ValueError: the port is no number
        raise ValueError(f"NIVISCO_DATABASE_URL is not a database URL; use {_EXAMPLES}") from None
    for name, spellings in _DRIVERS.items():
        if parsed.drivername in spellings:
            return parsed.set(drivername=name)
    raise ValueError(f"NIVISCO_DATABASE_URL: {parsed.drivername} is not supported; use {_EXAMPLES}")


def check_file(url: str) -> None:
    """Check that the SQLite file of a URL exists; connecting would create it.

    Raises:
        ValueError: the file does not exist.
    """
    if url.startswith("sqlite") and not Path(make_url(url).database or "").is_file():
        raise ValueError(f"there is no SQLite database at {make_url(url).database}")


def _postgresql_arguments(
    url: URL, statement_seconds: float | None, settings: Mapping[str, str]
) -> dict[str, Any]:
    """Return the arguments of `asyncpg.connect`.

    Raises:
        ValueError: an option is not supported, or its value is invalid.
    """
    limits, client_seconds = {}, None
    if statement_seconds is not None:
        client_seconds = statement_seconds + CLIENT_EXTRA_SECONDS
        limits = {
            "statement_timeout": f"{statement_seconds * 1000:.0f}ms",
            "lock_timeout": f"{LOCK_SECONDS * 1000:.0f}ms",
        }
    return {
        # asyncpg reads libpq's options from a DSN only. The other arguments override it.
        "dsn": f"postgresql://?{urlencode(_postgresql_options(url.query))}",
        "host": url.host,
        "port": url.port,
        "user": url.username,
        "password": url.password,
        "database": url.database,
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
            # Lists and examinations are planned with their values and today's statistics.
            "plan_cache_mode": "force_custom_plan",
            # With statistics from before a backlog, the planner would read and sort all due
            # rows for the first few, rather than follow the index in their order.
            "enable_bitmapscan": "off",
            **limits,
            **settings,
        },
    }


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
    options = {name: _text(query[name]) for name in _OPTIONS if name in query}
    if "ssl" in query:  # as other drivers spell it
        options.setdefault("sslmode", {"true": "require"}.get(str(query["ssl"]), str(query["ssl"])))
    if options.get("sslmode", "prefer") not in _TLS_MODES:
        raise ValueError(f"NIVISCO_DATABASE_URL: sslmode is not one of {', '.join(_TLS_MODES)}")
    for name in _TLS_OPTIONS[1:]:
        if name in options and not Path(options[name]).is_file():
            raise ValueError(f"NIVISCO_DATABASE_URL: the file of {name} does not exist")
    return options


def _text(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else ",".join(value)  # several hosts


def _file_of(url: URL) -> str:
    """Return the path of a SQLite database.

    Raises:
        ValueError: there is none, or its folder does not exist.
    """
    if not url.database or url.database == ":memory:":
        raise ValueError("NIVISCO_DATABASE_URL: SQLite needs a file, sqlite:////path/to/file")
    if not Path(url.database).absolute().parent.is_dir():
        raise ValueError("NIVISCO_DATABASE_URL: the folder of the SQLite file does not exist")
    return url.database


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver must not begin transactions itself, which would leave DDL outside of them.
    connection.isolation_level = None
    try:
        cursor = connection.cursor()
        for pragma in (*PRAGMAS, "foreign_keys=OFF"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
    except Exception:
        connection.close()  # it is not in the pool yet
        raise


def _begin_sqlite(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN")
