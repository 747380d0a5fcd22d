"""Unary calls with wrong keys are refused by their peer, before they are read."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from core.server.unary_calls import _address_of
from nivisco.payments.v1 import authentication_pb2
from rpc.errors import CoreError
from tests.core.running import (
    UNARY,
    Business,
    StandingClock,
    create_admin,
    register,
    running_core,
    settings_for,
)

VALIDATE = authentication_pb2.ValidateBusinessRequest()


@pytest.fixture
async def business(tmp_path: Path) -> AsyncIterator[Business]:
    settings = settings_for(tmp_path, credential_failures_per_minute=3)
    clock = StandingClock()
    async with running_core(settings, transport=UNARY, monotonic_clock=clock) as client:
        yield await register(client)


async def error_of(business: Business) -> CoreError:
    with pytest.raises(CoreError) as refused:
        await business.call(VALIDATE)
    return refused.value


async def test_after_some_failures_who_was_valid_or_has_no_failures_is_served(
    business: Business,
) -> None:
    await business.call(VALIDATE)
    other = await register(business.client, "other", await create_admin(business.client))
    wrong = replace(business, credentials=replace(business.credentials, api_key="wrong"))
    assert [(await error_of(wrong)).reason for _ in range(3)] == ["INVALID_CREDENTIALS"] * 3
    error = await error_of(wrong)
    assert (error.reason, error.retry_after_seconds) == ("RATE_LIMITED", 20)
    assert error.metadata == {"limit": "address_credentials"}
    for served in (business, other):
        await served.call(VALIDATE)
    await create_admin(business.client)  # the operator's calls have no such credentials


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.1:5000", "192.0.2.1"),
        ("ipv6:%5B2001:db8::1%5D:5000", "2001:db8::1"),
        ("ipv6:[2001:db8::1]:5000", "2001:db8::1"),
        ("unix:", ""),
        ("unix:/run/core.sock", ""),
    ],
)
def test_a_peer_is_known_by_its_address(peer: str, address: str) -> None:
    assert _address_of(peer) == address
