"""Limits what one business may ask of this core, so that the others are served beside it.

In this core's memory: with several cores a business has the limit at each of them.

    limit              counts                              above it
    requests           each call of an action              refused until a token is back
    gateway_requests   actions that may call a gateway,    refused; a replay is answered
                       until their work ends

A caller that leaves keeps its place in the second until the gateway answers: the work goes on. The
work of the loops does not pass here. It has places of its own at a gateway and waits for them:
core.due_work, and the scheduler's NIVISCO_SCHEDULER_PER_BUSINESS.
"""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from core.caller import Caller
from core.database.clock import MonotonicClock
from core.errors import RETRY_SECONDS
from core.limits import BusinessLimits, limited
from rpc.token_bucket import TokenBuckets

_Response = TypeVar("_Response")
BURST_SECONDS: Final = 2.0
"""How many seconds' requests a business that was idle may send at once."""


class BusinessLimiter:
    """What each business does at this core now."""

    def __init__(self, default: BusinessLimits, clock: MonotonicClock) -> None:
        """Limit the businesses that have no limits of their own by `default`."""
        self._default = default
        self._clock = clock
        self._requests: TokenBuckets[str] = TokenBuckets(clock.seconds)
        self._at_gateway: dict[str, int] = {}
        """How many requests of a business may be at a gateway; none of those without any."""

    def take_request(self, caller: Caller) -> None:
        """Count a request.

        Raises:
            Refusal: RATE_LIMITED.
        """
        per_second = caller.limits.requests_per_second
        if per_second is None:
            per_second = self._default.requests_per_second or 0
        if per_second == 0:
            return
        bucket = self._requests.of(caller.business_id, per_second * BURST_SECONDS, per_second)
        now = self._clock.seconds()
        if not bucket.take(now):
            raise limited(
                "business_requests",
                f"The business sends more than {per_second} requests per second",
                retry_after_seconds=bucket.seconds_to_next(now),
            )

    async def at_gateway(
        self, caller: Caller, serve: Callable[[], Awaitable[_Response]]
    ) -> _Response:
        """Return what `serve` returns, which may call a gateway for the business.

        Raises:
            Refusal: RATE_LIMITED, or what `serve` raises.
        """
        most = caller.limits.gateway_requests
        if most is None:
            most = self._default.gateway_requests or 0
        business_id = caller.business_id
        count = self._at_gateway.get(business_id, 0)
        if 0 < most <= count:
            raise limited(
                "business_gateway_requests",
                f"The business has {count} requests at gateways that are not answered yet",
                retry_after_seconds=RETRY_SECONDS,
            )
        self._at_gateway[business_id] = count + 1
        try:
            return await serve()
        finally:
            left = self._at_gateway.pop(business_id) - 1
            if left:
                self._at_gateway[business_id] = left
