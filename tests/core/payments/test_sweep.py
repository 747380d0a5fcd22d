"""The sweep resolves open payments without a retry, until the gateway cannot show them any more."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import update

from core.database.schema import payments
from core.database.transactions import Database
from core.errors import Refusal
from core.idempotency.call import IdempotentCall, Replay
from core.payments import rules
from nivisco.payments.v1 import payments_pb2
from tests.core.payments.charging import INTENTS
from tests.core.payments.running_service import STRIPE_KEY, RunningService, running_service
from tests.core.running import Gateway, ShiftedClock


@pytest.fixture
async def shop(database_url: str, gateway: Gateway) -> AsyncIterator[RunningService]:
    clock = ShiftedClock()
    async with running_service(Database(database_url, clock), clock, gateway) as running:
        yield running


async def leave_unknown(
    shop: RunningService,
    gateway: Gateway,
    call: IdempotentCall | None = None,
    kind: str = "reset_after",
) -> None:
    await gateway.fault(kind, INTENTS, times=20, method=None)
    with pytest.raises(Refusal, match="not known yet"):
        await shop.fund(call)
    await gateway.clear()


@pytest.mark.parametrize("kind", ["reset_before", "reset_after", "cut_body"])
async def test_the_sweep_resolves_an_unknown_outcome(
    shop: RunningService, gateway: Gateway, kind: str
) -> None:
    await leave_unknown(shop, gateway, kind=kind)
    await shop.later(seconds=1)
    assert (await shop.payment()).status == "pending"
    await shop.later(seconds=5)
    assert (await shop.payment()).status == "succeeded"
    assert (len(await gateway.charges()), await shop.balance()) == (1, 5000)
    await shop.later(hours=1)
    assert (len(await gateway.charges()), await shop.balance()) == (1, 5000)


async def test_a_retry_after_the_sweep_is_not_charged_again(
    shop: RunningService, gateway: Gateway
) -> None:
    await leave_unknown(shop, gateway)
    await shop.later(seconds=6)
    await shop.fund()
    assert (len(await gateway.charges()), await shop.balance()) == (1, 5000)


async def test_the_sweep_stores_the_answer_of_the_key(
    shop: RunningService, gateway: Gateway
) -> None:
    await leave_unknown(shop, gateway, shop.call("one"))
    await shop.later(seconds=6)
    with pytest.raises(Replay) as replay:
        await shop.fund(shop.call("one"))
    charge = (await gateway.charges())[0]
    response = payments_pb2.FundCustomerResponse.FromString(replay.value.answer.payload)
    assert response.transaction_id == charge["payment_intent"]
    assert response.wallet.balance.units == 50


async def test_the_sweep_resumes_an_attempt_whose_lease_expired(
    shop: RunningService, gateway: Gateway
) -> None:
    await leave_unknown(shop, gateway)
    async with shop.database.transaction() as transaction:
        await transaction.connection.execute(
            update(payments).values(
                attempt="running",
                lease_owner="dead",
                leased_until=transaction.now + timedelta(seconds=6),
                look_at=transaction.now + timedelta(seconds=6),
            )
        )
    await shop.later(seconds=5)
    assert (await shop.payment()).status == "pending"
    await shop.later(seconds=2)
    assert (await shop.payment()).status == "succeeded"
    assert (len(await gateway.charges()), await shop.balance()) == (1, 5000)


async def test_checks_of_an_unreachable_gateway_become_rarer(
    shop: RunningService, gateway: Gateway
) -> None:
    await leave_unknown(shop, gateway, kind="reset_before")
    await gateway.fault("reset_before", INTENTS, times=1000, method=None)
    for checks in range(1, 5):
        await shop.later(seconds=rules.pause_after(checks - 1).total_seconds() - 0.5)
        assert (await shop.payment()).checks == checks
        await shop.later(seconds=1)
        assert (await shop.payment()).checks == checks + 1
    await gateway.clear()


async def test_the_sweep_closes_an_unsent_charge_without_sending_it(
    shop: RunningService, gateway: Gateway
) -> None:
    await gateway.fault("rate_limit", INTENTS)
    with pytest.raises(Refusal, match="nothing was charged"):
        await shop.fund()
    await shop.later(minutes=14)
    assert (await shop.payment()).status == "pending"
    await shop.later(minutes=2)
    assert (await shop.payment()).status == "failed"
    assert await gateway.charges() == []


@pytest.mark.parametrize("key", [None, "one"])
async def test_a_charge_that_the_gateway_never_shows_needs_review(
    shop: RunningService, gateway: Gateway, key: str | None
) -> None:
    await leave_unknown(shop, gateway, shop.call(key) if key else None, kind="reset_before")
    await shop.later(hours=25)
    assert (await shop.payment()).status == "pending"
    await shop.later(hours=2)
    assert (await shop.payment()).status == "needs_review"
    assert await gateway.charges() == []
    if key:
        with pytest.raises(Refusal, match="never told the outcome"):
            await shop.fund(shop.call(key))
        assert await gateway.charges() == []
    else:  # the retry is a new charge
        await shop.fund()
        assert len(await gateway.charges()) == 1


async def test_a_payment_does_not_need_review_while_the_gateway_is_unreachable(
    shop: RunningService, gateway: Gateway
) -> None:
    await leave_unknown(shop, gateway)
    await gateway.fault("reset_before", INTENTS, times=1000, method=None)
    await shop.later(hours=27)
    assert (await shop.payment()).status == "pending"
    await gateway.clear()
    await shop.later(hours=2)
    assert ((await shop.payment()).status, await shop.balance()) == ("succeeded", 5000)


async def test_a_charge_with_revoked_keys_is_checked_later(
    shop: RunningService, gateway: Gateway
) -> None:
    await leave_unknown(shop, gateway)
    await gateway.revoke(STRIPE_KEY)
    await shop.later(seconds=6)
    assert ((await shop.payment()).status, (await shop.payment()).checks) == ("pending", 2)
    await gateway.revoke(STRIPE_KEY, revoked=False)
    await shop.later(seconds=16)
    assert (await shop.payment()).status == "succeeded"
