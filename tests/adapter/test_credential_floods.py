"""A flood of wrong keys is refused by its address, before the core is asked."""

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from adapter.settings import AdapterSettings
from rpc.credential_failures import CredentialFailures
from tests.adapter.recording_core import WRONG_KEY, RecordingCore
from tests.adapter.running import CREDENTIALS, AdapterClient, running_adapter

FAILURES = 3


@pytest.fixture
async def client(
    settings: AdapterSettings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[AdapterClient]:
    """An adapter for which no time passes."""
    standing = partial(CredentialFailures, now=lambda: 0.0)
    monkeypatch.setattr("adapter.endpoint.CredentialFailures", standing)
    limited = replace(settings, credential_failures_per_minute=FAILURES)
    async with running_adapter(limited) as running:
        yield running


async def validate(
    client: AdapterClient, address: str, action: str = "validate_business", **changes: str
) -> tuple[int, Any, Any]:
    """Send a request through a proxy; return status, body and headers."""
    envelope = {**CREDENTIALS, "action": action, **changes}
    headers = {"X-Forwarded-For": f"203.0.113.9, {address}"}
    async with client.session.post(client.url, json=envelope, headers=headers) as response:
        return response.status, await response.json(), response.headers


async def test_after_some_failures_an_address_gets_429_and_the_core_no_call(
    client: AdapterClient, core: RecordingCore
) -> None:
    assert (await validate(client, "192.0.2.1"))[0] == 200
    for number in range(FAILURES):
        status, _, _ = await validate(
            client, "192.0.2.1", action=("x", "get_all_users")[number % 2], api_key=WRONG_KEY
        )
        assert status == 401
    calls = len(core.calls)
    status, body, headers = await validate(client, "192.0.2.1", api_key=WRONG_KEY)
    assert (status, body["code"], body["limit"]) == (429, "RATE_LIMITED", "address_credentials")
    assert headers["Retry-After"] == "20"
    assert len(core.calls) == calls
    # Served: who was valid from there, a business that is new there, everybody from elsewhere.
    assert (await validate(client, "192.0.2.1"))[0] == 200
    assert (await validate(client, "192.0.2.1", business_id="BUS-new"))[0] == 200
    assert (await validate(client, "192.0.2.2", business_id="BUS-new"))[0] == 200
