"""Injects faults: what goes wrong with which of the next requests, and how it looks on the wire.

A fault applies to the first requests that match it, as often as it was scheduled for, oldest fault
first; a request gets at most one. Faults live in memory: a restart forgets them.
"""

from __future__ import annotations

import asyncio
import enum
import fnmatch
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

SECONDS_MAX: Final = 600.0
TIMES_MAX: Final = 100_000
PENDING_MAX: Final = 1_000

_GLOB_CHARACTERS: Final = frozenset("*?[")
_LINGER_ZERO: Final = struct.pack("ii", 1, 0)  # close() then resets the connection, see socket(7)


class FaultKind(enum.Enum):
    """What goes wrong, and whether the request takes effect."""

    DELAY = "delay"  # executed late, response late
    DELAY_AFTER = "delay_after"  # executed at once, response late
    RESET_BEFORE = "reset_before"  # TCP reset, no effect
    RESET_AFTER = "reset_after"  # TCP reset after the effect
    CUT_BODY = "cut_body"  # half of the body after the effect
    ERROR_500 = "error_500"  # 500, no effect, replayed for the idempotency key
    ERROR_500_AFTER = "error_500_after"  # 500 after the effect, replayed likewise
    RATE_LIMIT = "rate_limit"  # 429, no effect, never replayed
    LATE_LANDING = "late_landing"  # TCP reset at once, executed later
    DUPLICATE = "duplicate"  # executed twice, second response sent
    LISTING_LAG = "listing_lag"  # a list without objects younger than `seconds`


WITH_SECONDS: Final = frozenset(
    (FaultKind.DELAY, FaultKind.DELAY_AFTER, FaultKind.LATE_LANDING, FaultKind.LISTING_LAG)
)
"""The kinds that require `seconds`."""


@dataclass
class Fault:
    """A scheduled fault; None matches everything. `path` is a prefix, or a glob if it has * ? [.

    `request` is the root element's name, for Authorize.Net, where one path takes all requests.
    """

    id: int
    kind: FaultKind
    method: str | None = None
    path: str | None = None
    account: str | None = None
    request: str | None = None
    seconds: float = 0.0
    times_left: int = 1

    def matches(self, method: str, path: str, account: str, request: str | None = None) -> bool:
        """Return whether the fault applies to this request."""
        if self.method not in (None, method) or self.account not in (None, account):
            return False
        if self.request not in (None, request):
            return False
        if self.path is None:
            return True
        if _GLOB_CHARACTERS & set(self.path):
            return fnmatch.fnmatchcase(path, self.path)
        return path.startswith(self.path)

    def to_json(self) -> dict[str, Any]:
        """Return the fault as the control endpoint shows it."""
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
    """The pending faults, and the requests that a fault delays now."""

    def __init__(self) -> None:
        self._pending: list[Fault] = []
        self._last_id = 0
        self._cleared = asyncio.Event()
        self._late: set[asyncio.Task[None]] = set()
        self.applied = 0
        self.delayed = 0

    @property
    def pending(self) -> tuple[Fault, ...]:
        """The faults with uses left, oldest first."""
        return tuple(self._pending)

    def next_id(self) -> int:
        """Return the id for a new fault."""
        self._last_id += 1
        return self._last_id

    def schedule(self, fault: Fault) -> None:
        """Append a fault."""
        self._pending.append(fault)

    def take(
        self, method: str, path: str, account: str, request: str | None = None
    ) -> Fault | None:
        """Return the first fault that matches the request, and use it up by one."""
        for fault in self._pending:
            if fault.matches(method, path, account, request):
                fault.times_left -= 1
                self.applied += 1
                if fault.times_left == 0:
                    self._pending.remove(fault)
                return fault
        return None

    async def delay(self, seconds: float) -> None:
        """Wait for `seconds`, or until the faults are cleared."""
        cleared = self._cleared
        self.delayed += 1
        try:
            await asyncio.wait_for(cleared.wait(), seconds)
        except TimeoutError:
            pass
        finally:
            self.delayed -= 1

    def execute_late(self, seconds: float, execute: Callable[[], object]) -> None:
        """Execute a request whose connection was reset, as if it was delayed in the network."""

        async def run() -> None:
            await self.delay(seconds)
            execute()

        task = asyncio.ensure_future(run())
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    def clear(self) -> None:
        """Remove the pending faults, and let the delayed requests continue."""
        self._pending.clear()
        self._cleared.set()
        self._cleared = asyncio.Event()


def reset_connection(request: web.Request) -> web.Response:
    """Reset the TCP connection; the response that is returned is never sent."""
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        request.transport.abort()
    return web.Response()


async def send_half(request: web.Request, complete: web.Response) -> web.StreamResponse:
    """Announce the complete body's length, send half of the body and close the connection."""
    body = complete.body if isinstance(complete.body, bytes) else b""
    response = web.StreamResponse(status=complete.status, headers=complete.headers)
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response
