"""capture_payment and void_payment over gRPC: responses, records and errors."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from google.type.money_pb2 import Money

from nivisco.payments.v1 import payments_pb2, refunds_pb2, types_pb2
from rpc.errors import CoreError
from tests.core.payments.charging import card_holder, charge_request, records
from tests.core.running import Business, Gateway, register, with_stripe

AUTHORIZED = payments_pb2.PAYMENT_STATUS_AUTHORIZED
SUCCEEDED = payments_pb2.PAYMENT_STATUS_SUCCEEDED
VOIDED = payments_pb2.PAYMENT_STATUS_VOIDED
ABANDONED = payments_pb2.VOID_REASON_ABANDONED


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """Its SQL is tested on both databases in test_closing."""
    return f"sqlite:///{tmp_path / 'nivisco.db'}"


def capture(payment_id: str | None, units: int | None = None, **more: Any) -> Any:
    amount = None if units is None else Money(units=units)
    return payments_pb2.CapturePaymentRequest(payment_id=payment_id, amount=amount, **more)


def void(payment_id: str | None, **more: Any) -> Any:
    return payments_pb2.VoidPaymentRequest(payment_id=payment_id, **more)


async def refused(shop: Business, request: Any) -> CoreError:
    with pytest.raises(CoreError) as caught:
        await shop.call(request)
    return caught.value


async def test_an_authorization_is_listed_captured_and_shown_with_its_history(
    shop: Business,
) -> None:
    user_id = await card_holder(shop)
    request = charge_request(user_id, capture=False, idempotency_key="charge")
    charged = await shop.call(request)
    assert (charged.status, charged.amount.units) == (AUTHORIZED, 25)
    assert await shop.call(request) == charged
    (listed,) = await records(shop)
    assert (listed.status, listed.HasField("amount_captured")) == (AUTHORIZED, False)
    keyed = capture(charged.payment_id, 10, idempotency_key="capture")
    captured = (await shop.call(keyed)).payment
    shown = captured.amount.units, captured.amount_captured.units, captured.status
    assert shown == (25, 10, SUCCEEDED)
    assert (await shop.call(keyed)).payment == captured
    assert await shop.call(request) == charged
    found = await shop.call(payments_pb2.GetPaymentRequest(payment_id=charged.payment_id))
    assert found.payment == captured
    statuses = [payments_pb2.PaymentStatus.Name(each.status) for each in found.history]
    assert [each.removeprefix("PAYMENT_STATUS_") for each in statuses] == [
        "PENDING", "AUTHORIZED", "SUCCEEDED",
    ]  # fmt: skip
    by_status = payments_pb2.GetPaymentRecordsRequest(status=AUTHORIZED)
    assert (await shop.call(by_status)).total == 0
    await shop.call(refunds_pb2.RefundPaymentRequest(payment_id=charged.payment_id))
    (refunded,) = await records(shop)
    assert (refunded.status, refunded.amount_refunded.units) == (
        payments_pb2.PAYMENT_STATUS_REFUNDED, 10,
    )  # fmt: skip


async def test_a_charge_at_once_is_another_request_than_an_authorization(shop: Business) -> None:
    user_id = await card_holder(shop)
    await shop.call(charge_request(user_id, idempotency_key="k"))
    same = await shop.call(charge_request(user_id, capture=True, idempotency_key="k"))
    assert same.status == SUCCEEDED
    other = charge_request(user_id, capture=False, idempotency_key="k")
    assert (await refused(shop, other)).reason == "IDEMPOTENCY_KEY_REUSED"
    assert len(await records(shop)) == 1


async def test_absent_fields_are_what_the_first_request_resolved(
    shop: Business, gateway: Gateway
) -> None:
    """Also after the default environment moved, and while the outcome is unknown."""
    charged = await shop.call(charge_request(await card_holder(shop), capture=False))
    await gateway.fault("reset_before", "/v1/payment_intents/*", times=40, method=None)
    request = capture(charged.payment_id, 10, idempotency_key="k")
    assert (await refused(shop, request)).reason == "OUTCOME_UNKNOWN"
    await gateway.clear()
    await with_stripe(shop, types_pb2.ENV_LIVE)
    first = await shop.call(request)
    assert first.payment.env == types_pb2.ENV_TEST
    request.env = types_pb2.ENV_TEST
    assert await shop.call(request) == first
    request.amount.currency_code = "USD"
    assert await shop.call(request) == first
    request.amount.units = 9
    assert (await refused(shop, request)).reason == "IDEMPOTENCY_KEY_REUSED"


async def test_what_is_not_possible_moves_nothing(shop: Business) -> None:
    charged = await shop.call(charge_request(await card_holder(shop), capture=False))
    euros = capture(charged.payment_id)
    euros.amount.CopyFrom(Money(currency_code="EUR", units=1))
    cases = [
        (capture(charged.payment_id, 26), "CAPTURE_TOO_HIGH"),
        (capture(charged.payment_id, 0), "INVALID_FIELDS"),
        (capture(charged.payment_id, -1), "INVALID_FIELDS"),
        (euros, "INVALID_FIELDS"),
        (capture(None), "INVALID_FIELDS"),
        (capture(charged.payment_id, transaction_id=charged.transaction_id), "INVALID_FIELDS"),
        (capture(charged.payment_id, env="ENV_LIVE"), "PAYMENT_NOT_FOUND"),
        (void(None), "INVALID_FIELDS"),
        (void("PAY-0000000000000000"), "PAYMENT_NOT_FOUND"),
    ]
    for request, reason in cases:
        assert (await refused(shop, request)).reason == reason
    (payment,) = await records(shop)
    assert payment.status == AUTHORIZED
    voided = await shop.call(void(None, transaction_id=charged.transaction_id))
    assert voided.payment.status == VOIDED
    error = await refused(shop, capture(charged.payment_id))
    assert (error.reason, error.metadata["payment_status"]) == ("PAYMENT_STATE", "voided")


async def test_the_reason_of_a_void_is_sent_kept_and_shown(
    shop: Business, gateway: Gateway
) -> None:
    charged = await shop.call(charge_request(await card_holder(shop), capture=False))
    request = void(charged.payment_id, reason=ABANDONED)
    voided = await shop.call(request)
    assert voided.payment.void_reason == ABANDONED
    assert await shop.call(request) == voided
    assert (await refused(shop, void(charged.payment_id))).reason == "PAYMENT_STATE"
    found = await shop.call(payments_pb2.GetPaymentRequest(payment_id=charged.payment_id))
    assert (found.payment, await records(shop)) == (voided.payment, [voided.payment])
    path = f"v1/payment_intents/{charged.transaction_id}"
    assert (await gateway.read(path, shop.stripe_key))["cancellation_reason"] == "abandoned"
    assert (await refused(shop, void(charged.payment_id, reason=9))).reason == "INVALID_FIELDS"


async def test_a_reason_is_not_kept_of_a_void_that_was_refused(
    shop: Business, gateway: Gateway
) -> None:
    charged = await shop.call(charge_request(await card_holder(shop), capture=False))
    await gateway.revoke(shop.stripe_key)
    error = await refused(shop, void(charged.payment_id, reason=ABANDONED))
    assert error.reason == "GATEWAY_REFUSED"
    await gateway.revoke(shop.stripe_key, revoked=False)
    voided = await shop.call(void(charged.payment_id))
    assert not voided.payment.void_reason


async def test_the_payment_of_another_business_is_like_an_unknown_one(shop: Business) -> None:
    charged = await shop.call(charge_request(await card_holder(shop), capture=False))
    stranger = await register(shop.client, "stranger")
    for make in (capture, void):
        errors = [
            await refused(stranger, request)
            for request in (
                make("PAY-0000000000000000"),
                make(charged.payment_id),
                make(None, transaction_id=charged.transaction_id),
            )
        ]
        shown = [(each.reason, each.message, each.metadata) for each in errors]
        assert shown == shown[:1] * 3
    (payment,) = await records(shop)
    assert payment.status == AUTHORIZED


async def test_twenty_calls_with_one_key_are_one_capture(shop: Business, gateway: Gateway) -> None:
    charged = await shop.call(charge_request(await card_holder(shop), capture=False))
    request = capture(charged.payment_id, 10, idempotency_key="k")
    answers = await asyncio.gather(*(shop.call(request) for _ in range(20)))
    assert len({each.SerializeToString(deterministic=True) for each in answers}) == 1
    (books,) = await gateway.books()
    assert books["taken"] == {"usd": 1000}
