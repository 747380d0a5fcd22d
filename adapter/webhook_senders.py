"""Counts the webhooks without a valid signature by sender, and says which senders to limit.

Gateways send from few addresses, and behind a proxy everybody has the same one. So an address alone
blocks nobody:

    from this address               for this business and gateway    the sender is
    few without a valid signature   any                              not limited
    many                            valid ones before, few without   not limited
    many                            any other                        limited

A limited sender's webhooks are still verified, but wait for one another (adapter.webhooks).
"""

import ipaddress
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import NamedTuple, TypeVar

logger = logging.getLogger("adapter")

KEPT_MAX = 10_000
"""How many addresses, and how many businesses at an address, are kept; the last used ones."""
LOG_SECONDS = 60.0
_IPV6_PREFIX = 64
"""Bits of an IPv6 address that tell senders apart: one sender can use all that begin with them."""

_Key = TypeVar("_Key", bound=Hashable)


class Sender(NamedTuple):
    """Where a webhook comes from and whom it is for."""

    address: str
    business_id: str
    gateway: str


def sender_of(peer: str | None, business_id: str, gateway: str) -> Sender:
    """Return the sender of a webhook; the peer of a unix socket is empty."""
    if not peer:
        return Sender("", business_id, gateway)
    address = ipaddress.ip_address(peer)
    if isinstance(address, ipaddress.IPv6Address):
        network = ipaddress.ip_network((address.packed, _IPV6_PREFIX), strict=False)
        address = address.ipv4_mapped or network.network_address
    return Sender(str(address), business_id, gateway)


class _Bucket:
    """The failures that a sender has left: at most `per_minute`, which come back in a minute."""

    def __init__(self, per_minute: int, now: float) -> None:
        self._per_minute = per_minute
        self._left = float(per_minute)
        self._updated_at = now
        self.log_at = now
        """When it may be logged again that there are none left."""

    def take(self, now: float) -> None:
        """Take one failure."""
        self._left = max(0.0, self._left_at(now) - 1)
        self._updated_at = now

    def is_empty(self, now: float) -> bool:
        """Return whether none is left."""
        return self._left_at(now) < 1

    def _left_at(self, now: float) -> float:
        earned = (now - self._updated_at) * self._per_minute / 60
        return min(self._per_minute, self._left + earned)


class WebhookSenders:
    """The failures of senders, and which of them sent valid signatures; of a limited number."""

    def __init__(self, per_minute: int, now: Callable[[], float] = time.monotonic) -> None:
        """Limit a sender after `per_minute` failures in a minute; `now` is in seconds."""
        self._per_minute = per_minute
        self._now = now
        self._addresses: OrderedDict[str, _Bucket] = OrderedDict()
        self._proven: OrderedDict[Sender, _Bucket] = OrderedDict()

    def is_limited(self, sender: Sender) -> bool:
        """Return whether a sender is limited."""
        now = self._now()
        address, proven = self._addresses.get(sender.address), self._proven.get(sender)
        if address is None or not address.is_empty(now):
            return False
        return proven is None or proven.is_empty(now)

    def add_valid(self, sender: Sender) -> None:
        """Remember that a sender's signature was valid; it takes back no failure."""
        self._bucket_of(self._proven, sender)

    def add_failed(self, sender: Sender) -> None:
        """Count a webhook without a valid signature."""
        now = self._now()
        bucket = self._bucket_of(self._addresses, sender.address)
        bucket.take(now)
        if proven := self._proven.get(sender):
            proven.take(now)
        if bucket.is_empty(now) and now >= bucket.log_at:
            bucket.log_at = now + LOG_SECONDS
            logger.warning("webhook sender limited", extra={"address": sender.address})

    def _bucket_of(self, buckets: OrderedDict[_Key, _Bucket], key: _Key) -> _Bucket:
        """Return the key's bucket, a full one if it is new; drop the one used longest ago."""
        if key not in buckets:
            buckets[key] = _Bucket(self._per_minute, self._now())
            if len(buckets) > KEPT_MAX:
                buckets.popitem(last=False)
        buckets.move_to_end(key)
        return buckets[key]
