"""Fixtures of the gateways' tests."""

import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from core.gateways.stripe.gateway import StripeGateway
from tests.core.gateways import running, running_authorize
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


SECRETS = (
    running.SHOP.secret_key,
    running.REVOKED_KEY,
    running_authorize.KEY,
    running_authorize.REVOKED_KEY,
    running_authorize.VISA,
    running_authorize.REASON_BY_AMOUNT,
)


@pytest.fixture(autouse=True)
def _nothing_secret_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Assert that no test logs a key or a card number, from any library."""
    caplog.set_level(logging.DEBUG)
    yield
    for phase in ("setup", "call"):
        for record in caplog.get_records(phase):
            line = f"{record.getMessage()} {record.exc_text or ''} {record.__dict__}"
            assert not [secret for secret in SECRETS if secret in line], record.name
