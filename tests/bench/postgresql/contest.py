"""Runs the variants of a debit on one PostgreSQL server, each with its own database.

The databases are copies of one that a core migrated and filled, so all variants write the same rows
into the same tables, with the same indexes and constraints.
"""

import resource
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cli.addresses import Address
from cli.children import Spawn
from core.database.engines import POSTGRESQL_CONNECTIONS
from rpc.client import CoreClient
from tests.bench.books import open_wallets
from tests.bench.postgresql.pgbench import Pgbench
from tests.bench.postgresql.server import Server, execute, query
from tests.bench.stack import (
    CLIENT,
    adapter_process,
    core_process,
    process_cpu_seconds,
    running,
    script_process,
)
from tests.core.running import Business, register
from tests.databases import own_postgresql

OURS, PGBENCH, ORM = "ours", "pgbench", "orm"
"""The databases."""
_FILLED = "filled"
_SERVICE = Path(__file__).with_name("orm_service.py")


@dataclass(frozen=True, slots=True)
class Contest:
    """The running processes, and the wallets of every database."""

    server: Server
    business: Business
    wallet_ids: dict[str, str]
    """By user id. The first one is the hot wallet."""
    adapter: Address
    service: Address
    pgbench: Pgbench
    pids: dict[str, int]

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


@asynccontextmanager
async def running_contest(wallets: int, clients: int) -> AsyncIterator[Contest]:
    """Run everything, with this many wallets and a hot one, until the block ends.

    Raises:
        Failure: a process failed to start; the message has its last lines.
        TimeoutError: a process was not ready in time.
    """
    async with AsyncExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="nivisco-bench-"))
        directory = Path(name)
        server = await Server.at(stack.enter_context(own_postgresql()).url)
        core_of = core_process(directory, await server.create_database(_FILLED))
        filled, wallet_ids = await _fill(server, core_of, wallets + 1)
        for database in (OURS, PGBENCH, ORM):
            await server.create_database(database, _FILLED)
        pgbench = Pgbench(server, PGBENCH, clients, directory)
        await pgbench.number_wallets(list(wallet_ids.values()))
        core, core_at = await stack.enter_async_context(
            running(_on(core_of, server.database_url(OURS)))
        )
        adapter, adapter_at = await stack.enter_async_context(
            running(adapter_process(directory, core_at))
        )
        service, service_at = await stack.enter_async_context(
            running(
                script_process(
                    directory,
                    _SERVICE,
                    {
                        "DATABASE_URL": server.database_url(ORM),
                        "DATABASE_POOL_SIZE": str(POSTGRESQL_CONNECTIONS),
                    },
                )
            )
        )
        client = CoreClient(str(core_at))
        stack.push_async_callback(client.close)
        yield Contest(
            server=server,
            business=replace(filled, client=client),
            wallet_ids=wallet_ids,
            adapter=adapter_at,
            service=service_at,
            pgbench=pgbench,
            pids={"adapter": adapter.pid, "core": core.pid, "service": service.pid},
        )


async def _fill(server: Server, core_of: Spawn, count: int) -> tuple[Business, dict[str, str]]:
    """Open wallets through a core; return the business and each user's wallet.

    The tables are analysed, because the first plans would suit empty ones.
    """
    url = server.database_url(_FILLED)
    async with running(core_of) as (_, core_at):
        client = CoreClient(str(core_at))
        try:
            business = await register(client)
            user_ids = await open_wallets(business, count)
        finally:
            await client.close()
    wallet_of = dict(await query(url, "SELECT user_id, wallet_id FROM wallets"))
    await execute(url, "VACUUM ANALYZE")
    return business, {user_id: wallet_of[user_id] for user_id in user_ids}


def _on(core_of: Spawn, database_url: str) -> Spawn:
    environment = core_of.environment | {"NIVISCO_DATABASE_URL": database_url}
    return replace(core_of, environment=environment)
