"""An adapter that serves the portal; no core is needed for it."""

from collections.abc import AsyncIterator

import pytest

from adapter.settings import AdapterSettings
from tests.adapter.running import AdapterClient, running_adapter


@pytest.fixture
async def client() -> AsyncIterator[AdapterClient]:
    async with running_adapter(AdapterSettings(port=0, lame_duck_seconds=0.0)) as client:
        yield client
