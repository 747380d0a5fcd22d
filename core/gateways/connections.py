"""Connections to gateways: limits, slots for each account, errors raised before sending."""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Final, TypeVar

import aiohttp

CONNECTIONS_MAX: Final = 2000
"""Of a gateway: 1,000 charges of one business can be in flight, see AccountSlots."""
ACCOUNTS_MAX: Final = 1024
"""Number of accounts whose clients are kept."""
CONNECT_SECONDS_MAX: Final = 5.0

ERRORS_BEFORE_SENDING: Final = (
    aiohttp.ClientConnectorError,  # refused, unreachable, DNS, TLS and certificate
    aiohttp.ConnectionTimeoutError,  # no connection, of the pool or to the gateway, in time
    aiohttp.ServerFingerprintMismatch,
    aiohttp.InvalidURL,
)
"""Errors that aiohttp raises before it sends a byte of the request."""

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


def recently_used(
    values: OrderedDict[_Key, _Value], key: _Key, create: Callable[[], _Value]
) -> _Value:
    """Return the key's value, created if missing; drops all but the ACCOUNTS_MAX last used."""
    if key not in values:
        values[key] = create()
        if len(values) > ACCOUNTS_MAX:
            values.popitem(last=False)
    values.move_to_end(key)
    return values[key]


class AccountSlots:
    """Shares a gateway's connections among accounts, so that hanging calls do not take all.

    An account may have as many calls in flight as there are free connections: half of all while it
    is alone, and however many accounts' calls hang, as many as each of them has are left.
    """

    def __init__(self, connections: int, wait_seconds: float) -> None:
        """Share `connections`; a call beyond its account's share waits up to `wait_seconds`."""
        self._free = connections
        self._wait_seconds = wait_seconds
        self._in_flight: Counter[Hashable] = Counter()
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}

    async def acquire(self, account: Hashable) -> bool:
        """Take a slot, to be released after the call; False if none became free in time."""
        if account not in self._waiting and self._has_slot(account):
            self._take(account)
            return True
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(account, deque()).append(turn)
        try:
            async with asyncio.timeout(self._wait_seconds):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():  # it got its slot in the same moment
                self.release(account)
            else:
                self._forget(account, turn)
            if isinstance(error, TimeoutError):
                return False
            raise
        return True

    def release(self, account: Hashable) -> None:
        """Give a slot back, and pass it on."""
        self._free += 1
        self._in_flight[account] -= 1
        if not self._in_flight[account]:
            del self._in_flight[account]
        for waiting in list(self._waiting):
            while waiting in self._waiting and self._has_slot(waiting):
                turn = self._waiting[waiting][0]
                self._forget(waiting, turn)
                self._take(waiting)
                turn.set_result(None)

    def _has_slot(self, account: Hashable) -> bool:
        return self._in_flight[account] < self._free

    def _take(self, account: Hashable) -> None:
        self._free -= 1
        self._in_flight[account] += 1

    def _forget(self, account: Hashable, turn: asyncio.Future[None]) -> None:
        self._waiting[account].remove(turn)
        if not self._waiting[account]:
            del self._waiting[account]
