"""The control endpoints of webhooks: register a receiver, show, hold, deliver, send again."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from sandbox.authorize.calls import get_account as get_authorize_account
from sandbox.books import Books, Scope, hash_key
from sandbox.control.requests import (
    ControlRefusal,
    Route,
    read_body,
    read_boolean,
    read_choice,
    read_count,
)
from sandbox.stripe.keys import get_account, is_live, is_secret_key
from sandbox.webhooks import IN_FLIGHT_MAX, Delivery, Receiver, Webhooks, is_loopback_url

COPIES_MAX: Final = 10
SEED_MAX: Final = 2**63 - 1


class WebhookControl:
    """Handles the endpoints under `/_sandbox/webhooks`."""

    def __init__(self, books: Books, webhooks: Webhooks) -> None:
        self._books = books
        self._webhooks = webhooks

    def routes(self) -> list[Route]:
        """Return the method, path and handler of each endpoint."""
        return [
            ("POST", "/_sandbox/webhooks", self.register),
            ("GET", "/_sandbox/webhooks", self.show),
            ("POST", "/_sandbox/webhooks/hold", self.hold),
            ("POST", "/_sandbox/webhooks/deliver", self.deliver),
            ("POST", "/_sandbox/webhooks/again", self.send_again),
        ]

    async def register(self, request: web.Request) -> web.Response:
        """POST webhooks: send an account's events to a URL, signed with a secret."""
        body = await read_body(request, "key", "api_login_id", "url", "secret", "copies")
        scope = self._read_scope(body)
        url, secret = body.get("url"), body.get("secret")
        if not isinstance(url, str) or not is_loopback_url(url):
            raise ControlRefusal('Give "url" as http://127.0.0.1:PORT/…: events stay here.')
        if not isinstance(secret, str) or not secret:
            raise ControlRefusal('Give "secret": the stripe_webhook_secret or signature_key.')
        copies = read_count(body.get("copies", 1), "copies", COPIES_MAX)
        self._webhooks.register(scope, Receiver(url, secret, copies))
        answer = {"account": scope.account, "livemode": scope.livemode, "url": url}
        return web.json_response(answer, status=201)

    async def show(self, _request: web.Request) -> web.Response:
        """GET webhooks: receivers, events, those held, and the state of deliveries."""
        return web.json_response(self._webhooks.to_json())

    async def hold(self, request: web.Request) -> web.Response:
        """POST webhooks/hold: hold new events, or deliver the held ones and hold no more."""
        body = await read_body(request, "hold")
        self._webhooks.holds = read_boolean(body.get("hold", True), "hold")
        deliveries = 0
        if not self._webhooks.holds:
            deliveries = self._webhooks.deliver_held(None, Delivery())
        return web.json_response({"hold": self._webhooks.holds, "deliveries": deliveries})

    async def deliver(self, request: web.Request) -> web.Response:
        """POST webhooks/deliver: deliver the held events, of one account or of all."""
        names = ("key", "api_login_id", "order", "repeat", "seed", "parallel")
        body = await read_body(request, *names)
        order = read_choice(body.get("order", "created"), "order", ("created", "shuffled"))
        delivery = Delivery(
            shuffled=order == "shuffled",
            repeat=read_count(body.get("repeat", 1), "repeat", COPIES_MAX),
            seed=_read_seed(body),
            parallel=read_count(body.get("parallel", 1), "parallel", IN_FLIGHT_MAX),
        )
        is_for_all = body.keys().isdisjoint(("key", "api_login_id"))
        scope = None if is_for_all else self._read_scope(body)
        return web.json_response({"deliveries": self._webhooks.deliver_held(scope, delivery)})

    async def send_again(self, request: web.Request) -> web.Response:
        """POST webhooks/again: send all of an account's events again, shuffled on request."""
        body = await read_body(request, "key", "api_login_id", "copies", "shuffled", "seed")
        delivery = Delivery(
            shuffled=read_boolean(body.get("shuffled", False), "shuffled"),
            repeat=read_count(body.get("copies", 1), "copies", COPIES_MAX),
            seed=_read_seed(body),
            parallel=IN_FLIGHT_MAX,
        )
        scope = self._read_scope(body)
        return web.json_response({"deliveries": self._webhooks.deliver_again(scope, delivery)})

    def _read_scope(self, body: dict[str, Any]) -> Scope:
        """Return the account and mode of the key, registered or not, or of the login id."""
        key, login_id = body.get("key"), body.get("api_login_id")
        if isinstance(login_id, str) and login_id and key is None:
            return Scope(get_authorize_account(login_id), livemode=False)
        if isinstance(key, str) and is_secret_key(key) and login_id is None:
            registered = self._books.find_key(hash_key(key))
            return Scope(registered.account if registered else get_account(key), is_live(key))
        raise ControlRefusal('Give "key" (the stripe_secret_key) or "api_login_id".')


def _read_seed(body: dict[str, Any]) -> int | None:
    seed = body.get("seed")
    return None if seed is None else read_count(seed, "seed", SEED_MAX)
