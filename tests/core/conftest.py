"""A running core for each test, with a business and its gateway."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rpc.client import CoreClient
from tests.core.running import (
    STREAM,
    Business,
    Gateway,
    create_user,
    register,
    running_core,
    running_sandbox,
    settings_for,
    with_stripe,
)

NOWHERE = {"TEST": "http://127.0.0.1:9", "LIVE": "http://127.0.0.1:9"}


@pytest.fixture
def transport() -> str:
    """How the core is called: over a stream, as the adapter and the scheduler do."""
    return STREAM


@pytest.fixture
async def core(tmp_path: Path, database_url: str, transport: str) -> AsyncIterator[CoreClient]:
    """A core whose gateways nobody serves, on each database."""
    async with running_core(
        settings_for(
            tmp_path,
            database_url=database_url,
            stripe_urls=NOWHERE,
            authorize_urls=NOWHERE,
        ),
        transport=transport,
    ) as client:
        yield client


@pytest.fixture
async def business(core: CoreClient) -> Business:
    """A business without gateway keys."""
    return await register(core)


@pytest.fixture
async def user_id(business: Business) -> str:
    """A user of the business."""
    return await create_user(business)


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    """The Stripe stand-in, served."""
    async with running_sandbox(tmp_path) as url:
        yield Gateway(url)


@pytest.fixture
async def shop(
    tmp_path: Path, database_url: str, gateway: Gateway, transport: str
) -> AsyncIterator[Business]:
    """A business with Stripe TEST keys, on a core whose gateway is served, on each database."""
    urls = {"TEST": gateway.url, "LIVE": gateway.url}
    async with running_core(
        settings_for(
            tmp_path,
            database_url=database_url,
            stripe_urls=urls,
            authorize_urls=urls,
        ),
        transport=transport,
    ) as client:
        yield await with_stripe(await register(client))
