"""Runs pgbench with debit.sql: the same debit in hand-written SQL.

One connection per client, prepared statements, one round trip each.
"""

import asyncio
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.accounts import CHARGED_CENTS
from tests.bench.histogram import Histogram
from tests.bench.http_connection import UnexpectedAnswer
from tests.bench.postgresql.server import Server, client_program, execute
from tests.bench.samples import Turn
from tests.bench.turns import CpuSeconds

_SCRIPT = Path(__file__).with_name("debit.sql")
_TRANSACTIONS_LEAST = 10
"""Of each client, in the first turn, which shows how many are one second's."""
_PER_SECOND = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)
_NONE_FAILED = "number of failed transactions: 0 "
_LATENCY_FIELD = 2
"""In microseconds: client, transaction, time, … (pgbench's manual, Per-Transaction Logging)."""


@dataclass(frozen=True, slots=True)
class Pgbench:
    """pgbench on one database."""

    server: Server
    database: str
    directory: Path
    """Directory of its log."""
    rates: dict[tuple[int, range], float] = field(default_factory=dict)
    """Transactions a second in the latest turn with these clients and wallets."""

    async def number_wallets(self, wallet_ids: Sequence[str]) -> None:
        """Number the wallets from 0, because pgbench draws random numbers only."""
        url = self.server.database_url(self.database)
        await execute(
            url,
            "CREATE TABLE numbered_wallets "
            "(number integer PRIMARY KEY, business_id text NOT NULL, wallet_id text NOT NULL)",
        )
        await execute(
            url,
            "INSERT INTO numbered_wallets SELECT $1, business_id, wallet_id FROM wallets "
            "WHERE wallet_id = $2",
            list(enumerate(wallet_ids)),
        )
        await execute(url, "VACUUM ANALYZE numbered_wallets")

    async def take_turn(
        self, cpu_seconds: CpuSeconds, clients: int, wallets: range, seconds: float
    ) -> Turn:
        """Debit the wallets with these numbers for a while, with a connection for each client.

        A turn is a number of transactions, because pgbench counts the time in which it connects
        among its seconds. It connects anew for every turn, which the server's CPU time includes (a
        few ms per connection) and its rate does not.

        Raises:
            UnexpectedAnswer: a transaction failed.
        """
        expected = self.rates.get((clients, wallets), 0.0) * seconds
        transactions = max(_TRANSACTIONS_LEAST, round(expected / clients))
        before = cpu_seconds()
        printed = await self._run(clients, wallets, transactions)
        after = cpu_seconds()
        latencies = self._latencies()
        rate = _PER_SECOND.search(printed)
        if rate is None or _NONE_FAILED not in printed or not latencies:
            raise UnexpectedAnswer(f"pgbench: {printed}")
        self.rates[clients, wallets] = float(rate[1])
        cpu = {name: after[name] - before[name] for name in after}
        return Turn(len(latencies) / float(rate[1]), latencies, cpu)

    async def _run(self, clients: int, wallets: range, transactions: int) -> str:
        process = await asyncio.create_subprocess_exec(
            client_program("pgbench"),
            *("-n", "-M", "prepared", "-f", str(_SCRIPT), "-c", str(clients)),
            *("-t", str(transactions)),
            *("-D", f"first={wallets[0]}", "-D", f"last={wallets[-1]}"),
            *("-D", f"cents={CHARGED_CENTS}", "--log", f"--log-prefix={self.directory}/pgbench"),
            *("-h", self.server.directory, "-U", "postgres", self.database),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            printed = (await process.communicate())[0].decode()
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if process.returncode != 0:
            raise UnexpectedAnswer(f"pgbench: {printed}")
        return printed

    def _latencies(self) -> Histogram:
        """Return the times of the transactions, and delete the log."""
        latencies = Histogram()
        for log in self.directory.glob("pgbench.*"):
            for line in log.read_text().splitlines():
                latencies.record(int(line.split()[_LATENCY_FIELD]) / 1e6)
            log.unlink()
        return latencies
