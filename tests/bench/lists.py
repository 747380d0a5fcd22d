"""Benchmark of lists: `python -m tests.bench.lists`, part of `make bench`.

One business has a million payments and one has a thousand, on SQLite and on a PostgreSQL server
from pip. Printed is how much longer the same page of the large one takes, with the connection and
the transaction, without gRPC. BENCH_SECONDS below 180 fills a tenth. Numbers of other runs or
machines are not comparable.
"""

import asyncio
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from sqlalchemy import text

from core.database.migrations.upgrade import migrate
from core.database.paging import Page, PageRequest
from core.database.schema import payments
from core.database.transactions import Database
from core.payments.store import Payment, PaymentFilter, payment_page
from tests.bench.plan import DEFAULT_SECONDS, read_seconds
from tests.bench.samples import ratio
from tests.databases import empty_database, own_postgresql

RATIO_MAX = 2.0
SMALL, LARGE = "small", "large"
SMALL_ROWS = 1_000
LARGE_ROWS = 1_000_000
PAGE = 25
CALLS = 20
"""Calls in a round, of each page and business."""
_SPAN = timedelta(days=200)
"""The payments of both businesses are spread over this time, up to July 2026."""
_NUMBERS = {
    "sqlite": "WITH RECURSIVE s(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n < :rows - 1)",
    "postgresql": "WITH s(n) AS (SELECT generate_series(0, CAST(:rows AS integer) - 1))",
}
_TIME = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f', '2026-07-01', (-n * :step) || ' seconds') || '000'",
    "postgresql": "timestamptz '2026-07-01' - n * CAST(:step AS float) * interval '1 second'",
}
_BUSINESS = """INSERT INTO businesses VALUES
    (:business, 'n', 'e', 'd', true, 'h', 'TEST', CURRENT_TIMESTAMP, CURRENT_TIMESTAMP)"""
_USERS = """INSERT INTO users
    (business_id, user_id, name, email, active, currency, created_at, updated_at)
    {numbers} SELECT :business, 'USR-' || n, 'n', 'e', true, 'usd',
        CURRENT_TIMESTAMP, CURRENT_TIMESTAMP FROM s"""
_PAYMENTS = """INSERT INTO payments
    (business_id, payment_id, user_id, env, gateway, kind, amount_minor, currency, customer_id,
     gateway_card_id, gateway_key, status, transaction_id, answered, created_at, updated_at,
     joinable, checks)
    {numbers} SELECT :business, 'PAY-' || (1000000000000000 + n), 'USR-' || (n / 7 % 10), 'TEST',
        CASE WHEN n % 20 = 7 THEN 'authorize' ELSE 'stripe' END, 'charge', 100, 'usd',
        'cus_NffrFeUfNV2Hib', 'pm_1MqLiJLkdIwHu7ixUEgbFdYF', 'PAY-' || n,
        CASE WHEN n % 10 IN (3, 4, 5) THEN 'declined' ELSE 'succeeded' END,
        'pi_3MtwBwLkdIwHu7ix28a3' || n, true, {time}, {time}, false, 0 FROM s"""


@dataclass(frozen=True)
class Case:
    """A page of the list."""

    name: str
    user_id: str | None = None
    status: str | None = None
    from_date: datetime | None = None
    to_date: datetime | None = None
    is_last: bool = False
    """The last page, by its cursor; otherwise the first."""


CASES = (
    Case("page 1"),
    Case("of a user", user_id="USR-4"),
    Case("by status", status="declined"),
    Case("of a user by status", user_id="USR-4", status="declined"),
    Case(
        "by date",
        from_date=datetime(2026, 3, 1, tzinfo=UTC),
        to_date=datetime(2026, 3, 20, tzinfo=UTC),
    ),
    Case("last page, by cursor", is_last=True),
)


async def fill(database: Database, business: str, rows: int) -> None:
    """Insert a business with ten users and its payments."""
    engine = "sqlite" if database.has_one_process else "postgresql"
    step = _SPAN.total_seconds() / rows
    async with database.migration() as connection:  # without a time limit
        for statement, count in ((_BUSINESS, 1), (_USERS, 10), (_PAYMENTS, rows)):
            query = text(statement.format(numbers=_NUMBERS[engine], time=_TIME[engine]))
            given = {"business": business, "rows": count, "step": step}
            await connection.execute(query, {name: given[name] for name in query.compile().params})


async def fill_both(database: Database, rows: int) -> float:
    """Fill the businesses, and return how long it took. The indexes are built after it."""
    begun = time.perf_counter()
    await change_indexes(database, is_dropped=True)
    await fill(database, SMALL, SMALL_ROWS)
    await fill(database, LARGE, rows)
    await change_indexes(database, is_dropped=False)
    if not database.has_one_process:
        await vacuum(database)
    return time.perf_counter() - begun


async def change_indexes(database: Database, *, is_dropped: bool) -> None:
    """Drop or create the indexes of payments."""
    async with database.migration() as connection:
        for index in payments.indexes:
            change = index.drop if is_dropped else index.create
            await connection.run_sync(change)


async def vacuum(database: Database) -> None:
    """Do what autovacuum does after so many rows."""
    async with database.migration() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.execute("ROLLBACK")
        await driver.execute("VACUUM ANALYZE payments")


async def page_of(database: Database, business: str, case: Case, **page: Any) -> Page[Payment]:
    """Read a page as the service does."""
    async with database.listing() as transaction:
        return await payment_page(
            transaction,
            business_id=business,
            which=PaymentFilter("TEST", user_id=case.user_id, status=case.status),
            page=PageRequest(limit=PAGE, from_date=case.from_date, to_date=case.to_date, **page),
        )


async def milliseconds(database: Database, business: str, case: Case, rows: int) -> float:
    """Return the time of a call, over CALLS calls."""
    page: dict[str, Any] = {}
    if case.is_last:
        before = await page_of(database, business, case, page=rows // PAGE - 1)
        page = {"cursor": before.next_cursor}
    begun = time.perf_counter()
    for _ in range(CALLS):
        found = await page_of(database, business, case, **page)
    taken = time.perf_counter() - begun
    assert len(found.rows) == PAGE, "the page is full"
    assert case.is_last == (found.next_cursor is None), "the last page is the last"
    return taken / CALLS * 1000


async def measure(url: str, engine: str, rows: int, rounds: int) -> bool:
    """Print a row for each page, and return whether no ratio exceeds RATIO_MAX."""
    database = Database(url)
    await migrate(database)
    seconds = await fill_both(database, rows)
    click.echo(f"{engine}: {rows:,} payments beside {SMALL_ROWS:,}, filled in {seconds:.0f} s")
    click.echo(f"  {'a page of 25':<24}{'of 1,000':>12}{f'of {rows:,}':>14}    ratio")
    is_held = True
    for case in CASES:
        times: dict[str, list[float]] = {SMALL: [], LARGE: []}
        for business in (SMALL, LARGE) * (rounds + 1):
            count = rows if business == LARGE else SMALL_ROWS
            times[business].append(await milliseconds(database, business, case, count))
        small, large = times[SMALL][1:], times[LARGE][1:]  # without the warm-up
        found = ratio(large, small)
        is_held = is_held and found.median <= RATIO_MAX
        click.echo(
            f"  {case.name:<24}{min(small):>9.2f} ms{min(large):>11.2f} ms"
            f"{found.median:>8.2f}x ±{found.percent:.0f} %   (at most {RATIO_MAX:.0f})"
        )
    begun = time.perf_counter()
    await page_of(database, LARGE, CASES[0], page=rows // PAGE)
    taken = (time.perf_counter() - begun) * 1000
    total = (await page_of(database, LARGE, CASES[0])).total
    click.echo(f"  page {rows // PAGE:,} by its number {taken:8.1f} ms; total on page 1: {total:,}")
    await database.close()
    return is_held


@click.command()
@click.option("--small", is_flag=True, help="Measure next to nothing: a test of the bench itself.")
def main(*, small: bool) -> None:
    """Measure lists; exit with 1 if a ratio is exceeded."""
    seconds = read_seconds(os.environ.get("BENCH_SECONDS", ""))
    rows = LARGE_ROWS if seconds >= DEFAULT_SECONDS else LARGE_ROWS // 10
    rows, rounds = (12_000, 2) if small else (rows, 9)
    with own_postgresql() as server, tempfile.TemporaryDirectory(prefix="nivisco-bench-") as folder:
        url = empty_database(server.url)
        file = f"sqlite:///{Path(folder) / 'nivisco.db'}"
        held = [
            asyncio.run(measure(url, "PostgreSQL", rows, rounds)),
            asyncio.run(measure(file, "SQLite", rows, rounds)),
        ]
    if not all(held) and not small:
        sys.exit(1)


if __name__ == "__main__":
    main()
