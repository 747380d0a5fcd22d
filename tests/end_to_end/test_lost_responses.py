"""Charges without a key over JSON, whose clients close their connection before the response."""

import asyncio
import json
import logging
import select
import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from adapter.responses import Response
from tests.core.payments.charging import until_logged
from tests.databases import fresh_sqlite
from tests.end_to_end.running import JsonClient, Stack, user_with_card


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """Nothing here depends on the kind of the database."""
    return fresh_sqlite(tmp_path / "nivisco.db")


@pytest.fixture
def transport() -> str:
    """Unary calls have no acknowledgements."""
    return "stream"


ACTIONS = ("charge_customer", "fund_customer")


def address_of(merchant: JsonClient) -> tuple[str, int]:
    return "127.0.0.1", int(merchant.url.rsplit(":")[-1])


def raw_request(merchant: JsonClient, action: str, user_id: str) -> bytes:
    envelope = {
        "business_id": merchant.business_id,
        "api_key": merchant.api_key,
        "action": action,
        "user_id": user_id,
        "amount": 50,
    }
    body = json.dumps(envelope).encode()
    return b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body


async def payment_ids(merchant: JsonClient) -> list[str]:
    found = await merchant.call("get_payment_records")
    return [payment["payment_id"] for payment in found.body["payments"]]


def close_connections(monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """Have the clients of acknowledged responses be gone before the write, or during it."""
    write = Response._write_and_acknowledge

    async def lost(self: Response, acknowledge: Any) -> None:
        assert self._transport is not None
        transport = self._transport
        if moment == "before the write":
            transport.abort()
        else:

            async def write_eof(_data: bytes) -> None:
                transport.abort()

            writer: Any = self._payload_writer
            writer.write_eof = write_eof
        await write(self, acknowledge)

    monkeypatch.setattr(Response, "_write_and_acknowledge", lost)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("moment", ["before the write", "during the write"])
async def test_a_retry_of_a_charge_whose_client_had_left_is_the_same_charge(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, action: str, moment: str
) -> None:
    user_id = await user_with_card(stack.merchant)
    with monkeypatch.context() as lossy:
        close_connections(lossy, moment)
        with pytest.raises(aiohttp.ClientError):
            await stack.merchant.call(action, user_id=user_id, amount=50)
    retried = await stack.merchant.call(action, user_id=user_id, amount=50)
    assert (retried.status, len(await payment_ids(stack.merchant))) == (200, 1)
    assert len(await stack.gateway.charges()) == 1


@pytest.mark.parametrize("action", ACTIONS)
async def test_a_retry_of_a_charge_whose_client_closed_unseen_is_the_same_charge(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    """Its close is in the kernel before the write, and the event loop has not read it."""
    user_id = await user_with_card(stack.merchant)
    acknowledged: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    write = Response._write_and_acknowledge
    with (
        monkeypatch.context() as lossy,
        socket.create_connection(address_of(stack.merchant)) as client,
    ):

        async def lost(self: Response, acknowledge: Any) -> None:
            def noted(is_sent: bool) -> None:
                acknowledge(is_sent)
                acknowledged.set_result(is_sent)

            client.close()
            assert self._transport is not None
            connection = self._transport.get_extra_info("socket")
            assert select.select([connection], [], [], 10)[0]
            await write(self, noted)

        lossy.setattr(Response, "_write_and_acknowledge", lost)
        client.sendall(raw_request(stack.merchant, action, user_id))
        assert not await acknowledged
    retried = await stack.merchant.call(action, user_id=user_id, amount=50)
    assert (retried.status, len(await payment_ids(stack.merchant))) == (200, 1)
    assert len(await stack.gateway.charges()) == 1


async def test_a_retry_of_a_client_that_left_during_the_charge_is_the_same_charge(
    stack: Stack, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "core")
    user_id = await user_with_card(stack.merchant)
    await stack.gateway.fault("delay_after", "/v1/payment_intents", seconds=60)
    reader, writer = await asyncio.open_connection(*address_of(stack.merchant))
    writer.write(raw_request(stack.merchant, "fund_customer", user_id))
    await stack.gateway.wait_until_holding(1)
    writer.close()
    await until_logged(caplog, "call", code="CANCELLED")
    assert await reader.read() == b""
    await stack.gateway.clear()
    retried = await stack.merchant.call("fund_customer", user_id=user_id, amount=50)
    assert retried.body["wallet"]["balance"] == 50
    assert len(await stack.gateway.charges()) == 1


@pytest.mark.parametrize("action", ACTIONS)
async def test_an_equal_request_after_the_response_is_another_charge(
    stack: Stack, action: str
) -> None:
    user_id = await user_with_card(stack.merchant)
    for _ in range(4):
        assert (await stack.merchant.call(action, user_id=user_id, amount=5)).status == 200
    assert len(set(await payment_ids(stack.merchant))) == 4
    assert len(await stack.gateway.charges()) == 4
