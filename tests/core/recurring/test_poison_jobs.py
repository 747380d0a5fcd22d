"""A job that fails is put off or set aside, and all others are charged, on each database."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from core.due_work.rules import FAILED_LOOKS_MAX, pause_after
from core.recurring import claims, cycles, execution, transitions
from core.recurring.store import Job
from nivisco.internal.v1 import operator_pb2
from nivisco.payments.v1 import recurring_pb2 as pb
from rpc.errors import CoreError
from tests.core.recurring.running import (
    OPERATOR,
    claim,
    claim_and_execute,
    create_job,
    cycles_of,
    execute,
    fill_wallet,
    logs_of,
)
from tests.core.running import Business, ShiftedClock, call, create_user

DAY = timedelta(days=1)


async def jobs_of_user(shop: Business, count: int = 3, **changes: Any) -> list[str]:
    user_id = await create_user(shop)
    await fill_wallet(shop, user_id)
    return [await create_job(shop, user_id, **changes) for _ in range(count)]


def failing_for(recurring_id: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function such that it raises an unexpected error for one job."""

    def patched(job: Job, *arguments: Any, **more: Any) -> Any:
        if job.recurring_id == recurring_id:
            raise RuntimeError("a bug")
        return function(job, *arguments, **more)

    return patched


async def set_aside(shop: Business) -> list[dict[str, str]]:
    answer = await call(shop.client, OPERATOR, operator_pb2.ListSetAsideRequest())
    return [{"id": row.id, "error": row.error} for row in answer.rows]


async def release(shop: Business, recurring_id: str) -> None:
    await call(
        shop.client,
        OPERATOR,
        operator_pb2.ReleaseSetAsideRequest(
            kind=operator_pb2.DUE_KIND_RECURRING_JOB,
            id=recurring_id,
            decided_by="Ada",
            reason="corrected",
        ),
    )


async def fail_until_set_aside(shop: Business, clock: ShiftedClock) -> int:
    """Claim what is due until something is set aside, and return the number of executions."""
    executed = 0
    for looks in range(FAILED_LOOKS_MAX):
        assert await set_aside(shop) == []
        executed += await claim_and_execute(shop)
        clock.ahead += pause_after(looks) + timedelta(seconds=1)
    return executed


@pytest.mark.parametrize(("catch_up", "missed"), [("all", 2), ("latest", 1)])
async def test_a_job_that_fails_for_a_bug_is_set_aside_and_after_its_release_follows_its_catch_up(
    shop: Business,
    clock: ShiftedClock,
    monkeypatch: pytest.MonkeyPatch,
    catch_up: str,
    missed: int,
) -> None:
    word = pb.CatchUp.Value(f"CATCH_UP_{catch_up.upper()}")
    first, poisoned, last = await jobs_of_user(shop, catch_up=word)
    clock.ahead = DAY + timedelta(minutes=1)
    with monkeypatch.context() as patched:
        patched.setattr(claims, "begin_due", failing_for(poisoned, cycles.begin_due))
        assert await fail_until_set_aside(shop, clock) == 2
        (aside,) = await set_aside(shop)
        assert aside["id"] == poisoned
        assert aside["error"].startswith("RuntimeError at ")
    clock.ahead += DAY
    assert await claim_and_execute(shop) == 2
    assert await logs_of(shop, poisoned) == []
    await release(shop, poisoned)
    await claim_and_execute(shop)
    assert [word for _, word in await cycles_of(shop, poisoned)].count("charged") == missed
    assert [len(await logs_of(shop, each)) for each in (first, poisoned, last)] == [2, 2, 2]
    assert await set_aside(shop) == []


async def test_a_job_that_is_cancelled_while_it_is_set_aside_is_never_charged(
    shop: Business, clock: ShiftedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    (poisoned,) = await jobs_of_user(shop, 1)
    clock.ahead = DAY + timedelta(minutes=1)
    with monkeypatch.context() as patched:
        patched.setattr(claims, "begin_due", failing_for(poisoned, cycles.begin_due))
        assert await fail_until_set_aside(shop, clock) == 0
    assert [row["id"] for row in await set_aside(shop)] == [poisoned]
    await shop.call(pb.CancelRecurringRequest(recurring_id=poisoned))
    assert await set_aside(shop) == []
    clock.ahead += DAY
    assert await claim_and_execute(shop) == 0
    assert [word for _, word in await cycles_of(shop, poisoned)] == ["skipped"]


async def test_an_execution_that_fails_for_a_bug_sets_its_job_aside(
    shop: Business, clock: ShiftedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy, poisoned = await jobs_of_user(shop, 2)
    clock.ahead = DAY + timedelta(minutes=1)

    async def broken(_transaction: object, job: Job, *arguments: Any) -> Any:
        if job.recurring_id == poisoned:
            raise RuntimeError("a bug")
        return await read_attempt(_transaction, job, *arguments)

    read_attempt: Any = transitions.read_attempt
    with monkeypatch.context() as patched:
        patched.setattr(execution, "read_attempt", broken)
        for _ in range(FAILED_LOOKS_MAX):
            assert await set_aside(shop) == []
            for lease in await claim(shop, lease_seconds=1):
                if lease.recurring_id == poisoned:
                    with pytest.raises(CoreError):
                        await execute(shop, lease)
                else:
                    await execute(shop, lease)
            clock.ahead += timedelta(hours=1)
    assert [row["id"] for row in await set_aside(shop)] == [poisoned]
    assert [len(await logs_of(shop, each)) for each in (healthy, poisoned)] == [1, 0]
    await release(shop, poisoned)
    assert await claim_and_execute(shop) == 1
    assert [word for _, word in await cycles_of(shop, poisoned)] == ["charged"]


async def test_a_row_that_the_database_refuses_stops_no_claim_of_others(
    shop: Business, clock: ShiftedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its due occurrence exists already, so that the insert of all claimed ones fails."""
    jobs = await jobs_of_user(shop)
    begin_due = cycles.begin_due

    def twice(job: Job, *arguments: Any) -> Any:
        change = begin_due(job, *arguments)
        if job.recurring_id == jobs[1]:
            return replace(change, opened=[*change.opened, *change.opened])
        return change

    monkeypatch.setattr(claims, "begin_due", twice)
    clock.ahead = DAY + timedelta(minutes=1)
    assert {lease.recurring_id for lease in await claim(shop)} == {jobs[0], jobs[2]}
    assert await claim(shop) == []
    for looks in range(1, FAILED_LOOKS_MAX):
        clock.ahead += pause_after(looks - 1) + timedelta(seconds=1)
        assert jobs[1] not in {lease.recurring_id for lease in await claim(shop)}
    assert [row["id"] for row in await set_aside(shop)] == [jobs[1]]
