"""Limits the addresses from which many wrong credentials come, in this process.

Many callers may share one address, behind a proxy or a router, so an address alone blocks nobody:

    wrong credentials from the address    these credentials from there    the request is
    few                                   any                             served
    many                                  valid lately                    served
    many                                  any other                       refused
"""

import ipaddress
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from rpc.metrics import LIMITED
from rpc.token_bucket import KEPT_MAX, TokenBuckets

logger = logging.getLogger("rpc")

PER_MINUTE: Final = 600
"""Wrong credentials from an address in a minute from which on it is limited, by default."""
LIMIT: Final = "address_credentials"
"""The name of this limit in metrics and errors."""
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
        self._valid: OrderedDict[int, None] = OrderedDict()
        """Hashes of addresses with credentials that were valid. They are random by process, so
        nobody can find others with the same hash, and they tell nothing of a key."""

    def seconds_to_wait(self, address: str | None, business_id: str, api_key: str) -> int:
        """Return after how many seconds a request may come again, 0 if it may be served."""
        if not len(self._failures):
            return 0
        bucket = self._failures.get(network_of(address))
        now = self._now()
        if bucket is None or not bucket.is_empty(now):
            return 0
        if hash((address, business_id, api_key)) in self._valid:
            return 0
        LIMITED.labels(LIMIT).inc()
        return max(1, math.ceil(bucket.seconds_to_next(now)))

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
        bucket = self._failures.of(network, self._per_minute, self._per_minute / 60)
        bucket.charge(now)
        if bucket.is_empty(now) and now >= bucket.log_at:
            bucket.log_at = now + LOG_SECONDS
            logger.warning("address with wrong credentials limited", extra={"address": network})
