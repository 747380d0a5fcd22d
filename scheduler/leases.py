"""The leases of one scheduler: which occurrences wait, which are in flight, and which is next.

Times are seconds of the monotonic clock. A lease's time counts from before its request was sent, so
that it ends here before it ends at the core.
"""

from collections import Counter, deque
from collections.abc import Iterable

from nivisco.internal.v1.occurrences_pb2 import OccurrenceLease

Key = tuple[str, str, int, int, int]


def key_of(lease: OccurrenceLease) -> Key:
    """Return what identifies a claim: a later claim of the same occurrence has another token."""
    due = lease.occurrence_at
    return lease.business_id, lease.recurring_id, due.seconds, due.nanos, lease.fencing_token


class Leases:
    """The leases of one scheduler, with the waiting ones queued by business."""

    def __init__(self, concurrency: int, per_business: int) -> None:
        """Begin empty; at most `concurrency` are in flight, `per_business` of one business."""
        self._concurrency = concurrency
        self._per_business = per_business
        self._waiting: dict[str, deque[OccurrenceLease]] = {}
        """By business, the next one first; no queue is empty."""
        self._in_flight: dict[Key, OccurrenceLease] = {}
        self._in_flight_of: Counter[str] = Counter()
        self._until: dict[Key, float] = {}

    @property
    def in_flight(self) -> int:
        """How many are being executed."""
        return len(self._in_flight)

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return sum(map(len, self._waiting.values()))

    @property
    def room(self) -> int:
        """How many more may be claimed: up to `concurrency` in flight, and as many waiting.

        The larger of the two counts, so that leases that wait for their own business's share do not
        take the room of other businesses.
        """
        may_begin = self._concurrency - self.in_flight
        may_wait = self._concurrency - self.waiting
        return max(0, may_begin, may_wait)

    def busy_businesses(self) -> set[str]:
        """Return the businesses with at least half a share waiting: no more need to be claimed."""
        enough = max(1, self._per_business // 2)
        return {each for each, waiting in self._waiting.items() if len(waiting) >= enough}

    def add(self, claimed: Iterable[OccurrenceLease], until: float) -> None:
        """Queue claimed leases in their order."""
        for lease in claimed:
            self._waiting.setdefault(lease.business_id, deque()).append(lease)
            self._until[key_of(lease)] = until

    def take(self, now: float) -> OccurrenceLease | None:
        """Return the next lease to execute, round robin by business; None if there is none.

        Leases that expired while they waited are dropped; whoever claims them next executes them.
        """
        self._drop_expired(now)
        if self.in_flight >= self._concurrency:
            return None
        turns = (each for each in self._waiting if self._in_flight_of[each] < self._per_business)
        business_id = next(turns, None)
        if business_id is None:
            return None
        waiting = self._waiting.pop(business_id)
        lease = waiting.popleft()
        if waiting:
            self._waiting[business_id] = waiting  # behind all others
        self._in_flight[key_of(lease)] = lease
        self._in_flight_of[business_id] += 1
        return lease

    def done(self, lease: OccurrenceLease) -> None:
        """Remove a lease that was executed, whatever the outcome."""
        del self._in_flight[key_of(lease)]
        self._until.pop(key_of(lease), None)
        self._in_flight_of[lease.business_id] -= 1
        if not self._in_flight_of[lease.business_id]:
            del self._in_flight_of[lease.business_id]

    def unexpired(self, now: float, *, waiting: bool = True) -> list[OccurrenceLease]:
        """Return the leases that have not expired, with or without the waiting ones."""
        self._drop_expired(now)
        queues = self._waiting.values() if waiting else ()
        return [
            lease
            for leases in (self._in_flight.values(), *queues)
            for lease in leases
            if self._until.get(key_of(lease), now) > now
        ]

    def renewed(
        self, requested: Iterable[OccurrenceLease], kept: Iterable[OccurrenceLease], until: float
    ) -> int:
        """Apply the core's response to a renewal, and return how many leases are lost.

        Lost leases that wait are dropped. The core refuses those in flight.
        """
        still = {key_of(lease) for lease in kept}
        lost = {key for lease in requested if (key := key_of(lease)) in self._until} - still
        for key in still & self._until.keys():
            self._until[key] = until
        for key in lost:
            del self._until[key]
        self._drop_waiting_without_lease()
        return len(lost)

    def _drop_expired(self, now: float) -> None:
        expired = [key for key, until in self._until.items() if until <= now]
        for key in expired:
            del self._until[key]
        if expired:
            self._drop_waiting_without_lease()

    def _drop_waiting_without_lease(self) -> None:
        kept = {
            business_id: deque(lease for lease in leases if key_of(lease) in self._until)
            for business_id, leases in self._waiting.items()
        }
        self._waiting = {business_id: leases for business_id, leases in kept.items() if leases}
