"""`retry_recurring`: outcomes, refusals, and one effect for each key; its SQL on each database."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from core.server.settings import CoreSettings
from nivisco.payments.v1 import cards_pb2, users_pb2
from nivisco.payments.v1 import recurring_pb2 as pb
from rpc.errors import CoreError
from tests.core.recurring.running import (
    DECLINED,
    FAILED,
    ON_SQLITE,
    REQUIRES_ACTION,
    SKIPPED,
    SUCCEEDED,
    advance,
    claim,
    create_job,
    execute,
    fill_wallet,
    job_of,
    logs_of,
    moment_of,
)
from tests.core.running import (
    Business,
    Gateway,
    ShiftedClock,
    create_user,
    register,
    running_core,
    save_card,
)

STRIPE = pb.RECURRING_SOURCE_STRIPE
MONTH = pb.INTERVAL_TYPE_MONTH
DECLINING = "pm_card_chargeCustomerFail"
FINAL = "pm_card_radarBlock"


async def retry(shop: Business, job: str, key: str = "") -> Any:
    """Return the response of retry_recurring."""
    return await shop.call(pb.RetryRecurringRequest(recurring_id=job, idempotency_key=key or None))


async def refused(shop: Business, job: str, key: str = "") -> CoreError:
    """Return the error of retry_recurring."""
    with pytest.raises(CoreError) as refusal:
        await retry(shop, job, key)
    return refusal.value


async def statuses(shop: Business, job: str) -> list[tuple[int, int]]:
    """Return attempt and status of all log entries, oldest first."""
    return [(log.attempt, log.status) for log in await logs_of(shop, job)]


async def run_first(shop: Business, job: str) -> None:
    """Advance the clock until the first cycle has been tried."""
    await advance(shop, moment_of((await job_of(shop, job)).next_run))


async def card_job(shop: Business, token: str | None, **changes: Any) -> tuple[str, str]:
    """Create a monthly job on a card, whose first cycle has been tried; return user and job."""
    user_id = await create_user(shop)
    if token is not None:
        await save_card(shop, user_id, token)
    job = await create_job(shop, user_id, source=STRIPE, **{"interval_type": MONTH} | changes)
    await run_first(shop, job)
    return user_id, job


async def replace_card(shop: Business, user_id: str, token: str = "pm_card_visa") -> None:
    """Save another primary card."""
    await shop.call(
        cards_pb2.CreateStripeCustomerRequest(
            user_id=user_id, payment_method_token=token, set_as_primary=True
        )
    )


async def paused_job(shop: Business, token: str | None) -> tuple[str, str]:
    """Create a job that has paused itself after three days without a charge."""
    user_id, job = await card_job(shop, token, interval_type=pb.INTERVAL_TYPE_DAY)
    await advance(shop, moment_of((await job_of(shop, job)).next_run) + timedelta(days=9))
    assert (await job_of(shop, job)).paused_reason == pb.PAUSED_REASON_FAILED_CYCLES
    return user_id, job


async def test_an_open_cycle_is_debited_now_and_not_again(shop: Business) -> None:
    user_id = await create_user(shop)
    job = await create_job(shop, user_id, interval_type=MONTH)
    first = moment_of((await job_of(shop, job)).next_run)
    await advance(shop, first)
    await fill_wallet(shop, user_id)
    done = await retry(shop, job)
    assert (done.log.attempt, done.log.status) == (2, SUCCEEDED)
    assert moment_of(done.log.occurrence) == first
    assert done.recurring == await job_of(shop, job)
    assert done.recurring.executed_cycles == 1
    assert moment_of(done.recurring.next_run) > first + timedelta(days=27)
    await advance(shop, first + timedelta(days=20))
    assert await statuses(shop, job) == [(1, DECLINED), (2, SUCCEEDED)]


@pytest.mark.parametrize("token", [DECLINING, FINAL])
async def test_an_open_or_failed_cycle_is_charged_with_the_card_of_now(
    shop: Business, gateway: Gateway, token: str
) -> None:
    user_id, job = await card_job(shop, token)
    before = await job_of(shop, job)
    await replace_card(shop, user_id)
    done = await retry(shop, job)
    (charge,) = await gateway.charges()
    assert (done.log.transaction_id, done.log.attempt) == (charge["payment_intent"], 2)
    assert done.recurring.executed_cycles == 1
    if token == FINAL:
        assert done.recurring.next_run == before.next_run
    shown = await shop.call(pb.GetRecurringRequest(recurring_id=job))
    assert (shown.failed_cycles, shown.HasField("open_cycle")) == (0, False)
    assert (await refused(shop, job)).reason == "NO_FAILED_CYCLE"


@ON_SQLITE
async def test_a_declined_retry_is_an_error_and_counts_the_cycle_once(shop: Business) -> None:
    _, job = await card_job(shop, FINAL)
    for attempt in (2, 3):
        error = await refused(shop, job)
        assert (error.reason, error.metadata["decline_code"]) == ("CARD_DECLINED", "fraudulent")
        shown = await shop.call(pb.GetRecurringRequest(recurring_id=job))
        assert (shown.failed_cycles, shown.logs[0].attempt) == (1, attempt)
        assert shown.recurring.status == pb.RECURRING_STATUS_ACTIVE


@ON_SQLITE
async def test_retries_by_hand_are_among_those_of_the_schedule(shop: Business) -> None:
    _, job = await card_job(shop, DECLINING)
    first = moment_of((await logs_of(shop, job))[0].occurrence)
    assert (await refused(shop, job)).reason == "CARD_DECLINED"
    assert moment_of((await job_of(shop, job)).next_run) >= first + timedelta(days=3)
    await advance(shop, first + timedelta(days=20))
    assert await statuses(shop, job) == [(number, DECLINED) for number in (1, 2, 3, 4)]


@ON_SQLITE
async def test_a_job_that_paused_itself_is_collected_and_stays_paused(shop: Business) -> None:
    user_id, job = await paused_job(shop, FINAL)
    assert (await refused(shop, job)).reason == "CARD_DECLINED"
    shown = await shop.call(pb.GetRecurringRequest(recurring_id=job))
    assert (shown.failed_cycles, shown.recurring.status) == (3, pb.RECURRING_STATUS_PAUSED)
    await replace_card(shop, user_id)
    done = await retry(shop, job)
    assert done.recurring.status == pb.RECURRING_STATUS_PAUSED
    assert done.recurring.executed_cycles == 1
    assert (await claim(shop)) == []
    resumed = await shop.call(pb.ResumeRecurringRequest(recurring_id=job))
    await advance(shop, moment_of(resumed.recurring.next_run))
    assert (await job_of(shop, job)).executed_cycles == 2


async def test_a_wallet_that_is_too_low_is_answered_once_for_each_key(shop: Business) -> None:
    user_id = await create_user(shop)
    job = await create_job(shop, user_id, interval_type=MONTH)
    await run_first(shop, job)
    first = await refused(shop, job, "one")
    await fill_wallet(shop, user_id)
    again = await refused(shop, job, "one")
    assert first.reason == again.reason == "WALLET_TOO_LOW"
    assert first.message == again.message
    assert await statuses(shop, job) == [(1, DECLINED), (2, DECLINED)]
    done = await retry(shop, job, "two")
    await advance(shop, moment_of(done.recurring.next_run))
    assert await retry(shop, job, "two") == done
    assert await statuses(shop, job) == [(1, DECLINED), (2, DECLINED), (3, SUCCEEDED), (1, 1)]


async def test_a_key_is_one_charge_and_one_answer(shop: Business, gateway: Gateway) -> None:
    user_id, job = await card_job(shop, FINAL)
    declined = [await refused(shop, job, "one") for _ in range(2)]
    assert [each.reason for each in declined] == ["CARD_DECLINED"] * 2
    assert declined[0].metadata == declined[1].metadata
    await replace_card(shop, user_id)
    done = await retry(shop, job, "two")
    await shop.call(pb.PauseRecurringRequest(recurring_id=job))
    assert await retry(shop, job, "two") == done
    assert (await refused(shop, job, "one")).reason == "CARD_DECLINED"
    _, other = await card_job(shop, FINAL)
    assert (await refused(shop, other, "two")).reason == "IDEMPOTENCY_KEY_REUSED"
    assert await statuses(shop, job) == [(1, DECLINED), (2, DECLINED), (3, SUCCEEDED)]
    assert len(await gateway.charges()) == 1


@ON_SQLITE
async def test_nothing_changes_if_nothing_could_be_sent(shop: Business, gateway: Gateway) -> None:
    user_id = await create_user(shop)
    job = await create_job(shop, user_id, source=STRIPE, interval_type=MONTH)
    await run_first(shop, job)
    assert await statuses(shop, job) == [(1, FAILED)]
    before = await shop.call(pb.GetRecurringRequest(recurring_id=job))
    assert (await refused(shop, job, "one")).reason == "CARD_NOT_FOUND"
    await replace_card(shop, user_id)
    await _set_active(shop, user_id, active=False)
    assert (await refused(shop, job, "one")).reason == "USER_INACTIVE"
    assert await shop.call(pb.GetRecurringRequest(recurring_id=job)) == before
    await _set_active(shop, user_id, active=True)
    assert (await retry(shop, job, "one")).log.attempt == 2
    assert len(await gateway.charges()) == 1


async def _set_active(shop: Business, user_id: str, *, active: bool) -> None:
    updates = users_pb2.UpdateUserRequest.Updates(active=active)
    await shop.call(users_pb2.UpdateUserRequest(user_id=user_id, updates=updates))


@ON_SQLITE
async def test_a_refusal_of_the_gateway_is_logged_and_frees_the_key(
    shop: Business, gateway: Gateway
) -> None:
    user_id, job = await card_job(shop, FINAL)
    await replace_card(shop, user_id)
    await gateway.revoke(shop.stripe_key)
    assert (await refused(shop, job, "one")).reason == "GATEWAY_REFUSED"
    await gateway.revoke(shop.stripe_key, revoked=False)
    assert (await retry(shop, job, "one")).log.attempt == 3
    assert await statuses(shop, job) == [(1, DECLINED), (2, FAILED), (3, SUCCEEDED)]


async def test_an_unknown_outcome_is_resolved_by_the_same_request(
    shop: Business, gateway: Gateway
) -> None:
    user_id, job = await card_job(shop, None)
    await replace_card(shop, user_id)
    await gateway.fault("reset_after", "/v1/payment_intents", times=20, method=None)
    assert (await refused(shop, job, "one")).reason == "OUTCOME_UNKNOWN"
    await gateway.clear()
    done = await retry(shop, job, "one")
    assert await retry(shop, job, "one") == done
    assert await statuses(shop, job) == [(1, FAILED), (2, SUCCEEDED)]
    assert len(await gateway.charges()) == 1


async def test_a_scheduler_continues_what_a_retry_could_not_send(
    shop: Business, gateway: Gateway, clock: ShiftedClock
) -> None:
    user_id, job = await paused_job(shop, None)
    await replace_card(shop, user_id)
    await gateway.fault("rate_limit", "/v1/payment_intents", times=20)
    assert (await refused(shop, job, "one")).reason == "GATEWAY_UNAVAILABLE"
    await gateway.clear()
    clock.ahead += timedelta(hours=1)
    (lease,) = await claim(shop)
    assert (await execute(shop, lease)).status == SUCCEEDED
    assert (await job_of(shop, job)).status == pb.RECURRING_STATUS_PAUSED
    assert (await retry(shop, job, "one")).log.status == SUCCEEDED
    assert len(await gateway.charges()) == 1


@ON_SQLITE
async def test_a_pause_ends_a_retry_that_was_not_sent(
    shop: Business, gateway: Gateway, clock: ShiftedClock
) -> None:
    user_id, job = await paused_job(shop, None)
    await replace_card(shop, user_id)
    await gateway.fault("rate_limit", "/v1/payment_intents", times=20)
    assert (await refused(shop, job, "one")).reason == "GATEWAY_UNAVAILABLE"
    await gateway.clear()
    await shop.call(pb.PauseRecurringRequest(recurring_id=job))
    for key in ("one", "two"):
        assert (await refused(shop, job, key)).reason == "RECURRING_STATE"
    clock.ahead += timedelta(days=2)
    assert await claim(shop) == []
    assert await gateway.charges() == []


@ON_SQLITE
async def test_a_retry_that_the_customer_must_authenticate_is_not_charged_beside(
    shop: Business,
) -> None:
    user_id, job = await card_job(shop, FINAL)
    await replace_card(shop, user_id, "pm_card_authenticationRequired")
    errors = [await refused(shop, job, "one") for _ in range(2)]
    assert [each.reason for each in errors] == ["AUTHENTICATION_REQUIRED"] * 2
    assert errors[0].metadata["client_secret"]
    assert errors[0].metadata == errors[1].metadata
    await replace_card(shop, user_id)
    assert (await refused(shop, job, "two")).reason == "CYCLE_IN_PROGRESS"
    assert await statuses(shop, job) == [(1, DECLINED), (2, REQUIRES_ACTION)]


@ON_SQLITE
async def test_what_cannot_be_retried_is_refused_and_changes_nothing(
    shop: Business, clock: ShiftedClock
) -> None:
    user_id = await create_user(shop)
    await fill_wallet(shop, user_id, 1)
    job = await create_job(shop, user_id, interval_type=MONTH)
    assert (await refused(shop, job)).reason == "NO_FAILED_CYCLE"
    await run_first(shop, job)
    assert (await refused(shop, job)).reason == "NO_FAILED_CYCLE"
    clock.ahead += moment_of((await job_of(shop, job)).next_run) - clock.now()
    (lease,) = await claim(shop)
    assert (await refused(shop, job)).reason == "CYCLE_IN_PROGRESS"
    assert (await execute(shop, lease)).status == DECLINED
    clock.ahead += timedelta(days=31)
    await fill_wallet(shop, user_id)
    assert (await refused(shop, job)).reason == "CYCLE_IN_PROGRESS"  # the next cycle is due
    await shop.call(pb.PauseRecurringRequest(recurring_id=job))
    assert (await refused(shop, job)).reason == "RECURRING_STATE"
    await shop.call(pb.CancelRecurringRequest(recurring_id=job))
    assert (await refused(shop, job)).reason == "RECURRING_STATE"
    charged = [status for _, status in await statuses(shop, job) if status != SKIPPED]
    assert charged == [SUCCEEDED, DECLINED]
    for other, recurring_id in (
        (await register(shop.client, "elsewhere"), job),
        (shop, "REC-none"),
    ):
        assert (await refused(other, recurring_id)).reason == "RECURRING_NOT_FOUND"


async def test_concurrent_retries_and_schedulers_charge_once(
    shop: Business, settings: CoreSettings, gateway: Gateway, clock: ShiftedClock
) -> None:
    async with AsyncExitStack() as running:
        shops = [shop, shop]
        if settings.database_url.startswith("postgresql"):
            client = await running.enter_async_context(running_core(settings, clock))
            shops[1] = replace(shop, client=client)
        for round_number in range(3):
            user_id, job = await card_job(shop, DECLINING)
            await replace_card(shop, user_id)
            clock.ahead += timedelta(days=1, minutes=1)  # the retry is due
            calls = [
                _transaction_or_reason(each, job, key)
                for each in shops
                for key in ("", "one", "one", "two", "")
            ]
            *results, _, _ = await asyncio.gather(*calls, *map(_execute_due, shops))
            charges = await gateway.charges()
            assert len(charges) == round_number + 1
            charged = {each["payment_intent"] for each in charges}
            assert set(results) <= charged | {"CYCLE_IN_PROGRESS", "NO_FAILED_CYCLE"}
            assert await statuses(shop, job) == [(1, DECLINED), (2, SUCCEEDED)]
            assert (await job_of(shop, job)).executed_cycles == 1
            await shop.call(pb.CancelRecurringRequest(recurring_id=job))


async def _execute_due(shop: Business) -> None:
    for lease in await claim(shop):
        try:
            await execute(shop, lease)
        except CoreError as error:
            assert error.reason == "RECURRING_STATE", error  # noqa: PT017 - or it succeeds


async def _transaction_or_reason(shop: Business, job: str, key: str) -> str:
    try:
        return str((await retry(shop, job, f"{key}-{job}" if key else "")).log.transaction_id)
    except CoreError as error:
        return error.reason
