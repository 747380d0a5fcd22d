"""Requests and checks of the refund tests."""

from typing import Any

from google.type.money_pb2 import Money

from nivisco.payments.v1 import refunds_pb2, wallet_pb2
from tests.core.running import Business

REFUNDS = "/v1/refunds"
PENDING = refunds_pb2.REFUND_STATUS_PENDING
SUCCEEDED = refunds_pb2.REFUND_STATUS_SUCCEEDED
FAILED = refunds_pb2.REFUND_STATUS_FAILED


def refund_request(
    payment_id: str | None, units: int | None = None, **more: Any
) -> refunds_pb2.RefundPaymentRequest:
    amount = None if units is None else Money(units=units)
    return refunds_pb2.RefundPaymentRequest(payment_id=payment_id, amount=amount, **more)


async def refunds_of(shop: Business, **which: Any) -> list[Any]:
    answer = await shop.call(refunds_pb2.ListRefundsRequest(**which))
    assert answer.count == answer.total == len(answer.refunds)
    return list(answer.refunds)


async def balance_of(shop: Business, user_id: str) -> int:
    answer = await shop.call(wallet_pb2.GetUserWalletRequest(user_id=user_id))
    return int(answer.wallet.balance.units)
