"""What waits in the database, and what it costs to count it."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, text, update

from core.database.schema import audit_pending, payments, recurring_jobs
from core.database.transactions import Database
from core.due_work import backlog_store
from core.due_work.backlog_store import Backlog, Waiting, read_backlog
from core.due_work.store import TABLES
from tests.core.due_work.backlog import add_business, add_due_jobs

NOTHING = Waiting(0, None)


async def backlog_of(database: Database) -> Backlog:
    async with database.listing() as transaction:
        return await read_backlog(transaction)


async def add_payment(database: Database, number: int, age: timedelta, **changes: Any) -> datetime:
    """Add a pending payment that was created so long ago, and return when."""
    async with database.transaction() as transaction:
        created_at = transaction.now - age
        row = {
            "business_id": "BUS-1",
            "payment_id": f"PAY-{number}",
            "user_id": "USR-1",
            "env": "TEST",
            "gateway": "stripe",
            "kind": "charge",
            "amount_minor": 100,
            "currency": "usd",
            "status": "pending",
            "attempt": "unknown",
            "look_at": transaction.now + timedelta(minutes=1),
            "gateway_key": f"k-{number}",
            "checks": 0,
            "answered": False,
            "joinable": False,
            "gateway_card_id": "pm_1",
            "customer_id": "cus_1",
            "card_id": "CRD-1",
            "created_at": created_at,
            "updated_at": created_at,
            **changes,
        }
        columns = {name: value for name, value in row.items() if name in payments.c}
        await transaction.connection.execute(insert(payments).values(**columns))
    return created_at


async def test_an_empty_database_has_no_backlog(database: Database) -> None:
    backlog = await backlog_of(database)
    assert backlog.due == backlog.set_aside == dict.fromkeys(TABLES, NOTHING)
    assert backlog.stops == {"charges": 0, "recurring": 0, "everything": 0}
    assert backlog.open_payments == dict.fromkeys(("running", "unknown", "not_sent"), NOTHING)


async def test_rows_that_are_due_count_and_those_in_the_future_or_leased_do_not(
    database: Database,
) -> None:
    await add_business(database, "BUS-1")
    await add_business(database, "BUS-2")
    await add_due_jobs(database, "BUS-1", 2, timedelta(minutes=5))
    await add_due_jobs(database, "BUS-2", 1, timedelta(minutes=-5))
    async with database.transaction() as transaction:
        oldest = transaction.now - timedelta(minutes=9)
        job = recurring_jobs.c.recurring_id == "REC-10000001"
        await transaction.connection.execute(
            update(recurring_jobs).where(job).values(due_at=oldest)
        )
    backlog = await backlog_of(database)
    assert backlog.due["recurring_job"] == Waiting(2, oldest)
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            update(recurring_jobs)
            .where(job)
            .values(leased_until=transaction.now + timedelta(minutes=1), lease_owner="a")
        )
    assert (await backlog_of(database)).due["recurring_job"].count == 1


async def test_rows_that_are_set_aside_are_not_due(database: Database) -> None:
    await add_business(database, "BUS-1")
    await add_due_jobs(database, "BUS-1", 3)
    async with database.transaction() as transaction:
        since = transaction.now - timedelta(hours=1)
        await transaction.connection.execute(
            update(recurring_jobs)
            .where(recurring_jobs.c.recurring_id == "REC-10000000")
            .values(set_aside_at=since, set_aside_error="a bug")
        )
    backlog = await backlog_of(database)
    assert backlog.due["recurring_job"].count == 2
    assert backlog.set_aside["recurring_job"] == Waiting(1, since)


async def test_open_payments_count_by_the_state_of_their_attempt(database: Database) -> None:
    await add_business(database, "BUS-1")
    oldest = await add_payment(database, 1, timedelta(hours=2))
    await add_payment(database, 2, timedelta(hours=1), gateway="authorize")
    recent = await add_payment(database, 3, timedelta(0), attempt="not_sent")
    succeeded = {"status": "succeeded", "attempt": None, "transaction_id": "pi_1"}
    await add_payment(database, 4, timedelta(hours=3), **succeeded)
    assert (await backlog_of(database)).open_payments == {
        "running": NOTHING,
        "unknown": Waiting(2, oldest),
        "not_sent": Waiting(1, recent),
    }


async def test_the_oldest_change_that_waits_for_its_audit_chain_is_found(
    database: Database,
) -> None:
    assert (await backlog_of(database)).audit_since is None
    async with database.transaction() as transaction:
        since = transaction.now - timedelta(hours=1)
        names = {each.name for each in audit_pending.columns if not each.nullable}
        row = dict.fromkeys(names - {"occurred_at"}, "x")
        await transaction.connection.execute(
            insert(audit_pending),
            [
                row | {"business_id": "BUS-1", "occurred_at": transaction.now},
                row | {"business_id": "BUS-2", "occurred_at": since},
            ],
        )
    assert (await backlog_of(database)).audit_since == since


async def test_a_count_has_a_limit_and_the_oldest_row_is_still_found(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog_store, "COUNT_MAX", 3)
    await add_business(database, "BUS-1")
    await add_due_jobs(database, "BUS-1", 5, timedelta(minutes=5))
    waiting = (await backlog_of(database)).due["recurring_job"]
    assert waiting.count == 3
    assert waiting.since is not None


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # PostgreSQL has statistics
async def test_the_queries_walk_indexes_of_waiting_rows_only(database: Database) -> None:
    async with database.listing() as transaction:
        scans = []
        for table in TABLES.values():
            for query in (
                backlog_store._due(table, transaction.now),
                backlog_store._set_aside(table),
                backlog_store._open_payments(),
            ):
                compiled = query.compile(
                    dialect=transaction.connection.dialect, compile_kwargs={"literal_binds": True}
                )
                rows = await transaction.connection.execute(
                    text(f"EXPLAIN QUERY PLAN {compiled}".replace(":", r"\:"))
                )
                scans += [row[3] for row in rows.all() if row[3].startswith(("SCAN", "SEARCH"))]
    of_tables = [scan for scan in scans if not scan.startswith("SCAN anon")]
    assert of_tables
    assert [scan for scan in of_tables if "_due" not in scan and "_set_aside" not in scan] == []
