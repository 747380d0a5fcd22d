"""Registers the control endpoints, and serves those of no gateway: faults, books, reset."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from sandbox.authorize.calls import is_account as is_authorize_account
from sandbox.authorize.server import AuthorizeSettings
from sandbox.books import Books, Scope
from sandbox.control.authorize import AuthorizeControl
from sandbox.control.authorize import summarize_account as summarize_authorize_account
from sandbox.control.requests import (
    ControlRefusal,
    Route,
    guard,
    read_body,
    read_choice,
    read_count,
    read_seconds,
    refuse_unknown,
)
from sandbox.control.stripe import StripeControl
from sandbox.control.stripe import summarize_account as summarize_stripe_account
from sandbox.control.webhooks import WebhookControl
from sandbox.faults import PENDING_MAX, TIMES_MAX, WITH_SECONDS, Fault, FaultKind, Faults
from sandbox.stripe.errors import StripeError
from sandbox.stripe.keys import authenticate
from sandbox.webhooks import Webhooks

SHOWN_MAX: Final = 10_000  # objects of a kind and account in one response, newest first


def add_control_routes(
    app: web.Application,
    books: Books,
    faults: Faults,
    settings: AuthorizeSettings,
    webhooks: Webhooks,
) -> None:
    """Add the control endpoints and the health check to the application."""
    routes: tuple[Route, ...] = (
        *Control(books, faults, settings, webhooks).routes(),
        *StripeControl(books).routes(),
        *AuthorizeControl(books, settings).routes(),
        *WebhookControl(books, webhooks).routes(),
    )
    for method, path, handler in routes:
        app.router.add_route(method, path, guard(handler))
    app.router.add_get("/healthz", _healthz)


async def _healthz(_request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


class Control:
    """Handles `/_sandbox/faults`, `/_sandbox/books` and `/_sandbox/reset`."""

    def __init__(
        self, books: Books, faults: Faults, settings: AuthorizeSettings, webhooks: Webhooks
    ) -> None:
        self._books = books
        self._faults = faults
        self._settings = settings
        self._webhooks = webhooks

    def routes(self) -> list[Route]:
        """Return the method, path and handler of each endpoint."""
        return [
            ("POST", "/_sandbox/faults", self.schedule_fault),
            ("GET", "/_sandbox/faults", self.show_faults),
            ("DELETE", "/_sandbox/faults", self.clear_faults),
            ("GET", "/_sandbox/books", self.show_books),
            ("POST", "/_sandbox/reset", self.reset),
        ]

    async def schedule_fault(self, request: web.Request) -> web.Response:
        """POST faults: schedule a fault after the pending ones."""
        body = await read_body(request, "kind", "match", "seconds", "times")
        kind = FaultKind(
            read_choice(body.get("kind"), "kind", tuple(kind.value for kind in FaultKind))
        )
        match = _read_match(body.get("match", {}))
        if len(self._faults.pending) >= PENDING_MAX:
            raise ControlRefusal(f"{PENDING_MAX} faults wait already: DELETE them first.")
        seconds = body.get("seconds")
        is_immediate = seconds is None and kind not in WITH_SECONDS
        fault = Fault(
            id=self._faults.next_id(),
            kind=kind,
            method=match["method"].upper() if "method" in match else None,
            path=match.get("path"),
            account=match.get("account"),
            request=match.get("request"),
            seconds=0.0 if is_immediate else read_seconds(seconds, "seconds"),
            times_left=read_count(body.get("times", 1), "times", TIMES_MAX),
        )
        self._faults.schedule(fault)
        return web.json_response(fault.to_json(), status=201)

    async def show_faults(self, _request: web.Request) -> web.Response:
        """GET faults: those pending, how many were applied, and how many requests are delayed."""
        return web.json_response(
            {
                "faults": [fault.to_json() for fault in self._faults.pending],
                "struck": self._faults.applied,
                "holding": self._faults.delayed,
            }
        )

    async def clear_faults(self, _request: web.Request) -> web.Response:
        """DELETE faults: remove the pending ones; delayed requests continue at once."""
        self._faults.clear()
        return web.json_response({"faults": []})

    async def show_books(self, request: web.Request) -> web.Response:
        """GET books: of all accounts, of `?account=`, or of the secret key in the headers."""
        scopes = self._books.list_scopes()
        if "Authorization" in request.headers:
            try:
                key_scope = authenticate(
                    request.headers["Authorization"], None, self._books.find_key
                )
            except StripeError as error:
                raise ControlRefusal(str(error)) from None
            scopes = [scope for scope in scopes if scope == key_scope]
        if "account" in request.query:
            scopes = [scope for scope in scopes if scope.account == request.query["account"]]
        return web.json_response({"books": [self._summarize(scope) for scope in scopes]})

    def _summarize(self, scope: Scope) -> dict[str, Any]:
        if is_authorize_account(scope.account):
            return summarize_authorize_account(self._books, scope, SHOWN_MAX)
        return summarize_stripe_account(self._books, scope, SHOWN_MAX)

    async def reset(self, _request: web.Request) -> web.Response:
        """POST reset: delete all data, faults and events, restore Authorize.Net's settings."""
        self._faults.clear()
        self._webhooks.reset()
        self._settings.reset()
        self._books.clear()
        return web.json_response({"reset": True})


def _read_match(match: object) -> dict[str, str]:
    if not isinstance(match, dict):
        raise ControlRefusal('Give "match" as an object, such as {"path": "/v1/charges"}.')
    refuse_unknown(match, ("method", "path", "account", "request"))
    for name, value in match.items():
        if not isinstance(value, str) or not value:
            raise ControlRefusal(f'Give "match.{name}" as a text.')
    return match
