"""The answer of a payment under its key follows the payment: a late success replaces a refusal."""

import time
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from core.business.store import insert_business
from core.caller import Caller
from core.database.migrations.upgrade import migrate
from core.database.transactions import Database
from core.errors import Refusal
from core.idempotency.call import Answer, IdempotentCall, Replay, call_of
from core.idempotency.service import KEY_LIFE, Idempotency
from nivisco.payments.v1 import payments_pb2
from tests.core.payments.running_service import RunningService, running_service
from tests.core.running import Gateway, ShiftedClock, keyring
from tests.core.webhooks.receiving import AMOUNT, Hooks

BUSINESS, KEY, PAYMENT = "B-1", "order-1", "PAY-1"
DECLINED = Answer(b"declined", is_refusal=True)
UNAUTHENTICATED = Answer(b"unauthenticated", is_refusal=True)
CHARGED = Answer(b"charged", is_refusal=False)
REFUNDED = Answer(b"charged, and refunded", is_refusal=False)


class Records:
    """The record of one key, in a database."""

    def __init__(self, database: Database, longer: timedelta = timedelta()) -> None:
        self._database = database
        self._idempotency = Idempotency(database, keyring(), longer)

    async def create(self) -> None:
        """Store the record of a call that began a payment."""
        await migrate(self._database)
        async with self._database.transaction() as transaction:
            await insert_business(
                transaction, business_id=BUSINESS, name="n", email="e", domain="d", api_key_hash="h"
            )
            assert await self._idempotency.claim(transaction, self.call()) is None
            await self._idempotency.point_to(transaction, self.call(), PAYMENT)

    def call(self) -> IdempotentCall:
        request = payments_pb2.ChargeCustomerRequest(user_id="U", idempotency_key=KEY)
        return call_of(Caller(BUSINESS, "TEST"), "ChargeCustomer", request)

    async def keep(self, answer: Answer, payment_id: str = PAYMENT) -> None:
        """Store the outcome of a payment."""
        async with self._database.transaction() as transaction:
            await self._idempotency.lock(transaction, BUSINESS, KEY)
            await self._idempotency.keep_for_payment(
                transaction,
                business_id=BUSINESS,
                idempotency_key=KEY,
                payment_id=payment_id,
                answer=answer,
            )

    async def replayed(self) -> Answer | str | None:
        """Return the answer to a repeated call, or the payment that it continues."""
        async with self._database.transaction() as transaction:
            try:
                return await self._idempotency.claim(transaction, self.call())
            except Replay as replay:
                return replay.answer


@pytest.fixture
def clock() -> ShiftedClock:
    return ShiftedClock()


@pytest.fixture
async def record(database_url: str, clock: ShiftedClock) -> AsyncIterator[Records]:
    database = Database(database_url, clock)
    made = Records(database)
    await made.create()
    yield made
    await database.close()


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([], PAYMENT),
        ([DECLINED], DECLINED),
        ([CHARGED], CHARGED),
        ([UNAUTHENTICATED, DECLINED], UNAUTHENTICATED),
        ([DECLINED, CHARGED], CHARGED),
        ([UNAUTHENTICATED, DECLINED, CHARGED], CHARGED),
        ([DECLINED, CHARGED, REFUNDED], CHARGED),
        ([CHARGED, REFUNDED], CHARGED),
        ([CHARGED, DECLINED], CHARGED),
    ],
)
async def test_a_success_replaces_a_refusal_and_nothing_else_replaces_an_answer(
    record: Records, outcomes: list[Answer], expected: Answer | str
) -> None:
    for outcome in outcomes:
        await record.keep(outcome)
    assert await record.replayed() == expected


async def test_the_success_of_another_payment_replaces_nothing(record: Records) -> None:
    await record.keep(DECLINED)
    await record.keep(CHARGED, payment_id="PAY-2")
    assert await record.replayed() == DECLINED


async def test_answers_are_kept_for_as_long_as_is_set(
    database_url: str, clock: ShiftedClock
) -> None:
    database = Database(database_url, clock)
    record = Records(database, longer=timedelta(days=6))
    await record.create()
    await record.keep(CHARGED)
    clock.ahead += timedelta(days=7, minutes=-1)
    assert await record.replayed() == CHARGED
    clock.ahead += timedelta(minutes=2)
    assert await record.replayed() is None
    await database.close()


async def test_a_late_success_is_kept_for_a_day_from_then_on(
    record: Records, clock: ShiftedClock
) -> None:
    await record.keep(DECLINED)
    clock.ahead += KEY_LIFE - timedelta(hours=1)
    await record.keep(CHARGED)
    clock.ahead += KEY_LIFE - timedelta(minutes=1)
    assert await record.replayed() == CHARGED
    clock.ahead += timedelta(minutes=2)
    assert await record.replayed() is None


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("pm_card_chargeCustomerFail", "declined"),
        ("pm_card_authenticationRequired", "must authenticate"),
    ],
)
async def test_a_retry_learns_of_a_success_after_the_refusal(
    database_url: str, gateway: Gateway, token: str, message: str
) -> None:
    clock = ShiftedClock()
    async with running_service(Database(database_url, clock), clock, gateway, card=token) as shop:
        with pytest.raises(Refusal, match=message):
            await shop.fund(shop.call(KEY))
        with pytest.raises(Replay) as replay:
            await shop.fund(shop.call(KEY))
        assert replay.value.answer.is_refusal
        first = await _succeeded(shop, "evt_1")
        assert (first.transaction_id, first.wallet.balance.units) == (
            (await shop.payment()).transaction_id,
            50,
        )
        assert await _succeeded(shop, "evt_2") == first
        assert await shop.balance() == AMOUNT


async def _succeeded(shop: RunningService, event_id: str) -> payments_pb2.FundCustomerResponse:
    """Deliver the success of the payment, and return the response to the repeated request."""
    payment = await shop.payment()
    assert payment.transaction_id is not None
    thing = {"id": payment.transaction_id, "object": "payment_intent", "amount": AMOUNT}
    hooks = Hooks(shop, payment.transaction_id)
    created = int(time.time())
    await hooks.send_event(
        id=event_id,
        object="event",
        type="payment_intent.succeeded",
        created=created,
        livemode=False,
        data={"object": thing | {"amount_received": AMOUNT, "currency": "usd"}},
    )
    with pytest.raises(Replay) as replay:
        await shop.fund(shop.call(KEY))
    assert not replay.value.answer.is_refusal
    return payments_pb2.FundCustomerResponse.FromString(replay.value.answer.payload)
