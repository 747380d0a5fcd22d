"""Several cores on one database: each attempt has one owner until its lease expires."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from core.database.schema import payments
from core.database.transactions import Database
from core.payments import attempts
from nivisco.payments.v1 import payments_pb2, wallet_pb2
from rpc.errors import CoreError
from tests.core.payments.charging import (
    INTENTS,
    card_holder,
    fund_request,
    records,
    until_logged,
)
from tests.core.running import Business, Gateway, register, running_core, settings_for, with_stripe


@pytest.fixture
async def shops(
    tmp_path: Path,
    postgresql_database: str,
    gateway: Gateway,
    caplog: pytest.LogCaptureFixture,
) -> AsyncIterator[list[Business]]:
    """Return one business, as a client of each of two cores on one database."""
    caplog.set_level(logging.INFO, logger="core")
    settings = settings_for(
        tmp_path,
        database_url=postgresql_database,
        stripe_urls={"TEST": gateway.url, "LIVE": gateway.url},
        gateway_timeout_seconds=10.0,
    )
    async with AsyncExitStack() as running:
        clients = [await running.enter_async_context(running_core(settings)) for _ in range(2)]
        shop = await with_stripe(await register(clients[0]))
        yield [replace(shop, client=client) for client in clients]


async def assert_charged(gateway: Gateway, shop: Business, user_id: str, times: int) -> None:
    assert len(await gateway.charges()) == times
    wallet = await shop.call(wallet_pb2.GetUserWalletRequest(user_id=user_id))
    assert wallet.wallet.balance.units == 50 * times
    assert len(await records(shop)) == times


async def until_renewed(url: str, times: int) -> None:
    """Wait until the payment's lease was renewed so often."""
    database = Database(url)
    seen: set[object] = set()
    async with asyncio.timeout(20):
        while len(seen) <= times:
            async with database.transaction() as transaction:
                seen.add(await transaction.connection.scalar(select(payments.c.leased_until)))
    await database.close()


async def test_a_retry_at_another_core_gets_the_same_charge(
    shops: list[Business], gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    user_id = await card_holder(shops[0])
    await gateway.fault("delay_after", INTENTS, seconds=60)
    leaving = asyncio.ensure_future(shops[0].call(fund_request(user_id)))
    await gateway.wait_until_holding(1)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    await until_logged(caplog, "call", code="CANCELLED")
    again = asyncio.ensure_future(shops[1].call(fund_request(user_id)))
    await until_logged(caplog, "charge waits for an earlier one")
    await gateway.clear()
    assert (await again).wallet.balance.units == 50
    await assert_charged(gateway, shops[0], user_id, 1)


async def test_two_waiting_callers_at_two_cores_make_two_charges(
    shops: list[Business], gateway: Gateway
) -> None:
    user_id = await card_holder(shops[0])
    await gateway.fault("delay_after", INTENTS, seconds=60, times=2)
    both = [asyncio.ensure_future(shop.call(fund_request(user_id))) for shop in shops]
    await gateway.wait_until_holding(2)
    await gateway.clear()
    assert {answer.wallet.balance.units for answer in await asyncio.gather(*both)} == {50, 100}
    await assert_charged(gateway, shops[0], user_id, 2)


async def test_a_lease_is_renewed_while_the_charge_runs(
    shops: list[Business],
    gateway: Gateway,
    postgresql_database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attempts, "LEASE", timedelta(seconds=2.5))
    user_id = await card_holder(shops[0])
    await gateway.fault("delay_after", INTENTS, seconds=60)
    first = asyncio.ensure_future(shops[0].call(fund_request(user_id, idempotency_key="one")))
    await gateway.wait_until_holding(1)
    again = asyncio.ensure_future(shops[1].call(fund_request(user_id, idempotency_key="one")))
    await until_renewed(postgresql_database, 4)  # longer than the first lease
    assert not again.done()
    await gateway.clear()
    assert await again == await first
    await assert_charged(gateway, shops[0], user_id, 1)


@pytest.mark.parametrize("idempotency_key", [None, "one"])
async def test_the_attempt_of_a_dead_core_is_resumed_after_its_lease(
    shops: list[Business],
    gateway: Gateway,
    postgresql_database: str,
    idempotency_key: str | None,
) -> None:
    user_id = await card_holder(shops[0])
    await gateway.fault("reset_after", INTENTS, times=20, method=None)
    request = fund_request(user_id, idempotency_key=idempotency_key)
    with pytest.raises(CoreError):
        await shops[0].call(request)
    await gateway.clear()
    database = Database(postgresql_database)
    async with database.transaction() as transaction:  # as after its core died
        soon = transaction.now + timedelta(seconds=1)
        await transaction.connection.execute(
            update(payments).values(
                attempt="running", look_at=soon, lease_owner="dead", leased_until=soon
            )
        )
    await database.close()
    answers = await asyncio.gather(*(shop.call(request) for shop in shops))
    assert {answer.wallet.balance.units for answer in answers} == {50}
    await assert_charged(gateway, shops[0], user_id, 1)


async def test_a_core_without_its_lease_still_writes_a_conclusive_outcome(
    shops: list[Business], gateway: Gateway, postgresql_database: str
) -> None:
    user_id = await card_holder(shops[0])
    await gateway.fault("delay_after", INTENTS, seconds=60)
    late = asyncio.ensure_future(shops[0].call(fund_request(user_id)))
    await gateway.wait_until_holding(1)
    database = Database(postgresql_database)
    async with database.transaction() as transaction:  # as if it had paused past its lease
        await transaction.connection.execute(
            update(payments).values(lease_owner="other", leased_until=transaction.now)
        )
    await database.close()
    assert (await shops[1].call(fund_request(user_id))).wallet.balance.units == 50
    await gateway.clear()
    assert (await late).wallet.balance.units == 50
    await assert_charged(gateway, shops[0], user_id, 1)
    (record,) = await records(shops[0])
    assert record.status == payments_pb2.PAYMENT_STATUS_SUCCEEDED


async def test_a_core_without_its_lease_does_not_report_a_refusal(
    tmp_path: Path, postgresql_database: str, gateway: Gateway
) -> None:
    arrived, go = asyncio.Event(), asyncio.Event()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.set()
        await go.wait()
        body = b'{"error": {"type": "invalid_request_error", "message": "Invalid API Key"}}'
        head = "HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nConnection: close"
        writer.write(f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        urls = [gateway.url, f"http://{host}:{port}"]
        settings = [
            settings_for(
                tmp_path,
                database_url=postgresql_database,
                stripe_urls={"TEST": url, "LIVE": url},
                gateway_timeout_seconds=10.0,
            )
            for url in urls
        ]
        settings[1] = replace(settings[1], keyring=settings[0].keyring)
        async with running_core(settings[0]) as taker, running_core(settings[1]) as sleeper:
            shop = await with_stripe(await register(taker))
            request = fund_request(await card_holder(shop), idempotency_key="one")
            late = asyncio.ensure_future(replace(shop, client=sleeper).call(request))
            await arrived.wait()
            database = Database(postgresql_database)
            async with database.transaction() as transaction:  # as if it had paused past its lease
                await transaction.connection.execute(
                    update(payments).values(lease_owner="other", leased_until=transaction.now)
                )
            await database.close()
            taken = await shop.call(request)
            go.set()
            assert await late == taken
            await assert_charged(gateway, shop, request.user_id, 1)


async def test_many_waiting_callers_at_two_cores_make_as_many_charges(
    shops: list[Business], gateway: Gateway
) -> None:
    for number in range(1, 6):
        user_id = await card_holder(shops[0])
        answers = await asyncio.gather(
            *(shops[each % 2].call(fund_request(user_id)) for each in range(12))
        )
        assert len({answer.transaction_id for answer in answers}) == 12
        assert len(await gateway.charges()) == 12 * number


async def test_equal_charges_of_one_client_in_turn_at_two_cores_are_as_many_charges(
    shops: list[Business], gateway: Gateway
) -> None:
    user_id = await card_holder(shops[0])
    for number in range(1, 7):
        answer = await shops[number % 2].call(fund_request(user_id))
        assert answer.wallet.balance.units == 50 * number
    await assert_charged(gateway, shops[0], user_id, 6)
