"""Charges after too many declines. On each database."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from core.database.paging import PageRequest
from core.database.transactions import Database
from core.errors import Reason, Refusal
from core.limits import CardTestingLimits
from core.payments.store import PaymentFilter
from tests.core.payments.charging import INTENTS
from tests.core.payments.running_service import RunningService, running_service
from tests.core.running import Gateway, ShiftedClock

DECLINED = "pm_card_chargeCustomerFail"
LIMITS = CardTestingLimits(timedelta(hours=1), user_declines=4, card_declines=3, card_saves=0)


class Origin:
    """A source of charges that permits all."""

    def __init__(self, *, is_limited: bool) -> None:
        """Begin a charge that the limits hold for, or not."""
        self.is_limited = is_limited

    async def permit(self, _transaction: object) -> None:
        """Permit it."""

    async def note(self, _transaction: object, _payment_id: str) -> None:
        """Forget it."""


@pytest.fixture
async def shop(database_url: str, gateway: Gateway) -> AsyncIterator[RunningService]:
    clock = ShiftedClock()
    database = Database(database_url, clock)
    async with running_service(
        database, clock, gateway, card=DECLINED, limits=LIMITS, gateway_seconds=120.0
    ) as running:
        yield running


async def reason_of(shop: RunningService, key: str | None = None, **more: object) -> str:
    """Fund, and return the reason for the refusal."""
    request = replace(shop.funding(shop.call(key) if key else None), **more)  # type: ignore[arg-type]
    with pytest.raises(Refusal) as refused:
        await shop.service.charge(shop.caller, request)
    return Reason.Name(refused.value.reason).removeprefix("ERROR_REASON_")


async def statuses(shop: RunningService) -> list[str]:
    page = PageRequest(page=1, limit=25, from_date=None, to_date=None)
    found = await shop.service.list_payments(shop.caller, PaymentFilter("TEST"), page)
    return [each.status for each in found.rows]


async def test_a_card_is_not_charged_after_its_declines_until_the_window_has_passed(
    shop: RunningService,
) -> None:
    key = "order-1"
    assert await reason_of(shop, key) == "CARD_DECLINED"
    assert [await reason_of(shop) for _ in range(3)] == [
        "CARD_DECLINED",
        "CARD_DECLINED",
        "TOO_MANY_CARD_ATTEMPTS",
    ]
    assert await statuses(shop) == ["declined"] * 3
    # A key gets its answer, a scheduled cycle its charge, and a retry by hand is as any charge.
    with pytest.raises(Exception, match="has an answer"):
        await shop.fund(shop.call(key))
    assert await reason_of(shop, origin=Origin(is_limited=True)) == "TOO_MANY_CARD_ATTEMPTS"
    assert await reason_of(shop, origin=Origin(is_limited=False)) == "CARD_DECLINED"
    # The refused key is free again, and the delay is what is left of the window.
    with pytest.raises(Refusal) as refused:
        await shop.fund(shop.call("order-2"))
    retry_after = refused.value.retry_after_seconds
    assert retry_after is not None
    assert 3400 < retry_after <= 3600
    shop.clock.ahead += timedelta(seconds=retry_after)
    assert await reason_of(shop, "order-2") == "CARD_DECLINED"


async def test_charges_at_once_do_not_pass_the_limit_once_one_is_declined(
    shop: RunningService, gateway: Gateway
) -> None:
    assert await reason_of(shop) == "CARD_DECLINED"
    await gateway.fault("delay", INTENTS, times=2, seconds=120)
    waiting = [asyncio.create_task(reason_of(shop, f"key-{number}")) for number in range(8)]
    await gateway.wait_until_holding(2)
    refused = 0
    while refused < 6:
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert {task.result() for task in done} == {"TOO_MANY_CARD_ATTEMPTS"}
        waiting = [task for task in waiting if task not in done]
        refused += len(done)
    await gateway.clear()
    assert await asyncio.gather(*waiting) == ["CARD_DECLINED"] * 2
    assert await statuses(shop) == ["declined"] * 3
