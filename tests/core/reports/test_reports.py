"""Reports over gRPC, of what was charged, refunded and told by webhooks."""

import time
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money

from nivisco.internal.v1.webhooks_pb2 import ReceiveWebhookRequest
from nivisco.payments.v1 import credentials_pb2, reports_pb2, types_pb2, wallet_pb2
from rpc.errors import CoreError
from rpc.metadata import Credentials
from tests.core.payments.charging import card_holder, charge_request, fund_request
from tests.core.recurring.running import ON_SQLITE
from tests.core.refunds.refunding import refund_request
from tests.core.running import WEBHOOKS_TOKEN, Business, call, register
from tests.end_to_end.signing import STRIPE_SECRET, stripe_event, stripe_signature

pytestmark = ON_SQLITE
STATE = reports_pb2.GatewayEventState
CHANGE = reports_pb2.GatewayEventChange


async def receive(shop: Business, event_id: str, kind: str, **thing: Any) -> None:
    body = stripe_event(event_id, kind, int(time.time()), **thing).body
    request = ReceiveWebhookRequest(
        business_id=shop.credentials.business_id,
        gateway=types_pb2.GATEWAY_STRIPE,
        body=body,
        signature=stripe_signature(body, time.time()),
    )
    await call(shop.client, Credentials(service_token=WEBHOOKS_TOKEN), request)


async def store_webhook_secret(shop: Business) -> None:
    keys = credentials_pb2.ModifyStripeCredentialsRequest.Credentials(
        env=types_pb2.ENV_TEST, stripe_webhook_secret=STRIPE_SECRET
    )
    await shop.call(credentials_pb2.ModifyStripeCredentialsRequest(credentials=keys))


async def test_volumes_of_today_have_payments_refunds_credits_and_debits(shop: Business) -> None:
    user_id = await card_holder(shop)
    charged_on = f"{datetime.now(UTC):%Y-%m-%d}"
    charged = await shop.call(charge_request(user_id, 25))
    await shop.call(fund_request(user_id, 50))
    await shop.call(refund_request(charged.payment_id, 10))
    await shop.call(wallet_pb2.ChargeWalletRequest(user_id=user_id, amount=Money(units=30)))
    found = await shop.call(reports_pb2.GetVolumesRequest())
    # Of two days, if it is midnight.
    for kind, volumes, expected in (
        ("payment", found.card_volumes, (2, 75)),
        ("refund", found.card_volumes, (1, 10)),
        ("credit", found.wallet_volumes, (1, 50)),
        ("debit", found.wallet_volumes, (1, 30)),
    ):
        amounts = [getattr(each, f"{kind}_amount") for each in volumes]
        assert {each.currency_code for each in amounts} == {"USD"}
        count = sum(getattr(each, f"{kind}_count") for each in volumes)
        assert (count, sum(each.units for each in amounts)) == expected
        assert {each.date for each in volumes} <= {charged_on, found.to_date}

    for elsewhere in (
        await shop.call(reports_pb2.GetVolumesRequest(env=types_pb2.ENV_LIVE)),
        await (await register(shop.client)).call(reports_pb2.GetVolumesRequest()),
    ):
        assert not elsewhere.card_volumes
        assert not elsewhere.wallet_volumes


async def test_more_than_92_days_are_refused(shop: Business) -> None:
    many = reports_pb2.GetVolumesRequest(from_date=Timestamp(seconds=1_700_000_000))
    with pytest.raises(CoreError) as refused:
        await shop.call(many)
    assert refused.value.reason == "INVALID_FIELDS"
    assert [each.field for each in refused.value.fields] == ["to_date"]


async def test_a_webhook_is_listed_with_what_it_changed(shop: Business) -> None:
    await store_webhook_secret(shop)
    user_id = await card_holder(shop)
    charged = await shop.call(charge_request(user_id, 25))
    intent = charged.transaction_id
    refund = {"id": "re_1", "amount": 500, "currency": "usd", "status": "succeeded"}
    await receive(shop, "evt_1", "refund.created", payment_intent=intent, **refund)
    await receive(shop, "evt_2", "product.created", id="prod_1")
    dispute = {"id": "du_1", "amount": 500, "currency": "usd", "status": "needs_response"}
    await receive(shop, "evt_3", "charge.dispute.created", payment_intent=intent, **dispute)

    found = await shop.call(reports_pb2.ListGatewayEventsRequest())
    assert (found.count, found.total) == (3, 3)
    disputed, ignored, refunded = found.events
    assert (refunded.event_id, refunded.type) == ("evt_1", "refund.created")
    assert (refunded.payment_id, refunded.transaction_id) == (charged.payment_id, intent)
    assert (refunded.state, refunded.change) == (
        STATE.GATEWAY_EVENT_STATE_APPLIED,
        CHANGE.GATEWAY_EVENT_CHANGE_REFUND,
    )
    assert refunded.gateway_refund_id == "re_1"
    assert not refunded.HasField("dispute_id")
    assert refunded.processed_at.seconds >= refunded.received_at.seconds > 0
    assert (disputed.change, disputed.dispute_id) == (
        CHANGE.GATEWAY_EVENT_CHANGE_DISPUTED,
        "du_1",
    )
    assert (ignored.state, ignored.change) == (STATE.GATEWAY_EVENT_STATE_IGNORED, 0)
    assert ignored.HasField("processed_at")
    assert not ignored.HasField("payment_id")

    of_payment = reports_pb2.ListGatewayEventsRequest(payment_id=charged.payment_id, limit=1)
    first = await shop.call(of_payment)
    assert ([each.event_id for each in first.events], first.total) == (["evt_3"], 2)
    second = await shop.call(
        reports_pb2.ListGatewayEventsRequest(
            payment_id=charged.payment_id, limit=1, cursor=first.next_cursor
        )
    )
    assert [each.event_id for each in second.events] == ["evt_1"]
    other = await register(shop.client)
    for request in (of_payment, reports_pb2.ListGatewayEventsRequest()):
        assert (await other.call(request)).total == 0


async def test_only_ids_of_payments_that_are_here_are_listed(shop: Business) -> None:
    await store_webhook_secret(shop)
    user_id = await card_holder(shop)
    charged = await shop.call(charge_request(user_id, 25))
    for number, payment_id in enumerate((charged.payment_id, "PAY-0000000000000000")):
        metadata = {"nivisco_payment_id": payment_id}
        intent = {"id": f"pi_{number}", "currency": "usd", "metadata": metadata}
        await receive(shop, f"evt_{number}", "payment_intent.payment_failed", **intent)
    nobodys, own = (await shop.call(reports_pb2.ListGatewayEventsRequest())).events
    assert (own.transaction_id, nobodys.transaction_id) == ("pi_0", "pi_1")
    assert own.payment_id == charged.payment_id
    assert not nobodys.HasField("payment_id")
