"""What this scheduler has claimed: which waits, which is executed, and whose turn is next.

Times are seconds of the monotonic clock, which nobody sets; how long a lease lasts is counted from
before it was asked for, so that it ends here before it does at the core.
"""

from collections import Counter, deque
from collections.abc import Iterable

from nivisco.internal.v1.occurrences_pb2 import OccurrenceLease

Key = tuple[str, str, int, int, int]


def key_of(lease: OccurrenceLease) -> Key:
    """Return what tells a claim from every other one."""
    due = lease.occurrence_at
    return lease.business_id, lease.recurring_id, due.seconds, due.nanos, lease.fencing_token


class Leases:
    """The leases that are held, the waiting ones by business."""

    def __init__(self, concurrency: int, per_business: int) -> None:
        """Hold none; `concurrency` may be executed at once, `per_business` of one business."""
        self._concurrency = concurrency
        self._per_business = per_business
        self._waiting: dict[str, deque[OccurrenceLease]] = {}
        """By business, in the order of their turns; none is empty."""
        self._executing: dict[Key, OccurrenceLease] = {}
        self._executing_of: Counter[str] = Counter()
        self._until: dict[Key, float] = {}

    @property
    def executing(self) -> int:
        """How many are executed now."""
        return len(self._executing)

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return sum(map(len, self._waiting.values()))

    @property
    def room(self) -> int:
        """How many more may be claimed: for those who may begin, or to wait, as many as may begin.

        What waits for its own business's share leaves the room of the others as it is.
        """
        may_begin = self._concurrency - self.executing
        may_wait = self._concurrency - self.waiting
        return max(0, may_begin, may_wait)

    def busy_businesses(self) -> set[str]:
        """Return the businesses of which enough wait, half a share, so that no more are needed."""
        enough = max(1, self._per_business // 2)
        return {each for each, waiting in self._waiting.items() if len(waiting) >= enough}

    def add(self, claimed: Iterable[OccurrenceLease], until: float) -> None:
        """Have what was claimed wait for its turn, in its order."""
        for lease in claimed:
            self._waiting.setdefault(lease.business_id, deque()).append(lease)
            self._until[key_of(lease)] = until

    def take(self, now: float) -> OccurrenceLease | None:
        """Return the next one to execute, or None: the businesses have turns, one each.

        What ran out while it waited is forgotten; whoever claims it next executes it.
        """
        self._forget_what_ran_out(now)
        if self.executing >= self._concurrency:
            return None
        turns = (each for each in self._waiting if self._executing_of[each] < self._per_business)
        business_id = next(turns, None)
        if business_id is None:
            return None
        waiting = self._waiting.pop(business_id)
        lease = waiting.popleft()
        if waiting:
            self._waiting[business_id] = waiting  # behind all others
        self._executing[key_of(lease)] = lease
        self._executing_of[business_id] += 1
        return lease

    def done(self, lease: OccurrenceLease) -> None:
        """Forget one that was executed, whatever came of it."""
        del self._executing[key_of(lease)]
        self._until.pop(key_of(lease), None)
        self._executing_of[lease.business_id] -= 1
        if not self._executing_of[lease.business_id]:
            del self._executing_of[lease.business_id]

    def held(self, now: float, *, waiting: bool = True) -> list[OccurrenceLease]:
        """Return those that have not run out, with or without the waiting ones."""
        self._forget_what_ran_out(now)
        queues = self._waiting.values() if waiting else ()
        return [
            lease
            for leases in (self._executing.values(), *queues)
            for lease in leases
            if self._until.get(key_of(lease), now) > now
        ]

    def renewed(
        self, asked: Iterable[OccurrenceLease], kept: Iterable[OccurrenceLease], until: float
    ) -> int:
        """Note what the core said of those that were to be renewed; return how many are lost.

        A lost one that waits is forgotten; one that is executed is the core's to refuse.
        """
        still = {key_of(lease) for lease in kept}
        lost = {key for lease in asked if (key := key_of(lease)) in self._until} - still
        for key in still & self._until.keys():
            self._until[key] = until
        for key in lost:
            del self._until[key]
        self._keep_waiting_if_held()
        return len(lost)

    def _forget_what_ran_out(self, now: float) -> None:
        ran_out = [key for key, until in self._until.items() if until <= now]
        for key in ran_out:
            del self._until[key]
        if ran_out:
            self._keep_waiting_if_held()

    def _keep_waiting_if_held(self) -> None:
        kept = {
            business_id: deque(lease for lease in leases if key_of(lease) in self._until)
            for business_id, leases in self._waiting.items()
        }
        self._waiting = {business_id: leases for business_id, leases in kept.items() if leases}
