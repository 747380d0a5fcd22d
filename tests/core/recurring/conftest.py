"""A core with a test clock, on each database, with the gateway's stand-in behind it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.core.recurring.running import TOKENS
from tests.core.running import (
    Business,
    Gateway,
    ShiftedClock,
    register,
    running_core,
    settings_for,
    with_stripe,
)


@pytest.fixture
def clock() -> ShiftedClock:
    """The database's time, which a test can move."""
    return ShiftedClock()


@pytest.fixture
async def shop(
    tmp_path: Path, database_url: str, gateway: Gateway, clock: ShiftedClock
) -> AsyncIterator[Business]:
    """A business with Stripe TEST keys, on a core that has a scheduler's token and a test clock."""
    urls = {"TEST": gateway.url, "LIVE": gateway.url}
    settings = settings_for(
        tmp_path,
        database_url=database_url,
        service_tokens=TOKENS,
        stripe_urls=urls,
        gateway_timeout_seconds=2.0,
        test_clock=True,
    )
    async with running_core(settings, clock) as client:
        yield await with_stripe(await register(client))
