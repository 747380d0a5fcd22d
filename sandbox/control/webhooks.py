"""The control endpoints of webhooks: register a receiver, show deliveries, send events again."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from sandbox.authorize.calls import get_account as get_authorize_account
from sandbox.control.requests import ControlRefusal, Route, read_body, read_boolean, read_count
from sandbox.stripe.keys import get_account, is_secret_key
from sandbox.webhooks import Receiver, Webhooks, is_loopback_url

COPIES_MAX: Final = 10


class WebhookControl:
    """Handles the endpoints under `/_sandbox/webhooks`."""

    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks

    def routes(self) -> list[Route]:
        """Return the method, path and handler of each endpoint."""
        return [
            ("POST", "/_sandbox/webhooks", self.register),
            ("GET", "/_sandbox/webhooks", self.show),
            ("POST", "/_sandbox/webhooks/again", self.send_again),
        ]

    async def register(self, request: web.Request) -> web.Response:
        """POST webhooks: send an account's events to a URL, signed with a secret."""
        body = await read_body(request, "key", "api_login_id", "url", "secret", "copies")
        account = _read_account(body)
        url, secret = body.get("url"), body.get("secret")
        if not isinstance(url, str) or not is_loopback_url(url):
            raise ControlRefusal('Give "url" as http://127.0.0.1:PORT/…: events stay here.')
        if not isinstance(secret, str) or not secret:
            raise ControlRefusal('Give "secret": the stripe_webhook_secret or signature_key.')
        copies = read_count(body.get("copies", 1), "copies", COPIES_MAX)
        self._webhooks.register(account, Receiver(url, secret, copies))
        return web.json_response({"account": account, "url": url}, status=201)

    async def show(self, _request: web.Request) -> web.Response:
        """GET webhooks: receivers, events, and the deliveries in flight and failed."""
        return web.json_response(self._webhooks.to_json())

    async def send_again(self, request: web.Request) -> web.Response:
        """POST webhooks/again: send all of an account's events again, shuffled on request."""
        body = await read_body(request, "key", "api_login_id", "copies", "shuffled")
        shuffled = read_boolean(body.get("shuffled", False), "shuffled")
        account = _read_account(body)
        copies = read_count(body.get("copies", 1), "copies", COPIES_MAX)
        deliveries = self._webhooks.send_again(account, copies=copies, shuffled=shuffled)
        return web.json_response({"deliveries": deliveries})


def _read_account(body: dict[str, Any]) -> str:
    key, login_id = body.get("key"), body.get("api_login_id")
    if isinstance(login_id, str) and login_id and key is None:
        return get_authorize_account(login_id)
    if isinstance(key, str) and is_secret_key(key) and login_id is None:
        return get_account(key)
    raise ControlRefusal('Give "key" (the stripe_secret_key) or "api_login_id".')
