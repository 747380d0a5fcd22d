"""What one business may ask of a core, and that the others do not notice it."""

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.business.limiter import BURST_SECONDS, BusinessLimiter
from core.caller import Caller
from core.errors import Refusal
from core.limits import BusinessLimits
from rpc.token_bucket import TokenBuckets
from tests.core.running import HeldClock

SHOP = Caller("shop", "TEST")


def limiter(clock: HeldClock, per_second: int = 0, at_gateway: int = 0) -> BusinessLimiter:
    return BusinessLimiter(BusinessLimits(per_second, at_gateway), clock)


def admitted(limits: BusinessLimiter, caller: Caller, requests: int) -> int:
    """Return how many of so many requests are admitted."""
    count = 0
    for _ in range(requests):
        with suppress(Refusal):
            limits.take_request(caller)
            count += 1
    return count


@pytest.mark.parametrize(
    ("default", "own", "per_second"),
    [(5, None, 5), (5, 3, 3), (0, 3, 3), (5, 0, None), (0, None, None)],
)
async def test_requests_are_limited_by_the_default_or_by_the_business_s_own(
    default: int, own: int | None, per_second: int | None
) -> None:
    clock = HeldClock()
    limits = limiter(clock, default)
    caller = replace(SHOP, limits=BusinessLimits(requests_per_second=own))
    if per_second is None:
        assert admitted(limits, caller, 100) == 100
        return
    assert admitted(limits, caller, 100) == per_second * BURST_SECONDS
    with pytest.raises(Refusal) as refused:
        limits.take_request(caller)
    assert refused.value.retry_after_seconds == 1
    await clock.advance(1)
    assert admitted(limits, caller, 100) == per_second
    assert admitted(limits, replace(caller, business_id="other"), 1) == 1


@settings(deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.floats(0, 3), st.integers(0, 30)), max_size=10), st.integers(1, 9))
def test_in_no_time_more_is_admitted_than_the_rate_and_one_burst(
    bursts: list[tuple[float, int]], per_second: int
) -> None:
    now, total = 0.0, 0
    buckets: TokenBuckets[str] = TokenBuckets(lambda: now)
    for passed, requests in bursts:
        now += passed
        bucket = buckets.of("shop", per_second * BURST_SECONDS, per_second)
        total += sum(bucket.take(now) for _ in range(requests))
    assert total <= per_second * (BURST_SECONDS + now) + 1e-6


def test_only_the_buckets_used_last_are_kept() -> None:
    buckets: TokenBuckets[int] = TokenBuckets(lambda: 0.0, kept_max=2)
    for key in (1, 2, 1, 3):
        buckets.of(key, 5, 1).take(0.0)
    assert [buckets.get(key) is not None for key in (1, 2, 3)] == [True, False, True]


@pytest.mark.parametrize(
    ("default", "own", "most"), [(2, None, 2), (2, 3, 3), (2, 0, 20), (0, None, 20)]
)
async def test_requests_at_gateways_are_limited_until_their_work_ends(
    default: int, own: int | None, most: int
) -> None:
    limits = limiter(HeldClock(), at_gateway=default)
    caller = replace(SHOP, limits=BusinessLimits(gateway_requests=own))
    gateway_answers = asyncio.Event()

    async def serve() -> str:
        await gateway_answers.wait()
        return "charged"

    running = [asyncio.create_task(limits.at_gateway(caller, serve)) for _ in range(20)]
    other = asyncio.create_task(limits.at_gateway(replace(caller, business_id="other"), serve))
    await asyncio.sleep(0)
    gateway_answers.set()
    ended = await asyncio.gather(*running, return_exceptions=True)
    assert ended.count("charged") == most
    assert {str(each) for each in ended if each != "charged"} <= {
        f"The business has {most} requests at gateways that are not answered yet"
    }
    assert await other == "charged"
    assert await limits.at_gateway(caller, serve) == "charged"


async def test_a_request_that_fails_or_is_cancelled_gives_its_place_back() -> None:
    limits = limiter(HeldClock(), at_gateway=1)

    async def fail() -> None:
        raise ValueError("the gateway failed")

    async def wait() -> None:
        await asyncio.Event().wait()

    async def end() -> None:
        """Return at once."""

    for _ in range(3):
        with pytest.raises(ValueError, match="the gateway failed"):
            await limits.at_gateway(SHOP, fail)
        task = asyncio.create_task(limits.at_gateway(SHOP, wait))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await limits.at_gateway(SHOP, end)
    assert limits._at_gateway == {}
