"""Requests and checks of the charge tests."""

import asyncio
from typing import Any

import pytest
from google.type.money_pb2 import Money

from nivisco.payments.v1 import payments_pb2
from tests.core.running import Business, create_user, save_card

INTENTS = "/v1/payment_intents"


async def until_logged(caplog: pytest.LogCaptureFixture, message: str, **extra: str) -> None:
    """Wait until the core has logged this message with these fields."""
    async with asyncio.timeout(20):
        while not any(
            record.getMessage() == message and extra.items() <= record.__dict__.items()
            for record in caplog.records
        ):
            await asyncio.sleep(0)


def charge_request(
    user_id: str, units: int = 25, **more: Any
) -> payments_pb2.ChargeCustomerRequest:
    return payments_pb2.ChargeCustomerRequest(user_id=user_id, amount=Money(units=units), **more)


def fund_request(user_id: str, units: int = 50, **more: Any) -> payments_pb2.FundCustomerRequest:
    return payments_pb2.FundCustomerRequest(user_id=user_id, amount=Money(units=units), **more)


async def records(business: Business) -> list[Any]:
    answer = await business.call(payments_pb2.GetPaymentRecordsRequest())
    return list(answer.payments)


async def card_holder(shop: Business, token: str = "pm_card_visa") -> str:
    user_id = await create_user(shop)
    await save_card(shop, user_id, token)
    return user_id
