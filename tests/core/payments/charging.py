"""What the tests of charges ask for and look at."""

from typing import Any

from google.type.money_pb2 import Money

from nivisco.payments.v1 import payments_pb2
from tests.core.running import Business, create_user, save_card

INTENTS = "/v1/payment_intents"


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
