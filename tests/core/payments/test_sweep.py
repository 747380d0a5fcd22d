"""What became of a charge is found out though nobody asks, and the evidence runs out in the end."""

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
from core.gateways.gateway import Gateway as GatewayProtocol
from core.gateways.stripe.gateway import StripeGateway
from core.idempotency.call import IdempotentCall, Replay, call_of
from core.idempotency.service import Idempotency
from core.payments import rules
from core.payments.charge_request import ChargeRequest
from core.payments.service import PaymentsService
from core.payments.store import Payment, PaymentFilter
from core.security.secrets import hash_api_key
from core.users.service import UsersService
from nivisco.payments.v1 import payments_pb2
from tests.core.payments.charging import INTENTS
from tests.core.running import Gateway, ShiftedClock, keyring


@dataclass
class Shop:
    """The use cases over one database whose clock can be moved, and a user with a card."""

    database: Database
    clock: ShiftedClock
    service: PaymentsService
    caller: Caller
    user_id: str

    def call(self, key: str) -> IdempotentCall:
        return call_of(
            self.caller,
            "FundCustomer",
            payments_pb2.FundCustomerRequest(user_id=self.user_id, idempotency_key=key),
        )

    async def fund(self, call: IdempotentCall | None = None) -> None:
        request = ChargeRequest("fund", self.user_id, "TEST", Money(units=50), call=call)
        presence = Presence()
        set_presence(presence)
        try:
            await self.service.charge(self.caller, request)
        finally:
            presence.end()

    async def later(self, **passed: float) -> None:
        """Let time pass, and the sweep run once."""
        self.clock.ahead += timedelta(**passed)
        await self.service.sweep()

    async def payment(self) -> Payment:
        page = PageRequest(page=1, limit=25, from_date=None, to_date=None)
        (only,), _ = await self.service.list_payments(self.caller, PaymentFilter("TEST"), page)
        return only

    async def balance(self) -> int:
        async with self.database.transaction() as transaction:
            total = select(func.coalesce(func.sum(wallets.c.balance_minor), 0))
            return int(await transaction.connection.scalar(total) or 0)


@pytest.fixture
async def shop(database_url: str, gateway: Gateway) -> AsyncIterator[Shop]:
    clock = ShiftedClock()
    database = Database(database_url, clock)
    await migrate(database)
    stripe = StripeGateway({"TEST": gateway.url}, timeout_seconds=20)
    gateways: dict[str, GatewayProtocol] = {"stripe": stripe}
    ring = keyring()
    credentials = CredentialsService(database, ring)
    idempotency = Idempotency(database, ring)
    issued = await BusinessService(database).create_admin(rotate=False)
    caller = Caller(issued.business_id, "TEST", hash_api_key(issued.api_key))
    keys = {"stripe_secret_key": "sk_test_swept_a", "stripe_public_key": "pk_test_fake"}
    await credentials.add(caller, "stripe", "TEST", keys)
    user, _ = await UsersService(database).create(caller, name="A", email="a@b.co", currency=None)
    await CardsService(database, credentials, gateways, idempotency).save_stripe_card(
        caller, user.user_id, "TEST", "pm_card_visa", set_as_primary=True, call=None
    )
    service = PaymentsService(database, credentials, gateways, idempotency)
    yield Shop(database, clock, service, caller, user.user_id)
    await service.drain(20)
    await stripe.close()
    await database.close()


async def left_unknown(
    shop: Shop, gateway: Gateway, call: IdempotentCall | None = None, kind: str = "reset_after"
) -> None:
    await gateway.fault(kind, INTENTS, times=20, method=None)
    with pytest.raises(Refusal, match="not known yet"):
        await shop.fund(call)
    await gateway.clear()


@pytest.mark.parametrize("kind", ["reset_before", "reset_after", "cut_body"])
async def test_an_unknown_outcome_is_found_out_though_nobody_asks(
    shop: Shop, gateway: Gateway, kind: str
) -> None:
    await left_unknown(shop, gateway, kind=kind)
    await shop.later(seconds=1)
    assert (await shop.payment()).status == "pending"
    await shop.later(seconds=5)
    assert (await shop.payment()).status == "succeeded"
    assert (len(await gateway.charges()), await shop.balance()) == (1, 5000)
    await shop.later(hours=1)
    assert (len(await gateway.charges()), await shop.balance()) == (1, 5000)


async def test_who_comes_back_after_the_sweep_is_told_and_not_charged_again(
    shop: Shop, gateway: Gateway
) -> None:
    await left_unknown(shop, gateway)
    await shop.later(seconds=6)
    await shop.fund()
    assert (len(await gateway.charges()), await shop.balance()) == (1, 5000)


async def test_the_sweep_answers_the_idempotency_record(shop: Shop, gateway: Gateway) -> None:
    await left_unknown(shop, gateway, shop.call("one"))
    await shop.later(seconds=6)
    with pytest.raises(Replay) as replay:
        await shop.fund(shop.call("one"))
    charge = (await gateway.charges())[0]
    response = payments_pb2.FundCustomerResponse.FromString(replay.value.answer.payload)
    assert response.transaction_id == charge["payment_intent"]
    assert response.wallet.balance.units == 50


async def test_what_a_dead_core_left_running_is_found_out_once_its_lease_ran_out(
    shop: Shop, gateway: Gateway
) -> None:
    await left_unknown(shop, gateway)
    async with shop.database.transaction() as transaction:
        await transaction.connection.execute(
            update(payments).values(
                attempt="running",
                lease_owner="dead",
                leased_until=transaction.now + timedelta(seconds=6),
                check_at=None,
            )
        )
    await shop.later(seconds=5)
    assert (await shop.payment()).status == "pending"
    await shop.later(seconds=2)
    assert (await shop.payment()).status == "succeeded"
    assert (len(await gateway.charges()), await shop.balance()) == (1, 5000)


async def test_a_gateway_that_stays_away_is_asked_ever_more_rarely(
    shop: Shop, gateway: Gateway
) -> None:
    await left_unknown(shop, gateway, kind="reset_before")
    await gateway.fault("reset_before", INTENTS, times=1000, method=None)
    for checks in range(1, 5):
        await shop.later(seconds=rules.pause_after(checks - 1).total_seconds() - 0.5)
        assert (await shop.payment()).checks == checks
        await shop.later(seconds=1)
        assert (await shop.payment()).checks == checks + 1
    await gateway.clear()


async def test_what_was_surely_not_sent_is_never_sent_by_the_sweep_but_closed(
    shop: Shop, gateway: Gateway
) -> None:
    await gateway.fault("rate_limit", INTENTS)
    with pytest.raises(Refusal, match="nothing was charged"):
        await shop.fund()
    await shop.later(minutes=14)
    assert (await shop.payment()).status == "pending"
    await shop.later(minutes=2)
    assert (await shop.payment()).status == "failed"
    assert await gateway.charges() == []


@pytest.mark.parametrize("key", [None, "one"])
async def test_where_the_gateway_never_tells_a_person_must_look(
    shop: Shop, gateway: Gateway, key: str | None
) -> None:
    await left_unknown(shop, gateway, shop.call(key) if key else None, kind="reset_before")
    await shop.later(hours=25)
    assert (await shop.payment()).status == "pending"
    await shop.later(hours=2)
    assert (await shop.payment()).status == "needs_review"
    assert await gateway.charges() == []
    if key:
        with pytest.raises(Refusal, match="never told the outcome"):
            await shop.fund(shop.call(key))
        assert await gateway.charges() == []
    else:  # a day later it is another order
        await shop.fund()
        assert len(await gateway.charges()) == 1


async def test_that_the_gateway_was_away_when_it_was_asked_last_is_no_evidence(
    shop: Shop, gateway: Gateway
) -> None:
    await left_unknown(shop, gateway)
    await gateway.fault("reset_before", INTENTS, times=1000, method=None)
    await shop.later(hours=27)
    assert (await shop.payment()).status == "pending"
    await gateway.clear()
    await shop.later(hours=2)
    assert ((await shop.payment()).status, await shop.balance()) == ("succeeded", 5000)


async def test_a_business_without_its_keys_is_left_for_later(shop: Shop, gateway: Gateway) -> None:
    await left_unknown(shop, gateway)
    await gateway.revoke("sk_test_swept_a")
    await shop.later(seconds=6)
    assert ((await shop.payment()).status, (await shop.payment()).checks) == ("pending", 2)
    await gateway.revoke("sk_test_swept_a", revoked=False)
    await shop.later(seconds=16)
    assert (await shop.payment()).status == "succeeded"
