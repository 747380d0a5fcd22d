"""Sends signed webhooks for changes of stored objects, to receivers on this machine only.

Events are created when a transaction commits, so that none reports what was rolled back. Receivers
and events live in memory. A failed delivery is retried with exponential pauses.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from sandbox.authorize.calls import TRANSACTION
from sandbox.authorize.calls import is_account as is_authorize_account
from sandbox.books import Books, Record, Scope
from sandbox.stripe.resources import generate_id

_logger = logging.getLogger("sandbox")

ATTEMPTS_MAX: Final = 6
FIRST_PAUSE_SECONDS: Final = 0.2
TIMEOUT_SECONDS: Final = 10.0
EVENTS_MAX: Final = 1000  # stored for sending again
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
_INTENT_EVENTS: Final = {
    "succeeded": "payment_intent.succeeded",
    "canceled": "payment_intent.canceled",
    "requires_action": "payment_intent.requires_action",
}
_REVIEW_STATUSES: Final = ("FDSPendingReview", "FDSAuthorizedPendingReview", "underReview")
_TRANSACTION_EVENTS: Final = {
    # By a transaction's new status: the event after a review, and the event otherwise.
    "capturedPendingSettlement": ("fraud.approved", "authcapture.created"),
    "declined": ("fraud.declined", None),
    "voided": ("void.created", "void.created"),
    **dict.fromkeys(_REVIEW_STATUSES, (None, "fraud.held")),
}


@dataclass(frozen=True)
class Receiver:
    """The URL for an account's events, the secret that signs them, and the deliveries of each."""

    url: str
    secret: str
    copies: int = 1


@dataclass(frozen=True)
class Event:
    """An event as it is sent."""

    scope: Scope
    type: str
    body: bytes


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
        self._receivers: dict[str, Receiver] = {}
        self._last_states: dict[str, Any] = {}
        self._events: list[Event] = []
        self._in_flight: set[asyncio.Task[None]] = set()
        self.failed = 0
        books.on_commit = self._create_events

    def register(self, account: str, receiver: Receiver) -> None:
        """Send the account's events to the receiver from now on."""
        self._receivers[account] = receiver

    async def close(self) -> None:
        """Cancel the deliveries in flight."""
        for task in self._in_flight:
            task.cancel()
        await asyncio.gather(*self._in_flight, return_exceptions=True)

    def send_again(self, account: str, *, copies: int, shuffled: bool) -> int:
        """Send each of the account's events `copies` times; return the number of deliveries."""
        events = [event for event in self._events if event.scope.account == account] * copies
        if shuffled:
            random.shuffle(events)
        for event in events:
            self._send(event)
        return len(events)

    def to_json(self) -> dict[str, Any]:
        """Return the receivers without secrets, the events, and the state of deliveries."""
        return {
            "endpoints": {account: each.url for account, each in self._receivers.items()},
            "events": [event.type for event in self._events],
            "under_way": len(self._in_flight),
            "failed": self.failed,
        }

    def _create_events(self, written: list[tuple[Scope, Record]]) -> None:
        for scope, record in written:
            receiver = self._receivers.get(scope.account)
            if receiver is None:
                continue
            events = (
                self._authorize_events(scope, record)
                if is_authorize_account(scope.account)
                else self._stripe_events(scope, record)
            )
            for event in events:
                self._events = [*self._events[-EVENTS_MAX + 1 :], event]
                for _ in range(receiver.copies):
                    self._send(event)

    def _has_changed(self, record: Record, state: Any) -> bool:
        """Return whether the state differs from the last call's, and store it."""
        has_changed = bool(self._last_states.get(record.id) != state)
        self._last_states[record.id] = state
        return has_changed

    def _stripe_events(self, scope: Scope, record: Record) -> Iterator[Event]:
        body = record.body
        if record.kind == "payment_intent":
            error = (body.get("last_payment_error") or {}).get("code")
            kind = _INTENT_EVENTS.get(body["status"])
            kind = kind or ("payment_intent.payment_failed" if error else None)
            if self._has_changed(record, (body["status"], body["latest_charge"], error)) and kind:
                yield self._build_stripe_event(scope, kind, body)
        elif record.kind == "charge" and body["amount_refunded"]:
            if self._has_changed(record, body["amount_refunded"]):
                yield self._build_stripe_event(scope, "charge.refunded", body)
        elif record.kind == "refund":
            yield self._build_stripe_event(scope, "refund.created", body)
        elif record.kind == "dispute" and self._has_changed(record, body["status"]):
            change = "closed" if body["status"] in ("won", "lost") else "created"
            yield self._build_stripe_event(scope, f"charge.dispute.{change}", body)

    def _build_stripe_event(self, scope: Scope, kind: str, body: Mapping[str, Any]) -> Event:
        event = {
            "id": generate_id("evt"),
            "object": "event",
            "created": int(self._books.clock()),
            "type": kind,
            "livemode": scope.livemode,
            "pending_webhooks": 1,
            "data": {"object": body},
        }
        return Event(scope, kind, json.dumps(event).encode())

    def _authorize_events(self, scope: Scope, record: Record) -> Iterator[Event]:
        if record.kind != TRANSACTION:
            return
        body = record.body
        last_status = self._last_states.get(record.id)
        if not self._has_changed(record, body["status"]):
            return
        if body["type"] == "refundTransaction":
            kind = "refund.created" if last_status is None else None
        else:
            after_review, otherwise = _TRANSACTION_EVENTS.get(body["status"], (None, None))
            kind = after_review if last_status in _REVIEW_STATUSES else otherwise
        if kind is None:
            return
        code = {"declined": "2", "capturedPendingSettlement": "1"}.get(body["status"])
        event = {
            "notificationId": generate_id("ntf"),
            "eventType": f"net.authorize.payment.{kind}",
            "eventDate": body["submitted_at"].partition("+")[0] + "Z",
            "webhookId": "sandbox",
            "payload": {
                "responseCode": int(code or body["response_code"]),
                "authAmount": float(body["amount"]),
                "invoiceNumber": body["invoice_number"],
                "entityName": "transaction",
                "id": record.id,
            },
        }
        yield Event(scope, kind, json.dumps(event).encode())

    def _send(self, event: Event) -> None:
        receiver = self._receivers.get(event.scope.account)
        if receiver is not None:
            task = asyncio.ensure_future(self._deliver(event, receiver))
            self._in_flight.add(task)
            task.add_done_callback(self._in_flight.discard)

    async def _deliver(self, event: Event, receiver: Receiver) -> None:
        pause_seconds = FIRST_PAUSE_SECONDS
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        for _ in range(ATTEMPTS_MAX):
            try:
                async with (
                    aiohttp.ClientSession(timeout=timeout) as session,
                    session.post(
                        receiver.url,
                        data=event.body,
                        headers=self._sign(event, receiver),
                        allow_redirects=False,
                    ) as response,
                ):
                    if response.status < 300:
                        return
                    reason = f"status {response.status}"
            except (aiohttp.ClientError, TimeoutError) as error:
                reason = str(error) or type(error).__name__
            _logger.info(
                "webhook delivery failed, retrying", extra={"event": event.type, "reason": reason}
            )
            await asyncio.sleep(pause_seconds)
            pause_seconds *= 2
        self.failed += 1
        _logger.warning(
            "webhook delivery given up", extra={"event": event.type, "attempts": ATTEMPTS_MAX}
        )

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
