"""Counts the webhooks without a valid signature by sender, and says which senders to limit.

Gateways send from few addresses, and behind a proxy everybody has the same one. So an address alone
blocks nobody:

    from this address               for this business and gateway    the sender is
    few without a valid signature   any                              not limited
    many                            valid ones before, few without   not limited
    many                            any other                        limited

A limited sender's webhooks are still verified, but wait for one another (adapter.webhooks).
"""

import logging
import time
from collections.abc import Callable, Hashable
from typing import NamedTuple, TypeVar

from rpc.credential_failures import network_of
from rpc.token_bucket import TokenBucket, TokenBuckets

logger = logging.getLogger("adapter")

KEPT_MAX = 10_000
"""How many addresses, and how many businesses at an address, are kept; the last used ones."""
LOG_SECONDS = 60.0

_Key = TypeVar("_Key", bound=Hashable)


class Sender(NamedTuple):
    """Where a webhook comes from and whom it is for."""

    address: str
    business_id: str
    gateway: str


def sender_of(peer: str | None, business_id: str, gateway: str) -> Sender:
    """Return the sender of a webhook from an address; that of a unix socket is empty."""
    return Sender(network_of(peer), business_id, gateway)


class WebhookSenders:
    """The failures of senders, and which of them sent valid signatures; of a limited number."""

    def __init__(self, per_minute: int, now: Callable[[], float] = time.monotonic) -> None:
        """Limit a sender after `per_minute` failures in a minute; `now` is in seconds."""
        self._per_minute = per_minute
        self._now = now
        self._addresses: TokenBuckets[str] = TokenBuckets(now, KEPT_MAX)
        self._proven: TokenBuckets[Sender] = TokenBuckets(now, KEPT_MAX)

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
        bucket.charge(now)
        if proven := self._proven.get(sender):
            proven.charge(now)
        if bucket.is_empty(now) and now >= bucket.log_at:
            bucket.log_at = now + LOG_SECONDS
            logger.warning("webhook sender limited", extra={"address": sender.address})

    def _bucket_of(self, buckets: TokenBuckets[_Key], key: _Key) -> TokenBucket:
        return buckets.of(key, self._per_minute, self._per_minute / 60)
