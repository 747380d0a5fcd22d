"""Operators' decisions about payments at Authorize.Net."""

from collections.abc import AsyncIterator

import pytest

from core.database.transactions import Database
from core.errors import Refusal
from core.payments.decision_rules import Resolution
from core.payments.decisions import Decided, Operator, Request
from tests.core.payments.running_service import LOGIN, RunningService, running_service
from tests.core.payments.test_authorize_resuming import LISTS, lose
from tests.core.running import Gateway, ShiftedClock

ANA = Operator("ana", "the merchant interface shows it")


@pytest.fixture
async def shop(database_url: str, gateway: Gateway) -> AsyncIterator[RunningService]:
    clock = ShiftedClock()
    database = Database(database_url, clock)
    async with running_service(database, clock, gateway, "authorize") as running:
        yield running


async def resolve(shop: RunningService, request: Request) -> Decided:
    return await shop.decisions.resolve((await shop.payment()).payment_id, None, ANA, request)


async def charge_of(shop: RunningService) -> str:
    (charge,) = await shop.gateway.authorize_charges(LOGIN)
    return str(charge["id"])


async def test_a_charge_on_the_payments_invoice_proves_a_success(shop: RunningService) -> None:
    await lose(shop, "reset_after")
    with pytest.raises(Refusal, match="the card was charged"):
        await resolve(shop, Request(Resolution.DECLINED))
    decided = await resolve(shop, Request(Resolution.SUCCEEDED, await charge_of(shop)))
    assert (decided.payment.status, decided.decision.is_forced) == ("succeeded", False)
    assert await shop.balance() == 5000


async def test_a_named_transaction_proves_a_success_where_the_lists_do_not_answer(
    shop: RunningService,
) -> None:
    await lose(shop, "reset_after")
    charge = await charge_of(shop)
    for listing in LISTS:
        await shop.gateway.authorize_fault("reset_before", listing, times=20)
    with pytest.raises(Refusal, match="does not show the charge 12345"):
        await resolve(shop, Request(Resolution.SUCCEEDED, "12345"))
    decided = await resolve(shop, Request(Resolution.SUCCEEDED, charge))
    assert [each.is_answered for each in decided.decision.findings] == [False, True]
    assert (decided.payment.transaction_id, await shop.balance()) == (charge, 5000)


async def test_a_payment_that_the_lists_do_not_show_is_resolved_once_it_has_settled(
    shop: RunningService,
) -> None:
    await lose(shop, "reset_before")
    with pytest.raises(Refusal, match="less than 180 seconds ago"):
        await resolve(shop, Request(Resolution.FAILED))
    await shop.later(hours=9)
    assert (await shop.payment()).status == "needs_review"
    decided = await resolve(shop, Request(Resolution.FAILED))
    assert (decided.payment.status, decided.decision.is_forced) == ("failed", False)
    assert await shop.gateway.authorize_charges(LOGIN) == []
