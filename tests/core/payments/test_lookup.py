"""GetPayment: a payment with its card, its refunds and disputes at the gateway, and its history."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from google.type.money_pb2 import Money
from sqlalchemy import delete, update

from core.database.schema import cards, payments
from core.database.transactions import Database
from core.errors import Refusal
from core.metadata import stored_metadata
from core.payments.decision_rules import Resolution
from core.payments.decisions import Operator, Request
from core.payments.lookup import NEWEST_MAX, Lookup
from core.payments.messages import payment_details_response
from core.refunds.store import insert_refund
from nivisco.payments.v1 import cards_pb2, refunds_pb2, types_pb2
from nivisco.payments.v1 import payments_pb2 as pb
from rpc.errors import CoreError
from rpc.frames import ANSWER_FRAME_BYTES_MAX
from tests.core.payments.charging import card_holder, charge_request, records
from tests.core.payments.running_service import RunningService, running_service
from tests.core.refunds.test_outcomes import refund
from tests.core.running import Business, Gateway, ShiftedClock, register
from tests.core.webhooks.receiving import Hooks, hooks_of

ACCEPTED, FAILED = pb.GATEWAY_REFUND_STATUS_ACCEPTED, pb.GATEWAY_REFUND_STATUS_FAILED


async def look_up(shop: Business, **ids: Any) -> pb.GetPaymentResponse:
    found: pb.GetPaymentResponse = await shop.call(pb.GetPaymentRequest(**ids))
    return found


def history(found: pb.GetPaymentResponse) -> list[tuple[str, str, str]]:
    """Return status, source and event of each change."""
    return [
        (
            pb.PaymentStatus.Name(each.status).removeprefix("PAYMENT_STATUS_").lower(),
            pb.PaymentSource.Name(each.source).removeprefix("PAYMENT_SOURCE_").lower(),
            each.event_id,
        )
        for each in found.history
    ]


async def test_a_charge_is_as_in_the_list_with_its_card_and_history(shop: Business) -> None:
    user_id = await card_holder(shop)
    charged = await shop.call(charge_request(user_id, idempotency_key="k"))
    found = await look_up(shop, payment_id=charged.payment_id)
    assert [found.payment] == await records(shop)
    cards_of_user = await shop.call(cards_pb2.GetUserCardsRequest(user_id=user_id))
    assert [found.card] == list(cards_of_user.cards)
    assert not found.gateway_refunds
    assert not found.disputes
    assert history(found) == [("pending", "request", ""), ("succeeded", "request", "")]
    assert found.history[0].since == found.payment.created_at
    assert not found.history[1].HasField("occurred_at")
    assert await look_up(shop, transaction_id=charged.transaction_id) == found


async def test_a_decline_is_since_the_answer(shop: Business) -> None:
    user_id = await card_holder(shop, "pm_card_chargeCustomerFail")
    with pytest.raises(CoreError, match="declined"):
        await shop.call(charge_request(user_id))
    (listed,) = await records(shop)
    found = await look_up(shop, payment_id=listed.payment_id)
    assert history(found) == [("pending", "request", ""), ("declined", "request", "")]
    assert found.history[1].since == listed.updated_at


async def test_the_gateways_id_is_looked_up_in_one_environment(shop: Business) -> None:
    charged = await shop.call(charge_request(await card_holder(shop)))
    with pytest.raises(CoreError, match="Payment not found"):
        await look_up(shop, transaction_id=charged.transaction_id, env=types_pb2.ENV_LIVE)
    found = await look_up(shop, payment_id=charged.payment_id, env=types_pb2.ENV_LIVE)
    assert found.payment.env == types_pb2.ENV_TEST


async def test_a_payment_of_another_business_is_like_an_unknown_one(shop: Business) -> None:
    charged = await shop.call(charge_request(await card_holder(shop)))
    stranger = await register(shop.client, "stranger")
    refused = []
    for ids in (
        {"payment_id": charged.payment_id},
        {"transaction_id": charged.transaction_id},
        {"payment_id": "PAY-NONE"},
    ):
        with pytest.raises(CoreError) as error:
            await look_up(stranger, **ids)
        refused.append((error.value.reason, error.value.message, error.value.metadata))
    assert refused == [("PAYMENT_NOT_FOUND", "Payment not found", {})] * 3


async def test_exactly_one_valid_id_is_needed(business: Business) -> None:
    refused: list[tuple[dict[str, str], str]] = [
        ({}, "payment_id"),
        ({"payment_id": "PAY-1", "transaction_id": "pi_1"}, "transaction_id"),
        ({"payment_id": "PAY 1"}, "payment_id"),
        ({"transaction_id": "p" * 256}, "transaction_id"),
    ]
    for ids, field in refused:
        with pytest.raises(CoreError) as error:
            await look_up(business, **ids)
        assert [problem.field for problem in error.value.fields] == [field]


@pytest.fixture
async def running(database_url: str, gateway: Gateway) -> AsyncIterator[RunningService]:
    clock = ShiftedClock()
    async with running_service(Database(database_url, clock), clock, gateway) as service:
        yield service


@pytest.fixture
async def hooks(running: RunningService) -> Hooks:
    return await hooks_of(running)


async def found_by(running: RunningService) -> pb.GetPaymentResponse:
    payment = await running.payment()
    found = await Lookup(running.database).payment(
        running.caller, payment_id=payment.payment_id, transaction_id=None, env="TEST"
    )
    assert (found.history[-1].status, found.history[-1].amount_refunded_minor) == (
        payment.status,
        payment.amount_refunded_minor,
    )
    return payment_details_response(found)


async def test_a_payment_has_its_refunds_as_their_list_has_them(
    shop: Business, gateway: Gateway
) -> None:
    charged = await shop.call(charge_request(await card_holder(shop)))
    other = await shop.call(charge_request(await card_holder(shop)))
    for payment_id, units in ((charged.payment_id, 3), (other.payment_id, 4)):
        request = refunds_pb2.RefundPaymentRequest(
            payment_id=payment_id, amount=Money(units=units), metadata={"rma": str(units)}
        )
        await shop.call(request)
    await gateway.fault("reset_before", "/v1/refunds", times=9)
    again = refunds_pb2.RefundPaymentRequest(payment_id=charged.payment_id, amount=Money(units=5))
    with pytest.raises(CoreError):
        await shop.call(again)
    await gateway.clear()
    found = await look_up(shop, payment_id=charged.payment_id)
    listed = await shop.call(refunds_pb2.ListRefundsRequest(payment_id=charged.payment_id))
    assert list(found.refunds) == list(listed.refunds)[::-1]
    assert [refund.amount.units for refund in found.refunds] == [3, 5]
    assert found.refunds[1].status == refunds_pb2.REFUND_STATUS_PENDING


async def test_a_payment_with_many_refunds_has_the_newest_in_a_response_of_4_mib(
    hooks: Hooks,
) -> None:
    running = hooks.running
    made = await refund(running, 1)
    metadata = stored_metadata({f"{'k' * 38}{number:02}": "€" * 500 for number in range(20)})
    ids = [f"{made.refund_id}-{number:03}" for number in range(NEWEST_MAX + 50)]
    async with running.database.transaction() as transaction:
        for number, refund_id in enumerate(ids):
            at = made.created_at + timedelta(seconds=number)
            again: Any = {"refund_id": refund_id, "gateway_key": refund_id, "created_at": at}
            again |= {"description": "€" * 500, "metadata": metadata, "gateway_refund_id": None}
            await insert_refund(transaction, replace(made, **again))
    for number in range(NEWEST_MAX + 1):
        thing = {"id": f"re_{number}", "amount": 1, "status": "succeeded"}
        await hooks.send(f"evt_{number}", "refund.created", number, **thing)
    found = await found_by(running)
    assert [each.refund_id for each in found.refunds] == ids[-NEWEST_MAX:]
    assert [each.gateway_refund_id for each in found.gateway_refunds] == [
        *(f"re_{number}" for number in range(2, NEWEST_MAX + 1)),
        made.gateway_refund_id,
    ]
    assert len(found.history) == NEWEST_MAX
    assert found.ByteSize() < ANSWER_FRAME_BYTES_MAX


async def test_refunds_and_disputes_are_as_the_gateway_told_them(hooks: Hooks) -> None:
    await hooks.send("evt_1", "refund.created", 1, id="re_1", amount=2000, status="pending")
    await hooks.send("evt_2", "refund.created", 2, id="re_2", amount=500, status="succeeded")
    await hooks.send("evt_3", "refund.failed", 3, id="re_1", amount=2000, status="failed")
    dispute = {"id": "dp_1", "amount": 5000, "status": "needs_response"}
    await hooks.send("evt_4", "charge.dispute.created", 4, **dispute)
    other = {"id": "dp_2", "amount": 5000, "status": "won", "currency": "zzz"}
    await hooks.send("evt_5", "charge.dispute.closed", 5, **other)
    found = await found_by(hooks.running)
    assert [
        (each.gateway_refund_id, each.amount.units, each.status, each.updated_at.seconds)
        for each in found.gateway_refunds
    ] == [
        ("re_1", 20, FAILED, found.gateway_refunds[0].created_at.seconds + 2),
        ("re_2", 5, ACCEPTED, found.gateway_refunds[1].created_at.seconds),
    ]
    assert [(each.dispute_id, each.status, each.amount.units) for each in found.disputes] == [
        ("dp_1", pb.DISPUTE_STATUS_OPEN, 50),
        ("dp_2", pb.DISPUTE_STATUS_WON, 0),
    ]
    assert not found.disputes[1].HasField("amount"), "its currency is unknown"
    assert history(found) == [
        ("pending", "request", ""),
        ("succeeded", "request", ""),
        ("partially_refunded", "gateway_event", "evt_1"),
        ("partially_refunded", "gateway_event", "evt_2"),
        ("partially_refunded", "gateway_event", "evt_3"),
        ("disputed", "gateway_event", "evt_4"),
    ]
    refunded = [each.amount_refunded.units for each in found.history]
    assert refunded == [0, 0, 20, 25, 5, 5]


async def test_an_event_that_contradicts_its_payment_changes_no_history(hooks: Hooks) -> None:
    await hooks.send("evt_1", "refund.created", 1, id="re_1", amount=100, currency="eur")
    found = await found_by(hooks.running)
    assert not found.gateway_refunds
    assert [status for status, *_ in history(found)] == ["pending", "succeeded"]


async def test_a_card_that_is_not_saved_any_more_is_null(hooks: Hooks) -> None:
    async with hooks.running.database.transaction() as transaction:
        await transaction.connection.execute(delete(cards))
    assert not (await found_by(hooks.running)).HasField("card")


async def test_a_recurring_job_is_a_source_of_its_own(hooks: Hooks) -> None:
    async with hooks.running.database.transaction() as transaction:
        await transaction.connection.execute(update(payments).values(idempotency_key="§REC-1/0/1"))
    assert {source for _, source, _ in history(await found_by(hooks.running))} == {"recurring"}


async def test_a_payment_from_before_first_outcomes_were_recorded_has_a_history(
    hooks: Hooks,
) -> None:
    async with hooks.running.database.transaction() as transaction:
        await transaction.connection.execute(
            update(payments).values(first_outcome=None, first_outcome_at=None, succeeded_at=None)
        )
    assert [each[:2] for each in history(await found_by(hooks.running))] == [
        ("pending", "request"),
        ("succeeded", "request"),
    ]


async def test_a_read_and_a_decision_are_sources(database_url: str, gateway: Gateway) -> None:
    clock = ShiftedClock()
    async with running_service(
        Database(database_url, clock), clock, gateway, card="pm_card_authenticationRequired"
    ) as running:
        with pytest.raises(Refusal, match="must authenticate"):
            await running.fund()
        payment = await running.payment()
        decision = Request(Resolution.DECLINED, force=True)
        by = Operator("ana", "the customer gave up")
        await running.decisions.resolve(payment.payment_id, None, by, decision)
        await gateway.control("authentications", payment_intent=payment.transaction_id)
        await running.decisions.retry(payment.payment_id, None, by)
        assert history(await found_by(running)) == [
            ("pending", "request", ""),
            ("requires_action", "request", ""),
            ("declined", "operator", ""),
            ("succeeded", "gateway_read", ""),
        ]
