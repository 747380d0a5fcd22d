"""A request is one trace from the adapter through the core to the gateway, without its secrets."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from adapter.server import serve
from adapter.settings import AdapterSettings
from rpc import tracing
from tests.core.running import (
    WEBHOOKS_TOKEN,
    Business,
    create_user,
    register,
    running_core,
    running_sandbox,
    save_card,
    serving,
    settings_for,
    with_stripe,
)
from tests.rpc.otlp_receiver import Receiver, receiving, trace_to

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Traced:
    """A stack whose spans are exported."""

    def __init__(self, url: str, business: Business, user_id: str, receiver: Receiver) -> None:
        self.url = url
        self.business = business
        self.user_id = user_id
        self._receiver = receiver

    async def post(self, body: object, **headers: str) -> int:
        """Send an envelope, or bytes, and return the status."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.url, data=raw, headers=headers) as response,
        ):
            await response.read()
            return response.status

    def envelope(self, action: str, **fields: Any) -> dict[str, Any]:
        credentials = self.business.credentials
        return {
            "business_id": credentials.business_id,
            "api_key": credentials.api_key,
            "action": action,
            **fields,
        }

    async def exported(self) -> Receiver:
        """Return the receiver once all spans are there; there will be no more."""
        await asyncio.to_thread(tracing.stop)
        return self._receiver


@pytest.fixture
async def traced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Traced]:
    async with receiving() as receiver, running_sandbox(tmp_path / "sandbox") as url:
        settings = settings_for(tmp_path, stripe_urls={"TEST": url, "LIVE": url})
        async with running_core(settings) as client:
            business = await with_stripe(await register(client))
            user_id = await create_user(business)
            await save_card(business, user_id)
            adapter = AdapterSettings(
                port=0,
                core_target=client.target,
                webhooks_token=WEBHOOKS_TOKEN,
                lame_duck_seconds=0.0,
            )
            async with serving(lambda ready: serve(adapter, ready, asyncio.Event())) as address:
                trace_to(receiver, "test", monkeypatch)
                try:
                    yield Traced(address, business, user_id, receiver)
                finally:
                    await asyncio.to_thread(tracing.stop)


async def test_a_charge_is_one_trace_with_its_request_id_in_every_span(traced: Traced) -> None:
    charge = traced.envelope("charge_customer", user_id=traced.user_id, amount=5)
    headers = {"X-Request-Id": "R-7", "traceparent": PARENT}
    assert await traced.post(charge, **headers) == 200
    spans = (await traced.exported()).spans
    by_id = {each.span_id: each for each in spans}
    (outer,) = [each for each in spans if each.parent_id == PARENT.split("-")[2]]
    (core,) = [each for each in spans if each.parent_id == outer.span_id]
    (gateway,) = [each for each in spans if each.name == "stripe charge"]
    assert (outer.name, core.name) == ("charge_customer", "charge_customer")
    assert by_id[gateway.parent_id] == core
    assert {each.trace_id for each in spans} == {PARENT.split("-")[1]}
    assert {each.attributes["nivisco.request_id"] for each in spans} == {"R-7"}
    assert outer.attributes["nivisco.business_id"] == traced.business.credentials.business_id
    assert core.attributes["nivisco.code"] == "OK"
    assert gateway.attributes["nivisco.outcome"] == "succeeded"


async def test_no_span_has_a_key_a_card_or_a_body_on_any_error_path(traced: Traced) -> None:
    canary = "canary4242424242424242"
    key = traced.business.credentials.api_key
    charge = traced.envelope("charge_customer", user_id=traced.user_id, amount=5)
    requests: list[object] = [
        charge | {"description": canary, "metadata": {"a": canary}},
        charge | {"user_id": canary},
        charge | {"amount": canary},
        charge | {canary: canary},
        charge | {"api_key": canary * 3},
        charge | {"business_id": canary, "api_key": key},
        charge | {"business_id": key, "api_key": key},
        charge | {"action": canary},
        {canary: canary},
        canary.encode(),
        b'{"api_key": "' + canary.encode(),
    ]
    statuses = {await traced.post(each) for each in requests}
    await traced.post(charge, traceparent=f"00-{canary}-{canary}-01", tracestate=f"a={canary}")
    async with (
        aiohttp.ClientSession() as session,
        session.request("POST", f"{traced.url}/{canary}?{canary}", data=canary),
        session.post(f"{traced.url}/webhooks/stripe/{canary}", data=canary),
    ):
        pass
    assert {200, 400, 401, 404} <= statuses
    sent = b"".join((await traced.exported()).bodies)
    assert b"charge_customer" in sent
    for secret in (canary, key, traced.business.stripe_key):
        assert secret.encode() not in sent
