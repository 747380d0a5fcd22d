"""Sends requests to Authorize.Net over one pool of connections.

Every request is sent once. TLS is verified, redirects are not followed, cookies are not stored, and
answers have a maximum size. A failed request counts as lost unless it was certainly not sent.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

import aiohttp

from core.gateways.authorize.xml import Failure
from core.gateways.connections import (
    CONNECT_SECONDS_MAX,
    CONNECTIONS_MAX,
    ERRORS_BEFORE_SENDING,
    AccountSlots,
)
from core.gateways.gateway import Account

_log = logging.getLogger(__name__)

PATH: Final = "/xml/v1/request.api"
CALLS_PER_ACCOUNT_MAX: Final = 128
"""More than at Stripe, which has a limit itself: a due schedule charges many customers of one
business at once."""
ANSWER_BYTES_MAX: Final = 2 * 1024 * 1024
"""About ten times the longest page of a list."""
IDLE_SECONDS_MAX: Final = 5.0
"""Below the gateway's own limit: a charge sent on a connection that the gateway just closed is
lost, and cannot be resent without an idempotency key."""
_HEADERS: Final = {"Content-Type": "text/xml; charset=utf-8", "Accept": "text/xml"}
_TOO_MANY_REQUESTS: Final = 429


class AuthorizeTransport:
    """One pool for all businesses, with slots for each account's calls."""

    def __init__(self, urls: Mapping[str, str], timeout_seconds: float) -> None:
        """Send to `urls`, a base URL for each environment, within `timeout_seconds`."""
        self._endpoints = {env: url.rstrip("/") + PATH for env, url in urls.items()}
        self._connect_seconds = min(CONNECT_SECONDS_MAX, timeout_seconds / 2)
        self._session: aiohttp.ClientSession | None = None
        self._slots = AccountSlots(CALLS_PER_ACCOUNT_MAX, self._connect_seconds)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
        self._session = None
        self._slots.clear()

    async def send(self, account: Account, body: bytes, deadline: float) -> bytes | Failure:
        """Send a request once and return the answer's body; `deadline` is in the loop's time."""
        slot = await self._slots.acquire((account.env, account.login_id))
        if slot is None:
            return Failure.THROTTLED
        try:
            return await self._post(self._endpoints[account.env], body, deadline)
        finally:
            slot.release()

    async def _post(self, endpoint: str, body: bytes, deadline: float) -> bytes | Failure:
        if asyncio.get_running_loop().time() >= deadline:
            return Failure.THROTTLED
        status, cause = None, "none"
        try:
            async with (
                asyncio.timeout_at(deadline),
                self._pool().post(endpoint, data=body, allow_redirects=False) as response,
            ):
                status = response.status
                if status == 200:
                    answer = await _read_limited(response)
                    if answer is not None:
                        return answer
                failure = Failure.THROTTLED if status == _TOO_MANY_REQUESTS else Failure.LOST
        except ERRORS_BEFORE_SENDING as error:
            failure, cause = Failure.NOT_CONNECTED, type(error).__name__
        except Exception as error:  # noqa: BLE001 - once sent, any error leaves the outcome open
            failure, cause = Failure.LOST, type(error).__name__
        _log.info(
            "Authorize.Net call failed",
            extra={"kind": failure.value, "cause": cause, "http_status": status},
        )
        return failure

    def _pool(self) -> aiohttp.ClientSession:
        """Return the pool, created in the loop of the first call."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=CONNECTIONS_MAX, keepalive_timeout=IDLE_SECONDS_MAX
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=_HEADERS,
                timeout=aiohttp.ClientTimeout(total=None, connect=self._connect_seconds),
            )
        return self._session


async def _read_limited(response: aiohttp.ClientResponse) -> bytes | None:
    """Return the body, or None if it exceeds ANSWER_BYTES_MAX."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > ANSWER_BYTES_MAX:
            return None
    return bytes(body)
