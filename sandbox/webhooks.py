"""Sends signed webhooks for changes of stored objects, to receivers on this machine only.

Events are created when a transaction commits, so that none reports what was rolled back. As at the
gateways, they arrive in any order. On order they are held, and delivered in a chosen order and
repeatedly. Receivers and events live in memory. A failed delivery is retried with exponential
pauses. A receiver that hangs delays its own deliveries only.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import random
from collections import defaultdict, deque
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from sandbox.authorize import events as authorize_events
from sandbox.authorize.calls import is_account as is_authorize_account
from sandbox.books import Books, Change, Scope
from sandbox.stripe import events as stripe_events

_logger = logging.getLogger("sandbox")

ATTEMPTS_MAX: Final = 6
FIRST_PAUSE_SECONDS: Final = 0.2
TIMEOUT_SECONDS: Final = 10.0
IN_FLIGHT_MAX: Final = 32  # deliveries to one receiver
EVENTS_MAX: Final = 20_000  # stored for sending again
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Receiver:
    """The URL for a scope's events, the secret that signs them, and the deliveries of each."""

    url: str
    secret: str
    copies: int = 1
    slots: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(IN_FLIGHT_MAX), compare=False
    )


@dataclass(frozen=True)
class Event:
    """An event as it is sent."""

    scope: Scope
    type: str
    body: bytes


@dataclass(frozen=True)
class Delivery:
    """How held events are delivered: in which order, how often, and how many at a time."""

    shuffled: bool = False
    repeat: int = 1
    seed: int | None = None
    parallel: int = 1

    def arrange(self, events: Sequence[Event]) -> list[Event]:
        """Return the deliveries, in order; the same seed shuffles alike."""
        arranged = [event for event in events for _ in range(self.repeat)]
        if self.shuffled:
            random.Random(self.seed).shuffle(arranged)  # noqa: S311 - a test's order, no secret
        return arranged


def is_loopback_url(url: str) -> bool:
    """Return whether a URL is plain HTTP to this machine."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "http" and parts.hostname in _LOOPBACK


class Webhooks:
    """Creates events from commits, and delivers them."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._receivers: dict[Scope, Receiver] = {}
        self._events: deque[Event] = deque(maxlen=EVENTS_MAX)
        self._held: list[Event] = []
        self._in_flight: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None
        self.holds = False
        """Whether new events wait for `deliver_held`."""
        self.delivered = 0
        self.failed = 0
        books.on_commit = self._create_events

    def register(self, scope: Scope, receiver: Receiver) -> None:
        """Send the scope's events to the receiver from now on."""
        self._receivers[scope] = receiver

    async def close(self) -> None:
        """Cancel the deliveries in flight."""
        for task in self._in_flight:
            task.cancel()
        await asyncio.gather(*self._in_flight, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def reset(self) -> None:
        """Forget the events, and hold no more; receivers stay."""
        self._events.clear()
        self._held.clear()
        self.holds = False

    def deliver_held(self, scope: Scope | None, delivery: Delivery) -> int:
        """Deliver the held events, of a scope or of all; return the number of deliveries."""
        chosen = [event for event in self._held if scope in (None, event.scope)]
        self._held = [event for event in self._held if scope not in (None, event.scope)]
        return self._deliver_all(chosen, delivery)

    def deliver_again(self, scope: Scope, delivery: Delivery) -> int:
        """Deliver the scope's events again, held or not; return the number of deliveries."""
        return self._deliver_all([each for each in self._events if each.scope == scope], delivery)

    def to_json(self) -> dict[str, Any]:
        """Return the receivers without secrets, the events, and the state of deliveries."""
        return {
            "endpoints": [
                {"account": scope.account, "livemode": scope.livemode, "url": receiver.url}
                for scope, receiver in self._receivers.items()
            ],
            "events": [event.type for event in self._events],
            "hold": self.holds,
            "held": [event.type for event in self._held],
            "under_way": len(self._in_flight),
            "delivered": self.delivered,
            "failed": self.failed,
        }

    def _create_events(self, changes: list[Change]) -> None:
        for change in changes:
            receiver = self._receivers.get(change.scope)
            if receiver is None:
                continue
            for event in self._list_events(change):
                self._events.append(event)
                copies = [event] * receiver.copies
                if self.holds:
                    self._held += copies
                else:
                    self._deliver_all(copies, Delivery(parallel=receiver.copies))

    def _list_events(self, change: Change) -> Iterator[Event]:
        now = self._books.clock()
        if is_authorize_account(change.scope.account):
            body = authorize_events.build_event(change, now)
            if body is not None:
                yield Event(change.scope, body["eventType"], json.dumps(body).encode())
            return
        for body in stripe_events.build_events(change, int(now)):
            yield Event(change.scope, body["type"], json.dumps(body).encode())

    def _deliver_all(self, events: Sequence[Event], delivery: Delivery) -> int:
        """Start the deliveries, `parallel` at a time for each scope; return their number."""
        arranged = delivery.arrange(events)
        by_scope: defaultdict[Scope, list[Event]] = defaultdict(list)
        for event in arranged:
            by_scope[event.scope].append(event)
        for own in by_scope.values():
            for first in range(min(delivery.parallel, len(own))):
                self._start(self._deliver_in_order(own[first :: delivery.parallel]))
        return len(arranged)

    def _start(self, delivery: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(delivery)
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)

    async def _deliver_in_order(self, events: Sequence[Event]) -> None:
        """Try each event once, in order; the next does not wait for the retries of one."""
        for event in events:
            if not await self._try(event):
                self._start(self._retry(event))

    async def _retry(self, event: Event) -> None:
        pause_seconds = FIRST_PAUSE_SECONDS
        for _ in range(ATTEMPTS_MAX - 1):
            await asyncio.sleep(pause_seconds)
            pause_seconds *= 2
            if await self._try(event):
                return
        self.failed += 1
        _logger.warning(
            "webhook delivery given up", extra={"event": event.type, "attempts": ATTEMPTS_MAX}
        )

    async def _try(self, event: Event) -> bool:
        """Send an event once; return whether the receiver has accepted it."""
        receiver = self._receivers[event.scope]
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
            connector = aiohttp.TCPConnector(limit=0, force_close=True)
            self._session = aiohttp.ClientSession(
                timeout=timeout, connector=connector, cookie_jar=aiohttp.DummyCookieJar()
            )
        try:
            async with (
                receiver.slots,
                self._session.post(
                    receiver.url,
                    data=event.body,
                    headers=self._sign(event, receiver),
                    allow_redirects=False,
                ) as response,
            ):
                if response.status < 300:
                    self.delivered += 1
                    return True
                reason = f"status {response.status}"
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
        _logger.info(
            "webhook delivery failed, retrying", extra={"event": event.type, "reason": reason}
        )
        return False

    def _sign(self, event: Event, receiver: Receiver) -> dict[str, str]:
        """Return the headers of a delivery, with the gateway's signature."""
        secret = receiver.secret.encode()
        headers = {"Content-Type": "application/json"}
        if is_authorize_account(event.scope.account):
            digest = hmac.new(secret, event.body, hashlib.sha512).hexdigest().upper()
            return headers | {"X-ANET-Signature": f"sha512={digest}"}
        timestamp = str(int(self._books.clock()))
        signed = f"{timestamp}.".encode() + event.body
        signature = hmac.new(secret, signed, hashlib.sha256).hexdigest()
        return headers | {"Stripe-Signature": f"t={timestamp},v1={signature}"}
