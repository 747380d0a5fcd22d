"""Charges without a key over a stream: one whose answer nobody acknowledged is not made again."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf.message import Message

from nivisco.internal.v1 import stream_pb2
from rpc.catalogue import method_path
from rpc.client import CoreClient
from rpc.frames import call_frame
from tests.core.payments.charging import (
    card_holder,
    charge_request,
    fund_request,
    records,
    until_logged,
)
from tests.core.running import METHODS, Business, Gateway
from tests.core.server.test_stream import PATIENCE_SECONDS, Peer
from tests.core.server.test_stream_acknowledgements import (
    acknowledgement,
    acknowledging_peer,
    cancellation,
)
from tests.databases import fresh_sqlite


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """The SQL of deliveries has tests of its own, on both databases."""
    return fresh_sqlite(tmp_path / "nivisco.db")


REQUESTS: dict[str, Callable[[str], Message]] = {
    "charge": charge_request,
    "fund": fund_request,
    "authorize": lambda user_id: charge_request(user_id, capture=False),
}


def call(call_id: int, shop: Business, request: Message) -> bytes:
    path = method_path(METHODS[type(request).DESCRIPTOR.name.removesuffix("Request")])
    body = request.SerializeToString()
    return call_frame(call_id, path, shop.credentials.metadata(), body, PATIENCE_SECONDS)


async def answer(peer: Peer, call_id: int) -> stream_pb2.CallAnswer:
    """Return the answer to the only open call, which succeeded."""
    found = (await peer.answers(1))[call_id]
    assert not found.HasField("status")
    return found


@pytest.mark.parametrize("kind", REQUESTS)
async def test_a_retry_gets_the_answer_that_a_broken_connection_lost(
    shop: Business, gateway: Gateway, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "core")
    request = REQUESTS[kind](await card_holder(shop))
    async with acknowledging_peer(shop.client) as peer:
        await peer.stream.write(call(1, shop, request))
        first = await answer(peer, 1)
        assert first.wants_acknowledgement
    await until_logged(caplog, "stream ended")
    async with acknowledging_peer(shop.client) as again:
        await again.stream.write(call(1, shop, request))
        assert (await answer(again, 1)).body == first.body
        await again.stream.write(acknowledgement(1) + call(2, shop, request))
        assert (await answer(again, 2)).body != first.body
    assert len(await records(shop)) == 2
    assert len(await gateway.charges()) == 2


async def test_a_retry_gets_the_answer_whose_caller_had_left(
    shop: Business, gateway: Gateway
) -> None:
    request = fund_request(await card_holder(shop))
    async with acknowledging_peer(shop.client) as peer:
        await peer.stream.write(call(1, shop, request))
        first = await answer(peer, 1)
        await peer.stream.write(call(2, shop, request) + cancellation(1))
        assert (await answer(peer, 2)).body == first.body
        await peer.stream.write(acknowledgement(2))
    assert len(await gateway.charges()) == 1


async def test_an_equal_request_in_the_frame_of_the_acknowledgement_is_a_new_charge(
    shop: Business, gateway: Gateway
) -> None:
    request = fund_request(await card_holder(shop))
    async with acknowledging_peer(shop.client) as peer:
        for call_id in range(1, 5):
            await peer.stream.write(acknowledgement(call_id - 1) + call(call_id, shop, request))
            await answer(peer, call_id)
        await peer.stream.write(acknowledgement(4))
    assert len(await gateway.charges()) == 4


@pytest.mark.parametrize("kind", REQUESTS)
async def test_a_charge_with_a_key_asks_for_no_acknowledgement(shop: Business, kind: str) -> None:
    request = REQUESTS[kind](await card_holder(shop))
    request.idempotency_key = "order-1"  # type: ignore[attr-defined]
    async with acknowledging_peer(shop.client) as peer:
        for call_id in (1, 2):  # the charge, and its replay
            await peer.stream.write(call(call_id, shop, request))
            assert not (await answer(peer, call_id)).wants_acknowledgement


async def test_a_declined_charge_asks_for_no_acknowledgement(shop: Business) -> None:
    request = charge_request(await card_holder(shop, "pm_card_chargeCustomerFail"))
    async with acknowledging_peer(shop.client) as peer:
        await peer.stream.write(call(1, shop, request))
        declined = (await peer.answers(1))[1]
    assert declined.HasField("status")
    assert not declined.wants_acknowledgement


async def test_the_last_answer_before_a_client_closes_counts_as_received(
    shop: Business, gateway: Gateway
) -> None:
    request = fund_request(await card_holder(shop))
    for _ in range(3):
        client = CoreClient(shop.client.target, service_token=shop.client._service_token)
        await Business(client, shop.credentials).call(request)
        await client.close()
    assert len(await gateway.charges()) == 3
