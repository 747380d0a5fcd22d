"""Connections to gateways: limits, slots for each account, errors raised before sending."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, TypeVar

import aiohttp

CONNECTIONS_MAX: Final = 1000
ACCOUNTS_MAX: Final = 1024
"""Number of accounts whose slots and clients are kept."""
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
    """Limits each account's calls in flight, so that hanging ones do not take all connections."""

    def __init__(self, calls_max: int, wait_seconds: float) -> None:
        """Allow each account `calls_max` calls; a further one waits `wait_seconds` for a slot."""
        self._calls_max = calls_max
        self._wait_seconds = wait_seconds
        self._slots: OrderedDict[Hashable, asyncio.Semaphore] = OrderedDict()

    def clear(self) -> None:
        """Drop all slots."""
        self._slots.clear()

    async def acquire(self, account: Hashable) -> asyncio.Semaphore | None:
        """Return the semaphore to release after the call, or None if no slot became free."""
        slots = recently_used(self._slots, account, lambda: asyncio.Semaphore(self._calls_max))
        try:
            async with asyncio.timeout(self._wait_seconds):
                await slots.acquire()
        except TimeoutError:
            return None
        return slots
