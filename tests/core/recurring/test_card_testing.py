"""Cycles of a card that had too many declines. The limit itself: tests/core/payments."""

import pytest

from core.limits import DEFAULT_LIMITS
from rpc.errors import CoreError
from tests.core.payments.charging import charge_request
from tests.core.recurring.running import (
    DECLINED,
    ON_SQLITE,
    SUCCEEDED,
    create_job,
    intent_statuses,
    job_of,
)
from tests.core.recurring.test_retries import (
    DECLINING,
    STRIPE,
    card_job,
    refused,
    replace_card,
    retry,
    run_first,
    statuses,
)
from tests.core.running import Business, Gateway

pytestmark = ON_SQLITE


async def reason_of_a_charge(shop: Business, user_id: str) -> str:
    with pytest.raises(CoreError) as error:
        await shop.call(charge_request(user_id))
    return error.value.reason


async def test_no_cycle_is_lost_and_a_retry_by_hand_waits(shop: Business, gateway: Gateway) -> None:
    user_id, job = await card_job(shop, DECLINING)  # the first decline
    for _ in range(DEFAULT_LIMITS.card_declines - 1):
        assert await reason_of_a_charge(shop, user_id) == "CARD_DECLINED"
    assert await reason_of_a_charge(shop, user_id) == "TOO_MANY_CARD_ATTEMPTS"
    before = await job_of(shop, job)
    throttled = await refused(shop, job, "retry-1")
    assert throttled.reason == "TOO_MANY_CARD_ATTEMPTS"
    assert "canceled" not in await intent_statuses(gateway)
    assert await job_of(shop, job) == before
    # The scheduler charges other jobs of the card, and this one's next attempt.
    other = await create_job(shop, user_id, source=STRIPE)
    await run_first(shop, other)
    assert await statuses(shop, other) == [(1, DECLINED)]
    # Another card of the user has its own count.
    await replace_card(shop, user_id)
    assert (await retry(shop, job, "retry-1")).log.status == SUCCEEDED
