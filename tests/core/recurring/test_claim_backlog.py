"""A claim beside the backlog of one business, on each database."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection
from datetime import timedelta

import pytest

from core.database.migrations.upgrade import migrate
from core.database.transactions import Database
from core.recurring.claims import Claims, Lease
from core.recurring.clock_store import JobClock
from tests.core.due_work.backlog import add_business, add_due_jobs

BACKLOG = 2_000
"""Jobs of one business: more than are read in order of time."""


@pytest.fixture
async def claims(database_url: str) -> AsyncIterator[Claims]:
    database = Database(database_url)
    await migrate(database)
    await add_business(database, "B-50-big")
    await add_due_jobs(database, "B-50-big", BACKLOG, timedelta(hours=1))
    for number in range(100):
        await add_business(database, f"B-{number}")
        await add_due_jobs(database, f"B-{number}", 1)
    yield Claims(database, JobClock(has_test_clocks=False))
    await database.close()


async def claim(
    claims: Claims, limit: int, limit_per_business: int, excluded: Collection[str] = ()
) -> list[Lease]:
    return await claims.claim(
        "scheduler",
        limit=limit,
        limit_per_business=limit_per_business,
        excluded_business_ids=excluded,
        lease_duration=timedelta(minutes=1),
    )


async def test_all_other_businesses_are_claimed_at_once(claims: Claims) -> None:
    leases = await claim(claims, 256, 16)
    of_business = Counter(lease.business_id for lease in leases)
    assert len(of_business) == 101
    assert of_business["B-50-big"] == 16
    again = await claim(claims, 256, 16)
    assert Counter(lease.business_id for lease in again) == {"B-50-big": 16}


async def test_an_excluded_business_with_a_backlog_hides_no_other(claims: Claims) -> None:
    leases = await claim(claims, 256, 16, ["B-50-big"])
    assert len({lease.business_id for lease in leases}) == len(leases) == 100
    assert await claim(claims, 256, 16, ["B-50-big"]) == []


async def test_a_backlog_is_claimed_as_fast_as_the_scheduler_asks(claims: Claims) -> None:
    assert len(await claim(claims, 1000, 1000)) == 1000
    assert len(await claim(claims, 1000, 1000)) == 1000
    assert len(await claim(claims, 1000, 1000)) == 100
    assert await claim(claims, 1000, 1000) == []


async def test_concurrent_claims_in_a_backlog_lease_different_jobs(claims: Claims) -> None:
    several = await asyncio.gather(*(claim(claims, 100, 50) for _ in range(4)))
    keys = [(each.business_id, each.recurring_id) for leases in several for each in leases]
    assert len(keys) == len(set(keys)) >= 250
