"""A request with one idempotency key takes effect once, over JSON and gRPC, through any adapter."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from google.type.money_pb2 import Money

from adapter.server import serve as serve_adapter
from adapter.settings import AdapterSettings
from nivisco.payments.v1 import payments_pb2, wallet_pb2
from rpc.metadata import Credentials
from tests.core.running import (
    Business,
    Gateway,
    register,
    running_core,
    running_sandbox,
    settings_for,
    with_stripe,
)
from tests.end_to_end.running import JsonClient, Response, Stack, user_with_card, user_with_money

KEY = "order-1"
REPLAYED = "Idempotency-Replayed"


@pytest.mark.parametrize(
    ("action", "amount", "status"),
    [("charge_wallet", 34.5, 200), ("charge_wallet", 150, 402), ("add_wallet_funds", 1, 200)],
)
async def test_a_replayed_response_is_identical_and_has_the_header(
    merchant: JsonClient, action: str, amount: float, status: int
) -> None:
    user_id = await user_with_money(merchant)
    request = {"user_id": user_id, "amount": amount, "idempotency_key": KEY}
    first = await merchant.call(action, **request)
    again = await merchant.call(action, **request | {"amount": f"{amount:.2f}"})
    assert (first.status, again.status) == (status, status)
    assert again.text == first.text
    assert (REPLAYED in first.headers, again.headers.get(REPLAYED)) == (False, "true")
    other = await merchant.call(action, **request | {"amount": 2})
    assert (other.status, other.body["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")


@pytest.mark.parametrize(
    ("token", "status"),
    [("pm_card_visa", 200), ("pm_card_chargeCustomerFail", 402),
     ("pm_card_authenticationRequired", 402)],
)  # fmt: skip
async def test_a_replayed_charge_is_identical(stack: Stack, token: str, status: int) -> None:
    user_id = await user_with_card(stack.merchant, token)
    request = {"user_id": user_id, "amount": 25.5, "idempotency_key": KEY}
    first = await stack.merchant.call("charge_customer", **request)
    again = await stack.merchant.call("charge_customer", **request)
    assert (first.status, again.status, again.text) == (status, status, first.text)
    assert again.headers[REPLAYED] == "true"
    assert len(await stack.gateway.charges()) == (1 if status == 200 else 0)


async def test_json_and_grpc_share_idempotency_keys(stack: Stack) -> None:
    client = stack.merchant
    grpc = Business(stack.core, Credentials(client.business_id, client.api_key))
    user_id = await user_with_card(client)
    await client.call("add_wallet_funds", user_id=user_id, amount=100)
    request = {"user_id": user_id, "amount": 25.5, "idempotency_key": KEY}
    by_json = await client.call("charge_customer", **request)
    amount = Money(units=25, nanos=500_000_000)
    by_grpc = await grpc.call(
        payments_pb2.ChargeCustomerRequest(user_id=user_id, amount=amount, idempotency_key=KEY)
    )
    assert by_grpc.transaction_id == by_json.body["transaction_id"]
    debit = wallet_pb2.ChargeWalletRequest(user_id=user_id, amount=amount, idempotency_key="two")
    first: Any = await grpc.call(debit)
    second = await client.call("charge_wallet", user_id=user_id, amount=25.5, idempotency_key="two")
    assert second.body["transaction_id"] == first.transaction_id
    assert second.headers[REPLAYED] == "true"


@asynccontextmanager
async def adapters(targets: str, count: int, business: Business) -> AsyncIterator[list[JsonClient]]:
    """Serve this many adapters on the cores, with a client for each."""
    async with AsyncExitStack() as running:
        session = await running.enter_async_context(aiohttp.ClientSession())
        stop, serving, clients = asyncio.Event(), [], []
        for _ in range(count):
            ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            settings = AdapterSettings(port=0, core_target=targets, lame_duck_seconds=0.0)
            serving.append(asyncio.ensure_future(serve_adapter(settings, ready.set_result, stop)))
            url = (await ready).rstrip("/")
            credentials = business.credentials
            clients.append(JsonClient(url, session, credentials.business_id, credentials.api_key))
        yield clients
        stop.set()
        await asyncio.gather(*serving)


@asynccontextmanager
async def two_of_each(
    tmp_path: Path, database_url: str, gateway: Gateway
) -> AsyncIterator[list[JsonClient]]:
    """Serve two cores and two adapters on one database."""
    settings = settings_for(
        tmp_path,
        database_url=database_url,
        stripe_urls={"TEST": gateway.url, "LIVE": gateway.url},
    )
    async with running_core(settings) as one, running_core(settings) as other:
        shop = await with_stripe(await register(one))
        async with adapters(f"{one.target},{other.target}", 2, shop) as clients:
            yield clients


async def test_200_requests_with_one_key_through_two_adapters_are_executed_once(
    tmp_path: Path, postgresql_database: str
) -> None:
    async with running_sandbox(tmp_path) as url:
        gateway = Gateway(url)
        async with two_of_each(tmp_path, postgresql_database, gateway) as clients:
            user_id = await user_with_card(clients[0])
            await clients[0].call("add_wallet_funds", user_id=user_id, amount=100)
            for action, amount in (("fund_customer", 50), ("charge_wallet", 10)):
                request = {"user_id": user_id, "amount": amount, "idempotency_key": action}
                responses: list[Response] = await asyncio.gather(
                    *(clients[number % 2].call(action, **request) for number in range(200))
                )
                later = await clients[1].call(action, **request)
                assert {response.status for response in responses} == {200}
                assert {response.text for response in responses} == {later.text}
            assert len(await gateway.charges()) == 1
            wallet = await clients[0].call("get_user_wallet", user_id=user_id)
            assert wallet.body["wallet"]["balance"] == 100 + 50 - 10


async def test_200_debits_through_two_adapters_and_two_cores_are_exact(
    tmp_path: Path, postgresql_database: str
) -> None:
    async with (
        running_sandbox(tmp_path) as url,
        two_of_each(tmp_path, postgresql_database, Gateway(url)) as clients,
    ):
        user_id = await user_with_money(clients[0], 120)
        responses: list[Response] = await asyncio.gather(
            *(
                clients[number % 2].call("charge_wallet", user_id=user_id, amount=1)
                for number in range(200)
            )
        )
        assert sorted(response.status for response in responses) == [200] * 120 + [402] * 80
        history = (await clients[1].call("get_wallet_history", user_id=user_id)).body
        assert history["total"] == 121
