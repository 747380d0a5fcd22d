"""Volumes and events in both databases: exact, and by ranges of an index."""

import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from core.database import schema
from core.database.migrations.upgrade import migrate
from core.database.paging import PageRequest
from core.database.transactions import Database
from core.payments.event_rules import CHARGED
from core.reports.rules import Moved, Period
from core.reports.store import EVENTS_OF_PAYMENT_MAX, EventFilter, event_page, moved_in
from tests.core.database.migrations.rows import NOW, ROWS, write
from tests.core.database.recording import recorded

FIRST = date(2026, 1, 10)
PERIOD = Period(FIRST, FIRST + timedelta(days=4))
ROWS_OF_A_TABLE = 600


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    await migrate(opened)
    await write(opened, "businesses", ROWS["businesses"])
    await write(
        opened, "businesses", ROWS["businesses"] | {"business_id": "C", "api_key_hash": "i"}
    )
    for business_id in ("B", "C"):
        await write(opened, "users", ROWS["users"] | {"business_id": business_id})
    for number, env in enumerate(("TEST", "LIVE")):
        wallet = {"wallet_id": f"WAL-{number}", "env": env, "currency": ("usd", "jpy")[number]}
        await write(opened, "wallets", ROWS["wallets"] | wallet)
    others = [{"user_id": f"USR-{number}", "wallet_id": f"WAL-{number}"} for number in range(9, 99)]
    await insert_rows(
        opened, "users", [ROWS["users"] | {"user_id": each["user_id"]} for each in others]
    )
    await insert_rows(opened, "wallets", [ROWS["wallets"] | each for each in others])
    yield opened
    await opened.close()


async def insert_rows(database: Database, table: str, rows: list[dict[str, Any]]) -> None:
    async with database.transaction() as transaction:
        await transaction.connection.execute(insert(schema.metadata.tables[table]), rows)
        await transaction.connection.run("ANALYZE")


def moments(chance: random.Random) -> datetime:
    """Return a time around the period, often at the edge of a day."""
    start = datetime.combine(FIRST, datetime.min.time(), UTC)
    edge = timedelta(days=chance.randrange(-40, 45))
    return (
        start + edge + chance.choice((timedelta(), -timedelta(microseconds=1), timedelta(hours=7)))
    )


def made_rows(chance: random.Random) -> dict[str, list[dict[str, Any]]]:
    """Return payments, refunds and movements of two businesses, environments and currencies."""
    made: dict[str, list[dict[str, Any]]] = {
        "payments": [],
        "refunds": [],
        "wallet_transactions": [],
    }
    for number in range(ROWS_OF_A_TABLE):
        status = chance.choice(
            ("succeeded", "declined", "refunded", "disputed", "failed", "voided")
        )
        payment = ROWS["payments"] | {
            "business_id": chance.choice("BBBC"),
            "payment_id": f"PAY-{number}",
            "env": chance.choice(("TEST", "TEST", "LIVE")),
            "gateway": chance.choice(("stripe", "authorize")),
            "currency": chance.choice(("usd", "jpy")),
            "amount_minor": chance.choice((1, 99, 10**14)),
            "status": status,
            "succeeded_at": chance.choice((NOW, None)) if status == "voided" else None,
            "created_at": moments(chance),
        }
        made["payments"].append(payment)
        refund = {"refund_id": f"REF-{number}", "payment_id": f"PAY-{number}", "amount_minor": 1}
        same = ("business_id", "env", "gateway", "currency")
        of_payment = {name: payment[name] for name in same}
        word = {"status": chance.choice(("succeeded", "failed")), "created_at": moments(chance)}
        made["refunds"].append(ROWS["refunds"] | refund | of_payment | word)
        movement = {
            "transaction_id": f"WTX-{number}",
            "wallet_id": f"WAL-{number % 2}",
            "version": number + 1,
            "payment_id": None,
            "reason": "manual_credit",
            "type": chance.choice(("credit", "debit")),
            "amount_minor": chance.choice((1, 10**14)),
            "created_at": moments(chance),
        }
        made["wallet_transactions"].append(ROWS["wallet_transactions"] | movement)
    return made


def expected(made: dict[str, list[dict[str, Any]]], business_id: str, env: str) -> set[Moved]:
    """Return what moved, added up row by row."""
    counts: Counter[tuple[str, str, str | None, str]] = Counter()
    sums: Counter[tuple[str, str, str | None, str]] = Counter()
    found = [
        ("payment", row, row["gateway"], row["currency"], row["env"])
        for row in made["payments"]
        if row["status"] in CHARGED or row["succeeded_at"] is not None
    ]
    found += [
        ("refund", row, row["gateway"], row["currency"], row["env"])
        for row in made["refunds"]
        if row["status"] == "succeeded"
    ]
    found += [
        (
            row["type"],
            row,
            None,
            *(("usd", "TEST") if row["wallet_id"] == "WAL-0" else ("jpy", "LIVE")),
        )
        for row in made["wallet_transactions"]
    ]
    for kind, row, gateway, currency, in_env in found:
        on = row["created_at"].date()
        is_wanted = (row["business_id"], in_env) == (business_id, env)
        if is_wanted and PERIOD.first <= on <= PERIOD.last:
            key = (kind, on.isoformat(), gateway, currency)
            counts[key] += 1
            sums[key] += row["amount_minor"]
    return {Moved(*key, counts[key], sums[key]) for key in counts}


async def test_volumes_are_exact_one_statement_and_read_ranges_of_days_only(
    database: Database,
) -> None:
    made = made_rows(random.Random(7))  # noqa: S311 - no secret
    for table, rows in zip(
        ("payments", "refunds", "wallet_transactions"), made.values(), strict=True
    ):
        await insert_rows(database, table, rows)
    for business_id, env in (("B", "TEST"), ("B", "LIVE"), ("C", "TEST")):
        with recorded() as statements:
            async with database.listing() as transaction:
                found = await moved_in(transaction, business_id=business_id, env=env, period=PERIOD)
        assert len(found) == len(set(found))
        assert set(found) == expected(made, business_id, env)
        [(statement, parameters, _)] = statements
        if business_id == "C":
            continue  # it has few rows, of which any index is a good one
        assert await ranges(database, statement, parameters) == {
            "payments",
            "refunds",
            "wallet_transactions",
            *(() if database.has_one_process else ("wallets",)),
        }


async def ranges(database: Database, statement: str, parameters: Any) -> set[str]:
    """Return the tables of which the plan reads a range of time in an index.

    Asserts that it reads none of them in another way, but the wallets of the movements.
    """
    explain = "EXPLAIN QUERY PLAN " if database.has_one_process else "EXPLAIN (FORMAT JSON) "
    async with database.listing() as transaction:
        rows = (await transaction.connection.run(explain + statement, parameters)).records
    if database.has_one_process:
        steps = [step for *_, step in rows if step.startswith(("SCAN", "SEARCH"))]
        of_time = [step for step in steps if "created_at>" in step and "created_at<" in step]
        for step in steps:
            by_key = step.startswith("SEARCH wallets") and "wallet_id=?" in step
            assert step in of_time or by_key or step == "SCAN found"
        return {step.split()[1] for step in of_time}
    found, nodes = set(), [json.loads(rows[0][0])[0]["Plan"]]
    while nodes:
        node = nodes.pop()
        nodes += node.get("Plans", [])
        if (table := node.get("Relation Name")) is not None:
            by = "wallet_id" if table == "wallets" else "created_at"
            assert by in node.get("Index Cond", ""), node
            found.add(table)
    return found


def event(number: int, **columns: Any) -> dict[str, Any]:
    return ROWS["webhook_events"] | {
        "event_id": f"evt_{number}",
        "received_at": NOW + timedelta(minutes=number),
        "env": "TEST",
        "gateway": "stripe",
        "type": "t",
        "state": "applied",
        "look_at": None,
        "payment_id": None,
        "transaction_id": None,
        **columns,
    }


async def test_events_of_a_payment_carry_our_id_or_only_the_gateways(database: Database) -> None:
    for number, gateway in enumerate(("stripe", "authorize")):
        own = {"payment_id": f"PAY-{number}", "transaction_id": "pi_1", "gateway": gateway}
        await write(database, "payments", ROWS["payments"] | own)
    others = [event(number, payment_id="PAY-9") for number in range(100, 300)]
    await insert_rows(
        database,
        "webhook_events",
        [
            event(1, payment_id="PAY-0"),
            event(2, transaction_id="pi_1"),
            event(3, transaction_id="pi_1", gateway="authorize"),
            event(4, transaction_id="pi_1", payment_id="PAY-7"),
            event(5, transaction_id="pi_2"),
            event(6, payment_id="PAY-0", state="contradicting"),
            event(7, payment_id="PAY-0", type="nivisco.read"),
            *others,
        ],
    )

    async def listed(payment_id: str | None = "PAY-0", **which: Any) -> tuple[int, list[str]]:
        wanted = EventFilter(**{"env": "TEST", "payment_id": payment_id} | which)
        async with database.listing() as transaction:
            page = await event_page(
                transaction, business_id="B", which=wanted, page=PageRequest(limit=100)
            )
        return page.total, [each.event_id for each in page.rows]

    assert await listed() == (3, ["evt_6", "evt_2", "evt_1"])
    assert await listed(state="contradicting") == (1, ["evt_6"])
    assert await listed("PAY-1") == (1, ["evt_3"])
    assert await listed(gateway="authorize") == (0, [])
    assert await listed(env="LIVE") == (0, [])
    assert await listed("PAY-9") == (0, [])  # a payment of nobody
    assert (await listed(None))[0] == 206

    many = [event(number, payment_id="PAY-0") for number in range(1000, 2000)]
    newest = event(2000, transaction_id="pi_1")
    await insert_rows(database, "webhook_events", [*many, newest])
    total, ids = await listed()
    assert (total, ids[:2]) == (EVENTS_OF_PAYMENT_MAX, ["evt_2000", "evt_1999"])
