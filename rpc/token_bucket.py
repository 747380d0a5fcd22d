"""Token buckets: how often something may happen, of a limited number of keys."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

KEPT_MAX = 10_000
"""How many keys' buckets are kept; the ones used last."""

_Key = TypeVar("_Key", bound=Hashable)


class TokenBucket:
    """At most `most` tokens, which come back at `per_second`. It begins full."""

    __slots__ = ("_left", "_updated_at", "log_at", "most", "per_second")

    def __init__(self, most: float, per_second: float, now: float) -> None:
        self.most = most
        self.per_second = per_second
        self._left = most
        self._updated_at = now
        self.log_at = now
        """When it may be logged again that it is empty."""

    def take(self, now: float) -> bool:
        """Take a token if there is one, and return whether there was."""
        left = self._left_at(now)
        if left < 1:
            return False
        self._left, self._updated_at = left - 1, now
        return True

    def charge(self, now: float) -> None:
        """Take a token, or what there is of one: who goes on does not wait for the next."""
        self._left, self._updated_at = max(0.0, self._left_at(now) - 1), now

    def is_empty(self, now: float) -> bool:
        """Return whether no token is left."""
        return self._left_at(now) < 1

    def seconds_to_next(self, now: float) -> float:
        """Return how long it takes until there is a token."""
        return max(0.0, 1 - self._left_at(now)) / self.per_second

    def _left_at(self, now: float) -> float:
        return min(self.most, self._left + (now - self._updated_at) * self.per_second)


class TokenBuckets(Generic[_Key]):
    """The buckets of the keys that were used last; another one counts as full."""

    def __init__(self, now: Callable[[], float], kept_max: int = KEPT_MAX) -> None:
        """Keep up to `kept_max` buckets; `now` is in seconds and never goes back."""
        self._now = now
        self._kept_max = kept_max
        self._buckets: OrderedDict[_Key, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        """Return how many buckets are kept."""
        return len(self._buckets)

    def get(self, key: _Key) -> TokenBucket | None:
        """Return the key's bucket, or None if it is full."""
        return self._buckets.get(key)

    def of(self, key: _Key, most: float, per_second: float) -> TokenBucket:
        """Return the key's bucket; a full one if it is new, or if its rate was another."""
        bucket = self._buckets.get(key)
        if bucket is None or (bucket.most, bucket.per_second) != (most, per_second):
            bucket = self._buckets[key] = TokenBucket(most, per_second, self._now())
            if len(self._buckets) > self._kept_max:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        return bucket
