"""Part `lists`: the time of a page of payments of a business with a million, beside a thousand.

Both are businesses of one database, on PostgreSQL and on SQLite. Measured is the page as the
service reads it, with the connection and the transaction, without gRPC.
"""

import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, DropIndex

from core.database.migrations.upgrade import migrate
from core.database.paging import Page, PageRequest
from core.database.schema import payments
from core.database.transactions import Database
from core.metadata import Kind, digest_of
from core.payments.store import Payment, PaymentFilter, payment_page
from tests.bench.figures import Figure, Result, at_most
from tests.bench.postgresql.server import execute
from tests.bench.run import Run
from tests.bench.samples import ratio
from tests.bench.size import Size

POSTGRESQL, SQLITE = "PostgreSQL", "SQLite"
_RATIO_MAX = 2.0
_SMALL, _LARGE = "small", "large"
_PAGE = 25
_CALLS = 20
"""In a round, of each page and business."""
_SPAN = timedelta(days=200)
"""The payments of both businesses are spread over this time, up to July 2026."""
_NUMBERS = {
    SQLITE: "WITH RECURSIVE s(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n < {rows} - 1)",
    POSTGRESQL: "WITH s(n) AS (SELECT generate_series(0, {rows} - 1))",
}
_TIME = {
    SQLITE: "strftime('%Y-%m-%d %H:%M:%f', '2026-07-01', (-n * {step}) || ' seconds') || '000'",
    POSTGRESQL: "timestamptz '2026-07-01' - n * {step} * interval '1 second'",
}
_DIALECTS: dict[str, Dialect] = {
    SQLITE: sqlite.dialect(),
    POSTGRESQL: postgresql.dialect(),  # type: ignore[no-untyped-call]
}
_BUSINESS = """INSERT INTO businesses
    (business_id, name, email, domain, active, api_key_hash, default_env, created_at, updated_at)
    VALUES ('{business}', 'n', 'e', 'd', true, 'h', 'TEST', CURRENT_TIMESTAMP, CURRENT_TIMESTAMP)"""
_USERS = """INSERT INTO users
    (business_id, user_id, name, email, active, currency, created_at, updated_at)
    {numbers} SELECT '{business}', 'USR-' || n, 'n', 'e', true, 'usd',
        CURRENT_TIMESTAMP, CURRENT_TIMESTAMP FROM s"""
_PAYMENTS = """INSERT INTO payments
    (business_id, payment_id, user_id, env, gateway, kind, amount_minor, currency, customer_id,
     gateway_card_id, gateway_key, status, transaction_id, answered, created_at, updated_at,
     joinable, checks)
    {numbers} SELECT '{business}', 'PAY-' || (1000000000000000 + n), 'USR-' || (n / 7 % 10), 'TEST',
        CASE WHEN n % 20 = 7 THEN 'authorize' ELSE 'stripe' END, 'charge', 100, 'usd',
        'cus_NffrFeUfNV2Hib', 'pm_1MqLiJLkdIwHu7ixUEgbFdYF', 'PAY-' || n,
        CASE WHEN n % 10 IN (3, 4, 5) THEN 'declined' ELSE 'succeeded' END,
        'pi_3MtwBwLkdIwHu7ix28a3' || n, true, {time}, {time}, false, 0 FROM s"""
_PAIR = digest_of(Kind.PAYMENT, "TEST", "tier", "gold")
"""Of a pair of metadata that every payment has."""
_PAIRS = f"""INSERT INTO metadata_pairs (business_id, digest, created_at, resource_id)
    SELECT business_id, '{_PAIR}', created_at, payment_id FROM payments
    WHERE business_id = '{{business}}'"""  # noqa: S608 - constants


@dataclass(frozen=True)
class Case:
    """A page of the list."""

    name: str
    user_id: str | None = None
    status: str | None = None
    from_date: datetime | None = None
    to_date: datetime | None = None
    digest: str | None = None
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
    Case("by metadata", digest=_PAIR),
    Case("by metadata, last page, by cursor", digest=_PAIR, is_last=True),
)


def filling(engine: str, rows: dict[str, int]) -> list[str]:
    """Return the statements that insert businesses with ten users and so many payments each.

    The indexes of payments are built after them, which is faster.
    """
    dialect = _DIALECTS[engine]
    dropped = [str(DropIndex(index).compile(dialect=dialect)) for index in payments.indexes]
    created = [str(CreateIndex(index).compile(dialect=dialect)) for index in payments.indexes]
    inserted = []
    for business, count in rows.items():
        step = f"{_SPAN.total_seconds() / count:.6f}"
        for statement, number in (
            (_BUSINESS, 1),
            (_USERS, 10),
            (_PAYMENTS, count),
            (_PAIRS, count),
        ):
            numbers = _NUMBERS[engine].format(rows=number)
            taken = _TIME[engine].format(step=step)
            inserted.append(statement.format(business=business, numbers=numbers, time=taken))
    return [*dropped, *inserted, *created]


async def page_of(database: Database, business: str, case: Case, **page: Any) -> Page[Payment]:
    """Read a page as the service does."""
    async with database.listing() as transaction:
        return await payment_page(
            transaction,
            business_id=business,
            which=PaymentFilter(
                "TEST", user_id=case.user_id, status=case.status, digest=case.digest
            ),
            page=PageRequest(limit=_PAGE, from_date=case.from_date, to_date=case.to_date, **page),
        )


async def milliseconds(database: Database, business: str, case: Case, rows: int) -> float:
    """Return the time of a call, over several."""
    page: dict[str, Any] = {}
    if case.is_last:
        before = await page_of(database, business, case, page=rows // _PAGE - 1)
        page = {"cursor": before.next_cursor}
    begun = time.perf_counter()
    for _ in range(_CALLS):
        found = await page_of(database, business, case, **page)
    taken = time.perf_counter() - begun
    assert len(found.rows) == _PAGE, "the page is full"
    assert case.is_last == (found.next_cursor is None), "the last page is the last"
    return taken / _CALLS * 1000


async def measure(run: Run) -> Result:
    """Measure on PostgreSQL, then on SQLite."""
    size, server = run.size, (await run.filled()).server
    url = await server.create_database("lists")

    async def fill_postgresql(statements: Sequence[str]) -> None:
        for statement in statements:
            await execute(url, statement)
        # As autovacuum does after so many rows.
        await execute(url, "VACUUM ANALYZE payments, metadata_pairs")

    figures = await _measure(url, POSTGRESQL, fill_postgresql, size)
    with tempfile.TemporaryDirectory(prefix="nivisco-bench-") as folder:
        file = Path(folder) / "nivisco.db"

        async def fill_sqlite(statements: Sequence[str]) -> None:
            with closing(sqlite3.connect(file)) as connection, connection:
                for statement in statements:
                    connection.execute(statement)

        figures += await _measure(f"sqlite:///{file}", SQLITE, fill_sqlite, size)
    return Result(figures)


async def _measure(
    url: str, engine: str, fill: Callable[[Sequence[str]], Awaitable[None]], size: Size
) -> list[Figure]:
    rows = {_SMALL: size.small_list_rows, _LARGE: size.list_rows}
    migrating = Database(url)
    await migrate(migrating)
    await migrating.close()  # SQLite has one connection only
    await fill(filling(engine, rows))
    database = Database(url)
    try:
        return [await _figure(database, engine, case, rows, size.rounds) for case in CASES]
    finally:
        await database.close()


async def _figure(
    database: Database, engine: str, case: Case, rows: dict[str, int], rounds: int
) -> Figure:
    times: dict[str, list[float]] = {_SMALL: [], _LARGE: []}
    for business in (_SMALL, _LARGE) * (rounds + 1):
        times[business].append(await milliseconds(database, business, case, rows[business]))
    small, large = times[_SMALL][1:], times[_LARGE][1:]  # without the warm-up
    return Figure(
        f"{engine}, {case.name} of {rows[_LARGE]:,} payments / of {rows[_SMALL]:,}, time",
        ratio(large, small),
        "x",
        at_most(_RATIO_MAX),
        f"{min(large):.2f} and {min(small):.2f} ms, the fastest rounds",
    )
