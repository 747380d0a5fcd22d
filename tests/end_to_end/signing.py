"""Signed webhooks as the gateways send them."""

import hashlib
import hmac
import json
import time
from dataclasses import dataclass
from typing import Any

STRIPE_SECRET = "whsec_obviously_fake_0123456789"
SIGNATURE_KEY = "0123456789ABCDEF" * 8


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook to deliver."""

    gateway: str
    body: bytes

    def headers(self, now: float | None = None) -> dict[str, str]:
        """Return the signature header for a delivery now."""
        if self.gateway == "authorize":
            return {"X-ANET-Signature": "sha512=" + authorize_signature(self.body)}
        moment = time.time() if now is None else now
        return {"Stripe-Signature": stripe_signature(self.body, moment)}


def stripe_signature(body: bytes, now: float, secret: str = STRIPE_SECRET) -> str:
    """Sign as Stripe does."""
    signed = f"{int(now)}.".encode() + body
    return f"t={int(now)},v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


def authorize_signature(body: bytes, key: str = SIGNATURE_KEY) -> str:
    """Sign as Authorize.Net does."""
    return hmac.new(key.encode(), body, hashlib.sha512).hexdigest().upper()


def stripe_event(event_id: str, kind: str, created: int, **thing: Any) -> Delivery:
    """Return an event of Stripe about an object."""
    event = {
        "id": event_id,
        "object": "event",
        "type": kind,
        "created": created,
        "livemode": False,
        "data": {"object": thing},
    }
    return Delivery("stripe", json.dumps(event).encode())


def authorize_event(
    event_id: str, kind: str, second: int, transaction_id: str, **payload: Any
) -> Delivery:
    """Return an event of Authorize.Net about a transaction."""
    event = {
        "notificationId": event_id,
        "eventType": f"net.authorize.payment.{kind}",
        "eventDate": f"2026-01-31T10:{second // 60:02}:{second % 60:02}.0000000Z",
        "webhookId": "w",
        "payload": {"entityName": "transaction", "id": transaction_id} | payload,
    }
    return Delivery("authorize", json.dumps(event).encode())
