"""Sends signed webhooks for what happens in the books, to endpoints on this machine only.

What is written to the books is noticed when it commits, so an event tells nothing that did not
happen. Endpoints and events live as long as the process. Deliveries are repeated a few times.
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
from sandbox.books import Books, Record
from sandbox.stripe.keys import Scope
from sandbox.stripe.resources import new_id

_logger = logging.getLogger("sandbox")

TRIES_MAX: Final = 6
FIRST_PAUSE_SECONDS: Final = 0.2
TIMEOUT_SECONDS: Final = 10.0
KEPT_MAX: Final = 1000  # events that can be sent again
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
_INTENT_EVENTS: Final = {
    "succeeded": "payment_intent.succeeded",
    "canceled": "payment_intent.canceled",
    "requires_action": "payment_intent.requires_action",
}
_REVIEWED: Final = ("FDSPendingReview", "FDSAuthorizedPendingReview", "underReview")
_TRANSACTION_EVENTS: Final = {
    # By what a transaction became: after a review, and otherwise.
    "capturedPendingSettlement": ("fraud.approved", "authcapture.created"),
    "declined": ("fraud.declined", None),
    "voided": ("void.created", "void.created"),
    **dict.fromkeys(_REVIEWED, (None, "fraud.held")),
}


@dataclass(frozen=True)
class Endpoint:
    """Where an account's events go, and what they are signed with."""

    url: str
    secret: str
    copies: int = 1


@dataclass(frozen=True)
class Event:
    """An event as it is sent."""

    scope: Scope
    type: str
    body: bytes


def is_here(url: str) -> bool:
    """Whether a URL leads to this machine."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "http" and parts.hostname in _LOOPBACK


class Webhooks:
    """Notices what is written to the books, and tells the endpoints."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._endpoints: dict[str, Endpoint] = {}
        self._seen: dict[str, Any] = {}
        self._kept: list[Event] = []
        self._sending: set[asyncio.Task[None]] = set()
        self.failed = 0
        books.on_commit = self._notice

    def register(self, account: str, endpoint: Endpoint) -> None:
        """Sends an account's events there from now on."""
        self._endpoints[account] = endpoint

    async def close(self) -> None:
        """Gives up what is still to be delivered."""
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)

    def send_again(self, account: str, *, copies: int, shuffled: bool) -> int:
        """Sends an account's events once more, so many times each; returns how many deliveries."""
        events = [each for each in self._kept if each.scope.account == account] * copies
        if shuffled:
            random.shuffle(events)
        for event in events:
            self._send(event)
        return len(events)

    def described(self) -> dict[str, Any]:
        """What is registered, kept and under way; no secret."""
        return {
            "endpoints": {account: each.url for account, each in self._endpoints.items()},
            "events": [each.type for each in self._kept],
            "under_way": len(self._sending),
            "failed": self.failed,
        }

    def _notice(self, written: list[tuple[Scope, Record]]) -> None:
        for scope, record in written:
            endpoint = self._endpoints.get(scope.account)
            if endpoint is None:
                continue
            events = (
                self._of_authorize(scope, record)
                if is_authorize_account(scope.account)
                else self._of_stripe(scope, record)
            )
            for event in events:
                self._kept = [*self._kept[-KEPT_MAX + 1 :], event]
                for _ in range(endpoint.copies):
                    self._send(event)

    def _is_news(self, record: Record, state: Any) -> bool:
        is_news = bool(self._seen.get(record.id) != state)
        self._seen[record.id] = state
        return is_news

    def _of_stripe(self, scope: Scope, record: Record) -> Iterator[Event]:
        body = record.body
        if record.kind == "payment_intent":
            error = (body.get("last_payment_error") or {}).get("code")
            kind = _INTENT_EVENTS.get(body["status"])
            kind = kind or ("payment_intent.payment_failed" if error else None)
            if self._is_news(record, (body["status"], body["latest_charge"], error)) and kind:
                yield self._stripe(scope, kind, body)
        elif record.kind == "charge" and body["amount_refunded"]:
            if self._is_news(record, body["amount_refunded"]):
                yield self._stripe(scope, "charge.refunded", body)
        elif record.kind == "refund":
            yield self._stripe(scope, "refund.created", body)
        elif record.kind == "dispute" and self._is_news(record, body["status"]):
            what = "closed" if body["status"] in ("won", "lost") else "created"
            yield self._stripe(scope, f"charge.dispute.{what}", body)

    def _stripe(self, scope: Scope, kind: str, body: Mapping[str, Any]) -> Event:
        event = {
            "id": new_id("evt"),
            "object": "event",
            "created": int(self._books.clock()),
            "type": kind,
            "livemode": scope.livemode,
            "pending_webhooks": 1,
            "data": {"object": body},
        }
        return Event(scope, kind, json.dumps(event).encode())

    def _of_authorize(self, scope: Scope, record: Record) -> Iterator[Event]:
        if record.kind != TRANSACTION:
            return
        body = record.body
        before = self._seen.get(record.id)
        if not self._is_news(record, body["status"]):
            return
        if body["type"] == "refundTransaction":
            kind = "refund.created" if before is None else None
        else:
            pair = _TRANSACTION_EVENTS.get(body["status"], (None, None))
            kind = pair[0] if before in _REVIEWED else pair[1]
        if kind is None:
            return
        code = {"declined": "2", "capturedPendingSettlement": "1"}.get(body["status"])
        event = {
            "notificationId": new_id("ntf"),
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
        endpoint = self._endpoints.get(event.scope.account)
        if endpoint is not None:
            task = asyncio.ensure_future(self._deliver(event, endpoint))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _deliver(self, event: Event, endpoint: Endpoint) -> None:
        pause = FIRST_PAUSE_SECONDS
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        for _ in range(TRIES_MAX):
            try:
                async with (
                    aiohttp.ClientSession(timeout=timeout) as session,
                    session.post(
                        endpoint.url,
                        data=event.body,
                        headers=self._signed(event, endpoint),
                        allow_redirects=False,
                    ) as answer,
                ):
                    if answer.status < 300:
                        return
                    _logger.info("webhook %s answered %d", event.type, answer.status)
            except (aiohttp.ClientError, TimeoutError) as error:
                _logger.info("webhook %s not delivered: %s", event.type, error)
            await asyncio.sleep(pause)
            pause *= 2
        self.failed += 1
        _logger.warning("webhook %s given up after %d tries", event.type, TRIES_MAX)

    def _signed(self, event: Event, endpoint: Endpoint) -> dict[str, str]:
        secret = endpoint.secret.encode()
        headers = {"Content-Type": "application/json"}
        if is_authorize_account(event.scope.account):
            digest = hmac.new(secret, event.body, hashlib.sha512).hexdigest().upper()
            return headers | {"X-ANET-Signature": f"sha512={digest}"}
        moment = str(int(self._books.clock()))
        signed = hmac.new(secret, f"{moment}.".encode() + event.body, hashlib.sha256).hexdigest()
        return headers | {"Stripe-Signature": f"t={moment},v1={signed}"}
