"""Outcomes of a cycle, on each database: charged, declined, retried, failed, unknown."""

from datetime import timedelta

import pytest
from sqlalchemy import delete, insert, select

from core.database.schema import stripe_credentials
from core.database.transactions import Database
from core.server.settings import CoreSettings
from nivisco.payments.v1 import payments_pb2, users_pb2, wallet_pb2
from nivisco.payments.v1 import recurring_pb2 as pb
from tests.core.recurring.running import (
    DECLINED,
    FAILED,
    REQUIRES_ACTION,
    SUCCEEDED,
    advance,
    advance_once,
    claim,
    create_job,
    execute,
    fill_wallet,
    in_days,
    job_of,
    logs_of,
    moment_of,
    now,
    usd,
)
from tests.core.running import (
    Business,
    Gateway,
    ShiftedClock,
    create_user,
    register,
    running_core,
    save_card,
    with_stripe,
)

STRIPE = pb.RECURRING_SOURCE_STRIPE
WALLET = pb.RECURRING_SOURCE_WALLET
MONTH = pb.INTERVAL_TYPE_MONTH


async def test_a_due_occurrence_debits_the_wallet_once(shop: Business, clock: ShiftedClock) -> None:
    user_id = await create_user(shop)
    await fill_wallet(shop, user_id, 10)
    job = await create_job(shop, user_id, description="Latte", max_cycles=1)
    assert await claim(shop) == []
    clock.ahead = timedelta(days=1, seconds=5)
    (lease,) = await claim(shop)
    assert await claim(shop) == []
    done = await execute(shop, lease)
    assert done.status == SUCCEEDED
    assert not done.HasField("next_attempt_at")
    (log,) = await logs_of(shop, job)
    assert (log.log_id, log.message) == (done.log_id, "Charge completed")
    assert log.transaction_id.startswith("WTX-")
    listed = await job_of(shop, job)
    assert (listed.status, listed.executed_cycles) == (pb.RECURRING_STATUS_COMPLETED, 1)
    assert not listed.HasField("next_run")
    history = await shop.call(wallet_pb2.GetWalletHistoryRequest(user_id=user_id))
    debit = history.transactions[0]
    assert (debit.transaction_id, debit.description) == (log.transaction_id, "Latte")
    assert debit.source == wallet_pb2.TRANSACTION_SOURCE_RECURRING
    assert debit.reason == wallet_pb2.TRANSACTION_REASON_RECURRING_CHARGE


async def test_a_card_is_charged_for_each_cycle(shop: Business, gateway: Gateway) -> None:
    user_id = await create_user(shop)
    await save_card(shop, user_id)
    job = await create_job(
        shop,
        user_id,
        source=pb.RECURRING_SOURCE_UNSPECIFIED,
        amount=usd(25),
        metadata={"plan": "basic"},
    )
    assert await advance(shop, in_days(3.5)) == 3
    logs = await logs_of(shop, job)
    assert [log.status for log in logs] == [SUCCEEDED] * 3
    charges = await gateway.charges()
    assert [charge["amount"] for charge in charges] == [2500] * 3
    assert len({log.transaction_id for log in logs}) == 3
    # They have the job's metadata.
    assert {charge["metadata"]["plan"] for charge in charges} == {"basic"}
    of_plan = payments_pb2.GetPaymentRecordsRequest(metadata={"plan": "basic"})
    assert (await shop.call(of_plan)).count == 3


async def test_a_soft_decline_is_retried_after_1_3_and_7_days(shop: Business) -> None:
    user_id = await create_user(shop)
    await save_card(shop, user_id, "pm_card_chargeCustomerFail")
    start = now() + timedelta(days=1)
    job = await create_job(
        shop, user_id, source=STRIPE, interval_type=MONTH, start_at=start.isoformat()
    )
    await advance(shop, start + timedelta(days=20))
    logs = await logs_of(shop, job)
    assert [log.status for log in logs] == [DECLINED] * 4
    days = [(moment_of(log.attempted_at) - start).days for log in logs]
    assert days == [0, 1, 3, 7]
    assert {moment_of(log.occurrence) for log in logs} == {start}
    listed = await job_of(shop, job)
    assert (listed.status, listed.executed_cycles) == (pb.RECURRING_STATUS_ACTIVE, 0)


async def test_a_retry_that_succeeds_ends_the_cycle(shop: Business) -> None:
    user_id = await create_user(shop)
    job = await create_job(shop, user_id, interval_type=MONTH, start_at=in_days(1).isoformat())
    await advance(shop, in_days(1.5))
    await fill_wallet(shop, user_id)
    await advance(shop, in_days(20))
    assert [log.status for log in await logs_of(shop, job)] == [DECLINED, SUCCEEDED]


@pytest.mark.parametrize(
    ("token", "status"),
    [
        ("pm_card_radarBlock", DECLINED),
        ("pm_card_authenticationRequired", REQUIRES_ACTION),
    ],
)
async def test_a_final_decline_is_not_retried(shop: Business, token: str, status: int) -> None:
    user_id = await create_user(shop)
    await save_card(shop, user_id, token)
    job = await create_job(
        shop, user_id, source=STRIPE, interval_type=MONTH, start_at=in_days(1).isoformat()
    )
    await advance(shop, in_days(20))
    assert [log.status for log in await logs_of(shop, job)] == [status]


async def test_three_failed_cycles_in_a_row_pause_the_job(shop: Business) -> None:
    user_id = await create_user(shop)
    job = await create_job(shop, user_id)
    assert await advance(shop, in_days(9)) == 3
    logs = await logs_of(shop, job)
    assert [log.status for log in logs] == [DECLINED] * 3
    assert "paused" in logs[-1].message
    assert (await job_of(shop, job)).status == pb.RECURRING_STATUS_PAUSED
    await fill_wallet(shop, user_id)
    await shop.call(pb.ResumeRecurringRequest(recurring_id=job))
    resumed = await job_of(shop, job)
    assert moment_of(resumed.next_run) > in_days(9)
    await advance(shop, in_days(10.5))
    assert (await logs_of(shop, job))[-1].status == SUCCEEDED


async def test_a_refused_charge_fails_the_cycle_with_its_reason(
    shop: Business, gateway: Gateway
) -> None:
    user_id = await create_user(shop)
    job = await create_job(shop, user_id, source=STRIPE)
    await advance(shop, in_days(1.5))
    await save_card(shop, user_id)
    await gateway.revoke(shop.stripe_key)
    await advance(shop, in_days(2.5))
    await gateway.revoke(shop.stripe_key, revoked=False)
    await set_active(shop, user_id, active=False)
    await advance(shop, in_days(3.5))
    logs = await logs_of(shop, job)
    assert [log.status for log in logs] == [FAILED] * 3
    for log, word in zip(logs, ("card", "Stripe", "not active"), strict=True):
        assert word in log.message
    assert await gateway.charges() == []


async def set_active(shop: Business, user_id: str, *, active: bool) -> None:
    await shop.call(
        users_pb2.UpdateUserRequest(
            user_id=user_id, updates=users_pb2.UpdateUserRequest.Updates(active=active)
        )
    )


@pytest.mark.parametrize(
    ("missing", "source"),
    [("card", STRIPE), ("keys", STRIPE), ("user", STRIPE), ("user", WALLET)],
)
async def test_a_cycle_that_something_was_missing_for_is_retried(
    shop: Business, gateway: Gateway, missing: str, source: int
) -> None:
    if missing == "keys":
        shop = await register(shop.client, "without-keys")
    user_id = await create_user(shop)
    await fill_wallet(shop, user_id)
    if missing == "user":
        await save_card(shop, user_id)
    job = await create_job(shop, user_id, source=source, interval_type=MONTH)
    if missing == "user":
        await set_active(shop, user_id, active=False)
    first = moment_of((await job_of(shop, job)).next_run)
    await advance(shop, first + timedelta(hours=1))
    (log,) = await logs_of(shop, job)
    assert (log.status, "tried again" in log.message) == (FAILED, True)
    next_run = moment_of((await job_of(shop, job)).next_run)
    assert timedelta(days=1) <= next_run - first < timedelta(days=1, seconds=1)
    if missing == "user":
        await set_active(shop, user_id, active=True)
    else:
        if missing == "keys":
            shop = await with_stripe(shop)
        await save_card(shop, user_id)
    await advance(shop, first + timedelta(days=20))
    logs = await logs_of(shop, job)
    assert [(log.status, moment_of(log.occurrence)) for log in logs] == [
        (FAILED, first),
        (SUCCEEDED, first),
    ]
    assert len(await gateway.charges()) == (source == STRIPE)
    assert (await job_of(shop, job)).executed_cycles == 1


async def test_what_is_missing_for_longer_fails_the_cycle_after_the_last_retry(
    shop: Business, gateway: Gateway
) -> None:
    user_id = await create_user(shop)
    await save_card(shop, user_id)
    await gateway.revoke(shop.stripe_key)
    job = await create_job(shop, user_id, source=STRIPE, interval_type=MONTH)
    first = moment_of((await job_of(shop, job)).next_run)
    await advance(shop, first + timedelta(days=20))
    logs = await logs_of(shop, job)
    assert [log.status for log in logs] == [FAILED] * 4
    assert [(moment_of(log.attempted_at) - first).days for log in logs] == [0, 1, 3, 7]
    assert [("tried again" in log.message) for log in logs] == [True, True, True, False]
    await gateway.revoke(shop.stripe_key, revoked=False)
    await advance(shop, first + timedelta(days=32))
    assert (await logs_of(shop, job))[-1].status == SUCCEEDED


async def test_an_unknown_outcome_is_resolved_before_the_next_cycle(
    shop: Business, gateway: Gateway
) -> None:
    user_id = await create_user(shop)
    await save_card(shop, user_id)
    job = await create_job(shop, user_id, source=STRIPE, max_cycles=1)
    await gateway.fault("reset_after", "/v1/payment_intents", times=20, method=None)
    response = await advance_once(shop, in_days(2.5))
    assert (response.done, response.waiting_for_recurring_id) == (False, job)
    assert await logs_of(shop, job) == []
    await gateway.clear()
    await advance(shop, in_days(2.5))
    (log,) = await logs_of(shop, job)
    assert log.status == SUCCEEDED
    assert len(await gateway.charges()) == 1


async def test_a_submitted_charge_is_not_failed_when_the_keys_are_missing_later(
    postgresql_settings: CoreSettings, gateway: Gateway, clock: ShiftedClock
) -> None:
    database = Database(postgresql_settings.database_url)
    async with running_core(postgresql_settings, clock) as client:
        shop = await with_stripe(await register(client))
        user_id = await create_user(shop)
        await save_card(shop, user_id)
        job = await create_job(shop, user_id, source=STRIPE, interval_type=MONTH)
        await gateway.fault("reset_after", "/v1/payment_intents", times=50, method=None)
        clock.ahead = timedelta(days=31, seconds=5)
        (lease,) = await claim(shop)
        assert (await execute(shop, lease)).log_id == ""
        async with database.transaction() as transaction:
            (keys,) = await transaction.connection.execute(select(stripe_credentials))
            await transaction.connection.execute(delete(stripe_credentials))
        clock.ahead += timedelta(minutes=2)
        (lease,) = await claim(shop)
        assert (await execute(shop, lease)).log_id == ""
        assert await logs_of(shop, job) == []
        await gateway.clear()
        async with database.transaction() as transaction:
            await transaction.connection.execute(insert(stripe_credentials), keys._asdict())
        clock.ahead += timedelta(hours=2)
        (lease,) = await claim(shop)
        assert (await execute(shop, lease)).status == SUCCEEDED
    assert len(await gateway.charges()) == 1
    await database.close()
