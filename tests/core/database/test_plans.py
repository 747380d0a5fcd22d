"""A statement of a transaction finds its rows by an index, though it is planned once for many."""

import json
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import String, cast, func, insert, select, true

from core.database import postgresql as driver
from core.database import transactions
from core.database.connections import Answer, Connection, Kind
from core.database.engines import TRANSACTION_SETTINGS, Connect, connector
from core.database.schema import metadata
from core.database.transactions import Database
from tests.core.running import Gateway, ShiftedClock
from tests.core.webhooks.story import Story, catching
from tests.core.webhooks.test_stories import running_shop, send_webhooks

BUSINESSES = 300
EVENTS = 20
SMALL = {
    "alembic_version",
    "api_keys",
    "audit_chains",
    "audit_pending",
    "authorize_credentials",
    "businesses",
    "keyring_canaries",
    "stops",
    "stripe_credentials",
    "test_clocks",
}
"""Tables with few rows of a business."""
FINDING = ("_id", "sequence", "key", "look_at", "due_at", "expires_at", "set_aside_at")
"""What a condition names, besides the business, that finds few rows."""

Executed = dict[str, Sequence[Any]]
"""Statements, each with the arguments of one execution."""
_Run = Callable[..., Awaitable[Answer]]


async def test_every_statement_finds_its_rows_by_an_index(
    tmp_path: Path, postgresql_database: str, gateway: Gateway
) -> None:
    with recorded() as executed:
        async with running_shop(tmp_path, postgresql_database, gateway, ShiftedClock()) as shop:
            await happen(Story(shop, gateway, random.Random(1)))  # noqa: S311 - no secret
    assert len(executed) > 50, "it is most of what a core executes"
    await copy_to_other_businesses(postgresql_database)
    connection = await connector(postgresql_database, settings=TRANSACTION_SETTINGS)()
    walking = {
        statement: scan
        for statement, arguments in executed.items()
        for scan in scans(await plan_of(connection, statement, len(arguments)))
        if not is_selective(scan)
    }
    await connection.close()
    assert walking == {}


@pytest.mark.parametrize(("seconds", "is_kept"), [(1000.0, True), (0.0, False)])
async def test_a_plan_for_an_empty_table_is_not_kept(
    postgresql_database: str, seconds: float, *, is_kept: bool
) -> None:
    by_key = "SELECT 1 FROM events WHERE business_id = $1 AND event_id = $2"
    with patch.object(driver, "PLAN_SECONDS", seconds):
        connection = await connector(postgresql_database, settings=TRANSACTION_SETTINGS)()
        for statement in (
            "CREATE TABLE events (business_id text, state text, event_id text,"
            " PRIMARY KEY (business_id, event_id)) WITH (autovacuum_enabled = off)",
            "CREATE INDEX by_state ON events (business_id, state)",
        ):
            await connection.run(statement)
        await connection.run("ANALYZE events")
        await connection.run(f"PREPARE planned (text, text) AS {by_key}")
        explained = "EXPLAIN (FORMAT JSON) EXECUTE planned('', '')"
        empty = (await connection.run(explained)).records
        await connection.run(
            "INSERT INTO events SELECT 'a', 'b', n::text FROM generate_series(1, 5000) n"
        )
        await connection.begin(Kind.SHORT)
        full = (await connection.run(explained)).records
        await connection.rollback()
        await connection.close()
    assert "by_state" in str(empty)
    assert ("by_state" in str(full)) is is_kept


@contextmanager
def recorded() -> Iterator[Executed]:
    """Record what is executed on connections that plan once."""
    executed: Executed = {}

    def recording(run: _Run, *, is_many: bool) -> _Run:
        async def record(statement: str, arguments: Sequence[Any] = ()) -> Answer:
            if statement.startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")):
                executed[statement] = arguments[0] if is_many else arguments
            return await run(statement, arguments)

        return record

    def opening(url: str, **options: Any) -> Connect:
        async def opened() -> Connection:
            connection = await connector(url, **options)()
            if options.get("settings", {}).items() >= TRANSACTION_SETTINGS.items():
                for name, is_many in (("run", False), ("run_many", True)):
                    method = recording(getattr(connection, name), is_many=is_many)
                    setattr(connection, name, method)
            return connection

        return opened

    with patch.object(transactions, "connector", opening):
        yield executed


async def happen(story: Story) -> None:
    """Have most things happen that a core does."""
    async with catching(story) as url:
        await send_webhooks(story, url)
        await story.begin()
        await story.spend()
        await story.give_back()
        await story.live(len(story.caught) + EVENTS)
        await story.deliver()


async def copy_to_other_businesses(url: str) -> None:
    """Copy all rows into other businesses, and have the database collect its statistics."""
    database = Database(url)
    async with database.migration() as connection:
        await connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        for table in metadata.sorted_tables:
            _, *others = (column.name for column in table.columns)
            numbers = func.generate_series(1, BUSINESSES).table_valued("number").render_derived()
            business_id = table.c.business_id + "-" + cast(numbers.c.number, String)
            rows = select(business_id, *(table.c[name] for name in others)).join_from(
                table, numbers, true()
            )
            await connection.execute(insert(table).from_select(["business_id", *others], rows))
        await connection.exec_driver_sql("ANALYZE")
    await database.close()


async def plan_of(connection: Connection, statement: str, arguments: int) -> dict[str, Any]:
    """Return the plan of a statement for any values."""
    await connection.run(f"PREPARE planned AS {statement}")
    values = f"({', '.join(['NULL'] * arguments)})" if arguments else ""
    ((plan,),) = (await connection.run(f"EXPLAIN (FORMAT JSON) EXECUTE planned{values}")).records
    await connection.run("DEALLOCATE planned")
    found: dict[str, Any] = json.loads(plan)[0]["Plan"]
    return found


def scans(node: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Return table, index and condition of all scans of a plan."""
    if "Relation Name" in node and node["Node Type"] != "ModifyTable":
        yield node["Relation Name"], node.get("Index Name", ""), node.get("Index Cond", "")
    for child in node.get("Plans", ()):
        yield from scans(child)


def is_selective(scan: tuple[str, str, str]) -> bool:
    """Return whether a scan reads few rows, of however many the business has."""
    table, index, condition = scan
    if table in SMALL or index.endswith(("_due_by_business", "_ignored")):
        return index != ""
    condition = condition.replace("business_id", "")
    return any(each in condition for each in FINDING)
