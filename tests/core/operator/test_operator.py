"""OperatorService over gRPC: what operators see of a payment, and what is set aside."""

from typing import Any

import pytest

from nivisco.internal.v1 import operator_pb2 as pb
from nivisco.payments.v1 import payments_pb2, refunds_pb2
from rpc.client import CoreClient
from rpc.errors import CoreError
from rpc.metadata import Credentials
from tests.core.payments.charging import (
    INTENTS,
    card_holder,
    charge_request,
    fund_request,
    records,
)
from tests.core.refunds.refunding import refund_request
from tests.core.running import OPERATOR_TOKEN, Business, Gateway, call

OPERATOR = Credentials(service_token=OPERATOR_TOKEN)
RESOLVED: dict[str, Any] = {
    "decided_by": "ana",
    "reason": "r",
    "resolution": pb.PAYMENT_RESOLUTION_FAILED,
}


async def show(shop: Business, payment_id: str) -> Any:
    return await call(shop.client, OPERATOR, pb.ShowPaymentRequest(payment_id=payment_id))


async def only_payment(shop: Business) -> Any:
    (payment,) = await records(shop)
    return payment


async def unknown_funding(shop: Business, gateway: Gateway) -> str:
    """Fund a wallet without a clear answer; return the payment's id."""
    user_id = await card_holder(shop)
    await gateway.fault("reset_after", INTENTS, times=1000, method=None)
    with pytest.raises(CoreError, match="not known yet"):
        await shop.call(fund_request(user_id, idempotency_key="one"))
    return str((await only_payment(shop)).payment_id)


async def test_a_funding_is_shown_with_what_follows_from_it(
    shop: Business, gateway: Gateway
) -> None:
    await shop.call(fund_request(await card_holder(shop), idempotency_key="one"))
    payment = await only_payment(shop)
    shown = await show(shop, payment.payment_id)
    assert shown.business_id == shop.credentials.business_id
    assert shown.payment == payment
    assert (shown.work.idempotency_key, shown.is_answer_stored) == ("one", True)
    (movement,) = shown.wallet_transactions
    assert (movement.payment_id, movement.amount.units) == (payment.payment_id, 50)
    (finding,) = shown.gateway_findings
    assert (finding.object, finding.object_id) == ("payment", payment.transaction_id)
    assert (finding.fact.kind, finding.fact.amount.units) == ("succeeded", 50)
    assert not shown.HasField("cycle")


async def test_a_gateway_that_does_not_answer_is_shown_as_such(
    shop: Business, gateway: Gateway
) -> None:
    shown = await show(shop, await unknown_funding(shop, gateway))
    assert shown.payment.status == payments_pb2.PAYMENT_STATUS_PENDING
    assert (shown.work.attempt, shown.is_answer_stored) == ("unknown", False)
    (finding,) = shown.gateway_findings
    assert (finding.is_answered, finding.HasField("fact")) == (False, False)
    assert finding.answer
    assert shown.HasField("work")
    await gateway.clear()


async def test_a_payment_is_shown_without_secrets_and_without_card_data(
    shop: Business, gateway: Gateway
) -> None:
    user_id = await card_holder(shop, "pm_card_authenticationRequired")
    with pytest.raises(CoreError) as refused:
        await shop.call(charge_request(user_id))
    shown = await show(shop, (await only_payment(shop)).payment_id)
    assert shown.gateway_findings[0].fact.kind == "requires_action"
    for secret in (
        refused.value.metadata["client_secret"],
        shop.stripe_key,
        shop.credentials.api_key,
        "pm_card",
        "4242",
        "alicia@example.com",
    ):
        assert secret not in str(shown)


async def test_a_decision_is_made_over_grpc(shop: Business, gateway: Gateway) -> None:
    payment_id = await unknown_funding(shop, gateway)
    await gateway.clear()
    charge = (await gateway.charges())[0]
    request = pb.ResolvePaymentRequest(
        payment_id=payment_id,
        resolution=pb.PAYMENT_RESOLUTION_SUCCEEDED,
        transaction_id=charge["payment_intent"],
        decided_by="ana",
        reason="in the dashboard",
    )
    first = await call(shop.client, OPERATOR, request)
    again = await call(shop.client, OPERATOR, request)
    assert (first.is_repeated, again.is_repeated) == (False, True)
    assert first.decision == again.decision
    shown = await show(shop, payment_id)
    assert list(shown.decisions) == [first.decision]
    assert shown.payment.status == payments_pb2.PAYMENT_STATUS_SUCCEEDED
    retried = await call(
        shop.client, OPERATOR, pb.RetryPaymentRequest(payment_id=payment_id, decided_by="bo")
    )
    assert retried.decision.action == "retry"


async def test_a_refund_is_shown_decided_and_retried_over_grpc(
    shop: Business, gateway: Gateway
) -> None:
    await shop.call(fund_request(await card_holder(shop)))
    payment = await only_payment(shop)
    await gateway.fault("reset_after", "/v1/refunds", times=20, method=None)
    request = refund_request(payment.payment_id, 20, idempotency_key="two")
    with pytest.raises(CoreError, match="not known yet") as unknown:
        await shop.call(request)
    refund_id = unknown.value.metadata["refund_id"]
    await gateway.clear()
    shown = await call(shop.client, OPERATOR, pb.ShowRefundRequest(refund_id=refund_id))
    assert shown.business_id == shop.credentials.business_id
    assert (shown.refund.refund_id, shown.payment.payment_id) == (refund_id, payment.payment_id)
    assert (shown.work.attempt, shown.work.idempotency_key) == ("unknown", "two")
    assert (shown.is_answer_stored, len(shown.wallet_transactions)) == (False, 2)
    (finding,) = shown.gateway_findings
    assert (finding.object, finding.fact.kind, finding.fact.amount.units) == (
        "refund",
        "refund",
        20,
    )
    for secret in (shop.stripe_key, shop.credentials.api_key, "pm_card", "4242"):
        assert secret not in str(shown)
    decision: dict[str, Any] = {"refund_id": refund_id, "decided_by": "ana", "reason": "r"}
    failed = pb.ResolveRefundRequest(**decision, resolution=pb.REFUND_RESOLUTION_FAILED)
    with pytest.raises(CoreError, match="money was given back") as refused:
        await call(shop.client, OPERATOR, failed)
    assert (refused.value.reason, refused.value.metadata) == (
        "PAYMENT_STATE",
        {"can_force": "true"},
    )
    made = pb.ResolveRefundRequest(**decision, resolution=pb.REFUND_RESOLUTION_SUCCEEDED)
    first, again = [await call(shop.client, OPERATOR, made) for _ in range(2)]
    assert (first.is_repeated, again.is_repeated) == (False, True)
    assert first.decision == again.decision
    assert first.decision.refund_resolution == pb.REFUND_RESOLUTION_SUCCEEDED
    assert first.decision.previous_refund_status == refunds_pb2.REFUND_STATUS_PENDING
    assert first.decision.resolution == pb.PAYMENT_RESOLUTION_UNSPECIFIED
    assert first.refund.gateway_refund_id == finding.object_id
    retried = await call(
        shop.client, OPERATOR, pb.RetryRefundRequest(refund_id=refund_id, decided_by="bo")
    )
    assert retried.refund.status == refunds_pb2.REFUND_STATUS_SUCCEEDED
    shown = await call(shop.client, OPERATOR, pb.ShowRefundRequest(refund_id=refund_id))
    assert list(shown.decisions) == [first.decision, retried.decision]
    assert (await shop.call(request)).refund == shown.refund  # the answer to its key


async def test_a_refused_decision_says_whether_force_helps(
    shop: Business, gateway: Gateway
) -> None:
    payment_id = await unknown_funding(shop, gateway)
    await gateway.clear()
    with pytest.raises(CoreError) as refused:
        await call(
            shop.client, OPERATOR, pb.ResolvePaymentRequest(payment_id=payment_id, **RESOLVED)
        )
    assert refused.value.reason == "PAYMENT_STATE"
    assert refused.value.metadata == {"can_force": "true"}
    assert "the card was charged" in refused.value.message


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (pb.ShowPaymentRequest(), ["payment_id"]),
        (pb.ResolvePaymentRequest(payment_id="PAY-1"), ["resolution", "decided_by", "reason"]),
        (
            pb.ResolvePaymentRequest(payment_id="PAY-1", **RESOLVED | {"resolution": 1}),
            ["transaction_id"],
        ),
        (
            pb.ResolvePaymentRequest(payment_id="PAY-1", **RESOLVED | {"resolution": 9}),
            ["resolution"],
        ),
        (pb.ResolvePaymentRequest(payment_id="PAY-1", **RESOLVED | {"reason": " "}), ["reason"]),
        (pb.ResolvePaymentRequest(payment_id="P" * 65, **RESOLVED), ["payment_id"]),
        (pb.RetryPaymentRequest(payment_id="PAY 1", decided_by="ana"), ["payment_id"]),
        (pb.ShowRefundRequest(), ["refund_id"]),
        (pb.ResolveRefundRequest(refund_id="REF-1"), ["resolution", "decided_by", "reason"]),
        (
            pb.ResolveRefundRequest(refund_id="REF-1", **RESOLVED | {"resolution": 3}),
            ["resolution"],
        ),
        (pb.RetryRefundRequest(refund_id="REF 1", decided_by="ana"), ["refund_id"]),
        (pb.ReleaseSetAsideRequest(id="x", decided_by="a", reason="r"), ["kind"]),
        (pb.ListSetAsideRequest(limit=0), ["limit"]),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_malformed_requests_are_refused_by_field(
    core: CoreClient, request_: Any, fields: list[str]
) -> None:
    with pytest.raises(CoreError) as refused:
        await call(core, OPERATOR, request_)
    assert [each.field for each in refused.value.fields] == fields


@pytest.mark.parametrize(
    "request_",
    [
        pb.ShowPaymentRequest(payment_id="PAY-1"),
        pb.ResolvePaymentRequest(payment_id="PAY-1", **RESOLVED),
        pb.RetryPaymentRequest(payment_id="PAY-1", decided_by="ana"),
        pb.ShowRefundRequest(refund_id="REF-1"),
        pb.ResolveRefundRequest(
            refund_id="REF-1",
            resolution=pb.REFUND_RESOLUTION_FAILED,
            decided_by="ana",
            reason="r",
        ),
        pb.RetryRefundRequest(refund_id="REF-1", decided_by="ana"),
        pb.ListSetAsideRequest(),
        pb.ReleaseSetAsideRequest(
            kind=pb.DUE_KIND_PAYMENT, id="PAY-1", decided_by="ana", reason="r"
        ),
    ],
    ids=lambda value: value.DESCRIPTOR.name,
)
async def test_the_operators_token_is_required(business: Business, request_: Any) -> None:
    for credentials in (Credentials(), Credentials(service_token="x" * 40), business.credentials):
        with pytest.raises(CoreError) as refused:
            await call(business.client, credentials, request_)
        assert refused.value.reason in ("SERVICE_TOKEN_REQUIRED", "INVALID_CREDENTIALS")


async def test_unknown_ids_are_refused(core: CoreClient) -> None:
    for request in (
        pb.ShowPaymentRequest(payment_id="PAY-1"),
        pb.ResolvePaymentRequest(payment_id="PAY-1", **RESOLVED),
        pb.RetryPaymentRequest(payment_id="PAY-1", decided_by="ana"),
    ):
        with pytest.raises(CoreError) as refused:
            await call(core, OPERATOR, request)
        assert refused.value.reason == "PAYMENT_NOT_FOUND"
    with pytest.raises(CoreError, match="names no refund") as refused:
        await call(core, OPERATOR, pb.ShowRefundRequest(refund_id="REF-1"))
    with pytest.raises(CoreError) as refused:
        await call(
            core,
            OPERATOR,
            pb.ReleaseSetAsideRequest(
                kind=pb.DUE_KIND_RECURRING_JOB, id="REC-1", decided_by="ana", reason="r"
            ),
        )
    assert [each.field for each in refused.value.fields] == ["id"]
