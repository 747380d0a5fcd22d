"""A running stack for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.server.stream import Streams
from tests.end_to_end.running import JsonClient, Stack, running_stack


@pytest.fixture(params=["stream", "unary"])
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the adapter calls the core: on its stream, or, if the core has none, by unary calls."""
    if request.param == "unary":
        monkeypatch.setattr(Streams, "service", lambda _self, _details: None)
    return str(request.param)


@pytest.fixture
async def stack(tmp_path: Path, database_url: str, transport: str) -> AsyncIterator[Stack]:
    """Sandbox, core and adapter, with an admin and a merchant, on each database."""
    async with running_stack(tmp_path, database_url) as running:
        yield running


@pytest.fixture
def merchant(stack: Stack) -> JsonClient:
    """The client of a business without gateway keys."""
    return stack.merchant
