"""What an adapter shows of itself on the listener of health and metrics."""

import logging
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from adapter.settings import AdapterSettings
from tests.adapter.recording_core import RecordingCore
from tests.adapter.running import AdapterClient, running_adapter


@pytest.fixture
async def served(
    settings: AdapterSettings, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[tuple[AdapterClient, str]]:
    """An adapter, and the URL of its listener."""
    caplog.set_level(logging.INFO, logger="nivisco")
    async with running_adapter(replace(settings, metrics=("127.0.0.1", 0))) as client:
        (url,) = [
            vars(record)["address"]
            for record in caplog.get_records("setup")
            if record.message == "metrics served"
        ]
        yield client, url


async def get(client: AdapterClient, url: str) -> tuple[int, str]:
    async with client.session.get(url) as response:
        return response.status, await response.text()


async def test_requests_and_webhooks_are_counted_without_what_clients_make_up(
    served: tuple[AdapterClient, str],
) -> None:
    client, url = served
    await client.post("validate_business")
    await client.post("canary_action")
    await get(client, client.url + "/canary/path")
    await client.session.post(client.url + "/webhooks/stripe/BUS-CANARY", data=b"{}")
    _, text = await get(client, url + "/metrics")
    name = "nivisco_adapter_request_duration_seconds_count"
    assert f'{name}{{action="validate_business",status="200"}} 1.0' in text
    assert f'{name}{{action="other",status="404"}} 1.0' in text
    assert f'{name}{{action="stripe webhook",status="400"}} 1.0' in text
    assert 'nivisco_adapter_webhooks_total{gateway="stripe",result="refused"} 1.0' in text
    assert "nivisco_adapter_requests_in_flight 0.0" in text
    assert "canary" not in text.lower()
    assert "BUS-" not in text


async def test_readiness_is_that_of_the_core(
    served: tuple[AdapterClient, str], core: RecordingCore
) -> None:
    client, url = served
    assert await get(client, url + "/healthz") == (200, '{"status":"alive"}')
    assert (await get(client, url + "/readyz"))[0] == 200
    await core.stop()
    assert (await get(client, url + "/readyz"))[0] == 503
    assert (await get(client, url + "/healthz"))[0] == 200


async def test_without_the_setting_nothing_is_served(
    client: AdapterClient, caplog: pytest.LogCaptureFixture
) -> None:
    assert [r for r in caplog.get_records("setup") if r.message == "metrics served"] == []
    assert (await get(client, client.url + "/metrics"))[0] == 404
