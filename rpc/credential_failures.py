"""Limits the addresses from which many wrong credentials come, in this process.

Many callers may share one address, behind a proxy or a router, so an address alone blocks nobody:

    wrong credentials from the address    these credentials from there      the request is
    few                                   any                               served
    many                                  valid lately                      served
    many, many for the business           any other                         refused
    many, few for the business            any other                         served in its turn

The turns are for a flood that names a new business each time. A process that has just started
knows no valid credentials, so its first requests take turns, too.
"""

import asyncio
import ipaddress
import logging
import math
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final

from rpc.metrics import LIMITED
from rpc.token_bucket import KEPT_MAX, TokenBuckets

logger = logging.getLogger("rpc")

PER_MINUTE: Final = 600
"""Wrong credentials from an address in a minute from which on it is limited, by default."""
LIMIT: Final = "address_credentials"
"""The name of this limit in metrics and errors."""
LIMITED_AT_ONCE: Final = 8
"""How many requests have a turn at once, of all limited addresses."""
LIMITED_MAX: Final = 64
"""How many have a turn or wait for one; more are refused."""
LOG_SECONDS: Final = 60.0
_IPV6_PREFIX: Final = 64
"""Bits of an IPv6 address that tell callers apart: one can use all that begin with them."""


def network_of(address: str | None) -> str:
    """Return the text under which an address is counted; that of a unix socket is empty."""
    if not address:
        return ""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:  # a proxy may write anything
        return address
    if isinstance(found, ipaddress.IPv6Address):
        network = ipaddress.ip_network((found.packed, _IPV6_PREFIX), strict=False)
        found = found.ipv4_mapped or network.network_address
    return str(found)


class CredentialFailures:
    """The wrong credentials of addresses, and the valid ones; of a limited number."""

    def __init__(
        self, per_minute: int = PER_MINUTE, now: Callable[[], float] = time.monotonic
    ) -> None:
        """Limit an address after `per_minute`, 0 for never; `now` is in seconds."""
        self._per_minute = per_minute
        self._now = now
        self._failures: TokenBuckets[str] = TokenBuckets(now, KEPT_MAX)
        self._of_businesses: TokenBuckets[tuple[str, str]] = TokenBuckets(now, KEPT_MAX)
        """The same failures, of each business that an address named."""
        self._turns = asyncio.Semaphore(LIMITED_AT_ONCE)
        self._with_turns = 0
        self._valid: OrderedDict[int, None] = OrderedDict()
        """Hashes of addresses with credentials that were valid. They are random by process, so
        nobody can find others with the same hash, and they tell nothing of a key."""

    def is_limited(self, address: str | None, business_id: str, api_key: str) -> bool:
        """Return whether a request is to be served in a `turn`, if at all."""
        if not len(self._failures):
            return False
        bucket = self._failures.get(network_of(address))
        if bucket is None or not bucket.is_empty(self._now()):
            return False
        return hash((address, business_id, api_key)) not in self._valid

    @asynccontextmanager
    async def turn(self, address: str | None, business_id: str) -> AsyncGenerator[int, None]:
        """Wait for the turn of a limited request.

        Yields after how many seconds it may come again, 0 if it may be served.
        """
        bucket = self._of_businesses.get((network_of(address), business_id))
        now = self._now()
        is_refused = bucket is not None and bucket.is_empty(now)
        if is_refused or self._with_turns >= LIMITED_MAX:
            LIMITED.labels(LIMIT).inc()
            yield max(1, math.ceil(bucket.seconds_to_next(now))) if bucket else 1
            return
        self._with_turns += 1
        try:
            async with self._turns:
                yield 0
        finally:
            self._with_turns -= 1

    def add_valid(self, address: str | None, business_id: str, api_key: str) -> None:
        """Remember that credentials are valid; it takes back no failure."""
        key = hash((address, business_id, api_key))
        self._valid[key] = None
        self._valid.move_to_end(key)
        if len(self._valid) > KEPT_MAX:
            self._valid.popitem(last=False)

    def add_failed(self, address: str | None, business_id: str, api_key: str) -> None:
        """Count credentials that are wrong."""
        if self._per_minute == 0:
            return
        self._valid.pop(hash((address, business_id, api_key)), None)
        network, now = network_of(address), self._now()
        rate = self._per_minute, self._per_minute / 60
        bucket = self._failures.of(network, *rate)
        bucket.charge(now)
        self._of_businesses.of((network, business_id), *rate).charge(now)
        if bucket.is_empty(now) and now >= bucket.log_at:
            bucket.log_at = now + LOG_SECONDS
            logger.warning("address with wrong credentials limited", extra={"address": network})
