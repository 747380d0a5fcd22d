"""Every business has its turn, and nobody's backlog is walked, on each database."""

from collections import Counter
from datetime import timedelta

import pytest

from core.database.transactions import Database
from core.due_work.rules import DueRow
from core.due_work.store import JOBS
from core.due_work.turns import Choice, Turns
from tests.core.database.recording import recorded
from tests.core.due_work.backlog import (
    add_business,
    add_due_jobs,
    analyze,
    rows_read,
    steps_of,
)

BACKLOG = 100_000
HOUR = timedelta(hours=1)


def eight(_row: DueRow) -> int:
    return 8


async def choose(turns: Turns, database: Database, limit: int) -> Choice:
    async with database.read() as transaction:
        return await turns.choose(transaction, {"": limit}, room_of=eight, each=8)


def businesses_of(choice: Choice) -> list[str]:
    return [row.business_id for row in choice.rows]


async def with_backlog(database: Database, others: int = 100, statistics_of: str = "none") -> None:
    """Add a backlog of one business, and a row of each other one.

    The database's statistics are of the table when it had no row, when all were of one business, or
    of all rows: it collects them at any moment.
    """
    if statistics_of == "none":
        await analyze(database)
    await add_business(database, "B-500-big")
    await add_due_jobs(database, "B-500-big", BACKLOG, HOUR)
    if statistics_of == "one business":
        await analyze(database)
    for number in range(others):
        business_id = f"B-{number * 10:03}"
        await add_business(database, business_id)
        await add_due_jobs(database, business_id, 1)
    if statistics_of == "all":
        await analyze(database)


@pytest.mark.parametrize("statistics_of", ["none", "one business", "all"])
async def test_a_backlog_of_one_business_takes_no_turn_of_another(
    database: Database, statistics_of: str
) -> None:
    await with_backlog(database, statistics_of=statistics_of)
    turns = Turns(JOBS)
    choice = await choose(turns, database, 1000)
    found = businesses_of(choice)
    assert (len(set(found)), found.count("B-500-big")) == (101, 8)
    assert sorted(found[:101]) == sorted(set(found))  # one of each, before the second of any
    assert choice.lanes_with_more == {""}
    async with database.read() as transaction:
        with recorded() as queries:
            await turns.choose(transaction, {"": 1000}, room_of=eight, each=8)
        assert 2 <= len(queries) <= 3
        for statement, parameters, _ in queries:
            if database.has_one_process:
                steps = await steps_of(transaction, statement, parameters)
                assert not [step for step in steps if "B-TREE" in step or "SCAN r" in step], steps
                assert [step for step in steps if "_due" in step], steps
            else:
                assert await rows_read(transaction, statement, parameters) < 3000


async def test_in_a_backlog_each_choice_goes_on_where_the_previous_one_ended(
    database: Database,
) -> None:
    for number in range(10):
        await add_business(database, f"B-{number}")
        await add_due_jobs(database, f"B-{number}", 5, timedelta(minutes=10 - number))
    turns = Turns(JOBS, window=20)
    chosen = [businesses_of(await choose(turns, database, 4)) for _ in range(5)]
    assert chosen[:2] == [["B-0", "B-1", "B-2", "B-3"], ["B-4", "B-5", "B-6", "B-7"]]
    taken = Counter(business_id for each in chosen for business_id in each)
    assert taken == {f"B-{number}": 2 for number in range(10)}


async def test_without_a_backlog_the_longest_due_row_of_each_business_is_first(
    database: Database,
) -> None:
    for name, minutes in (("B-a", 1), ("B-b", 3), ("B-c", 2)):
        await add_business(database, name)
        await add_due_jobs(database, name, 2, timedelta(minutes=minutes))
    choice = await choose(Turns(JOBS), database, 5)
    assert businesses_of(choice) == ["B-b", "B-c", "B-a", "B-b", "B-c"]
    assert choice.lanes_with_more == {""}
    everything = await choose(Turns(JOBS), database, 6)
    assert (len(everything.rows), everything.lanes_with_more) == (6, set())


async def test_a_business_without_room_is_passed_over_without_walking_its_backlog(
    database: Database,
) -> None:
    await with_backlog(database, others=5)
    async with database.read() as transaction:
        choice = await Turns(JOBS).choose(
            transaction,
            {"": 1000},
            room_of=lambda row: 0 if row.business_id == "B-500-big" else 8,
            each=8,
        )
    assert sorted(businesses_of(choice)) == [f"B-{number * 10:03}" for number in range(5)]


async def test_what_is_due_later_or_set_aside_or_leased_is_not_chosen(database: Database) -> None:
    await add_business(database, "B-1")
    await add_due_jobs(database, "B-1", 3)
    async with database.transaction() as transaction:
        execute = transaction.connection.run
        await execute(
            "UPDATE recurring_jobs SET set_aside_at = due_at, set_aside_error = 'x' "
            "WHERE recurring_id = 'REC-10000000'"
        )
        await execute(
            "UPDATE recurring_jobs SET lease_owner = 'x', leased_until = '2999-01-01 00:00:00' "
            "WHERE recurring_id = 'REC-10000001'"
        )
    await add_business(database, "B-2")
    await add_due_jobs(database, "B-2", 1, -HOUR)
    choice = await choose(Turns(JOBS), database, 10)
    assert [row.key for row in choice.rows] == [("B-1", "REC-10000002")]
