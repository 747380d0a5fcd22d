"""Benchmark of recurring jobs: `python -m tests.bench.recurring`, part of `make bench`.

Claims: the time of a batch of 100 out of 10,000 due jobs, while the table grows from 10,000 to a
million rows. Charges: the time of one scheduler and one core for 1,000 due charges at a gateway
that answers after 300 ms. Both on a PostgreSQL server from pip. Numbers of other runs or machines
are not comparable.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import click
from sqlalchemy import text

from core.database.migrations.upgrade import migrate
from core.database.transactions import Database
from core.recurring.claims import Claims
from core.recurring.clock_store import JobClock
from tests.core.running import Gateway, running_sandbox
from tests.databases import empty_database, own_postgresql
from tests.processes import Running, serving_line, start_process
from tests.scheduler.due_jobs import (
    KEYRING,
    SERVICE_TOKENS,
    core_settings,
    merchants_with_due_jobs,
)
from tests.scheduler.occurrences_core import TOKEN

CLAIM_RATIO_MAX = 1.5
BATCH = 100
CHARGES_SECONDS_MAX = 20.0
DELAY_SECONDS = 0.3
CONCURRENCY = 64
MERCHANTS = 20
PATIENCE_SECONDS = 300.0
_ROWS_AT_ONCE = 20_000
_BUSINESSES = """INSERT INTO businesses
    SELECT 'B' || n, 'n', 'e', 'd', true, 'h', 'TEST', now(), now() FROM generate_series(0, 99) n"""
_USERS = """INSERT INTO users
    (business_id, user_id, name, email, active, currency, created_at, updated_at)
    SELECT 'B' || n, 'U', 'n', 'e', true, 'usd', now(), now() FROM generate_series(0, 99) n"""
_JOBS = """INSERT INTO recurring_jobs
    (business_id, recurring_id, user_id, env, amount_minor, currency, source, interval_type,
     interval_value, starts_local, timezone, counts_from, catch_up, status, next_run, due_at,
     executed_cycles, failed_cycles, fencing_token, created_at, updated_at)
    SELECT 'B' || n % 100, 'REC-' || n, 'U', 'LIVE', 100, 'usd', 'wallet', 'month', 1,
           to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS'), 'UTC',
           at - interval '1 second', 'latest', 'active', at, at, 0, 0, 0, now(), now()
    FROM (SELECT n, date_trunc('second', now()) + CASE WHEN n <= CAST(:due AS integer)
          THEN -n * interval '1 second' ELSE n * interval '1 minute' END AS at
          FROM generate_series(CAST(:first AS integer), CAST(:last AS integer)) n) jobs"""


async def _fill(database: Database, first: int, last: int, due: int) -> None:
    """Insert jobs with these numbers; those up to `due` are due."""
    for start in range(first, last + 1, _ROWS_AT_ONCE):
        numbers = {"first": start, "last": min(start + _ROWS_AT_ONCE - 1, last), "due": due}
        async with database.transaction() as transaction:
            await transaction.connection.execute(text(_JOBS), numbers)
    async with database.transaction() as transaction:
        await transaction.connection.execute(text("ANALYZE recurring_jobs"))


async def _claim_seconds(claims: Claims, batches: int) -> float:
    """Return the median time of a batch."""
    taken = []
    for _ in range(batches):
        begun = time.perf_counter()
        leases = await claims.claim(
            "bench",
            limit=BATCH,
            limit_per_business=32,
            excluded_business_ids=[],
            lease_duration=timedelta(hours=1),
        )
        taken.append(time.perf_counter() - begun)
        assert len(leases) == BATCH, "so many are due"
    return statistics.median(taken)


async def claims_row(url: str, *, is_small: bool) -> None:
    """Print how the time of a claim grows with the table."""
    database = Database(url)
    await migrate(database)
    due, batches = (1_000, 3) if is_small else (10_000, 15)
    claims = Claims(database, JobClock(has_test_clocks=False))
    async with database.transaction() as transaction:
        await transaction.connection.execute(text(_BUSINESSES))
        await transaction.connection.execute(text(_USERS))
    sizes = [due, 2 * due] if is_small else [due, 10 * due, 100 * due]
    found, filled = [], 0
    for size in sizes:
        await _fill(database, filled + 1, size, due)
        filled = size
        found.append(await _claim_seconds(claims, batches))
        click.echo(f"a claim of {BATCH} among {size:>9,} jobs {found[-1] * 1000:8.1f} ms")
    ratio = found[-1] / found[0]
    click.echo(f"the largest table / the smallest       {ratio:8.2f}   (at most {CLAIM_RATIO_MAX})")
    await database.close()


def _process(*arguments: str, **variables: str) -> Running:
    return start_process("-m", "cli", *arguments, **variables)


async def charges_row(url: str, path: Path, *, is_small: bool) -> None:
    """Print the time of all due charges."""
    jobs = 40 if is_small else 1_000
    merchants = 4 if is_small else MERCHANTS
    async with running_sandbox(path) as sandbox_url:
        settings = core_settings(path, url, sandbox_url)
        await merchants_with_due_jobs(settings, [jobs // merchants] * merchants)
        await Gateway(sandbox_url).fault(
            "delay", "/v1/payment_intents", times=jobs, seconds=DELAY_SECONDS
        )
        core = _process(
            *("core", "--grpc", "127.0.0.1:0"),
            NIVISCO_DATABASE_URL=url,
            NIVISCO_SECRET_KEYS=KEYRING,
            NIVISCO_SERVICE_TOKENS=",".join(f"{s}:{token}" for token, s in SERVICE_TOKENS.items()),
            NIVISCO_STRIPE_TEST_URL=sandbox_url,
        )
        served = await asyncio.to_thread(core.wait_for_match, serving_line("core"))
        begun = time.perf_counter()
        scheduler = _process(
            *("scheduler", "--core", served[1], "--http", "127.0.0.1:0"),
            NIVISCO_SERVICE_TOKEN=TOKEN,
        )
        try:
            statuses = await _all_logged(url, jobs, [core, scheduler])
            seconds = time.perf_counter() - begun
        finally:
            scheduler.end()
            core.end()
    assert statuses == {"succeeded": jobs}, statuses
    least = DELAY_SECONDS * jobs / CONCURRENCY
    click.echo(
        f"{jobs:,} due charges at {DELAY_SECONDS * 1000:.0f} ms {seconds:8.1f} s    "
        f"(at most {CHARGES_SECONDS_MAX:.0f}; {CONCURRENCY} at once would take {least:.1f})"
    )


async def _all_logged(url: str, jobs: int, processes: Sequence[Running]) -> Counter[str]:
    """Wait for the log rows and count their outcomes; read the processes' output meanwhile."""
    database = Database(url)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                async with database.transaction() as transaction:
                    rows = await transaction.connection.execute(
                        text("SELECT status, count(*) FROM recurring_logs GROUP BY status")
                    )
                    found = Counter({row[0]: row[1] for row in rows})
                for process in processes:
                    process.read_now()  # a full pipe would block them
                if found.total() >= jobs:
                    return found
                await asyncio.sleep(0.1)
    finally:
        await database.close()


def main() -> None:
    """Print every row."""
    is_small = "--small" in sys.argv[1:]
    with own_postgresql() as server, tempfile.TemporaryDirectory() as folder:
        asyncio.run(claims_row(empty_database(server.url), is_small=is_small))
        asyncio.run(charges_row(empty_database(server.url), Path(folder), is_small=is_small))


if __name__ == "__main__":
    main()
