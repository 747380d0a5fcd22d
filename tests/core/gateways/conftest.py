"""Fixtures of the gateways' tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.gateways.stripe import StripeGateway
from tests.core.gateways.running import gateway_at
from tests.sandbox.running import Sandbox, running_sandbox


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    async with running_sandbox(tmp_path) as running:
        yield running


@pytest.fixture
async def gateway(sandbox: Sandbox) -> AsyncIterator[StripeGateway]:
    async with gateway_at(sandbox.url) as made:
        yield made
