"""A running stack for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.end_to_end.running import JsonClient, Stack, running_stack


@pytest.fixture
async def stack(tmp_path: Path, database_url: str) -> AsyncIterator[Stack]:
    """Sandbox, core and adapter, with an admin and a merchant, on each database."""
    async with running_stack(tmp_path, database_url) as running:
        yield running


@pytest.fixture
def merchant(stack: Stack) -> JsonClient:
    """The client of a business without gateway keys."""
    return stack.merchant
