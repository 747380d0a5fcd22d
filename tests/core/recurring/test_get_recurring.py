"""`get_recurring` and why a job is paused, on each database where the SQL is its own."""

from datetime import timedelta
from typing import Any

import pytest

from nivisco.payments.v1 import payments_pb2
from nivisco.payments.v1 import recurring_pb2 as pb
from rpc.errors import CoreError
from tests.core.recurring.running import (
    DECLINED,
    ON_SQLITE,
    SUCCEEDED,
    advance,
    advance_once,
    create_job,
    fill_wallet,
    in_days,
    job_of,
    logs_of,
    moment_of,
    usd,
)
from tests.core.running import Business, Gateway, create_user, register, save_card

STRIPE = pb.RECURRING_SOURCE_STRIPE
MONTH = pb.INTERVAL_TYPE_MONTH


async def get(shop: Business, job: str, **fields: Any) -> Any:
    """Return the response of get_recurring."""
    return await shop.call(pb.GetRecurringRequest(recurring_id=job, **fields))


@ON_SQLITE
async def test_a_new_job_is_as_in_the_list_and_has_nothing_open(shop: Business) -> None:
    job = await create_job(shop, await create_user(shop))
    shown = await get(shop, job, preview=2)
    assert len(shown.recurring.upcoming) == 2
    shown.recurring.ClearField("upcoming")
    assert shown == pb.GetRecurringResponse(recurring=await job_of(shop, job))
    assert not shown.recurring.HasField("paused_at")
    other = await register(shop.client, "elsewhere")
    for business, recurring_id in ((other, job), (shop, "REC-none")):
        with pytest.raises(CoreError) as refused:
            await get(business, recurring_id)
        assert refused.value.reason == "RECURRING_NOT_FOUND"


async def test_a_cycle_that_waits_for_its_retry_is_open(shop: Business) -> None:
    start = in_days(1)
    job = await create_job(
        shop, await create_user(shop), interval_type=MONTH, start_at=start.isoformat()
    )
    await advance(shop, start + timedelta(hours=1))
    await shop.call(pb.UpdateRecurringRequest(recurring_id=job, amount=usd(7)))
    shown = await get(shop, job)
    cycle = shown.open_cycle
    assert (moment_of(cycle.occurrence), cycle.attempt) == (start, 2)
    assert (cycle.amount, cycle.source) == (usd(1), pb.RECURRING_SOURCE_WALLET)
    assert timedelta(days=1) <= moment_of(cycle.next_attempt_at) - start < timedelta(days=1.1)
    assert cycle.next_attempt_at == shown.recurring.next_run
    assert not cycle.HasField("payment_id")
    assert shown.failed_cycles == 0
    assert list(shown.logs) == await logs_of(shop, job)


@ON_SQLITE
async def test_a_cycle_that_waits_for_its_customer_has_no_next_attempt(shop: Business) -> None:
    user_id = await create_user(shop)
    await save_card(shop, user_id, "pm_card_authenticationRequired")
    job = await create_job(shop, user_id, source=STRIPE, interval_type=MONTH)
    await advance(shop, moment_of((await job_of(shop, job)).next_run))
    cycle = (await get(shop, job)).open_cycle
    (log,) = await logs_of(shop, job)
    assert (cycle.attempt, cycle.payment_id) == (1, log.payment_id)
    assert cycle.payment_status == payments_pb2.PAYMENT_STATUS_REQUIRES_ACTION
    assert not cycle.HasField("next_attempt_at")


@ON_SQLITE
async def test_a_charge_with_an_unknown_outcome_has_no_next_attempt(
    shop: Business, gateway: Gateway
) -> None:
    user_id = await create_user(shop)
    await save_card(shop, user_id)
    job = await create_job(shop, user_id, source=STRIPE)
    await gateway.fault("reset_after", "/v1/payment_intents", times=20, method=None)
    await advance_once(shop, in_days(1.5))
    cycle = (await get(shop, job)).open_cycle
    assert cycle.payment_status == payments_pb2.PAYMENT_STATUS_PENDING
    assert not cycle.HasField("next_attempt_at")


@ON_SQLITE
async def test_the_last_ten_log_entries_are_returned_newest_first(shop: Business) -> None:
    user_id = await create_user(shop)
    await fill_wallet(shop, user_id)
    job = await create_job(shop, user_id)
    assert await advance(shop, in_days(12.5)) == 12
    shown = await get(shop, job)
    assert list(shown.logs) == (await logs_of(shop, job))[::-1][:10]
    assert {log.status for log in shown.logs} == {SUCCEEDED}


async def test_a_job_that_pauses_itself_says_why_and_since_when(shop: Business) -> None:
    user_id = await create_user(shop)
    job = await create_job(shop, user_id)
    await advance(shop, in_days(9))
    shown = await get(shop, job)
    assert shown.recurring == await job_of(shop, job)
    assert shown.recurring.paused_reason == pb.PAUSED_REASON_FAILED_CYCLES
    assert shown.failed_cycles == 3
    assert [log.status for log in shown.logs] == [DECLINED] * 3
    assert shown.recurring.paused_at == shown.logs[0].attempted_at
    resumed = await shop.call(pb.ResumeRecurringRequest(recurring_id=job))
    assert resumed.recurring.paused_reason == pb.PAUSED_REASON_UNSPECIFIED
    assert not resumed.recurring.HasField("paused_at")


@ON_SQLITE
async def test_a_pause_by_the_business_is_told_apart_and_keeps_its_time(shop: Business) -> None:
    job = await create_job(shop, await create_user(shop))
    await advance(shop, in_days(9))
    since = (await job_of(shop, job)).paused_at
    paused = await shop.call(pb.PauseRecurringRequest(recurring_id=job))
    assert paused.recurring.paused_reason == pb.PAUSED_REASON_REQUESTED
    assert paused.recurring.paused_at == since
    cancelled = await shop.call(pb.CancelRecurringRequest(recurring_id=job))
    assert cancelled.recurring.paused_reason == pb.PAUSED_REASON_UNSPECIFIED
    assert not cancelled.recurring.HasField("paused_at")
