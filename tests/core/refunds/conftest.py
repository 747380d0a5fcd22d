"""A funding of 50 USD at each gateway, without gRPC."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.database.transactions import Database
from tests.core.payments.running_service import RunningService, running_service
from tests.core.running import Gateway, ShiftedClock
from tests.core.webhooks.receiving import Hooks, hooks_of
from tests.databases import fresh_sqlite


@pytest.fixture
async def stripe(tmp_path: Path, gateway: Gateway) -> AsyncIterator[RunningService]:
    clock = ShiftedClock()
    database = Database(fresh_sqlite(tmp_path / "n.db"), clock)
    async with running_service(database, clock, gateway) as running:
        yield running


@pytest.fixture
async def hooks(stripe: RunningService) -> Hooks:
    """A funding of 50 USD."""
    return await hooks_of(stripe)


@pytest.fixture
async def authorize(tmp_path: Path, gateway: Gateway) -> AsyncIterator[RunningService]:
    """A funding of 50 USD at Authorize.Net, not settled."""
    clock = ShiftedClock()
    database = Database(fresh_sqlite(tmp_path / "n.db"), clock)
    async with running_service(database, clock, gateway, "authorize") as running:
        await running.fund()
        yield running
