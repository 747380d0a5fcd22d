"""Many due rows at once, and what the queries for them read."""

import json
from datetime import timedelta
from typing import Any

from sqlalchemy import bindparam, insert, text

from core.database.schema import UtcDateTime, businesses, users
from core.database.transactions import Database, Transaction

_JOBS = text(
    """
    WITH RECURSIVE numbers(i) AS (
        SELECT CAST(:first AS INTEGER) UNION ALL SELECT i + 1 FROM numbers WHERE i + 1 < :end
    )
    INSERT INTO recurring_jobs (
        business_id, recurring_id, user_id, env, amount_minor, currency, source, interval_type,
        interval_value, starts_local, timezone, counts_from, catch_up, status, next_run, due_at,
        executed_cycles, failed_cycles, fencing_token, created_at, updated_at
    )
    SELECT CAST(:business_id AS VARCHAR), 'REC-' || CAST(10000000 + i AS VARCHAR), 'USR-1', 'LIVE',
        100, 'usd', 'wallet', 'day', 1, '2026-01-01T08:00:00', 'UTC', :due_at, 'latest', 'active',
        :due_at, :due_at, 0, 0, 0, :due_at, :due_at
    FROM numbers
    """
).bindparams(bindparam("due_at", type_=UtcDateTime))
_CHUNK = 5_000


async def add_business(database: Database, business_id: str) -> None:
    """Add a business with a user."""
    async with database.transaction() as transaction:
        made = {"created_at": transaction.now, "updated_at": transaction.now}
        await transaction.connection.execute(
            insert(businesses).values(
                business_id=business_id,
                name=business_id,
                email="a@b.co",
                domain="b.co",
                active=True,
                api_key_hash="",
                default_env="LIVE",
                **made,
            )
        )
        await transaction.connection.execute(
            insert(users).values(
                business_id=business_id,
                user_id="USR-1",
                name="A",
                email="a@b.co",
                active=True,
                currency="usd",
                **made,
            )
        )


async def add_due_jobs(
    database: Database, business_id: str, count: int, due: timedelta = timedelta(minutes=1)
) -> None:
    """Add daily jobs of a business that are due for that long, negative for the future."""
    for first in range(0, count, _CHUNK):
        async with database.transaction() as transaction:
            await transaction.connection.execute(
                _JOBS,
                {
                    "first": first,
                    "end": min(first + _CHUNK, count),
                    "business_id": business_id,
                    "due_at": transaction.now - due,
                },
            )


async def analyze(database: Database) -> None:
    """Have the database collect its statistics, as it does by itself in time."""
    async with database.transaction() as transaction:
        await transaction.connection.run("ANALYZE recurring_jobs")


async def rows_read(transaction: Transaction, statement: str, parameters: Any) -> int:
    """Return how many rows a query reads from its tables, in PostgreSQL."""
    explained = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}"
    ((plan,),) = (await transaction.connection.run(explained, parameters)).records
    return _read_by(json.loads(plan)[0]["Plan"])


def _read_by(node: dict[str, Any]) -> int:
    read = 0
    if "Relation Name" in node:
        removed = node.get("Rows Removed by Filter", 0)
        read = round((node["Actual Rows"] + removed) * node["Actual Loops"])
    return read + sum(_read_by(child) for child in node.get("Plans", []))


async def steps_of(transaction: Transaction, statement: str, parameters: Any) -> list[str]:
    """Return the steps in which SQLite executes a query."""
    found = await transaction.connection.run(f"EXPLAIN QUERY PLAN {statement}", parameters)
    return [row[-1] for row in found.records]
