"""Part `recurring`: claims of due jobs while the table grows, and the time of many due charges.

Claims: the time of a batch of 100, from 10,000 jobs to a million. Charges: one scheduler and one
core for 1,000 due charges at a sandbox that answers after 300 ms. Both on PostgreSQL.
"""

import asyncio
import statistics
import time
from datetime import timedelta
from pathlib import Path

from core.database.migrations.upgrade import migrate
from core.database.transactions import Database
from core.recurring.claims import Claims
from core.recurring.clock_store import JobClock
from tests.bench.figures import Figure, Result, at_most
from tests.bench.postgresql.server import execute, query
from tests.bench.run import Run
from tests.bench.samples import Spread, ratio
from tests.bench.size import Size
from tests.bench.stack import core_process, running, scheduler_process
from tests.core.running import Gateway, running_sandbox
from tests.scheduler.due_jobs import (
    KEYRING,
    SERVICE_TOKENS,
    core_settings,
    merchants_with_due_jobs,
)
from tests.scheduler.occurrences_core import TOKEN

_CLAIM_RATIO_MAX = 1.5
_BATCH = 100
_BATCHES = 15
_CHARGES_SECONDS_MAX = 20.0
_DELAY_SECONDS = 0.3
_CONCURRENCY = 64
_PATIENCE_SECONDS = 300.0
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
    FROM (SELECT n, date_trunc('second', now()) + CASE WHEN n <= $3::integer
          THEN -n * interval '1 second' ELSE n * interval '1 minute' END AS at
          FROM generate_series($1::integer, $2::integer) n) jobs"""


async def measure(run: Run) -> Result:
    """Measure claims, then charges."""
    size, filled = run.size, await run.filled()
    figures = []
    for name, figure_of in (("claims", _claims_figure), ("due_charges", _charges_figure)):
        url = await filled.server.create_database(name)
        figures.append(await figure_of(url, filled.directory, size))
    return Result(figures)


async def _claims_figure(url: str, directory: Path, size: Size) -> Figure:
    """Return how the time of a claim grows with the table."""
    database = Database(url)
    await migrate(database)
    claims = Claims(database, JobClock(has_test_clocks=False))
    for statement in (_BUSINESSES, _USERS):
        await execute(url, statement)
    sizes, filled = [size.due_jobs, 10 * size.due_jobs, 100 * size.due_jobs], 0
    batches = min(_BATCHES, size.due_jobs // len(sizes) // _BATCH)
    found = []
    for jobs in sizes:
        await _fill(url, filled + 1, jobs, size.due_jobs)
        filled = jobs
        found.append([await _claim_seconds(claims) for _ in range(batches)])
    await database.close()
    shown = ", ".join(
        f"{jobs:,} jobs {statistics.median(taken) * 1000:.1f} ms"
        for jobs, taken in zip(sizes, found, strict=True)
    )
    return Figure(
        f"a claim of {_BATCH} among {sizes[-1]:,} jobs / {sizes[0]:,}, time",
        ratio(found[-1], found[0]),
        "x",
        at_most(_CLAIM_RATIO_MAX),
        shown,
    )


async def _fill(url: str, first: int, last: int, due: int) -> None:
    """Insert jobs with these numbers; those up to `due` are due."""
    starts = range(first, last + 1, _ROWS_AT_ONCE)
    parts = [(start, min(start + _ROWS_AT_ONCE - 1, last), due) for start in starts]
    await execute(url, _JOBS, parts)
    await execute(url, "ANALYZE recurring_jobs")


async def _claim_seconds(claims: Claims) -> float:
    """Return the time of a batch."""
    begun = time.perf_counter()
    leases = await claims.claim(
        "bench",
        limit=_BATCH,
        limit_per_business=32,
        excluded_business_ids=[],
        lease_duration=timedelta(hours=1),
    )
    taken = time.perf_counter() - begun
    assert len(leases) == _BATCH, "so many are due"
    return taken


async def _charges_figure(url: str, directory: Path, size: Size) -> Figure:
    """Return the time of all due charges."""
    jobs = size.due_charges
    async with running_sandbox(directory) as sandbox_url:
        settings = core_settings(directory, url, sandbox_url)
        await merchants_with_due_jobs(settings, [jobs // size.merchants] * size.merchants)
        await Gateway(sandbox_url).fault(
            "delay", "/v1/payment_intents", times=jobs, seconds=_DELAY_SECONDS
        )
        core = core_process(
            directory,
            url,
            NIVISCO_SECRET_KEYS=KEYRING,
            NIVISCO_SERVICE_TOKENS=",".join(f"{s}:{token}" for token, s in SERVICE_TOKENS.items()),
            NIVISCO_STRIPE_TEST_URL=sandbox_url,
        )
        async with running(core) as (_, core_at):
            begun = time.perf_counter()
            scheduler = scheduler_process(directory, core_at, NIVISCO_SERVICE_TOKEN=TOKEN)
            async with running(scheduler):
                statuses = await _all_logged(url, jobs)
                seconds = time.perf_counter() - begun
    assert statuses == {"succeeded": jobs}, statuses
    least = _DELAY_SECONDS * jobs / _CONCURRENCY
    return Figure(
        f"{jobs:,} due charges, gateway of {_DELAY_SECONDS * 1000:.0f} ms",
        Spread(seconds, 0.0),
        "s",
        at_most(_CHARGES_SECONDS_MAX),
        f"{_CONCURRENCY} at once would take {least:.1f} s",
    )


async def _all_logged(url: str, jobs: int) -> dict[str, int]:
    """Wait for the log rows and count their outcomes."""
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while True:
            rows = await query(url, "SELECT status, count(*) FROM recurring_logs GROUP BY status")
            found = {row[0]: row[1] for row in rows}
            if sum(found.values()) >= jobs:
                return found
            await asyncio.sleep(0.1)
