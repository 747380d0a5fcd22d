"""Limits of one business over gRPC, on each database: what they refuse, and how they change."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from core.limits import BusinessLimits
from nivisco.internal.v1 import operator_pb2 as pb
from nivisco.payments.v1 import credentials_pb2, types_pb2, users_pb2
from rpc.errors import CoreError
from rpc.metadata import Credentials
from tests.core.payments.charging import INTENTS, card_holder, charge_request
from tests.core.running import (
    OPERATOR_TOKEN,
    Business,
    Gateway,
    StandingClock,
    call,
    create_admin,
    create_user,
    register,
    running_core,
    settings_for,
    with_stripe,
)

USERS = users_pb2.GetAllUsersRequest()
PATIENCE_SECONDS = 120.0


@pytest.fixture
async def shop(tmp_path: Path, database_url: str, gateway: Gateway) -> AsyncIterator[Business]:
    """A business that may have two requests at gateways."""
    urls = {"TEST": gateway.url, "LIVE": gateway.url}
    settings = settings_for(
        tmp_path,
        database_url=database_url,
        stripe_urls=urls,
        business_limits=BusinessLimits(requests_per_second=0, gateway_requests=2),
        gateway_timeout_seconds=PATIENCE_SECONDS,
    )
    async with running_core(settings, monotonic_clock=StandingClock()) as client:
        yield await with_stripe(await register(client))


async def limit(business: Business, *mask: str, **updates: int) -> pb.BusinessLimits:
    """Have an operator change limits; return them."""
    request = pb.LimitBusinessRequest(
        id=business.credentials.business_id,
        decided_by="ops",
        reason="r",
        updates=pb.BusinessLimits(**updates),
        update_mask=FieldMask(paths=mask) if mask else None,
    )
    response = await call(business.client, Credentials(service_token=OPERATOR_TOKEN), request)
    return response.limits  # type: ignore[no-any-return]


def change_credentials(*, verify: bool = False) -> credentials_pb2.ModifyStripeCredentialsRequest:
    request = credentials_pb2.ModifyStripeCredentialsRequest
    change = request.Credentials(env=types_pb2.ENV_TEST, stripe_public_key="pk_test_fake")
    return request(credentials=change, verify=verify)


async def refusal(request: Any) -> CoreError:
    with pytest.raises(CoreError) as refused:
        await request
    return refused.value


async def test_a_hanging_gateway_holds_two_requests_and_everything_else_goes_on(
    shop: Business, gateway: Gateway
) -> None:
    other = await with_stripe(await register(shop.client, "other", await create_admin(shop.client)))
    user_id, other_id = await card_holder(shop), await card_holder(other)
    keyed = charge_request(user_id, 1, idempotency_key="done")
    charged = await shop.call(keyed)
    await gateway.fault("delay", INTENTS, times=2, seconds=PATIENCE_SECONDS)
    waiting = [
        asyncio.create_task(
            shop.call(
                charge_request(user_id, 2, idempotency_key=key), timeout_seconds=PATIENCE_SECONDS
            )
        )
        for key in ("k0", "k1", "k0")
    ]
    await gateway.wait_until_holding(2)
    refused = await refusal(shop.call(charge_request(user_id, 9, idempotency_key="k9")))
    assert (refused.reason, refused.retry_after_seconds) == ("RATE_LIMITED", 1)
    assert await shop.call(keyed) == charged
    await shop.call(USERS)
    await shop.call(change_credentials())
    refused = await refusal(shop.call(change_credentials(verify=True)))
    assert refused.metadata == {"limit": "business_gateway_requests"}
    await other.call(charge_request(other_id))
    await limit(shop, gateway_requests=3)
    await shop.call(charge_request(user_id, 9, idempotency_key="k9"))
    await gateway.clear()
    done = await asyncio.gather(*waiting)
    assert done[0] == done[2]
    assert len(await gateway.charges()) == 5


async def test_credentials_that_are_verified_are_requests_at_the_gateway(
    shop: Business, gateway: Gateway
) -> None:
    user_id = await card_holder(shop)
    await gateway.fault("delay", INTENTS, times=2, method=None, seconds=PATIENCE_SECONDS)
    waiting = [
        asyncio.create_task(
            shop.call(change_credentials(verify=True), timeout_seconds=PATIENCE_SECONDS)
        )
        for _ in range(2)
    ]
    await gateway.wait_until_holding(2)
    for request in (change_credentials(verify=True), charge_request(user_id, 1)):
        refused = await refusal(shop.call(request))
        assert refused.metadata == {"limit": "business_gateway_requests"}
    await shop.call(change_credentials())
    await gateway.clear()
    await asyncio.gather(*waiting)


async def test_an_operator_changes_limits_and_restores_the_default(shop: Business) -> None:
    assert await limit(shop) == pb.BusinessLimits()
    changed = await limit(shop, requests_per_second=1)
    assert changed == pb.BusinessLimits(requests_per_second=1)
    await shop.call(USERS)
    await shop.call(USERS)
    assert (await refusal(shop.call(USERS))).reason == "RATE_LIMITED"
    both = await limit(shop, gateway_requests=0)
    assert both == pb.BusinessLimits(requests_per_second=1, gateway_requests=0)
    assert await limit(shop, "requests_per_second") == pb.BusinessLimits(gateway_requests=0)
    await create_user(shop)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"id": "nobody"}, "id"),
        ({"updates": pb.BusinessLimits(gateway_requests=-1)}, "updates.gateway_requests"),
        ({"updates": pb.BusinessLimits(gateway_requests=100_001)}, "updates.gateway_requests"),
        ({"update_mask": FieldMask(paths=["name"])}, "update_mask"),
        ({"reason": " ", "updates": pb.BusinessLimits(gateway_requests=1)}, "reason"),
        ({"decided_by": ""}, "decided_by"),
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_wrong_changes_are_refused(
    shop: Business, changes: dict[str, Any], field: str
) -> None:
    given = {"id": shop.credentials.business_id, "decided_by": "ops", "reason": "r"}
    request = pb.LimitBusinessRequest(**{**given, **changes})
    operator = Credentials(service_token=OPERATOR_TOKEN)
    refused = await refusal(call(shop.client, operator, request))
    assert [problem.field for problem in refused.fields] == [field]
