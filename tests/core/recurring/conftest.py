"""Fixtures: a core with a test clock, on each database, with the sandbox as its gateway."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.server.settings import CoreSettings
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
    """The core's clock, which a test can move."""
    return ShiftedClock()


@pytest.fixture
def settings(tmp_path: Path, database_url: str, gateway: Gateway) -> CoreSettings:
    """Settings of a core with a scheduler's token, a test clock and the sandbox."""
    return _settings(tmp_path, database_url, gateway)


@pytest.fixture
def postgresql_settings(tmp_path: Path, postgresql_database: str, gateway: Gateway) -> CoreSettings:
    """The same on PostgreSQL, where a test can access the database while the core runs."""
    return _settings(tmp_path, postgresql_database, gateway)


def _settings(path: Path, database_url: str, gateway: Gateway) -> CoreSettings:
    return settings_for(
        path,
        database_url=database_url,
        service_tokens=TOKENS,
        stripe_urls={"TEST": gateway.url, "LIVE": gateway.url},
        test_clock=True,
    )


@pytest.fixture
async def shop(settings: CoreSettings, clock: ShiftedClock) -> AsyncIterator[Business]:
    """A business with Stripe TEST keys."""
    async with running_core(settings, clock) as client:
        yield await with_stripe(await register(client))
