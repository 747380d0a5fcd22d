"""After an answer that did not come, the same request means the same charge."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.type.money_pb2 import Money

from core.business.service import BusinessService
from core.caller import Caller, Presence, set_presence
from core.cards.service import CardsService
from core.credentials.service import CredentialsService
from core.database.migrations.upgrade import migrate
from core.database.schema import payments, wallet_transactions
from core.database.transactions import CommitUnknownError, Database, Transaction
from core.gateways.gateway import Gateway as GatewayProtocol
from core.gateways.stripe.gateway import StripeGateway
from core.idempotency.service import Idempotency
from core.payments.charge_request import ChargeRequest
from core.payments.in_flight import ChargeResult
from core.payments.messages import fund_response
from core.payments.service import PaymentsService
from core.security.secrets import hash_api_key
from core.users.service import UsersService
from nivisco.payments.v1 import cards_pb2, payments_pb2, types_pb2, users_pb2, wallet_pb2
from rpc.errors import CoreError
from tests.core.payments.charging import (
    INTENTS,
    card_holder,
    charge_request,
    fund_request,
    records,
    until_logged,
)
from tests.core.running import (
    Business,
    Gateway,
    ShiftedClock,
    keyring,
    register,
    running_core,
    settings_for,
    with_stripe,
)


@pytest.fixture(autouse=True)
def _log_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="core")


async def leave_unknown(
    shop: Business, gateway: Gateway, user_id: str, kind: str = "reset_after", **more: Any
) -> None:
    """Have a funding end without anybody knowing whether the card was charged."""
    await gateway.fault(kind, INTENTS, times=20, method=None)
    with pytest.raises(CoreError) as unknown:
        await shop.call(fund_request(user_id, **more))
    await gateway.clear()
    assert unknown.value.reason == "OUTCOME_UNKNOWN"


async def a_caller_that_leaves(
    shop: Business, gateway: Gateway, user_id: str, caplog: pytest.LogCaptureFixture
) -> "asyncio.Task[Any]":
    """Have a caller leave while the gateway still works on the funding."""
    await gateway.fault("delay_after", INTENTS, seconds=60)
    caller = asyncio.ensure_future(shop.call(fund_request(user_id)))
    await gateway.wait_until_holding(1)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    await until_logged(caplog, "call", code="CANCELLED")
    return caller


async def assert_charged_once(shop: Business, gateway: Gateway, user_id: str) -> None:
    """The card was charged 50 once, and the wallet credited once."""
    assert len(await gateway.charges()) == 1
    wallet = await shop.call(wallet_pb2.GetUserWalletRequest(user_id=user_id))
    assert wallet.wallet.balance.units == 50
    (record,) = await records(shop)
    assert record.status == payments_pb2.PAYMENT_STATUS_SUCCEEDED


@pytest.mark.parametrize("kind", ["reset_before", "reset_after", "cut_body"])
async def test_after_an_unknown_outcome_the_same_request_learns_it_and_never_charges_twice(
    shop: Business, gateway: Gateway, kind: str
) -> None:
    user_id = await card_holder(shop)
    await leave_unknown(shop, gateway, user_id, kind)
    (record,) = await records(shop)
    assert record.status == payments_pb2.PAYMENT_STATUS_PENDING
    assert not record.HasField("transaction_id")
    answer = await shop.call(fund_request(user_id))
    assert answer.wallet.balance.units == 50
    (record,) = await records(shop)
    assert record.status == payments_pb2.PAYMENT_STATUS_SUCCEEDED
    assert len(await gateway.charges()) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"units": 51},
        {"description": "other"},
        {"idempotency_key": "other"},
        {"env": types_pb2.ENV_TEST, "units": 52},
    ],
)
async def test_another_request_does_not_resume_an_open_attempt(
    shop: Business, gateway: Gateway, changes: dict[str, Any]
) -> None:
    user_id = await card_holder(shop)
    await leave_unknown(shop, gateway, user_id)
    await shop.call(fund_request(user_id, **changes))
    assert len(await records(shop)) == 2
    assert len(await gateway.charges()) == 2


async def test_a_core_that_stops_finishes_the_charge_that_has_begun(
    tmp_path: Path, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_for(tmp_path, stripe_urls={"TEST": gateway.url, "LIVE": gateway.url})
    async with running_core(settings) as client:
        shop = await with_stripe(await register(client))
        user_id = await card_holder(shop)
        await gateway.fault("delay_after", INTENTS, seconds=0.5)
        leaving = await a_caller_that_leaves(shop, gateway, user_id, caplog)
        assert leaving.cancelled()
        credentials = shop.credentials
    async with running_core(settings) as client:
        (record,) = await records(Business(client, credentials))
        assert record.status == payments_pb2.PAYMENT_STATUS_SUCCEEDED


async def test_what_a_dead_core_was_charging_is_left_open_and_resumed(
    tmp_path: Path, gateway: Gateway
) -> None:
    settings = settings_for(tmp_path, stripe_urls={"TEST": gateway.url, "LIVE": gateway.url})
    async with running_core(settings) as client:
        shop = await with_stripe(await register(client))
        user_id = await card_holder(shop)
        await shop.call(charge_request(user_id))
        credentials = shop.credentials
    # As a core leaves it that died between the gateway's answer and the commit of the outcome.
    database = Database(settings.database_url)
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            payments.update().values(
                status="pending",
                attempt="running",
                transaction_id=None,
                answered=False,
                lease_owner="dead",
                leased_until=datetime.now(UTC) + timedelta(hours=1),
            )
        )
        assert (await transaction.connection.execute(wallet_transactions.select())).all() == []
    await database.close()
    async with running_core(settings) as client:
        await Business(client, credentials).call(charge_request(user_id))
        assert len(await records(Business(client, credentials))) == 1
    assert len(await gateway.charges()) == 1


async def test_who_comes_back_while_the_charge_runs_joins_it(
    shop: Business, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    user_id = await card_holder(shop)
    await a_caller_that_leaves(shop, gateway, user_id, caplog)
    again = asyncio.ensure_future(shop.call(fund_request(user_id)))
    await until_logged(caplog, "charge joined")
    await gateway.clear()
    assert (await again).wallet.balance.units == 50
    await assert_charged_once(shop, gateway, user_id)


async def test_who_comes_back_after_the_charge_ended_is_told_of_it_once(
    shop: Business, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    user_id = await card_holder(shop)
    await a_caller_that_leaves(shop, gateway, user_id, caplog)
    await gateway.clear()
    async with asyncio.timeout(20):
        while (await records(shop))[0].status == payments_pb2.PAYMENT_STATUS_PENDING:
            pass
    answer = await shop.call(fund_request(user_id))
    assert answer.wallet.balance.units == 50
    await assert_charged_once(shop, gateway, user_id)
    await shop.call(fund_request(user_id))
    assert len(await gateway.charges()) == 2


async def test_who_comes_back_while_another_resumes_is_told_of_the_same_charge(
    shop: Business, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    user_id = await card_holder(shop)
    await leave_unknown(shop, gateway, user_id)
    await gateway.fault("delay_after", INTENTS, seconds=60)
    first = asyncio.ensure_future(shop.call(fund_request(user_id)))
    await gateway.wait_until_holding(1)
    second = asyncio.ensure_future(shop.call(fund_request(user_id)))
    await until_logged(caplog, "charge joined")
    await gateway.clear()
    assert await first == await second
    await assert_charged_once(shop, gateway, user_id)


async def test_that_the_gateway_refuses_today_says_nothing_of_what_it_charged_yesterday(
    shop: Business, gateway: Gateway
) -> None:
    user_id = await card_holder(shop)
    await leave_unknown(shop, gateway, user_id)
    await gateway.revoke(shop.stripe_key)
    with pytest.raises(CoreError) as refused:
        await shop.call(fund_request(user_id))
    assert refused.value.reason == "OUTCOME_UNKNOWN"
    await gateway.revoke(shop.stripe_key, revoked=False)
    await gateway.fault("rate_limit", INTENTS)
    with pytest.raises(CoreError) as turned_away:
        await shop.call(fund_request(user_id))
    assert turned_away.value.reason == "OUTCOME_UNKNOWN"
    await shop.call(fund_request(user_id))
    await assert_charged_once(shop, gateway, user_id)


@pytest.mark.parametrize(("kind", "charged"), [("reset_after", True), ("reset_before", False)])
async def test_what_the_gateway_may_have_forgotten_is_looked_up_and_never_sent_again(
    tmp_path: Path, gateway: Gateway, kind: str, *, charged: bool
) -> None:
    clock = ShiftedClock()
    settings = settings_for(tmp_path, stripe_urls={"TEST": gateway.url, "LIVE": gateway.url})
    async with running_core(settings, clock) as client:
        shop = await with_stripe(await register(client))
        user_id = await card_holder(shop)
        await leave_unknown(shop, gateway, user_id, kind)
        clock.ahead = timedelta(hours=23, seconds=1)
        if charged:
            await shop.call(fund_request(user_id))
            await assert_charged_once(shop, gateway, user_id)
            return
        with pytest.raises(CoreError) as unknown:
            await shop.call(fund_request(user_id))
        assert unknown.value.reason == "OUTCOME_UNKNOWN"
        assert await gateway.charges() == []


async def test_what_was_never_sent_is_charged_to_the_card_that_is_primary_now(
    shop: Business, gateway: Gateway
) -> None:
    user_id = await card_holder(shop)
    await gateway.fault("rate_limit", INTENTS)
    with pytest.raises(CoreError):
        await shop.call(charge_request(user_id))
    await shop.call(
        cards_pb2.CreateStripeCustomerRequest(
            user_id=user_id, payment_method_token="pm_card_mastercard", set_as_primary=True
        )
    )
    await shop.call(charge_request(user_id))
    (charge,) = await gateway.charges()
    assert charge["payment_method_details"]["card"]["brand"] == "mastercard"
    assert [record.status for record in await records(shop)] == [
        payments_pb2.PAYMENT_STATUS_SUCCEEDED,
        payments_pb2.PAYMENT_STATUS_FAILED,
    ]


async def test_an_open_attempt_is_resumed_for_a_user_who_is_inactive_by_now(
    shop: Business, gateway: Gateway
) -> None:
    user_id = await card_holder(shop)
    await leave_unknown(shop, gateway, user_id)
    await shop.call(
        users_pb2.UpdateUserRequest(
            user_id=user_id, updates=users_pb2.UpdateUserRequest.Updates(active=False)
        )
    )
    await shop.call(fund_request(user_id))
    await assert_charged_once(shop, gateway, user_id)


async def test_a_key_means_one_charge_however_often_it_is_sent(
    shop: Business, gateway: Gateway
) -> None:
    user_id = await card_holder(shop)
    request = fund_request(user_id, idempotency_key="order-1")
    answers = await asyncio.gather(*(shop.call(request) for _ in range(5)))
    answers.append(await shop.call(request))
    assert all(answer == answers[0] for answer in answers)
    await assert_charged_once(shop, gateway, user_id)


@pytest.mark.parametrize(
    "other",
    [
        {"amount": Money(units=51)},
        {"description": "other"},
        {"env": types_pb2.ENV_LIVE},
        {"gateway": types_pb2.GATEWAY_AUTHORIZE},
        {"user_id": "<other>"},
    ],
)
async def test_a_key_that_was_used_for_another_request_is_refused(
    shop: Business, gateway: Gateway, other: dict[str, Any]
) -> None:
    user_id = await card_holder(shop)
    await shop.call(fund_request(user_id, idempotency_key="order-1"))
    request = fund_request(user_id, idempotency_key="order-1")
    if "user_id" in other:
        other = {"user_id": await card_holder(shop)}
    request.MergeFrom(payments_pb2.FundCustomerRequest(**other))
    with pytest.raises(CoreError) as refused:
        await shop.call(request)
    assert refused.value.reason == "IDEMPOTENCY_KEY_REUSED"
    assert len(await gateway.charges()) == 1


def funded_minor(charged: ChargeResult) -> int:
    """Return the balance of the wallet just after the credit."""
    assert charged.wallet is not None
    return charged.wallet.balance_minor


class LosingDatabase(Database):
    """Commits, and then says that it does not know whether it did, so many times."""

    losses = 0
    on_loss: Callable[[], None] | None = None

    @asynccontextmanager
    async def transaction(self, name: str = "") -> AsyncIterator[Transaction]:
        """Open a transaction whose commit takes effect, whatever is said of it."""
        async with super().transaction(name) as transaction:
            yield transaction
        if self.losses:
            self.losses -= 1
            if self.on_loss:
                self.on_loss()
            raise CommitUnknownError


@asynccontextmanager
async def payments_over(
    path: Path, gateway: Gateway
) -> AsyncIterator[tuple[LosingDatabase, PaymentsService, Caller, str]]:
    """The use case itself over a database that can misbehave, with a user who has a card."""
    database = LosingDatabase(f"sqlite:///{path / 'n.db'}", pool_wait_seconds=0.05)
    await migrate(database)
    stripe = StripeGateway({"TEST": gateway.url}, timeout_seconds=5)
    ring = keyring()
    credentials = CredentialsService(database, ring)
    issued = await BusinessService(database).create_admin(rotate=False)
    caller = Caller(issued.business_id, "TEST", hash_api_key(issued.api_key))
    keys = {"stripe_secret_key": "sk_test_losing_a", "stripe_public_key": "pk_test_fake"}
    await credentials.add(caller, "stripe", "TEST", keys)
    user, _ = await UsersService(database).create(
        caller, name="A", email="a@example.com", currency=None
    )
    gateways: dict[str, GatewayProtocol] = {"stripe": stripe}
    idempotency = Idempotency(database, ring)
    await CardsService(database, credentials, gateways, idempotency).save_stripe_card(
        caller, user.user_id, "TEST", "pm_card_visa", set_as_primary=True, call=None
    )
    service = PaymentsService(database, credentials, gateways, idempotency)
    yield database, service, caller, user.user_id
    await service.drain(0.5)
    await stripe.close()
    await database.close()


def funding(user_id: str) -> ChargeRequest:
    return ChargeRequest("fund", user_id, "TEST", Money(units=50))


async def test_a_database_that_is_away_when_the_gateway_answers_is_waited_for(
    tmp_path: Path, gateway: Gateway
) -> None:
    async with payments_over(tmp_path, gateway) as (database, service, caller, user_id):
        await gateway.fault("delay_after", INTENTS, seconds=60)
        charge = asyncio.ensure_future(service.charge(caller, funding(user_id)))
        await gateway.wait_until_holding(1)
        async with database.transaction():
            await gateway.clear()
            await asyncio.wait([charge], timeout=0.3)  # its commit is refused meanwhile
            assert not charge.done()
        assert funded_minor(await charge) == 5000
    assert len(await gateway.charges()) == 1


async def test_a_commit_whose_answer_is_lost_is_read_back_and_not_made_again(
    tmp_path: Path, gateway: Gateway
) -> None:
    async with payments_over(tmp_path, gateway) as (database, service, caller, user_id):
        await gateway.fault("delay_after", INTENTS, seconds=60)
        charge = asyncio.ensure_future(service.charge(caller, funding(user_id)))
        await gateway.wait_until_holding(1)
        database.losses = 1
        await gateway.clear()
        assert funded_minor(await charge) == 5000
        async with database.transaction() as transaction:
            rows = await transaction.connection.execute(wallet_transactions.select())
            assert len(rows.all()) == 1
    assert len(await gateway.charges()) == 1


async def test_a_first_commit_whose_answer_is_lost_leaves_an_attempt_that_is_resumed(
    tmp_path: Path, gateway: Gateway
) -> None:
    async with payments_over(tmp_path, gateway) as (database, service, caller, user_id):
        database.losses = 1
        with pytest.raises(CommitUnknownError):
            await service.charge(caller, funding(user_id))
        assert await gateway.charges() == []
        charged = await service.charge(caller, funding(user_id))
        assert funded_minor(charged) == 5000
        async with database.transaction() as transaction:
            rows = await transaction.connection.execute(payments.select())
            assert len(rows.all()) == 1
    assert len(await gateway.charges()) == 1


def asked(
    service: PaymentsService, caller: Caller, user_id: str, presence: Presence
) -> "asyncio.Task[Any]":
    """Request the funding as a caller that may leave; the task returns the response."""

    async def respond() -> Any:
        return fund_response(await service.charge(caller, funding(user_id)))

    set_presence(presence)
    return asyncio.ensure_future(respond())


async def test_a_caller_who_left_while_the_commit_was_unconfirmed_is_told_when_back(
    tmp_path: Path, gateway: Gateway
) -> None:
    async with payments_over(tmp_path, gateway) as (database, service, caller, user_id):
        await gateway.fault("delay_after", INTENTS, seconds=60)
        leaving = Presence()
        database.on_loss = lambda: setattr(leaving, "left", True)
        first = asked(service, caller, user_id, leaving)
        await gateway.wait_until_holding(1)
        database.losses = 1
        await gateway.clear()
        first_told = await first
        assert leaving.left
        assert await asked(service, caller, user_id, Presence()) == first_told
    assert len(await gateway.charges()) == 1


async def test_who_joined_and_was_told_of_an_error_does_not_count_as_waiting(
    tmp_path: Path, gateway: Gateway
) -> None:
    async with payments_over(tmp_path, gateway) as (database, service, caller, user_id):
        await gateway.fault("delay_after", INTENTS, seconds=60)
        leaving = Presence()
        first = asked(service, caller, user_id, leaving)
        await gateway.wait_until_holding(1)
        leaving.left = True
        database.losses = 1
        with pytest.raises(CommitUnknownError):
            await asked(service, caller, user_id, Presence())
        third = asked(service, caller, user_id, Presence())
        async with database.transaction():
            pass  # behind the third one's
        await gateway.clear()
        assert await third == await first
    assert len(await gateway.charges()) == 1


async def test_who_came_back_and_left_again_has_not_been_told(
    tmp_path: Path, gateway: Gateway
) -> None:
    async with payments_over(tmp_path, gateway) as (_, service, caller, user_id):
        gone = Presence(left=True)
        first = await asked(service, caller, user_id, gone)
        assert await asked(service, caller, user_id, gone) == first
        there = Presence()
        assert await asked(service, caller, user_id, there) == first
        assert len(await gateway.charges()) == 1
        there.end()
        assert await asked(service, caller, user_id, Presence()) != first
    assert len(await gateway.charges()) == 2


async def test_what_was_never_sent_is_not_charged_to_a_user_who_is_inactive_by_now(
    shop: Business, gateway: Gateway
) -> None:
    user_id = await card_holder(shop)
    await gateway.fault("rate_limit", INTENTS)
    with pytest.raises(CoreError):
        await shop.call(fund_request(user_id))
    await shop.call(
        users_pb2.UpdateUserRequest(
            user_id=user_id, updates=users_pb2.UpdateUserRequest.Updates(active=False)
        )
    )
    with pytest.raises(CoreError) as refused:
        await shop.call(fund_request(user_id))
    assert refused.value.reason == "USER_INACTIVE"
    assert await gateway.charges() == []


async def test_a_key_is_one_charge_whoever_of_the_businesss_users_it_is_sent_for(
    shop: Business, gateway: Gateway
) -> None:
    users = [await card_holder(shop) for _ in range(4)]
    results = await asyncio.gather(
        *(shop.call(fund_request(user, idempotency_key="order-1")) for user in users),
        return_exceptions=True,
    )
    refused = [result.reason for result in results if isinstance(result, CoreError)]
    assert refused == ["IDEMPOTENCY_KEY_REUSED"] * 3
    assert len(await gateway.charges()) == 1
