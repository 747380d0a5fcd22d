"""Faults that a test orders in advance: what goes wrong with which of the next requests.

Each fault strikes the first requests that match it, as often as it was ordered for, oldest fault
first; a request meets at most one. Faults live in memory only: a restart forgets them.
"""

from __future__ import annotations

import asyncio
import enum
import fnmatch
from dataclasses import dataclass
from typing import Any, Final

SECONDS_MAX: Final = 600.0
TIMES_MAX: Final = 100_000
WAITING_MAX: Final = 1_000

_GLOB_SIGNS: Final = frozenset("*?[")


class FaultKind(enum.Enum):
    """What goes wrong, and whether the request's effect stays."""

    DELAY = "delay"  # answered late, and carried out late
    DELAY_AFTER = "delay_after"  # carried out at once, answered late
    RESET_BEFORE = "reset_before"  # TCP reset, no effect
    RESET_AFTER = "reset_after"  # TCP reset, effect stays
    CUT_BODY = "cut_body"  # half the body, effect stays
    ERROR_500 = "error_500"  # 500, no effect, replayed for the idempotency key
    ERROR_500_AFTER = "error_500_after"  # 500, effect stays, replayed likewise
    RATE_LIMIT = "rate_limit"  # 429, no effect, never replayed
    LATE_LANDING = "late_landing"  # TCP reset at once, carried out later
    DUPLICATE = "duplicate"  # delivered twice, the second one answered
    LISTING_LAG = "listing_lag"  # a list without what is younger than so many seconds


DELAYING: Final = frozenset(
    (FaultKind.DELAY, FaultKind.DELAY_AFTER, FaultKind.LATE_LANDING, FaultKind.LISTING_LAG)
)
"""Those that say for how long."""


@dataclass
class Fault:
    """One order; empty matches fit everything. `path` is a prefix, or a glob where it has * ? [.

    `request` is the root element's name where one path takes all requests, as Authorize.Net's.
    """

    id: int
    kind: FaultKind
    method: str | None = None
    path: str | None = None
    account: str | None = None
    request: str | None = None
    seconds: float = 0.0
    times_left: int = 1

    def fits(self, method: str, path: str, account: str, request: str | None = None) -> bool:
        """Whether it strikes this request."""
        if self.method not in (None, method) or self.account not in (None, account):
            return False
        if self.request not in (None, request):
            return False
        if self.path is None:
            return True
        if _GLOB_SIGNS & set(self.path):
            return fnmatch.fnmatchcase(path, self.path)
        return path.startswith(self.path)

    def described(self) -> dict[str, Any]:
        """The JSON that the control endpoint shows."""
        match = {
            "method": self.method,
            "path": self.path,
            "account": self.account,
            "request": self.request,
        }
        return {
            "id": self.id,
            "kind": self.kind.value,
            "match": {name: value for name, value in match.items() if value is not None},
            "seconds": self.seconds,
            "times_left": self.times_left,
        }


class Faults:
    """The faults still to come, and the requests that a delay holds now."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []
        self._ordered = 0
        self._released = asyncio.Event()
        self.struck = 0
        self.holding = 0

    @property
    def waiting(self) -> tuple[Fault, ...]:
        """Those not used up yet, in the order in which they strike."""
        return tuple(self._waiting)

    def next_id(self) -> int:
        """A number for a new fault."""
        self._ordered += 1
        return self._ordered

    def order(self, fault: Fault) -> None:
        """Appends a fault."""
        self._waiting.append(fault)

    def strike(
        self, method: str, path: str, account: str, request: str | None = None
    ) -> Fault | None:
        """The fault that this request meets; uses it up by one."""
        for fault in self._waiting:
            if fault.fits(method, path, account, request):
                fault.times_left -= 1
                self.struck += 1
                if fault.times_left == 0:
                    self._waiting.remove(fault)
                return fault
        return None

    async def hold(self, seconds: float) -> None:
        """Waits that long, or until the faults are cleared."""
        released = self._released
        self.holding += 1
        try:
            await asyncio.wait_for(released.wait(), seconds)
        except TimeoutError:
            pass
        finally:
            self.holding -= 1

    def clear(self) -> None:
        """Forgets what is still to come, and lets go of what is held."""
        self._waiting.clear()
        self._released.set()
        self._released = asyncio.Event()
