"""An occurrence is charged at most once if a core dies, and never after a pause or cancel.

RECURRING_RACES sets the number of races; the default is for the suite.
"""

import asyncio
import os
import random
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from types import FrameType
from typing import Any

import pytest

from core.database.connections import Connection
from core.database.postgresql import PostgresqlConnection
from core.database.sqlite import SqliteConnection
from core.server.settings import CoreSettings
from nivisco.internal.v1 import operator_pb2
from nivisco.payments.v1 import payments_pb2
from nivisco.payments.v1 import recurring_pb2 as pb
from rpc.errors import CoreError
from tests.core.recurring.running import (
    DECLINED,
    FAILED,
    OPERATOR,
    SUCCEEDED,
    claim,
    create_job,
    execute,
    logs_of,
    moment_of,
    usd,
)
from tests.core.running import (
    Business,
    Gateway,
    ShiftedClock,
    call,
    create_user,
    running_core,
    save_card,
)

RACES = int(os.environ.get("RECURRING_RACES", "20"))
AT_ONCE = 10
COMMITS = 4
"""The commits of a card's execution: start, the payment's row, its outcome, the occurrence."""
EXECUTING = ("core/recurring/execution.py", "core/recurring/retries.py")


@dataclass(slots=True)
class Death:
    """Which commit of an execution its core dies at; no later commit of it succeeds."""

    commit: int = 0
    """Counted from 1; 0 for none."""
    after: bool = False
    """Whether the core dies after that commit, not before."""
    seen: int = 0

    @property
    def is_dead(self) -> bool:
        return 0 < self.commit <= self.seen


@pytest.fixture
def death(monkeypatch: pytest.MonkeyPatch) -> Death:
    """Kills an execution at one of its commits."""
    death = Death()
    for driver in (SqliteConnection, PostgresqlConnection):

        async def commit_unless_dead(self: Connection, commit: Any = driver.commit) -> None:
            if not death.commit or not _is_executing():
                await commit(self)
                return
            was_dead = death.is_dead
            death.seen += 1
            if not death.is_dead or (death.after and not was_dead):
                await commit(self)
            if death.is_dead:
                raise RuntimeError("the core died here")

        monkeypatch.setattr(driver, "commit", commit_unless_dead)
    return death


def _is_executing() -> bool:
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_filename.endswith(EXECUTING):
            return True
        frame = frame.f_back
    return False


async def test_a_core_that_dies_at_any_commit_charges_once(
    shop: Business,
    settings: CoreSettings,
    clock: ShiftedClock,
    gateway: Gateway,
    death: Death,
) -> None:
    async with AsyncExitStack() as running:
        survivor = shop
        if settings.database_url.startswith("postgresql"):
            client = await running.enter_async_context(running_core(settings, clock))
            survivor = replace(shop, client=client)
        user_id = await create_user(shop)
        await save_card(shop, user_id)
        for round_number, (commit, after) in enumerate(
            [(commit, after) for commit in range(1, COMMITS + 1) for after in (False, True)]
        ):
            job = await create_job(shop, user_id, source=pb.RECURRING_SOURCE_STRIPE, max_cycles=1)
            clock.ahead += timedelta(days=1, minutes=1)
            (lease,) = await claim(shop)
            death.commit, death.after, death.seen = commit, after, 0
            with pytest.raises(CoreError):
                await execute(shop, lease)
            assert death.is_dead
            death.commit = 0
            async with asyncio.timeout(60):
                while not (logs := await logs_of(shop, job)):
                    clock.ahead += timedelta(minutes=2)  # leases expire
                    for taken in await claim(survivor):
                        await execute(survivor, taken)
            assert [log.status for log in logs] == [SUCCEEDED], (commit, after)
            charges = await gateway.charges()
            assert len(charges) == round_number + 1, (commit, after)


@pytest.mark.parametrize(("token", "outcome"), [("visa", SUCCEEDED), ("radarBlock", DECLINED)])
@pytest.mark.parametrize("has_scheduler", [False, True])
async def test_a_core_that_dies_at_any_commit_of_a_retry_makes_one_attempt_for_a_key(
    shop: Business,
    settings: CoreSettings,
    clock: ShiftedClock,
    gateway: Gateway,
    death: Death,
    token: str,
    outcome: int,
    has_scheduler: bool,
) -> None:
    async with AsyncExitStack() as running:
        survivor = shop
        if settings.database_url.startswith("postgresql"):
            client = await running.enter_async_context(running_core(settings, clock))
            survivor = replace(shop, client=client)
        user_id = await create_user(shop)
        jobs = [
            await create_job(
                shop,
                user_id,
                source=pb.RECURRING_SOURCE_STRIPE,
                interval_type=pb.INTERVAL_TYPE_YEAR,
            )
            for _ in range(2 * COMMITS)
        ]
        clock.ahead += timedelta(days=366)
        for lease in await claim(shop):  # without a card
            await execute(shop, lease)
        await save_card(shop, user_id, f"pm_card_{token}")
        for number, job in enumerate(jobs):
            death.commit, death.after, death.seen = number // 2 + 1, bool(number % 2), 0
            request = pb.RetryRecurringRequest(recurring_id=job, idempotency_key=f"key-{number}")
            with pytest.raises(CoreError):
                await shop.call(request)
            assert death.is_dead
            death.commit = 0
            clock.ahead += timedelta(minutes=2)  # leases expire
            if has_scheduler:
                for lease in await claim(survivor):
                    await execute(survivor, lease)
            if number == len(jobs) - 2:  # the charge has its outcome, the call no answer
                found = await call(survivor.client, OPERATOR, operator_pb2.ExamineRequest())
                wrong = {each.name for each in found.checks if each.count}
                # The clock was moved by a year, and a core died.
                assert wrong <= {"expired_records", "stale_leases"}
            answers = [await _answer(survivor, request) for _ in range(2)]
            assert answers[0] == answers[1], number
            logs = await logs_of(shop, job)
            assert [log.status for log in logs] == [FAILED, outcome], number
        charges = await gateway.charges()
        assert len(charges) == (len(jobs) if outcome == SUCCEEDED else 0)


async def _answer(shop: Business, request: Any) -> Any:
    try:
        return await shop.call(request)
    except CoreError as error:
        assert error.reason == "CARD_DECLINED", error  # noqa: PT017 - or it succeeds
        return error.message, error.metadata


async def test_no_charge_starts_after_an_acknowledged_cancel_pause_or_update(
    shop: Business, clock: ShiftedClock, gateway: Gateway
) -> None:
    chance = random.Random(6)  # noqa: S311 - no secret
    for _ in range(0, RACES, AT_ONCE):
        runners = [await _due_job(shop) for _ in range(AT_ONCE)]
        clock.ahead += timedelta(days=1, minutes=1)
        leases = {lease.recurring_id: lease for lease in await claim(shop)}
        await asyncio.gather(
            *(
                _race(
                    shop,
                    user_id,
                    leases[job],
                    chance.choice(["cancel", "pause", "update"]),
                    chance.random() * 0.05,
                    chance.random() * 0.05,
                )
                for user_id, job in runners
            )
        )
        charged = {each["id"] for each in await gateway.charges()}
        assert len(charged) == len(await gateway.charges())
        for user_id, job in runners:
            await _check_logs_match_payments(shop, user_id, job)
            await shop.call(pb.CancelRecurringRequest(recurring_id=job))


async def test_no_retry_starts_after_an_acknowledged_cancel_or_pause(
    shop: Business, clock: ShiftedClock
) -> None:
    chance = random.Random(7)  # noqa: S311 - no secret
    runners = [await _due_job(shop, "pm_card_radarBlock") for _ in range(AT_ONCE)]
    clock.ahead += timedelta(days=1, minutes=1)
    for lease in await claim(shop):
        await execute(shop, lease)

    async def race(user_id: str, job: str, delay: float) -> None:
        running = asyncio.ensure_future(_answer_or_reason(shop, job))
        await asyncio.sleep(delay)
        stop = chance.choice([pb.CancelRecurringRequest, pb.PauseRecurringRequest])
        await shop.call(stop(recurring_id=job))
        at_response = {each.payment_id for each in await _payments(shop, user_id)}
        assert await running in ("CARD_DECLINED", "RECURRING_STATE", "CYCLE_IN_PROGRESS")
        assert {each.payment_id for each in await _payments(shop, user_id)} == at_response
        assert len(await logs_of(shop, job)) <= 2

    await asyncio.gather(*(race(*runner, chance.random() * 0.1) for runner in runners))


async def _answer_or_reason(shop: Business, job: str) -> str:
    with pytest.raises(CoreError) as refused:
        await shop.call(pb.RetryRecurringRequest(recurring_id=job))
    return refused.value.reason


async def _due_job(shop: Business, token: str = "pm_card_visa") -> tuple[str, str]:
    user_id = await create_user(shop)
    await save_card(shop, user_id, token)
    source = pb.RECURRING_SOURCE_STRIPE
    return user_id, await create_job(shop, user_id, source=source, amount=usd(10))


async def _race(
    shop: Business, user_id: str, lease: Any, what: str, head_start: float, delay: float
) -> None:
    """Execute an occurrence while its job is stopped or changed; no charge may start afterwards."""

    async def run() -> None:
        await asyncio.sleep(head_start)
        try:
            await execute(shop, lease)
        except CoreError as error:
            assert error.reason == "RECURRING_STATE", error  # noqa: PT017 - or it succeeds

    running = asyncio.ensure_future(run())
    await asyncio.sleep(delay)
    job = lease.recurring_id
    request: Any = {
        "cancel": pb.CancelRecurringRequest(recurring_id=job),
        "pause": pb.PauseRecurringRequest(recurring_id=job),
        "update": pb.UpdateRecurringRequest(
            recurring_id=job, amount=usd(99), status=pb.RECURRING_STATUS_PAUSED
        ),
    }[what]
    await shop.call(request)
    at_response = await _payments(shop, user_id)
    await running
    assert [each.payment_id for each in await _payments(shop, user_id)] == [
        each.payment_id for each in at_response
    ], what


async def _payments(shop: Business, user_id: str) -> list[Any]:
    response = await shop.call(payments_pb2.GetPaymentRecordsRequest(user_id=user_id))
    return list(response.payments)


async def _check_logs_match_payments(shop: Business, user_id: str, job: str) -> None:
    """Check that logs and payments of a race agree, on the amount that was claimed."""
    succeeded = [log for log in await logs_of(shop, job) if log.status == SUCCEEDED]
    payments = await _payments(shop, user_id)
    assert [each.transaction_id for each in payments] == [log.transaction_id for log in succeeded]
    assert {each.amount.units for each in payments} <= {10}
    assert len({moment_of(log.occurrence) for log in succeeded}) == len(succeeded) <= 1
