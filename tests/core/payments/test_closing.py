"""Captures and voids of authorized payments: outcomes, lost answers, events and expiry."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from core.database.migrations.upgrade import migrate
from core.database.schema import payments
from core.database.transactions import Database
from core.doctor.rules import Verdict
from core.doctor.service import DoctorService
from core.errors import Reason, Refusal
from core.gateways.gateway import GatewayRefused
from core.idempotency.call import Replay
from core.payments.closing import _Failed
from core.payments.decisions import Operator
from core.payments.store import Payment
from core.refunds.beginning import RefundRequest
from nivisco.payments.v1 import payments_pb2, refunds_pb2
from tests.core.payments.authorizing import (
    CAPTURE_PATH,
    authorize,
    close,
    closing_request,
    expire,
    lose_answer,
    set_status,
    state,
    taken,
    transactions,
)
from tests.core.payments.charging import INTENTS
from tests.core.payments.running_service import STRIPE_KEY, RunningService, running_service
from tests.core.refunds.test_outcomes import request_of
from tests.core.running import Gateway, ShiftedClock
from tests.core.webhooks.receiving import Hooks


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy, as the migrations take most of a test's time."""
    path = tmp_path_factory.mktemp("migrated") / "n.db"

    async def migrate_once() -> None:
        database = Database(f"sqlite:///{path}")
        await migrate(database)
        await database.close()

    asyncio.run(migrate_once())
    return path


@asynccontextmanager
async def authorized(gateway: Gateway, name: str, url: str) -> AsyncIterator[RunningService]:
    """An authorization of 50.00 at the gateway of this name."""
    clock = ShiftedClock()
    async with running_service(Database(url, clock), clock, gateway, name) as running:
        await authorize(running)
        yield running


@pytest.fixture
def url(migrated: Path, tmp_path: Path) -> str:
    """A new SQLite database."""
    return f"sqlite:///{shutil.copy(migrated, tmp_path / 'n.db')}"


@pytest.fixture(params=["stripe", "authorize"])
async def running(
    request: pytest.FixtureRequest, url: str, gateway: Gateway
) -> AsyncIterator[RunningService]:
    """An authorization of 50.00 at each gateway."""
    async with authorized(gateway, request.param, url) as made:
        yield made


@pytest.fixture
async def stripe(url: str, gateway: Gateway) -> AsyncIterator[RunningService]:
    async with authorized(gateway, "stripe", url) as made:
        yield made


@pytest.fixture
async def at_authorize(url: str, gateway: Gateway) -> AsyncIterator[RunningService]:
    async with authorized(gateway, "authorize", url) as made:
        yield made


async def reason_of(call: Any) -> str:
    with pytest.raises(Refusal) as caught:
        await call
    return Reason.Name(caught.value.reason).removeprefix("ERROR_REASON_")


async def refund(running: RunningService, units: int, key: str) -> Any:
    request: RefundRequest = request_of(running, (await running.payment()).payment_id, units, key)
    return await running.refunds.refund(running.caller, request)


async def hooks_of(running: RunningService) -> Hooks:
    """Return the events about the only payment."""
    return Hooks(running, (await running.payment()).transaction_id or "")


async def assert_books_agree(running: RunningService) -> None:
    examination = await DoctorService(running.database, key_ids=None).examine()
    assert [each for each in examination.findings if each.verdict is Verdict.BROKEN] == []


@pytest.mark.parametrize("units", [None, 20])
async def test_a_capture_takes_its_amount_and_no_other_follows(
    running: RunningService, units: int | None
) -> None:
    assert await state(running) == ("authorized", 5000, False)
    captured = await close(running, units=units)
    minor = 100 * (units or 50)
    assert (captured.status, captured.amount_minor, captured.requested_minor) == (
        "succeeded", minor, 5000,
    )  # fmt: skip
    assert await taken(running) == minor
    with pytest.raises(Replay) as replay:
        await close(running, units=units)
    answer = replay.value.answer.message(payments_pb2.CapturePaymentResponse)
    assert answer.payment.amount_captured.units == (units or 50)
    assert await reason_of(close(running, units=10, key="other")) == "PAYMENT_STATE"
    assert await reason_of(close(running, "void", key="void")) == "PAYMENT_STATE"
    assert await taken(running) == minor
    await assert_books_agree(running)


async def test_a_void_releases_the_amount_and_nothing_is_captured_after_it(
    running: RunningService,
) -> None:
    voided = await close(running, "void")
    assert (voided.status, voided.decline_code) == ("voided", None)
    with pytest.raises(Replay):
        await close(running, "void")
    assert await reason_of(close(running, key="other")) == "PAYMENT_STATE"
    assert await reason_of(refund(running, 1, "r")) == "PAYMENT_STATE"
    assert await taken(running) == 0
    await assert_books_agree(running)


async def test_refunds_are_limited_by_what_was_captured(stripe: RunningService) -> None:
    assert await reason_of(refund(stripe, 1, "early")) == "PAYMENT_STATE"
    await close(stripe, units=20)
    assert await reason_of(refund(stripe, 21, "high")) == "REFUND_TOO_HIGH"
    await refund(stripe, 5, "a")
    assert await state(stripe) == ("partially_refunded", 2000, False)
    await refund(stripe, 15, "b")
    assert await state(stripe) == ("refunded", 2000, False)
    assert await taken(stripe) == 0
    await assert_books_agree(stripe)


async def test_a_refund_of_as_much_as_the_capture_released_counts(stripe: RunningService) -> None:
    await close(stripe, units=25)
    await refund(stripe, 25, "a")
    assert await state(stripe) == ("refunded", 2500, False)
    assert (await stripe.payment()).amount_refunded_minor == 2500
    await assert_books_agree(stripe)


@pytest.mark.parametrize(
    ("closing", "kind"), [("capture", "reset_before"), ("void", "reset_after")]
)
async def test_a_lost_answer_is_found_under_the_same_key(
    running: RunningService, gateway: Gateway, closing: str, kind: str
) -> None:
    units = 20 if closing == "capture" else None
    await lose_answer(running, kind)
    assert await reason_of(close(running, closing, units)) == "OUTCOME_UNKNOWN"
    assert await state(running) == ("authorized", 5000, True)
    other = "void" if closing == "capture" else "capture"
    assert await reason_of(close(running, other, key="other")) == "CAPTURE_IN_PROGRESS"
    await gateway.clear()
    done = await close(running, closing, units)
    assert done.status == {"capture": "succeeded", "void": "voided"}[closing]
    assert await taken(running) == 100 * (units or 0)
    with pytest.raises(Replay):
        await close(running, closing, units)


@pytest.mark.parametrize(
    ("closing", "kind"), [("capture", "reset_after"), ("void", "reset_before")]
)
async def test_the_core_resolves_an_unknown_outcome_and_stores_the_answer(
    running: RunningService, gateway: Gateway, closing: str, kind: str
) -> None:
    await lose_answer(running, kind)
    assert await reason_of(close(running, closing)) == "OUTCOME_UNKNOWN"
    await gateway.clear()
    await running.later(seconds=60)
    assert (await running.payment()).status == {"capture": "succeeded", "void": "voided"}[closing]
    with pytest.raises(Replay):
        await close(running, closing)
    assert await taken(running) == (5000 if closing == "capture" else 0)


async def test_a_core_that_died_before_the_call_is_followed_by_another(
    running: RunningService,
) -> None:
    """What it committed is done by the queue, half a minute later."""
    service, payment = running.service._closings, await running.payment()
    request = closing_request(running, payment.payment_id, units=20)
    async with running.database.transaction() as transaction:
        await service._begin(transaction, running.caller, request)
    await running.later(seconds=20)
    assert await state(running) == ("authorized", 5000, True)
    await running.later(seconds=20)
    assert await state(running) == ("succeeded", 2000, False)
    assert await taken(running) == 2000


async def test_a_core_that_died_after_the_call_is_followed_by_another(
    running: RunningService,
) -> None:
    """The gateway has captured; nobody has written it."""
    service, payment = running.service._closings, await running.payment()
    request = closing_request(running, payment.payment_id, units=20)
    async with running.database.transaction() as transaction:
        started = await service._begin(transaction, running.caller, request)
    await service._send(started)  # type: ignore[arg-type] # it began
    assert await taken(running) == 2000
    await running.later(seconds=40)
    assert await state(running) == ("succeeded", 2000, False)
    assert await taken(running) == 2000


async def test_a_gateway_that_refuses_or_is_away_leaves_the_payment_authorized(
    stripe: RunningService, gateway: Gateway
) -> None:
    await gateway.fault("rate_limit", CAPTURE_PATH)
    assert await reason_of(close(stripe, units=20)) == "GATEWAY_UNAVAILABLE"
    assert await state(stripe) == ("authorized", 5000, False)
    await gateway.revoke(STRIPE_KEY)
    assert await reason_of(close(stripe, units=20)) == "GATEWAY_REFUSED"
    assert await state(stripe) == ("authorized", 5000, False)
    await gateway.revoke(STRIPE_KEY, revoked=False)
    assert (await close(stripe, units=20)).status == "succeeded"


async def test_a_refusal_of_the_keys_says_nothing_about_an_earlier_call(
    stripe: RunningService, gateway: Gateway
) -> None:
    await lose_answer(stripe, "reset_after")
    assert await reason_of(close(stripe, units=20)) == "OUTCOME_UNKNOWN"
    await gateway.clear()
    await gateway.revoke(STRIPE_KEY)
    assert await reason_of(close(stripe, units=20)) == "OUTCOME_UNKNOWN"
    await stripe.later(minutes=10)
    assert await state(stripe) == ("authorized", 5000, True)
    await gateway.revoke(STRIPE_KEY, revoked=False)
    await stripe.later(hours=2)
    assert await state(stripe) == ("succeeded", 2000, False)


async def test_a_stored_fault_of_stripe_does_not_stop_the_capture(
    stripe: RunningService, gateway: Gateway
) -> None:
    """Stripe replays a 500 for a day, under its key: the next call has another one."""
    await gateway.fault("error_500", CAPTURE_PATH)
    assert await reason_of(close(stripe)) == "OUTCOME_UNKNOWN"
    await stripe.later(seconds=60)
    assert await state(stripe) == ("succeeded", 5000, False)


async def test_only_the_last_call_may_give_up(stripe: RunningService) -> None:
    """An earlier one that is refused says nothing about a later one, which may be in flight."""
    service, payment = stripe.service._closings, await stripe.payment()
    request = closing_request(stripe, payment.payment_id)
    async with stripe.database.transaction() as transaction:
        first = await service._begin(transaction, stripe.caller, request)
    async with stripe.database.transaction() as transaction:
        await service._resume(transaction, await _locked(service, transaction, payment))
    refused = _Failed(GatewayRefused("no"), shows_authorized=True)
    async with stripe.database.transaction() as transaction:
        result, _ = await service._write(transaction, first, refused)  # type: ignore[arg-type]
    assert isinstance(result, Refusal)
    assert result.reason == Reason.ERROR_REASON_OUTCOME_UNKNOWN
    assert await state(stripe) == ("authorized", 5000, True)


async def _locked(service: Any, transaction: Any, payment: Payment) -> Payment:
    locked: Payment = await service._transitions.lock(transaction, payment)
    return locked


async def test_an_equal_capture_without_a_key_is_the_same_one(stripe: RunningService) -> None:
    answers = await asyncio.gather(*(close(stripe, units=20, key=None) for _ in range(5)))
    assert {each.amount_minor for each in answers} == {2000}
    assert (await close(stripe, units=20, key=None)).status == "succeeded"
    assert await reason_of(close(stripe, units=21, key=None)) == "PAYMENT_STATE"
    assert await taken(stripe) == 2000


async def test_of_twenty_captures_and_voids_at_once_one_wins(
    gateway: Gateway, database_url: str
) -> None:
    name = "stripe" if database_url.startswith("postgresql") else "authorize"
    async with authorized(gateway, name, database_url) as running:
        calls = [
            close(running, "void" if number % 4 == 3 else "capture", key=f"k{number}")
            for number in range(20)
        ]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        done = [each for each in outcomes if isinstance(each, Payment)]
        refused = [each.reason for each in outcomes if isinstance(each, Refusal)]
        assert (len(done), len(refused)) == (1, 19)
        assert set(refused) <= {
            Reason.ERROR_REASON_CAPTURE_IN_PROGRESS,
            Reason.ERROR_REASON_PAYMENT_STATE,
        }
        expected = {"capture": ("succeeded", 5000), "void": ("voided", 0)}[done[0].closing or ""]
        assert (done[0].status, await taken(running)) == expected


@pytest.mark.parametrize("then", ["capture", "void", None])
async def test_an_authorization_that_expires_is_followed_and_told(
    running: RunningService, then: str | None
) -> None:
    """No event tells of it at Authorize.Net."""
    await expire(running)
    match then:
        case "capture":
            assert await reason_of(close(running)) == "AUTHORIZATION_EXPIRED"
        case "void":
            assert (await close(running, "void")).status == "voided"
        case _:
            await running.later(hours=13)
    payment = await running.payment()
    assert (payment.status, payment.decline_code) == ("voided", "expired")
    assert await reason_of(close(running, key="late")) == "AUTHORIZATION_EXPIRED"
    assert await taken(running) == 0
    await assert_books_agree(running)


async def test_a_capture_in_the_dashboard_is_followed_without_an_event(
    at_authorize: RunningService,
) -> None:
    await set_status(at_authorize, "capturedPendingSettlement")
    await at_authorize.later(hours=13)
    assert await state(at_authorize) == ("succeeded", 5000, False)
    assert await reason_of(close(at_authorize)) == "PAYMENT_STATE"


async def test_a_capture_that_the_dashboard_made_with_another_amount_is_told(
    stripe: RunningService, gateway: Gateway
) -> None:
    """Ours is open, and ends in a refusal that is stored."""
    await lose_answer(stripe, "reset_before")
    assert await reason_of(close(stripe, units=20)) == "OUTCOME_UNKNOWN"
    hooks = await hooks_of(stripe)
    succeeded = {"id": hooks.intent, "amount": 5000, "amount_received": 3000}
    await hooks.send("evt_1", "payment_intent.succeeded", 1010, **succeeded)
    assert await state(stripe) == ("succeeded", 3000, False)
    with pytest.raises(Replay) as replay:
        await close(stripe, units=20)
    assert replay.value.answer.is_refusal


@pytest.mark.parametrize(
    ("events", "status", "amount"),
    [
        ([("amount_capturable_updated", {})], "authorized", 5000),
        ([("succeeded", {"amount_received": 1000})], "succeeded", 1000),
        ([("succeeded", {"amount_received": 5001})], "authorized", 5000),
        ([("canceled", {"status": "canceled"})], "voided", 5000),
        (
            [("succeeded", {"amount_received": 1000}), ("amount_capturable_updated", {})],
            "succeeded",
            1000,
        ),
    ],
)
async def test_what_the_dashboard_did_is_followed_by_events(
    stripe: RunningService, events: list[tuple[str, dict[str, Any]]], status: str, amount: int
) -> None:
    hooks = await hooks_of(stripe)
    for number, (name, thing) in enumerate(events):
        intent = {"id": hooks.intent, "amount": 5000, "capture_method": "manual"} | thing
        await hooks.send(f"evt_{number}", f"payment_intent.{name}", 1010, **intent)
    assert await state(stripe) == (status, amount, False)


async def test_the_answer_to_the_charge_stays_the_same_after_the_capture(
    stripe: RunningService,
) -> None:
    await close(stripe, units=20)
    with pytest.raises(Replay) as replay:
        await authorize(stripe)
    answer = replay.value.answer.message(payments_pb2.ChargeCustomerResponse)
    assert (answer.status, answer.amount.units) == (payments_pb2.PAYMENT_STATUS_AUTHORIZED, 50)


async def test_a_capture_that_a_review_prevented_is_not_made_once_it_is_approved(
    at_authorize: RunningService, gateway: Gateway
) -> None:
    await lose_answer(at_authorize, "reset_before")
    assert await reason_of(close(at_authorize)) == "OUTCOME_UNKNOWN"
    await gateway.clear()
    await set_status(at_authorize, "FDSAuthorizedPendingReview")
    assert await reason_of(close(at_authorize)) == "OUTCOME_UNKNOWN"
    assert await state(at_authorize) == ("authorized", 5000, True)
    await at_authorize.later(minutes=5)
    payment = await at_authorize.payment()
    assert payment.closing is None
    await at_authorize.later(hours=13)
    assert (await at_authorize.payment()).status == "held_for_review"
    await at_authorize.gateway.authorize(
        "reviews", transaction=payment.transaction_id, decision="approve"
    )
    for _ in range(3):
        await at_authorize.later(hours=13)
    assert await state(at_authorize) == ("authorized", 5000, False)
    assert (await close(at_authorize)).status == "succeeded"


async def test_a_capture_of_a_payment_that_was_declined_is_over(
    at_authorize: RunningService, gateway: Gateway
) -> None:
    await lose_answer(at_authorize, "reset_before")
    assert await reason_of(close(at_authorize)) == "OUTCOME_UNKNOWN"
    await gateway.clear()
    await set_status(at_authorize, "declined")
    await at_authorize.later(seconds=60)
    payment = await at_authorize.payment()
    assert (payment.status, payment.closing) == ("declined", None)
    with pytest.raises(Replay) as replay:
        await close(at_authorize)
    assert replay.value.answer.is_refusal


@pytest.mark.parametrize(("closing", "is_open"), [("capture", True), ("void", False)])
async def test_an_operators_read_does_not_overrule_what_was_made_since(
    running: RunningService, monkeypatch: pytest.MonkeyPatch, closing: str, is_open: bool
) -> None:
    closings, ask = running.service._closings, running.decisions.ask
    payment = await running.payment()
    async with running.database.transaction() as transaction:
        started: Any = await closings._begin(
            transaction, running.caller, closing_request(running, payment.payment_id, closing)
        )
    running.clock.ahead += timedelta(seconds=1)

    async def write() -> None:
        running.clock.ahead += timedelta(seconds=1)
        outcome = await closings._send(started)
        async with running.database.transaction() as transaction:
            await closings._write(transaction, started, outcome)

    async def asked(*arguments: Any) -> Any:
        findings = await ask(*arguments)
        if not is_open:
            await write()
        return findings

    monkeypatch.setattr(running.decisions, "ask", asked)
    await running.decisions.retry(payment.payment_id, None, Operator("ops", "why not"))
    if is_open:
        assert await state(running) == ("authorized", 5000, True)
        await write()
    assert (await running.payment()).status == {"capture": "succeeded", "void": "voided"}[closing]


@pytest.mark.parametrize("is_resent", [False, True])
async def test_the_core_also_follows_a_capture_of_a_payment_that_was_set_aside(
    stripe: RunningService, gateway: Gateway, is_resent: bool
) -> None:
    async def set_aside() -> None:
        async with stripe.database.transaction() as transaction:
            await transaction.connection.execute(
                update(payments).values(set_aside_at=transaction.now, set_aside_error="Error")
            )

    await lose_answer(stripe, "reset_before")
    await set_aside()
    assert await reason_of(close(stripe)) == "OUTCOME_UNKNOWN"
    if is_resent:
        await set_aside()
        await gateway.clear()
        await lose_answer(stripe, "reset_before")
        assert await reason_of(close(stripe)) == "OUTCOME_UNKNOWN"
    await gateway.clear()
    await stripe.later(seconds=60)
    assert await state(stripe) == ("succeeded", 5000, False)


async def test_a_look_at_a_capture_that_is_being_made_here_leaves_it_alone(
    stripe: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: Any, **__: Any) -> None:
        await stripe.later(seconds=40)
        raise GatewayRefused("no")

    closings = stripe.service._closings
    monkeypatch.setattr(closings._gateways["stripe"], "capture_payment", refuse)
    assert await reason_of(close(stripe)) == "GATEWAY_REFUSED"
    assert await state(stripe) == ("authorized", 5000, False)


async def test_refused_calls_do_not_prolong_the_time_in_which_a_lost_one_may_land(
    stripe: RunningService, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: Any, **__: Any) -> None:
        raise GatewayRefused("no")

    await lose_answer(stripe, "reset_before")
    assert await reason_of(close(stripe)) == "OUTCOME_UNKNOWN"
    stripe.clock.ahead += timedelta(seconds=60)
    assert await reason_of(close(stripe)) == "OUTCOME_UNKNOWN"  # it cannot be read: nothing is sent
    await gateway.clear()
    closings = stripe.service._closings
    monkeypatch.setattr(closings._gateways["stripe"], "capture_payment", refuse)
    stripe.clock.ahead += timedelta(seconds=60)
    assert await reason_of(close(stripe)) == "OUTCOME_UNKNOWN"
    stripe.clock.ahead += timedelta(seconds=65)
    assert await reason_of(close(stripe)) == "GATEWAY_REFUSED"
    assert await state(stripe) == ("authorized", 5000, False)


async def test_an_authorization_held_for_review_is_authorized_once_it_is_approved(
    at_authorize: RunningService,
) -> None:
    await set_status(at_authorize, "FDSAuthorizedPendingReview")
    await at_authorize.later(hours=1)
    held = await at_authorize.payment()
    assert held.status == "held_for_review"
    assert await reason_of(close(at_authorize)) == "PAYMENT_STATE"
    await at_authorize.gateway.authorize(
        "reviews", transaction=held.transaction_id, decision="approve"
    )
    await at_authorize.later(hours=13)
    assert await state(at_authorize) == ("authorized", 5000, False)
    assert (await close(at_authorize)).status == "succeeded"
    assert await transactions(at_authorize) == [
        ("authOnlyTransaction", "capturedPendingSettlement")
    ]


async def test_the_whole_of_an_unsettled_capture_is_voided_as_a_charge_is(
    at_authorize: RunningService,
) -> None:
    await close(at_authorize, units=20)
    request = request_of(at_authorize, (await at_authorize.payment()).payment_id, None, "r")
    assert isinstance(request.call.request, refunds_pb2.RefundPaymentRequest)
    await at_authorize.refunds.refund(at_authorize.caller, request)
    assert await state(at_authorize) == ("voided", 2000, False)
    assert await transactions(at_authorize) == [("authOnlyTransaction", "voided")]
    await assert_books_agree(at_authorize)


async def test_an_equal_charge_without_a_key_is_not_authorized_twice(
    stripe: RunningService, gateway: Gateway
) -> None:
    await close(stripe, "void")
    await gateway.fault("reset_after", INTENTS, times=2)
    await gateway.fault("reset_before", INTENTS, times=20, method="GET")
    assert await reason_of(authorize(stripe, None)) == "OUTCOME_UNKNOWN"
    await gateway.clear()
    first = await authorize(stripe, None)
    assert (first.status, first.authorized_minor) == ("authorized", 5000)
    (books,) = await gateway.books()
    assert len(books["charges"]) == 2


async def test_an_authorization_that_nobody_was_told_of_is_returned_to_an_equal_request(
    stripe: RunningService,
) -> None:
    await close(stripe, "void")
    lost = await authorize(stripe, None, leaves=True)
    await stripe.service.drain(5)
    found = await authorize(stripe, None)
    await stripe.service.drain(5)
    other = await authorize(stripe, None)
    assert lost.payment_id == found.payment_id != other.payment_id


@pytest.mark.parametrize(
    ("minutes", "then", "is_found"),
    [
        (20, None, True),
        (20, "dashboard", True),
        (20, "capture", False),
        (45, None, False),
        (45, "dashboard", False),
    ],
)
async def test_an_authorization_is_returned_to_an_equal_request_for_half_an_hour(
    stripe: RunningService, minutes: int, then: str | None, is_found: bool
) -> None:
    """Looks at it and a capture of a part of it later do not make that longer, nor shorter."""
    await close(stripe, "void")
    hooks = await hooks_of(stripe)
    lost = await authorize(stripe, None, leaves=True)
    await stripe.service.drain(5)
    for _ in range(minutes // 5):
        await stripe.later(minutes=5)
    match then:
        case "capture":
            request = closing_request(stripe, lost.payment_id, key=None)
            await stripe.service.close(stripe.caller, request)
        case "dashboard":
            captured: dict[str, Any] = {"id": lost.transaction_id, "amount": 5000}
            captured |= {"amount_received": 2000, "metadata": {"payment_id": lost.payment_id}}
            await hooks.send("evt_1", "payment_intent.succeeded", 1010, **captured)
    found = await authorize(stripe, None)
    assert (found.payment_id == lost.payment_id) is is_found
    if is_found and then:
        assert (found.status, found.amount_minor) == ("succeeded", 2000)


async def test_an_authorization_that_the_customer_authenticates_is_captured_later(
    url: str, gateway: Gateway
) -> None:
    clock, card = ShiftedClock(), "pm_card_authenticationRequired"
    async with running_service(Database(url, clock), clock, gateway, card=card) as running:
        assert await reason_of(authorize(running)) == "AUTHENTICATION_REQUIRED"
        assert await reason_of(close(running)) == "PAYMENT_STATE"
        intent = (await running.payment()).transaction_id
        await gateway.control("authentications", payment_intent=intent, succeeds=True)
        await running.later(minutes=1)
        assert await state(running) == ("authorized", 5000, False)
        with pytest.raises(Replay) as replay:
            await authorize(running)
        answer = replay.value.answer.message(payments_pb2.ChargeCustomerResponse)
        assert answer.status == payments_pb2.PAYMENT_STATUS_AUTHORIZED
        assert await taken(running) == 0
        assert (await close(running, units=20)).status == "succeeded"
