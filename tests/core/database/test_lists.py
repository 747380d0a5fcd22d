"""Every list of the API, with each of its filters, on both databases."""

import itertools
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from core.database import paging, schema
from core.database.migrations.upgrade import migrate
from core.database.paging import Page, PageRequest
from core.database.transactions import Database, Transaction
from core.errors import InvalidFields
from core.messages import enum_value, enum_word
from core.payments.store import PaymentFilter, payment_page
from core.recurring.log_store import LogFilter, log_page
from core.recurring.store import JobFilter, job_page
from core.reports.store import EventFilter, event_page
from core.users.store import active_users
from core.wallet.store import history
from nivisco.payments.v1 import payments_pb2, recurring_pb2
from tests.core.database.migrations.rows import NOW, ROWS, write
from tests.core.database.recording import recorded

ROWS_OF_A_LIST = 240
FROM, TO = NOW + timedelta(minutes=40), NOW + timedelta(minutes=180)
Filter = dict[str, str | None]
Read = Callable[[Transaction, Filter, PageRequest], Awaitable[Page[Any]]]


@dataclass(frozen=True)
class List:
    """A list: how to read it, and its filters with their values."""

    table: str
    read: Read
    id: str
    moment: str
    filters: Mapping[str, Sequence[str | None]]
    residual: str | None = None
    """A filter that all or none of the rows in the index's range match."""

    def combinations(self) -> list[Filter]:
        """Return each combination of filters, once with each value."""
        return [
            dict(zip(self.filters, values, strict=True))
            for values in itertools.product(*self.filters.values())
        ]


LISTS = {
    "payments": List(
        "payments",
        lambda transaction, given, page: payment_page(
            transaction, business_id="B", which=PaymentFilter("TEST", **given), page=page
        ),
        "payment_id",
        "created_at",
        {
            "user_id": (None, "USR-1"),
            "gateway": (None, "authorize"),
            "status": (None, "declined"),
        },
    ),
    "jobs": List(
        "recurring_jobs",
        lambda transaction, given, page: job_page(
            transaction, business_id="B", which=JobFilter("TEST", **given), page=page
        ),
        "recurring_id",
        "created_at",
        {"user_id": (None, "USR-1"), "status": (None, "paused")},
    ),
    "logs": List(
        "recurring_logs",
        lambda transaction, given, page: log_page(
            transaction, business_id="B", which=LogFilter(**given), page=page
        ),
        "log_id",
        "attempted_at",
        {
            "recurring_id": (None, "REC-1"),
            "user_id": (None, "USR-1"),
            "status": (None, "declined"),
        },
        residual="user_id",
    ),
    "events": List(
        "webhook_events",
        lambda transaction, given, page: event_page(
            transaction, business_id="B", which=EventFilter("TEST", **given), page=page
        ),
        "event_id",
        "received_at",
        {"gateway": (None, "authorize"), "state": (None, "contradicting")},
    ),
    "users": List(
        "users",
        lambda transaction, _, page: active_users(transaction, business_id="B", page=page),
        "user_id",
        "created_at",
        {},
    ),
    "history": List(
        "wallet_transactions",
        lambda transaction, _, page: history(
            transaction, business_id="B", wallet_id="WAL-1", page=page
        ),
        "transaction_id",
        "created_at",
        {},
        residual="created_at",
    ),
}


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A database with the parents of all rows, for two users and two jobs."""
    opened = Database(database_url)
    await migrate(opened)
    await write(opened, "businesses", ROWS["businesses"])
    for number in (1, 2):
        of_user = {"user_id": f"USR-{number}"}
        await write(opened, "users", ROWS["users"] | of_user | {"active": False})
        await write(opened, "wallets", ROWS["wallets"] | of_user | {"wallet_id": f"WAL-{number}"})
    yield opened
    await opened.close()


async def fill(database: Database, of: List, numbers: Sequence[int]) -> None:
    """Insert a row for each number, a minute apart, with pairs at the same time."""
    if of.table == "recurring_logs":
        job = {"status": "paused", "next_run": None, "due_at": None, "open_occurrence": None}
        for number in (1, 2):
            of_user = {"user_id": f"USR-{number}", "recurring_id": f"REC-{number}"}
            await write(database, "recurring_jobs", ROWS["recurring_jobs"] | job | of_user)
    rows = [row_of(of, number) for number in numbers]
    async with database.transaction() as transaction:
        await transaction.connection.execute(insert(schema.metadata.tables[of.table]), rows)
        await transaction.connection.run("ANALYZE")


def row_of(of: List, number: int) -> dict[str, Any]:
    """Return the row of a number; every third matches all filters."""
    matches = number % 3 == 0
    row = ROWS[of.table] | {
        of.id: f"{number * 7919 % 100_000:06d}",
        of.moment: NOW + timedelta(minutes=number - number % 2),
    }
    if of.table == "users":
        return row | {"active": True}
    if of.table == "wallet_transactions":
        wallet = {"wallet_id": "WAL-1" if number % 4 else "WAL-2", "payment_id": None}
        # The times of transactions that waited for each other overlap.
        time = NOW + timedelta(minutes=number, seconds=number * 37 % 90)
        version = number - number // 4 if number % 4 else number // 4 + 1
        made = {"version": version, "created_at": time}
        return row | wallet | made | {"reason": "manual_credit"}
    if of.table == "webhook_events":
        words = ("authorize", "contradicting") if matches else ("stripe", "applied")
        of_words = dict(zip(("gateway", "state"), words, strict=True))
        return row | {"env": "TEST", "look_at": None} | of_words
    row |= {"user_id": "USR-1" if matches else "USR-2"}
    if of.table == "payments":
        words = ("authorize", "declined") if matches else ("stripe", "succeeded")
        return row | dict(zip(("gateway", "status"), words, strict=True))
    if of.table == "recurring_jobs":
        status = "paused" if matches else "cancelled"
        return row | {"status": status, "next_run": None, "due_at": None, "open_occurrence": None}
    occurrence = {"occurrence": NOW + timedelta(days=number), "attempt": 1}
    of_job = {"recurring_id": "REC-1" if matches else "REC-2"}
    return row | occurrence | of_job | {"status": "declined" if matches else "succeeded"}


def key_of(of: List, row: Any) -> str:
    return str(getattr(row, of.id))


async def read(database: Database, of: List, given: Filter, **page: Any) -> Page[Any]:
    async with database.listing() as transaction:
        return await of.read(transaction, given, PageRequest(**page))


async def bad_steps(database: Database, of: List, statement: str, parameters: Any) -> list[str]:
    """Return what a statement's plan reads other than ranges of an index by time."""
    explain = "EXPLAIN QUERY PLAN " if database.has_one_process else "EXPLAIN (FORMAT JSON) "
    async with database.listing() as transaction:
        rows = (await transaction.connection.run(explain + statement, parameters)).records
    if database.has_one_process:
        return [step for *_, step in rows if not is_range_in_sqlite(of, step)]
    return [json.dumps(node) for node in nodes(json.loads(rows[0][0])[0]["Plan"], of)]


def is_range_in_sqlite(of: List, step: str) -> bool:
    if step.startswith("SCAN"):
        return step.startswith(("SCAN every", "SCAN (", "SCAN anon_", "SCAN key")) or (
            "CONSTANT ROW" in step
        )
    if not step.startswith(f"SEARCH {of.table}"):
        return True
    # The whole prefix is bound: each column of the index before the time, and the time.
    if of.table == "wallet_transactions":
        return "version>" in step and "version<" in step
    return "ix_" in step and f"{of.moment}>" in step and f"{of.moment}<" in step


def nodes(plan: dict[str, Any], of: List) -> Iterator[dict[str, Any]]:
    """Yield the nodes that read the table other than by a range of time in an index, or a key."""
    if plan.get("Relation Name") == of.table:
        conditions = plan.get("Index Cond", "")
        is_key = plan.get("Alias") == "shown" and "Filter" not in plan
        by = "version" if of.table == "wallet_transactions" else of.moment
        is_range = by in conditions and is_residual(of, plan.get("Filter", ""))
        if not (is_key or is_range) or plan["Node Type"] not in ("Index Scan", "Index Only Scan"):
            yield {key: value for key, value in plan.items() if key != "Plans"}
    for inner in plan.get("Plans", ()):
        yield from nodes(inner, of)


def is_residual(of: List, condition: str) -> bool:
    return not condition or (of.residual is not None and of.residual in condition)


async def test_dates_of_a_history_are_a_range_of_versions(database: Database) -> None:
    of = LISTS["history"]
    await fill(database, of, range(ROWS_OF_A_LIST))
    with recorded() as statements:
        await read(database, of, {}, limit=5, from_date=FROM, to_date=TO)
    *searches, count, rows = statements
    assert [statement[:14] for statement, *_ in searches] == ["WITH RECURSIVE"] * 2
    for statement, parameters, _ in (count, rows):
        assert await bad_steps(database, of, statement, parameters) == [], statement


@pytest.mark.parametrize(
    "date", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]
)
async def test_a_history_accepts_every_date(database: Database, date: datetime) -> None:
    await fill(database, LISTS["history"], range(9))
    totals = [
        (await read(database, LISTS["history"], {}, **{name: date})).total
        for name in ("from_date", "to_date")
    ]
    assert sorted(totals) == [0, 6]


@pytest.mark.parametrize("name", [name for name in LISTS if name != "history"])
async def test_every_filter_is_a_range_of_an_index(database: Database, name: str) -> None:
    of = LISTS[name]
    await fill(database, of, range(ROWS_OF_A_LIST))
    for given in of.combinations():
        first = await read(database, of, given, limit=5, to_date=TO)
        with recorded() as statements:
            await read(database, of, given, limit=5, from_date=FROM, to_date=TO)
            await read(database, of, given, limit=5, from_date=FROM, to_date=TO, page=2)
        assert len(statements) == 4, first
        for statement, parameters, _ in statements:
            assert await bad_steps(database, of, statement, parameters) == [], (given, statement)


@pytest.mark.parametrize("name", LISTS)
async def test_pages_and_cursors_show_the_same_rows_as_one_query(
    database: Database, name: str
) -> None:
    of = LISTS[name]
    await fill(database, of, range(ROWS_OF_A_LIST))
    rows = [row_of(of, number) for number in range(ROWS_OF_A_LIST)]
    for given in of.combinations():
        for dates in ({}, {"from_date": FROM}, {"to_date": TO}, {"from_date": FROM, "to_date": TO}):
            expected = expected_ids(of, rows, given, **dates)
            first = await read(database, of, given, limit=100, **dates)
            assert (first.total, first.total_is_estimate) == (len(expected), False)
            assert await ids_by_page(database, of, given, dates) == expected
            assert await ids_by_cursor(database, of, given, dates) == expected


def expected_ids(
    of: List,
    rows: Sequence[dict[str, Any]],
    given: Filter,
    from_date: datetime = NOW,
    to_date: datetime = NOW + timedelta(days=1),
) -> list[str]:
    order = ("version",) if of.table == "wallet_transactions" else (of.moment, of.id)
    wallet = {"wallet_id": "WAL-1"} if of.table == "wallet_transactions" else {}
    wanted = {key: value for key, value in (given | wallet).items() if value is not None}
    listed = [
        row
        for row in rows
        if from_date <= row[of.moment] <= to_date
        and all(row[key] == value for key, value in wanted.items())
    ]
    listed.sort(key=lambda row: tuple(row[name] for name in order), reverse=True)
    return [row[of.id] for row in listed]


async def ids_by_page(
    database: Database, of: List, given: Filter, dates: Mapping[str, datetime]
) -> list[str]:
    found: list[str] = []
    for number in itertools.count(1):
        page = await read(database, of, given, page=number, limit=37, **dates)
        if not page.rows:
            return found
        found += [key_of(of, row) for row in page.rows]
    raise AssertionError


async def ids_by_cursor(
    database: Database, of: List, given: Filter, dates: Mapping[str, datetime]
) -> list[str]:
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = await read(database, of, given, cursor=cursor, limit=37, **dates)
        found += [key_of(of, row) for row in page.rows]
        cursor = page.next_cursor
        if cursor is None:
            return found


@pytest.mark.parametrize("name", LISTS)
async def test_new_rows_do_not_shift_the_pages_of_a_cursor(database: Database, name: str) -> None:
    of, numbers = LISTS[name], iter(range(100, 10_000))
    await fill(database, of, range(60))
    before = await ids_by_cursor(database, of, {}, {})
    chance = random.Random(name)  # noqa: S311
    found: list[str] = []
    page = await read(database, of, {}, limit=chance.randint(1, 9))
    while True:
        found += [key_of(of, row) for row in page.rows]
        rows = [row_of(of, next(numbers)) for _ in range(chance.randint(0, 5))]
        for row in rows:
            await write(database, of.table, row)
        if page.next_cursor is None:
            break
        page = await read(database, of, {}, limit=chance.randint(1, 9), cursor=page.next_cursor)
    assert found == before


@pytest.mark.parametrize(
    ("page", "rows", "total", "is_estimate"),
    [
        # 10 rows are counted at most, and there are 23.
        (1, 5, "estimate", True),
        (4, 5, "estimate", True),
        (5, 3, 23, False),
        (6, 0, "estimate", True),
    ],
)
async def test_a_total_beyond_the_counted_rows_is_an_estimate_until_the_last_page(
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    page: int,
    rows: int,
    total: int | str,
    is_estimate: bool,
) -> None:
    monkeypatch.setattr(paging, "COUNTED_MAX", 10)
    await fill(database, LISTS["payments"], range(23))
    found = await read(database, LISTS["payments"], {}, page=page, limit=5)
    assert (len(found.rows), found.total_is_estimate) == (rows, is_estimate)
    if total == "estimate":
        least = 5 * page + 1 if rows else 11
        assert max(least, 11) <= found.total <= 1_000
    else:
        assert found.total == total


@pytest.mark.parametrize(("count", "is_estimate"), [(10, False), (11, True)])
async def test_the_largest_counted_total_is_exact(
    database: Database, monkeypatch: pytest.MonkeyPatch, count: int, is_estimate: bool
) -> None:
    monkeypatch.setattr(paging, "COUNTED_MAX", 10)
    await fill(database, LISTS["users"], range(count))
    found = await read(database, LISTS["users"], {}, limit=5)
    assert (found.total == count or is_estimate, found.total_is_estimate) == (True, is_estimate)


async def test_a_client_that_compares_page_and_total_reads_all(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "COUNTED_MAX", 10)
    of, seen, number, total = LISTS["payments"], 0, 0, 1
    await fill(database, of, range(60))
    while number * 7 < total:
        number += 1
        page = await read(database, of, {}, page=number, limit=7)
        seen, total = seen + len(page.rows), page.total
    assert seen == 60


async def test_a_page_that_passes_over_too_many_rows_is_refused(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "COUNTED_MAX", 10)
    monkeypatch.setattr(paging, "PASSED_MAX", 20)
    monkeypatch.setattr(paging, "MERGED_PASSED_MAX", 10)
    of = LISTS["payments"]
    filtered: Filter = {"status": "succeeded"}
    await fill(database, of, range(60))
    assert len((await read(database, of, {}, page=3, limit=10)).rows) == 10
    assert len((await read(database, of, filtered, page=2, limit=10)).rows) == 10
    with pytest.raises(InvalidFields, match="page: is beyond 10 rows: use cursor"):
        await read(database, of, filtered, page=3, limit=10)
    with pytest.raises(InvalidFields, match="page: is beyond 20 rows: use cursor"):
        await read(database, of, {}, page=4, limit=10)


async def test_a_page_after_a_counted_list_is_empty(database: Database) -> None:
    of = LISTS["payments"]
    await fill(database, of, range(3))
    with recorded() as statements:
        page = await read(database, of, {}, page=1_000_000, limit=100)
    assert (page.rows, page.total, page.next_cursor) == ([], 3, None)
    assert len(statements) == 1


@pytest.mark.parametrize(
    ("given", "page"),
    [
        ({"status": "declined"}, {}),
        ({"user_id": "USR-2"}, {}),
        ({"user_id": "USR-1", "gateway": "authorize"}, {}),
        ({}, {}),
        ({"user_id": "USR-1"}, {"from_date": FROM}),
        ({"user_id": "USR-1"}, {"to_date": TO}),
    ],
)
async def test_a_cursor_of_another_filter_is_refused(
    database: Database, given: Filter, page: dict[str, Any]
) -> None:
    of = LISTS["payments"]
    await fill(database, of, range(9))
    cursor = (await read(database, of, {"user_id": "USR-1"}, limit=1)).next_cursor
    await read(database, of, {"user_id": "USR-1"}, limit=2, cursor=cursor)
    with pytest.raises(InvalidFields, match="cursor: is not a next_cursor of this list"):
        await read(database, of, given, cursor=cursor, **page)


async def test_a_cursor_of_another_business_is_refused(database: Database) -> None:
    await fill(database, LISTS["users"], range(9))
    cursor = (await read(database, LISTS["users"], {}, limit=1)).next_cursor
    async with database.listing() as transaction:
        with pytest.raises(InvalidFields, match="cursor: is not a next_cursor of this list"):
            await active_users(transaction, business_id="C", page=PageRequest(cursor=cursor))


@pytest.mark.parametrize(
    ("words", "enum"),
    [
        (schema.PAYMENT_STATUSES, payments_pb2.PaymentStatus),
        (schema.JOB_STATUSES, recurring_pb2.RecurringStatus),
        (schema.LOG_STATUSES, recurring_pb2.RecurringLogStatus),
    ],
)
def test_a_list_without_a_status_has_every_status(words: Sequence[str], enum: Any) -> None:
    """The list merges one range for each word, so a missing word would hide rows."""
    assert {enum_value(enum, word) for word in words} == set(enum.values()) - {0}
    assert {enum_word(enum, value) for value in enum.values() if value} == set(words)
