"""Refunds whose outcome is late, lost or told by events, at both gateways."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from google.type.money_pb2 import Money

from core.database.paging import PageRequest
from core.database.transactions import Database, LockTimeoutError
from core.doctor.rules import Verdict
from core.doctor.service import DoctorService
from core.due_work.store import all_set_aside
from core.errors import Reason, Refusal
from core.gateways.gateway import NotSent
from core.idempotency.call import Replay, call_of
from core.payments import turns
from core.refunds.attempts import StartedRefund
from core.refunds.beginning import RefundRequest
from core.refunds.store import Refund, RefundFilter
from core.reports.service import ReportsService
from nivisco.payments.v1 import refunds_pb2
from tests.core.payments.running_service import LOGIN, STRIPE_KEY, RunningService, running_service
from tests.core.refunds.refunding import REFUNDS
from tests.core.running import Gateway, ShiftedClock
from tests.core.webhooks.receiving import AMOUNT, Hooks, hooks_of


async def refund(
    running: RunningService, units: int | None = None, key: str | None = None
) -> Refund:
    """Refund the only payment; None stands for all that is left."""
    request = request_of(running, (await running.payment()).payment_id, units, key)
    return await running.refunds.refund(running.caller, request)


def request_of(
    running: RunningService, payment_id: str, units: int | None, key: str | None
) -> RefundRequest:
    message = refunds_pb2.RefundPaymentRequest(
        payment_id=payment_id,
        amount=Money(units=units) if units else None,
        idempotency_key=key,
    )
    return RefundRequest(
        payment_id=payment_id,
        transaction_id=None,
        env="TEST",
        money=Money(units=units) if units else None,
        reason=None,
        description=None,
        allow_receivable=False,
        call=call_of(running.caller, "RefundPayment", message),
    )


async def reason_of(call: Any) -> str:
    with pytest.raises(Refusal) as caught:
        await call
    return Reason.Name(caught.value.reason).removeprefix("ERROR_REASON_")


async def refunds_of(running: RunningService) -> list[Refund]:
    page = await running.refunds.list_refunds(running.caller, RefundFilter("TEST"), PageRequest())
    return page.rows


async def state(running: RunningService) -> tuple[str, int, int]:
    """Return the payment's status, its refunded amount and the wallet's balance."""
    payment = await running.payment()
    return payment.status, payment.amount_refunded_minor, await running.balance()


async def settle(running: RunningService) -> None:
    payment = await running.payment()
    await running.gateway.authorize(
        "transactions", transaction=payment.transaction_id, status="settledSuccessfully"
    )


async def transactions(running: RunningService) -> list[tuple[str, str, str]]:
    """Return type, status and amount of all transactions at Authorize.Net, oldest first."""
    books = await running.gateway.authorize_books(LOGIN)
    return [
        (each["type"], each["status"], each["amount"]) for each in reversed(books["transactions"])
    ]


CHARGE, REFUND = "authCaptureTransaction", "refundTransaction"


async def lose_answer(gateway: Gateway, kind: str, call: Any) -> None:
    """Have Stripe lose both answers to a refund, and those of the look-up after them."""
    await gateway.fault(kind, REFUNDS, times=2)
    await gateway.fault("reset_before", REFUNDS, times=20, method="GET")
    assert await reason_of(call) == "OUTCOME_UNKNOWN"
    await gateway.clear()


# Stripe


@pytest.mark.parametrize("kind", ["reset_before", "reset_after"])
async def test_a_lost_answer_is_found_under_the_same_key(
    hooks: Hooks, stripe: RunningService, gateway: Gateway, kind: str
) -> None:
    await lose_answer(gateway, kind, refund(stripe, 20, "k"))
    assert await state(stripe) == ("partially_refunded", 2000, 3000)
    made = await refund(stripe, 20, "k")
    assert made.status == "succeeded"
    with pytest.raises(Replay):
        await refund(stripe, 20, "k")
    assert [each.refund_id for each in await refunds_of(stripe)] == [made.refund_id]
    assert await state(stripe) == ("partially_refunded", 2000, 3000)


async def test_the_core_resolves_an_unknown_refund_and_stores_the_answer(
    hooks: Hooks, stripe: RunningService, gateway: Gateway
) -> None:
    await lose_answer(gateway, "reset_before", refund(stripe, 20, "k"))
    await stripe.later(seconds=6)
    (made,) = await refunds_of(stripe)
    assert made.status == "succeeded"
    with pytest.raises(Replay) as replay:
        await refund(stripe, 20, "k")
    answer = replay.value.answer.message(refunds_pb2.RefundPaymentResponse)
    assert answer.refund.refund_id == made.refund_id


async def test_an_equal_request_without_a_key_is_not_refunded_twice(
    hooks: Hooks, stripe: RunningService, gateway: Gateway
) -> None:
    await lose_answer(gateway, "reset_after", refund(stripe, 20))
    first, again = await refund(stripe, 20), await refund(stripe, 20)
    assert first.refund_id == again.refund_id
    rest = await refund(stripe)
    assert (rest.amount_minor, (await refund(stripe)).refund_id) == (3000, rest.refund_id)
    stripe.clock.ahead += timedelta(minutes=31)
    assert await reason_of(refund(stripe)) == "REFUND_TOO_HIGH"


async def test_a_refund_that_stripe_never_got_fails_after_a_day(
    hooks: Hooks, stripe: RunningService, gateway: Gateway
) -> None:
    await gateway.fault("error_500", REFUNDS, times=1)
    assert await reason_of(refund(stripe, 20, "k")) == "OUTCOME_UNKNOWN"
    await stripe.later(hours=22)
    assert await state(stripe) == ("partially_refunded", 2000, 3000)
    await stripe.later(hours=2)
    assert await state(stripe) == ("succeeded", 0, 5000)
    (failed,) = await refunds_of(stripe)
    assert (failed.status, failed.failure_code) == ("failed", "not_made")


async def test_an_attempt_that_lost_its_lease_writes_no_failure(
    hooks: Hooks, stripe: RunningService
) -> None:
    service, payment = stripe.refunds, await stripe.payment()
    request = request_of(stripe, payment.payment_id, 20, "k")
    async with stripe.database.transaction() as transaction:
        started = await service._beginning._begin(transaction, stripe.caller, request)
    assert isinstance(started, StartedRefund)
    async with stripe.database.transaction() as transaction:
        await service._attempts.resume(transaction, started.refund, payment)
    async with stripe.database.transaction() as transaction:
        result, is_first = await service._attempts._write_outcome(
            transaction, started, NotSent("away")
        )
    assert isinstance(result, Refusal)
    assert (result.reason, is_first) == (Reason.ERROR_REASON_OUTCOME_UNKNOWN, False)
    (open_one,) = await refunds_of(stripe)
    assert (open_one.status, open_one.attempt) == ("pending", "running")


async def test_a_gateway_that_is_away_leaves_nothing_reserved(
    hooks: Hooks, stripe: RunningService, gateway: Gateway
) -> None:
    await gateway.fault("rate_limit", REFUNDS)
    assert await reason_of(refund(stripe, 20, "k")) == "GATEWAY_UNAVAILABLE"
    assert await state(stripe) == ("succeeded", 0, 5000)
    assert (await refund(stripe, 20, "k")).status == "succeeded"
    await gateway.revoke(STRIPE_KEY)
    assert await reason_of(refund(stripe, 5, "l")) == "GATEWAY_REFUSED"
    assert await state(stripe) == ("partially_refunded", 2000, 3000)


async def test_a_webhook_that_overtakes_the_answer_is_the_same_refund(
    hooks: Hooks, stripe: RunningService, gateway: Gateway
) -> None:
    await lose_answer(gateway, "reset_after", refund(stripe, 20, "k"))
    (books,) = await gateway.books()
    (shown,) = books["refunds"]
    event = {"status": "succeeded", "amount": 2000, "metadata": shown["metadata"]}
    charge = {"id": "ch_1", "amount_refunded": 2000}
    await hooks.send("evt_1", "charge.refunded", 999, **charge)
    assert await state(stripe) == ("partially_refunded", 2000, 3000)
    await hooks.send("evt_2", "refund.created", 999, id=shown["id"], **event)
    assert await state(stripe) == ("partially_refunded", 2000, 3000)
    (made,) = await refunds_of(stripe)
    assert (made.status, made.gateway_refund_id) == ("succeeded", shown["id"])
    with pytest.raises(Replay):
        await refund(stripe, 20, "k")
    assert await state(stripe) == ("partially_refunded", 2000, 3000)


@pytest.mark.parametrize(
    ("thing", "status", "code"),
    [
        ({"status": "failed", "failure_reason": "expired_or_canceled_card"}, "failed",
         "expired_or_canceled_card"),
        ({"status": "canceled"}, "canceled", "canceled"),
    ],
)  # fmt: skip
async def test_a_refund_that_fails_later_gives_the_money_back(
    hooks: Hooks, stripe: RunningService, thing: dict[str, Any], status: str, code: str
) -> None:
    made = await refund(stripe, 20, "k")
    event = {"id": made.gateway_refund_id, "amount": 2000}
    pending = {"status": "pending"} | event
    await hooks.send("evt_1", "refund.updated", 1010, **pending)
    assert [each.status for each in await refunds_of(stripe)] == ["pending"]
    assert await state(stripe) == ("partially_refunded", 2000, 3000)
    await hooks.send("evt_2", "refund.updated", 1020, **(event | thing))
    (failed,) = await refunds_of(stripe)
    assert (failed.status, failed.failure_code) == (status, code)
    assert await state(stripe) == ("succeeded", 0, AMOUNT)


async def test_refunds_here_and_in_the_dashboard_count_once_each(
    hooks: Hooks, stripe: RunningService
) -> None:
    await refund(stripe, 20, "k")
    dashboard = {"id": "re_dashboard", "amount": 1000, "status": "succeeded"}
    await hooks.send("evt_1", "refund.created", 1010, **dashboard)
    await hooks.send("evt_2", "charge.refunded", 1010, id="ch_1", amount_refunded=3000)
    assert await state(stripe) == ("partially_refunded", 3000, 2000)
    assert await reason_of(refund(stripe, 21, "l")) == "REFUND_TOO_HIGH"


async def test_a_disputed_payment_is_not_refunded(hooks: Hooks, stripe: RunningService) -> None:
    await hooks.send(
        "evt_1", "charge.dispute.created", 1, id="dp_1", amount=AMOUNT, status="needs_response"
    )
    assert await reason_of(refund(stripe, 20, "k")) == "PAYMENT_STATE"


# Authorize.Net


async def test_the_whole_of_an_unsettled_charge_is_voided(authorize: RunningService) -> None:
    made = await refund(authorize, None, "k")
    payment = await authorize.payment()
    assert (made.status, made.gateway_refund_id) == ("succeeded", payment.transaction_id)
    assert await state(authorize) == ("voided", 0, 0)
    assert await transactions(authorize) == [(CHARGE, "voided", "50.00")]
    assert await reason_of(refund(authorize, 1, "l")) == "PAYMENT_STATE"
    reports = ReportsService(authorize.database)
    _, moved = await reports.volumes(authorize.caller, "TEST", payment.created_at, None)
    of_cards = [each for each in moved if each.gateway]  # of two days, if it is midnight
    for kind in ("payment", "refund"):
        assert sum(each.count(kind) for each in of_cards) == 1
        assert sum(each.amount_minor(kind) for each in of_cards) == AMOUNT


async def test_a_part_of_an_unsettled_charge_waits_until_it_settles(
    authorize: RunningService,
) -> None:
    waiting = [await refund(authorize, 20, "k"), await refund(authorize, 30, "l")]
    assert [each.status for each in waiting] == ["pending", "pending"]
    assert await state(authorize) == ("refunded", 5000, 0)
    await authorize.later(hours=2)
    assert await transactions(authorize) == [(CHARGE, "capturedPendingSettlement", "50.00")]
    await settle(authorize)
    await authorize.later(hours=2)
    assert sorted(await transactions(authorize)) == [
        (CHARGE, "settledSuccessfully", "50.00"),
        (REFUND, "refundPendingSettlement", "20.00"),
        (REFUND, "refundPendingSettlement", "30.00"),
    ]
    assert [each.status for each in await refunds_of(authorize)] == ["succeeded", "succeeded"]
    assert await state(authorize) == ("refunded", 5000, 0)


async def test_a_waiting_refund_waits_for_keys_that_are_revoked_meanwhile(
    authorize: RunningService,
) -> None:
    await refund(authorize, 20, "k")
    keys = {"api_login_id": LOGIN, "transaction_key": "346HZ32z3fP4hTG2"}
    await authorize.gateway.authorize("keys", **keys, revoked=True)
    for _ in range(3):
        await authorize.later(hours=5)
    await authorize.gateway.authorize("keys", **keys, revoked=False)
    await settle(authorize)
    await authorize.later(hours=2)
    assert [each.status for each in await refunds_of(authorize)] == ["succeeded"]
    assert len(await transactions(authorize)) == 2


async def test_a_refusal_of_a_refund_that_is_sent_again_decides_nothing(
    authorize: RunningService, gateway: Gateway
) -> None:
    await settle(authorize)
    await gateway.authorize_fault("reset_before")
    assert await reason_of(refund(authorize, 20, "k")) == "OUTCOME_UNKNOWN"
    payment = await authorize.payment()
    await gateway.authorize("refunds", transaction=payment.transaction_id, amount="40.00")
    await authorize.later(seconds=200)
    assert [each.status for each in await refunds_of(authorize)] == ["pending"]


async def test_a_waiting_refund_fails_if_the_charge_is_voided_meanwhile(
    authorize: RunningService,
) -> None:
    await refund(authorize, 20, "k")
    payment = await authorize.payment()
    await authorize.gateway.authorize(
        "transactions", transaction=payment.transaction_id, status="voided"
    )
    await authorize.later(hours=2)
    (failed,) = await refunds_of(authorize)
    assert (failed.status, failed.failure_code) == ("failed", "voided")
    assert await state(authorize) == ("voided", 0, 0)


async def test_a_lost_refund_is_looked_up_and_not_sent_again(
    authorize: RunningService, gateway: Gateway
) -> None:
    await settle(authorize)
    await gateway.authorize_fault("reset_after")
    assert await reason_of(refund(authorize, 20, "k")) == "OUTCOME_UNKNOWN"
    await authorize.later(seconds=6)
    assert len(await transactions(authorize)) == 2
    (made,) = await refunds_of(authorize)
    assert made.status == "succeeded"
    assert await state(authorize) == ("partially_refunded", 2000, 3000)


async def test_a_refund_that_was_never_received_is_sent_again_after_the_settle_time(
    authorize: RunningService, gateway: Gateway
) -> None:
    await settle(authorize)
    await gateway.authorize_fault("reset_before")
    assert await reason_of(refund(authorize, 20, "k")) == "OUTCOME_UNKNOWN"
    await authorize.later(seconds=60)
    assert len(await transactions(authorize)) == 1
    await authorize.later(seconds=200)
    assert len(await transactions(authorize)) == 2
    assert [each.status for each in await refunds_of(authorize)] == ["succeeded"]


async def test_a_lost_void_is_found_as_ours(authorize: RunningService, gateway: Gateway) -> None:
    await gateway.authorize_fault("reset_after")
    assert await reason_of(refund(authorize, None, "k")) == "OUTCOME_UNKNOWN"
    assert await state(authorize) == ("refunded", 5000, 0)
    assert (await refund(authorize, None, "k")).status == "succeeded"
    assert await state(authorize) == ("voided", 0, 0)


async def test_a_resend_that_the_lists_do_not_show_is_found_as_a_duplicate(
    authorize: RunningService, gateway: Gateway
) -> None:
    await settle(authorize)
    await gateway.authorize("reports", lag_seconds=600)
    await gateway.authorize_fault("reset_after")
    assert await reason_of(refund(authorize, 20, "k")) == "OUTCOME_UNKNOWN"
    await authorize.later(seconds=200)
    assert len(await transactions(authorize)) == 2
    assert [each.status for each in await refunds_of(authorize)] == ["succeeded"]


async def test_a_refund_that_nothing_shows_is_set_aside_and_stays_reserved(
    authorize: RunningService, gateway: Gateway
) -> None:
    await settle(authorize)
    await gateway.authorize_fault("reset_before")
    assert await reason_of(refund(authorize, 20, "k")) == "OUTCOME_UNKNOWN"
    await authorize.later(hours=9)
    async with authorize.database.transaction() as transaction:
        (aside,) = await all_set_aside(transaction, 10)
    (pending,) = await refunds_of(authorize)
    assert (aside.kind, aside.id, pending.status) == ("refund", pending.refund_id, "pending")
    assert await state(authorize) == ("partially_refunded", 2000, 3000)


async def test_the_doctor_agrees_with_the_money_of_refunds(
    hooks: Hooks, stripe: RunningService
) -> None:
    await refund(stripe, 20, "k")
    await hooks.send("evt_1", "refund.created", 1010, id="re_2", amount=1000, status="pending")
    examination = await DoctorService(stripe.database, key_ids=None).examine()
    assert [each for each in examination.findings if each.verdict is Verdict.BROKEN] == []


async def test_answers_and_events_at_the_same_time_count_once(
    tmp_path: Path,
    gateway: Gateway,
    postgresql_database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They lock the payment and the key's record in the same order, so that none is lost."""
    monkeypatch.setattr(turns, "WAIT_SECONDS", 60.0)  # no call is repeated here
    clock = ShiftedClock()
    database = Database(postgresql_database, clock)
    async with running_service(database, clock, gateway) as running:
        hooks = await hooks_of(running)

        async def told(seen: set[str]) -> None:
            (books,) = await gateway.books()
            for each in books["refunds"]:
                if each["id"] not in seen:
                    seen.add(each["id"])
                    thing = {name: each[name] for name in ("id", "amount", "status", "metadata")}
                    await hooks.send(f"evt_{each['id']}", "refund.created", 999, **thing)

        async def all_told(made: "asyncio.Future[Any]") -> None:
            seen: set[str] = set()
            while not made.done():
                await told(seen)
            await told(seen)

        async def refund_id(key: str) -> str:
            try:
                return (await refund(running, 2, key)).refund_id
            except Replay as replay:  # an event was faster, and has answered the call
                return replay.answer.message(refunds_pb2.RefundPaymentResponse).refund.refund_id

        made = asyncio.gather(*(refund_id(f"k{number}") for number in range(20)))
        await asyncio.gather(*(all_told(made) for _ in range(3)), return_exceptions=False)
        assert len(set(await made)) == 20
        assert await state(running) == ("partially_refunded", 4000, 1000)


async def test_a_refund_that_fails_at_its_settlement_gives_the_money_back(
    authorize: RunningService,
) -> None:
    await settle(authorize)
    made = await refund(authorize, 20, "k")
    await authorize.gateway.authorize(
        "transactions", transaction=made.gateway_refund_id, status="generalError"
    )
    await authorize.later(days=3, minutes=1)
    assert [each.status for each in await refunds_of(authorize)] == ["failed"]
    assert await state(authorize) == ("succeeded", 0, 5000)


async def test_a_refund_and_an_event_wait_for_their_payments_turn(
    stripe: RunningService, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a payment which many ask for takes one connection, and not all."""
    monkeypatch.setattr(turns, "WAIT_SECONDS", 0.05)
    payment = await stripe.payment()
    async with stripe.transitions.turns.turn(payment.business_id, payment.payment_id):
        with pytest.raises(LockTimeoutError):
            await refund(stripe, 10, "k")
    made = {"id": "re_2", "amount": 1000}
    async with stripe.transitions.turns.turn(payment.business_id, hooks.intent):
        with pytest.raises(LockTimeoutError):
            await hooks.send("evt_1", "refund.created", 1010, status="succeeded", **made)
    assert (await stripe.payment()).amount_refunded_minor == 0
    await refund(stripe, 10, "k")
    assert (await stripe.payment()).amount_refunded_minor == 1000
    async with stripe.transitions.turns.turn(payment.business_id, payment.payment_id):
        with pytest.raises(Replay):
            await refund(stripe, 10, "k")
