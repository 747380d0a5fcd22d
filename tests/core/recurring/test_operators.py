"""What operators decide about payments of recurring cycles, and about jobs that are set aside."""

from datetime import timedelta
from typing import Any

import pytest

from core.recurring import calendar
from nivisco.internal.v1 import operator_pb2
from nivisco.payments.v1 import recurring_pb2 as pb
from tests.core.payments.charging import INTENTS, card_holder, records
from tests.core.recurring.running import (
    FAILED,
    OPERATOR,
    SUCCEEDED,
    claim_and_execute,
    create_job,
    cycles_of,
    fill_wallet,
    job_of,
    logs_of,
)
from tests.core.running import Business, Gateway, ShiftedClock, call, create_user

DAY = timedelta(days=1)


async def resolve(shop: Business, payment_id: str, resolution: Any, **more: Any) -> Any:
    request = operator_pb2.ResolvePaymentRequest(
        payment_id=payment_id, resolution=resolution, decided_by="ana", reason="r", **more
    )
    return await call(shop.client, OPERATOR, request)


async def release(shop: Business, job: str) -> Any:
    request = operator_pb2.ReleaseSetAsideRequest(
        kind=operator_pb2.DUE_KIND_RECURRING_JOB, id=job, decided_by="ana", reason="tzdata is new"
    )
    return await call(shop.client, OPERATOR, request)


async def set_aside(shop: Business) -> list[str]:
    response = await call(shop.client, OPERATOR, operator_pb2.ListSetAsideRequest())
    assert {each.kind for each in response.rows} <= {operator_pb2.DUE_KIND_RECURRING_JOB}
    return [each.id for each in response.rows]


async def unknown_cycle(
    shop: Business, gateway: Gateway, clock: ShiftedClock, kind: str = "reset_after"
) -> tuple[str, str]:
    """Leave the first cycle of a job without a clear answer; return job and payment."""
    job = await create_job(shop, await card_holder(shop), source=pb.RECURRING_SOURCE_STRIPE)
    clock.ahead = DAY
    await gateway.fault(kind, INTENTS, times=20, method=None)
    await claim_and_execute(shop)
    await gateway.clear()
    (payment,) = await records(shop)
    return job, payment.payment_id


async def test_a_cycle_is_what_its_payment_is_resolved_as(
    shop: Business, gateway: Gateway, clock: ShiftedClock
) -> None:
    job, payment_id = await unknown_cycle(shop, gateway, clock)
    shown = await call(
        shop.client, OPERATOR, operator_pb2.ShowPaymentRequest(payment_id=payment_id)
    )
    assert (shown.cycle.recurring_id, shown.cycle.attempt) == (job, 1)
    assert (shown.cycle.status, shown.cycle.job_status) == ("open", "active")
    (charge,) = await gateway.charges()
    await resolve(
        shop,
        payment_id,
        operator_pb2.PAYMENT_RESOLUTION_SUCCEEDED,
        transaction_id=charge["payment_intent"],
    )
    (log,) = await logs_of(shop, job)
    assert (log.status, log.payment_id) == (SUCCEEDED, payment_id)
    assert (await job_of(shop, job)).executed_cycles == 1
    assert await claim_and_execute(shop) == 0
    assert len(await gateway.charges()) == 1


async def test_a_late_success_of_a_failed_cycle_is_counted(
    shop: Business, gateway: Gateway, clock: ShiftedClock
) -> None:
    job, payment_id = await unknown_cycle(shop, gateway, clock)
    failed = operator_pb2.PAYMENT_RESOLUTION_DECLINED
    await resolve(shop, payment_id, failed, force=True)
    assert (await job_of(shop, job)).executed_cycles == 0
    request = operator_pb2.RetryPaymentRequest(payment_id=payment_id, decided_by="bo")
    await call(shop.client, OPERATOR, request)
    assert (await job_of(shop, job)).executed_cycles == 1
    assert [log.status for log in await logs_of(shop, job)] == [SUCCEEDED]
    assert len(await gateway.charges()) == 1


async def test_a_cycle_whose_payment_is_resolved_as_failed_is_charged_again(
    shop: Business, gateway: Gateway, clock: ShiftedClock
) -> None:
    job, payment_id = await unknown_cycle(shop, gateway, clock, kind="reset_before")
    await resolve(shop, payment_id, operator_pb2.PAYMENT_RESOLUTION_FAILED, force=True)
    clock.ahead += timedelta(minutes=1)
    assert await claim_and_execute(shop) == 1
    assert (await job_of(shop, job)).executed_cycles == 1
    assert [log.status for log in await logs_of(shop, job)] == [SUCCEEDED]
    assert (len(await records(shop)), len(await gateway.charges())) == (2, 1)


@pytest.mark.parametrize(
    ("catch_up", "cycles"),
    [
        (pb.CATCH_UP_LATEST, ["skipped", "skipped", "charged"]),
        (pb.CATCH_UP_ALL, ["charged", "charged", "charged"]),
        (pb.CATCH_UP_SKIP, ["skipped", "skipped", "skipped"]),
    ],
)
async def test_a_released_job_catches_up_as_it_is_told_to(
    shop: Business,
    clock: ShiftedClock,
    monkeypatch: pytest.MonkeyPatch,
    catch_up: Any,
    cycles: list[str],
) -> None:
    job = await set_aside_job(shop, clock, monkeypatch, catch_up=catch_up)
    clock.ahead += 2 * DAY + timedelta(hours=1)
    assert await claim_and_execute(shop) == 0
    decided = await release(shop, job)
    assert (decided.decision.action, decided.decision.decided_by) == ("release", "ana")
    assert await set_aside(shop) == []
    await claim_and_execute(shop)
    assert [word for _, word in await cycles_of(shop, job)] == cycles


async def test_a_released_job_that_was_cancelled_is_not_charged(
    shop: Business, clock: ShiftedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await set_aside_job(shop, clock, monkeypatch)
    await shop.call(pb.CancelRecurringRequest(recurring_id=job))
    if job in await set_aside(shop):
        await release(shop, job)
    clock.ahead += DAY
    assert await claim_and_execute(shop) == 0
    assert FAILED not in [log.status for log in await logs_of(shop, job)]


async def set_aside_job(
    shop: Business, clock: ShiftedClock, monkeypatch: pytest.MonkeyPatch, **fields: Any
) -> str:
    """Have a wallet's daily job set aside for a day, until its zone is known again."""
    user_id = await create_user(shop)
    await fill_wallet(shop, user_id)
    job = await create_job(shop, user_id, timezone="Asia/Tokyo", **fields)
    known = calendar._names()
    with monkeypatch.context() as patch:
        patch.setattr(calendar, "_names", lambda: known - {"Asia/Tokyo"})
        clock.ahead = DAY + timedelta(minutes=1)
        assert await claim_and_execute(shop) == 0
    assert await set_aside(shop) == [job]
    return job
