"""A charge at Authorize.Net that got no clear answer is looked up, and sent again only when due."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from google.type.money_pb2 import Money
from sqlalchemy import func, select, update

from core.business.service import BusinessService
from core.caller import Caller, Presence, set_presence
from core.cards.service import CardsService
from core.credentials.service import CredentialsService
from core.database.migrations.upgrade import migrate
from core.database.paging import PageRequest
from core.database.schema import payments, wallets
from core.database.transactions import Database
from core.errors import Refusal
from core.gateways.authorize.gateway import AuthorizeGateway
from core.gateways.gateway import CardData
from core.gateways.gateway import Gateway as GatewayProtocol
from core.idempotency.call import IdempotentCall, Replay, call_of
from core.idempotency.service import Idempotency
from core.payments.charge_request import ChargeRequest
from core.payments.service import PaymentsService
from core.payments.store import Payment, PaymentFilter
from core.security.secrets import Secret, hash_api_key
from core.users.service import UsersService
from nivisco.payments.v1 import payments_pb2
from tests.core.gateways.running import logged
from tests.core.running import Gateway, ShiftedClock, keyring

LOGIN = "5KP3u95bQpv"
SETTLED = 181.0
"""So many seconds after a sending, what no list shows never happened."""
LISTS = ("getTransactionListForCustomer", "getUnsettledTransactionList")


@dataclass
class Shop:
    """The use cases over one database whose clock can be moved, and a user with a card."""

    database: Database
    clock: ShiftedClock
    service: PaymentsService
    caller: Caller
    user_id: str
    gateway: Gateway

    def call(self, key: str) -> IdempotentCall:
        request = payments_pb2.FundCustomerRequest(user_id=self.user_id, idempotency_key=key)
        return call_of(self.caller, "FundCustomer", request)

    async def fund(self, call: IdempotentCall | None = None) -> None:
        request = ChargeRequest("fund", self.user_id, "TEST", Money(units=50), call=call)
        presence = Presence()
        set_presence(presence)
        try:
            await self.service.charge(self.caller, request)
        finally:
            presence.end()

    async def lose(
        self, kind: str, call: IdempotentCall | None = None, times: int = 1, seconds: float = 0
    ) -> None:
        """Have a funding end without a clear answer."""
        await self.gateway.authorize_fault(kind, times=times, seconds=seconds)
        with pytest.raises(Refusal, match="not known yet"):
            await self.fund(call)

    async def later(self, seconds: float) -> None:
        """Let time pass, and the sweep run once."""
        self.clock.ahead += timedelta(seconds=seconds)
        await self.service.sweep()

    async def payment(self) -> Payment:
        page = PageRequest(page=1, limit=25, from_date=None, to_date=None)
        (only,), _ = await self.service.list_payments(self.caller, PaymentFilter("TEST"), page)
        return only

    async def state(self) -> tuple[str, int, int]:
        """The payment's status, how many charges will settle, and the wallet's balance."""
        async with self.database.transaction() as transaction:
            total = select(func.coalesce(func.sum(wallets.c.balance_minor), 0))
            balance = int(await transaction.connection.scalar(total) or 0)
        charges = await self.gateway.authorize_charges(LOGIN)
        return (await self.payment()).status, len(charges), balance


@pytest.fixture
async def shop(database_url: str, gateway: Gateway) -> AsyncIterator[Shop]:
    clock = ShiftedClock()
    database = Database(database_url, clock)
    await migrate(database)
    authorize = AuthorizeGateway({"TEST": gateway.url}, timeout_seconds=20)
    gateways: dict[str, GatewayProtocol] = {"authorize": authorize}
    ring = keyring()
    credentials = CredentialsService(database, ring)
    idempotency = Idempotency(database, ring)
    issued = await BusinessService(database).create_admin(rotate=False)
    caller = Caller(issued.business_id, "TEST", hash_api_key(issued.api_key))
    keys = {"api_login_id": LOGIN, "transaction_key": "346HZ32z3fP4hTG2"}
    await credentials.add(caller, "authorize", "TEST", keys)
    user, _ = await UsersService(database).create(caller, name="A", email="a@b.co", currency=None)
    card = CardData(Secret("4111111111111111"), 12, 2060)
    await CardsService(database, credentials, gateways, idempotency).save_authorize_card(
        caller, user.user_id, "TEST", card, set_as_primary=True, call=None
    )
    service = PaymentsService(database, credentials, gateways, idempotency)
    yield Shop(database, clock, service, caller, user.user_id, gateway)
    await service.drain(20)
    await authorize.close()
    await database.close()


async def test_what_was_charged_is_found_and_adopted_long_before_it_could_be_sent_again(
    shop: Shop,
) -> None:
    await shop.lose("reset_after", shop.call("one"))
    await shop.later(6)
    assert await shop.state() == ("succeeded", 1, 5000)
    with pytest.raises(Replay) as replay:
        await shop.fund(shop.call("one"))
    response = payments_pb2.FundCustomerResponse.FromString(replay.value.answer.payload)
    (charge,) = await shop.gateway.authorize_charges(LOGIN)
    assert response.transaction_id == charge["id"]


async def test_what_was_not_charged_is_sent_again_once_it_has_settled_and_not_before(
    shop: Shop,
) -> None:
    await shop.lose("reset_before")
    for seconds in (6, 16, 61):
        await shop.later(seconds)
        assert await shop.state() == ("pending", 0, 0)
    with pytest.raises(Refusal, match="not known yet"):
        await shop.fund()
    await shop.later(100)  # 183 seconds after it was sent, and not the sweep's turn
    assert await shop.state() == ("pending", 0, 0)
    await shop.fund()
    assert await shop.state() == ("succeeded", 1, 5000)
    assert (await shop.payment()).sent_at is not None


async def test_the_settle_time_counts_from_the_last_sending(shop: Shop) -> None:
    await shop.lose("reset_before", times=2)
    shop.clock.ahead += timedelta(seconds=SETTLED)
    with pytest.raises(Refusal, match="not known yet"):
        await shop.fund()  # sent again, and lost again
    assert await shop.gateway.struck() == 2
    shop.clock.ahead += timedelta(seconds=SETTLED - 2)
    with pytest.raises(Refusal, match="not known yet"):
        await shop.fund()
    assert await shop.state() == ("pending", 0, 0)
    shop.clock.ahead += timedelta(seconds=2)
    await shop.fund()
    assert await shop.state() == ("succeeded", 1, 5000)


async def test_what_was_surely_not_sent_is_sent_at_once_and_its_settling_begins_then(
    shop: Shop,
) -> None:
    await shop.gateway.authorize_fault("rate_limit")
    with pytest.raises(Refusal, match="nothing was charged"):
        await shop.fund()
    shop.clock.ahead += timedelta(seconds=SETTLED - 10)
    await shop.lose("reset_before")
    shop.clock.ahead += timedelta(seconds=20)
    with pytest.raises(Refusal, match="not known yet"):
        await shop.fund()
    assert await shop.state() == ("pending", 0, 0)


async def test_a_duplicate_that_no_list_shows_yet_is_adopted_by_its_code(shop: Shop) -> None:
    await shop.gateway.authorize("reports", lag_seconds=600)
    await shop.lose("reset_after")
    await shop.later(6)
    assert await shop.state() == ("pending", 1, 0)
    shop.clock.ahead += timedelta(seconds=SETTLED)
    await shop.fund()
    assert await shop.state() == ("succeeded", 1, 5000)


async def test_of_two_transactions_on_one_invoice_the_first_is_adopted_and_the_second_voided(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    # Both nets tear: the lists lag longer than the settle time, and the card was renewed meanwhile.
    await shop.gateway.authorize("reports", lag_seconds=600)
    await shop.gateway.authorize("duplicates", known=False)
    await shop.lose("reset_after", times=2)
    shop.clock.ahead += timedelta(seconds=SETTLED)
    with pytest.raises(Refusal, match="not known yet"):
        await shop.fund()
    assert await shop.state() == ("pending", 2, 0)
    second, first = await shop.gateway.authorize_charges(LOGIN)
    await shop.gateway.authorize("reports", lag_seconds=0)
    await shop.gateway.authorize_fault("rate_limit")  # the void is turned away: not done with it
    await shop.later(16)
    assert await shop.state() == ("pending", 2, 0)
    await shop.later(61)
    assert await shop.state() == ("succeeded", 1, 5000)
    assert (await shop.payment()).transaction_id == first["id"]
    assert "second transaction of a payment voided" in caplog.text
    assert second["id"] in logged(caplog, "transaction_id")


async def test_a_second_transaction_that_has_settled_is_a_persons_to_refund(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    await shop.gateway.authorize("duplicates", known=False)
    await shop.gateway.authorize("reports", lag_seconds=600)
    await shop.lose("reset_after", times=2)
    shop.clock.ahead += timedelta(seconds=SETTLED)
    with pytest.raises(Refusal, match="not known yet"):
        await shop.fund()
    for charge in await shop.gateway.authorize_charges(LOGIN):
        await shop.gateway.authorize(
            "transactions", transaction=charge["id"], status="settledSuccessfully"
        )
    await shop.gateway.authorize("reports", lag_seconds=0)
    await shop.later(16)
    assert await shop.state() == ("succeeded", 2, 5000)
    assert "cannot be voided: refund it" in caplog.text


@pytest.mark.parametrize("key", [None, "one"])
async def test_after_8_hours_without_a_sign_a_person_must_look_and_nothing_is_sent(
    shop: Shop, key: str | None
) -> None:
    await shop.lose("reset_before", shop.call(key) if key else None, times=1000)
    await shop.later(7 * 3600)
    assert await shop.gateway.struck() == 2  # sent again, for the last time
    await shop.later(58 * 60)
    assert await shop.gateway.struck() == 2
    assert await shop.state() == ("pending", 0, 0)
    await shop.later(2 * 3600)
    assert await shop.state() == ("needs_review", 0, 0)
    assert await shop.gateway.struck() == 2
    if key:
        with pytest.raises(Refusal, match="never told the outcome"):
            await shop.fund(shop.call(key))
        assert await shop.gateway.struck() == 2


async def test_a_gateway_that_is_away_when_it_is_asked_last_has_not_shown_its_evidence(
    shop: Shop,
) -> None:
    await shop.lose("reset_after")
    for each in LISTS:
        await shop.gateway.authorize_fault("reset_before", each, times=1000)
    await shop.later(9 * 3600)
    assert await shop.state() == ("pending", 1, 0)
    await shop.gateway.clear()
    await shop.later(3600)
    assert await shop.state() == ("succeeded", 1, 5000)


async def test_who_lost_the_lease_while_it_looked_does_not_send_again(shop: Shop) -> None:
    await shop.lose("reset_before")
    shop.clock.ahead += timedelta(seconds=SETTLED)
    await shop.gateway.authorize_fault("delay", LISTS[0], seconds=60)
    late = asyncio.ensure_future(shop.fund())
    await shop.gateway.wait_until_holding(1)
    async with shop.database.transaction() as transaction:
        await transaction.connection.execute(update(payments).values(lease_owner="other"))
    await shop.gateway.clear()
    with pytest.raises(Refusal, match="not known yet"):
        await late
    assert (await shop.payment()).attempt == "running"
    assert await shop.gateway.authorize_charges(LOGIN) == []


async def test_a_charge_that_lands_late_is_found_and_adopted(
    shop: Shop,
) -> None:
    await shop.lose("late_landing", seconds=60)
    await shop.gateway.clear()
    async with asyncio.timeout(20):
        while not await shop.gateway.authorize_charges(LOGIN):
            await asyncio.sleep(0.01)
    await shop.fund()
    assert await shop.state() == ("succeeded", 1, 5000)


async def test_a_charge_that_is_delivered_twice_is_one_charge(shop: Shop) -> None:
    await shop.gateway.authorize_fault("duplicate")
    await shop.fund()
    assert await shop.state() == ("succeeded", 1, 5000)
