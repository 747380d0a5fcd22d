"""Carries requests to Authorize.Net over one pool of connections; knows nothing of what they say.

Every request is sent once. TLS is verified, redirects are not followed, cookies are not kept, and
an answer is read up to a bound. What was not certainly left unsent counts as lost.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

import aiohttp

from core.gateways.authorize.xml import Failure
from core.gateways.connections import (
    ACCOUNTS_MAX,
    CERTAINLY_NOT_SENT,
    CONNECT_SECONDS_MAX,
    CONNECTIONS_MAX,
)
from core.gateways.gateway import Account

_log = logging.getLogger(__name__)

PATH: Final = "/xml/v1/request.api"
CALLS_PER_ACCOUNT_MAX: Final = 128
"""How many calls one business may have under way at once. More than at Stripe, which bounds them
itself: a schedule that comes due charges many customers of one business."""
ANSWER_BYTES_MAX: Final = 2 * 1024 * 1024
"""Some ten times a page of the longest list."""
IDLE_SECONDS_MAX: Final = 5.0
"""How long a connection is kept idle. A charge on one that the gateway just closed is lost, and
there is no idempotency key to send it again with; so keep none as long as a gateway may."""
_HEADERS: Final = {"Content-Type": "text/xml; charset=utf-8", "Accept": "text/xml"}
_TOO_MANY_REQUESTS: Final = 429


class AuthorizeTransport:
    """One pool for all businesses, with places in it for each account's calls."""

    def __init__(self, urls: Mapping[str, str], timeout_seconds: float) -> None:
        """Prepare to send to `urls`, a base URL for each environment, within `timeout_seconds`."""
        self._endpoints = {env: url.rstrip("/") + PATH for env, url in urls.items()}
        self._connect_seconds = min(CONNECT_SECONDS_MAX, timeout_seconds / 4)
        self._session: aiohttp.ClientSession | None = None
        self._places: OrderedDict[tuple[str, str], asyncio.Semaphore] = OrderedDict()

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
        self._session = None
        self._places.clear()

    async def send(self, account: Account, body: bytes, deadline: float) -> bytes | Failure:
        """Send a request once and return the body of its answer; `deadline` is the loop's time."""
        places = self._places_of(account)
        try:
            async with asyncio.timeout(self._connect_seconds):
                await places.acquire()
        except TimeoutError:
            return Failure.TURNED_AWAY
        try:
            return await self._post(self._endpoints[account.env], body, deadline)
        finally:
            places.release()

    async def _post(self, endpoint: str, body: bytes, deadline: float) -> bytes | Failure:
        if asyncio.get_running_loop().time() >= deadline:
            return Failure.TURNED_AWAY
        status, cause = None, "none"
        try:
            async with (
                asyncio.timeout_at(deadline),
                self._pool().post(endpoint, data=body, allow_redirects=False) as response,
            ):
                status = response.status
                if status == 200:
                    answer = await _bounded(response)
                    if answer is not None:
                        return answer
                failure = Failure.TURNED_AWAY if status == _TOO_MANY_REQUESTS else Failure.LOST
        except CERTAINLY_NOT_SENT as error:
            failure, cause = Failure.NOT_CONNECTED, type(error).__name__
        except Exception as error:  # noqa: BLE001 - once sent, any fault leaves the outcome open
            failure, cause = Failure.LOST, type(error).__name__
        _log.info("Authorize.Net call failed: %s (%s, status %s)", failure.value, cause, status)
        return failure

    def _places_of(self, account: Account) -> asyncio.Semaphore:
        key = (account.env, account.login_id)
        places = self._places.get(key)
        if places is None:
            places = self._places[key] = asyncio.Semaphore(CALLS_PER_ACCOUNT_MAX)
            if len(self._places) > ACCOUNTS_MAX:
                self._places.popitem(last=False)
        self._places.move_to_end(key)
        return places

    def _pool(self) -> aiohttp.ClientSession:
        """Return the pool, made in the loop that first calls."""
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


async def _bounded(response: aiohttp.ClientResponse) -> bytes | None:
    """Read a body whole, or None where it is longer than any answer."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > ANSWER_BYTES_MAX:
            return None
    return bytes(body)
