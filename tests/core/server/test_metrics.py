"""What a core shows of itself on the listener of health and metrics."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from google.type.money_pb2 import Money

from nivisco.payments.v1 import authentication_pb2, wallet_pb2
from rpc.client import CoreClient
from rpc.errors import CoreError
from rpc.metadata import Credentials
from tests.core.running import (
    Business,
    call,
    create_user,
    register,
    running_core,
    running_sandbox,
    save_card,
    settings_for,
    with_stripe,
)


class Listener:
    """The listener of a core in this process."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session

    async def get(self, path: str) -> tuple[int, str]:
        async with self._session.get(self._url + path) as response:
            return response.status, await response.text()

    async def value(self, sample: str) -> float:
        """Return a sample's value; 0 if it is not there."""
        _, text = await self.get("/metrics")
        found = [line for line in text.splitlines() if line.startswith(sample + " ")]
        return float(found[0].rpartition(" ")[2]) if found else 0.0


@pytest.fixture
async def client(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> AsyncIterator[CoreClient]:
    caplog.set_level(logging.INFO, logger="nivisco")
    async with running_sandbox(tmp_path / "sandbox") as url:
        urls = {"TEST": url, "LIVE": url}
        settings = settings_for(tmp_path, metrics=("127.0.0.1", 0), stripe_urls=urls)
        async with running_core(settings) as client:
            yield client


@pytest.fixture
async def listener(client: CoreClient, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Listener]:
    (url,) = [
        vars(record)["address"]
        for record in caplog.get_records("setup")
        if record.message == "metrics served"
    ]
    async with aiohttp.ClientSession() as session:
        yield Listener(url, session)


@pytest.fixture
async def business(client: CoreClient) -> Business:
    return await register(client)


async def test_requests_gateway_calls_and_batches_are_counted(
    business: Business, listener: Listener
) -> None:
    stripe = await with_stripe(business)
    user_id = await create_user(stripe)
    prefix = "nivisco_core_gateway_call_duration_seconds_count"
    saved = f'{prefix}{{gateway="stripe",outcome="ok",verb="save_card"}}'
    request = 'nivisco_core_request_duration_seconds_count{action="add_wallet_funds",code="OK"}'
    batch = "nivisco_core_wallet_batch_movements_count"
    before = [await listener.value(each) for each in (saved, request, batch)]
    await save_card(stripe, user_id)
    await stripe.call(wallet_pb2.AddWalletFundsRequest(user_id=user_id, amount=Money(units=1)))
    after = [await listener.value(each) for each in (saved, request, batch)]
    assert [now - then for then, now in zip(before, after, strict=True)] == [1, 1, 1]


async def test_a_refused_call_counts_with_its_code(client: CoreClient, listener: Listener) -> None:
    sample = (
        "nivisco_core_request_duration_seconds_count"
        '{action="validate_business",code="UNAUTHENTICATED"}'
    )
    before = await listener.value(sample)
    with pytest.raises(CoreError):
        await call(
            client, Credentials("BUS-1", "x" * 64), authentication_pb2.ValidateBusinessRequest()
        )
    assert await listener.value(sample) == before + 1


async def test_the_backlog_is_read_by_a_task_of_the_core(listener: Listener) -> None:
    async with asyncio.timeout(30):
        while "nivisco_core_backlog_age_seconds" not in (await listener.get("/metrics"))[1]:
            await asyncio.sleep(0.02)
    _, text = await listener.get("/metrics")
    assert 'nivisco_core_due_rows{kind="payment"} 0.0' in text
    assert 'nivisco_core_open_payments{attempt="unknown"} 0.0' in text
    assert 'nivisco_core_database_connections_max{pool="all"} 1.0' in text


async def test_metrics_show_no_business_user_or_key(business: Business, listener: Listener) -> None:
    stripe = await with_stripe(business)
    user_id = await create_user(stripe)
    await save_card(stripe, user_id)
    _, text = await listener.get("/metrics")
    credentials = business.credentials
    for canary in (credentials.business_id, credentials.api_key, stripe.stripe_key, user_id):
        assert canary not in text


async def test_health_is_ready_while_the_core_serves(listener: Listener) -> None:
    assert await listener.get("/healthz") == (200, '{"status":"alive"}')
    assert await listener.get("/readyz") == (200, '{"status":"ready"}')
