"""Runs variants of the same requests on one PostgreSQL server, each with its own database.

The databases are copies of one that a core migrated and filled, so all variants write the same rows
into the same tables, with the same indexes and constraints.
"""

import resource
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from cli.addresses import Address
from cli.children import Spawn
from core.database.engines import POSTGRESQL_CONNECTIONS
from rpc.client import CoreClient
from tests.bench.accounts import Account, Books, open_accounts
from tests.bench.calls import Call, open_clients
from tests.bench.postgresql.ledger import read_ledger
from tests.bench.postgresql.pgbench import Pgbench
from tests.bench.postgresql.server import Server, execute, running_server
from tests.bench.samples import Turn
from tests.bench.size import Size
from tests.bench.stack import (
    CLIENT,
    adapter_process,
    core_process,
    process_cpu_seconds,
    running,
    script_process,
    with_settings,
)
from tests.bench.turns import take_turn

OURS, PGBENCH, ORM = "ours", "pgbench", "orm"
"""The databases."""
_FILLED = "filled"
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Contest:
    """The server, the wallets of every database, and what was acknowledged in each."""

    server: Server
    directory: Path
    core: Spawn
    """The command of a core on the database OURS."""
    accounts: dict[str, list[Account]]
    """By group."""
    opened: AsyncExitStack
    """Closes what was started."""
    number: int
    """Distinguishes its databases from those of other parts."""
    pids: dict[str, int] = field(default_factory=dict)
    acknowledged: dict[str, Counter[str]] = field(default_factory=dict)
    """By database and group."""

    def cpu_seconds(self) -> dict[str, float]:
        """Return the CPU time so far, by process.

        Of this process's children only pgbench ends during a measurement.
        """
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return (
            {CLIENT: time.process_time()}
            | {name: process_cpu_seconds(pid) for name, pid in self.pids.items()}
            | {"pgbench": ended.ru_utime + ended.ru_stime, "postgres": self.server.cpu_seconds()}
        )

    async def create(self, database: str) -> str:
        """Create the database of a variant and return its URL."""
        self.acknowledged[database] = Counter()
        return await self.server.create_database(self._name(database), _FILLED)

    def _name(self, database: str) -> str:
        return f"{database}_{self.number}"

    def _url(self, database: str) -> str:
        return self.server.database_url(self._name(database))

    async def start(self, what: Spawn, name: str = "") -> Address:
        """Start a process, whose CPU time is then reported by name, and return its address."""
        child, address = await self.opened.enter_async_context(running(what))
        self.pids[name or what.name] = child.pid
        return address

    async def start_ours(self) -> Address:
        """Start a core and an adapter on a database of their own; return the adapter's address."""
        await self.create(OURS)
        core = await self.start(self.core)
        return await self.start(adapter_process(self.directory, core))

    async def start_orm_service(self) -> Address:
        """Start the ORM service on a database of its own, with as many connections as a core."""
        url = (await self.create(ORM)).replace("postgresql:", "postgresql+asyncpg:", 1)
        pool = {"DATABASE_URL": url, "DATABASE_POOL_SIZE": str(POSTGRESQL_CONNECTIONS)}
        return await self.start(script_process(self.directory, "orm_service", **pool), "service")

    async def start_pgbench(self) -> Pgbench:
        """Return pgbench on a database of its own."""
        await self.create(PGBENCH)
        pgbench = Pgbench(self.server, self._name(PGBENCH), self.directory)
        every = [account.wallet_id for group in self.accounts.values() for account in group]
        await pgbench.number_wallets(every)
        return pgbench

    def numbers(self, group: str) -> range:
        """Return the numbers of a group's wallets for pgbench."""
        first = 0
        for name, accounts in self.accounts.items():
            if name == group:
                return range(first, first + len(accounts))
            first += len(accounts)
        raise KeyError(group)

    async def clients(
        self, server: Address, requests: dict[str, bytes], number: int
    ) -> Sequence[Call]:
        """Return so many clients of a server."""
        return await open_clients(self.opened, server, requests, number)

    async def take_turn(self, clients: Sequence[Call], group: str, seconds: float) -> Turn:
        """Run clients on the wallets of a group for a while."""
        users = [account.user_id for account in self.accounts[group]]
        return await take_turn(self.cpu_seconds, clients, users, seconds)

    async def books(self) -> dict[str, Books]:
        """Return the books of every variant."""
        groups = {
            account.wallet_id: group
            for group, accounts in self.accounts.items()
            for account in accounts
        }
        return {
            database: await read_ledger(
                self.server.database_url(self._name(database)), groups, counted
            )
            for database, counted in self.acknowledged.items()
        }


@dataclass(frozen=True, slots=True)
class Filled:
    """A server with a database of filled wallets, and the core that filled it."""

    server: Server
    directory: Path
    core: Spawn
    accounts: dict[str, list[Account]]
    """By group."""


@asynccontextmanager
async def running_filled(size: Size) -> AsyncIterator[Filled]:
    """Run a server with filled wallets until the block ends.

    Raises:
        Failure: a process failed to start; the message has its last lines.
        TimeoutError: a process was not ready in time.
    """
    with running_server() as (server, directory):
        core = core_process(directory, await server.create_database(_FILLED))
        async with running(core) as (_, core_at):
            client = CoreClient(str(core_at))
            try:
                accounts = await open_accounts(client, size)
            finally:
                await client.close()
        # The first plans would suit empty tables.
        await execute(server.database_url(_FILLED), "VACUUM ANALYZE")
        yield Filled(server, directory, core, accounts)


@asynccontextmanager
async def running_contest(filled: Filled) -> AsyncIterator[Contest]:
    """Run the variants of one part until the block ends; the server keeps their databases."""
    server = filled.server
    number = next(_numbers)
    url = server.database_url(f"{OURS}_{number}")
    core = with_settings(filled.core, NIVISCO_DATABASE_URL=url)
    async with AsyncExitStack() as opened:
        yield Contest(server, filled.directory, core, filled.accounts, opened, number)
