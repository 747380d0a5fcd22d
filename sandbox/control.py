"""The sandbox's own endpoints under `/_sandbox/`: order faults, read the books, start afresh.

For tests and operators on the same machine: other peers are refused. Never part of a gateway's
protocol, and never shows a secret.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

from aiohttp import web

from sandbox.authorize.calls import is_account as is_authorize_account
from sandbox.authorize.control import AuthorizeControl
from sandbox.authorize.control import books_of as authorize_books_of
from sandbox.authorize.server import Reports
from sandbox.books import Books, PageQuery
from sandbox.control_requests import (
    ControlRefusal,
    Route,
    guarded,
    json_object,
    refuse_others,
    seconds_of,
)
from sandbox.faults import (
    DELAYING,
    TIMES_MAX,
    WAITING_MAX,
    Fault,
    FaultKind,
    Faults,
)
from sandbox.stripe.api import API_VERSION
from sandbox.stripe.calls import Call
from sandbox.stripe.confirmation import complete_authentication
from sandbox.stripe.errors import StripeError
from sandbox.stripe.keys import (
    KeyRecord,
    Scope,
    account_of,
    authenticate,
    digest_of,
    is_account,
    is_secret_key,
)
from sandbox.webhook_control import WebhookControl
from sandbox.webhooks import Webhooks

SHOWN_MAX: Final = 10_000  # objects of a kind and account in one answer, newest first

_MATCHES: Final = ("method", "path", "account", "request")


def add_control_routes(
    app: web.Application, books: Books, faults: Faults, reports: Reports, webhooks: Webhooks
) -> None:
    """Adds the endpoints to the application."""
    control = Control(books, faults, reports)
    routes: tuple[Route, ...] = (
        ("POST", "/_sandbox/faults", control.order_fault),
        ("GET", "/_sandbox/faults", control.show_faults),
        ("DELETE", "/_sandbox/faults", control.clear_faults),
        ("GET", "/_sandbox/books", control.show_books),
        ("POST", "/_sandbox/keys", control.register_key),
        ("POST", "/_sandbox/authentications", control.authenticate_cardholder),
        ("POST", "/_sandbox/reset", control.reset),
        *AuthorizeControl(books, reports).routes(),
        *WebhookControl(books, webhooks).routes(),
    )
    for method, path, handler in routes:
        app.router.add_route(method, path, guarded(handler))
    app.router.add_get("/healthz", control.healthz)


class Control:
    """The handlers, over the books and faults of one application."""

    def __init__(self, books: Books, faults: Faults, reports: Reports) -> None:
        self._books = books
        self._faults = faults
        self._reports = reports

    async def healthz(self, _request: web.Request) -> web.Response:
        """GET /healthz: the process lives."""
        return web.json_response({"status": "ok"})

    async def order_fault(self, request: web.Request) -> web.Response:
        """POST /_sandbox/faults: one more fault, behind those ordered before."""
        body = await json_object(request)
        refuse_others(body, ("kind", "match", "seconds", "times"))
        kind = _kind(body.get("kind"))
        match = body.get("match", {})
        if not isinstance(match, dict):
            raise ControlRefusal('Give "match" as an object, such as {"path": "/v1/charges"}.')
        refuse_others(match, _MATCHES)
        for name, value in match.items():
            if not isinstance(value, str) or not value:
                raise ControlRefusal(f'Give "match.{name}" as a text.')
        if len(self._faults.waiting) >= WAITING_MAX:
            raise ControlRefusal(f"{WAITING_MAX} faults wait already: DELETE them first.")
        fault = Fault(
            id=self._faults.next_id(),
            kind=kind,
            method=match["method"].upper() if "method" in match else None,
            path=match.get("path"),
            account=match.get("account"),
            request=match.get("request"),
            seconds=_seconds(body.get("seconds"), kind),
            times_left=_times(body.get("times", 1)),
        )
        self._faults.order(fault)
        return web.json_response(fault.described(), status=201)

    async def show_faults(self, _request: web.Request) -> web.Response:
        """GET /_sandbox/faults: those still to come, and how many requests a delay holds."""
        return web.json_response(
            {
                "faults": [fault.described() for fault in self._faults.waiting],
                "struck": self._faults.struck,
                "holding": self._faults.holding,
            }
        )

    async def clear_faults(self, _request: web.Request) -> web.Response:
        """DELETE /_sandbox/faults: none to come; what a delay holds goes on at once."""
        self._faults.clear()
        return web.json_response({"faults": []})

    async def show_books(self, request: web.Request) -> web.Response:
        """GET /_sandbox/books, of all accounts, of ?account=, or of the secret key presented."""
        scopes = self._books.accounts()
        if "Authorization" in request.headers:
            try:
                opened = authenticate(request.headers["Authorization"], None, self._books.find_key)
            except StripeError as error:
                raise ControlRefusal(str(error)) from None
            scopes = [scope for scope in scopes if scope == opened]
        if "account" in request.query:
            scopes = [scope for scope in scopes if scope.account == request.query["account"]]
        return web.json_response({"books": [self._books_of(scope) for scope in scopes]})

    def _books_of(self, scope: Scope) -> dict[str, Any]:
        """One account and mode, newest first, with what its succeeded charges add up to."""
        if is_authorize_account(scope.account):
            return authorize_books_of(self._books, scope, SHOWN_MAX)
        kinds: dict[str, Any] = {}
        for kind in ("customer", "payment_method", "payment_intent", "charge"):
            records, more = self._books.page(scope, kind, PageQuery(limit=SHOWN_MAX))
            kinds[f"{kind}s"] = [record.body for record in records]
            kinds[f"more_{kind}s"] = more
        taken: defaultdict[str, int] = defaultdict(int)
        for charge in kinds["charges"]:
            if charge["status"] == "succeeded":
                taken[charge["currency"]] += charge["amount"]
        return {
            "account": scope.account,
            "livemode": scope.livemode,
            **kinds,
            "taken": taken,
            "idempotency_keys": self._books.idempotency_keys(scope, SHOWN_MAX),
        }

    async def register_key(self, request: web.Request) -> web.Response:
        """POST /_sandbox/keys: the account that a secret key opens, or that it is revoked."""
        body = await json_object(request)
        refuse_others(body, ("key", "account", "revoked"))
        key, revoked = body.get("key"), body.get("revoked", False)
        if not isinstance(key, str) or not is_secret_key(key):
            raise ControlRefusal('Give "key" as a secret key: sk_ or rk_, then test_ or live_.')
        account = body.get("account", account_of(key))
        if not isinstance(account, str) or not is_account(account):
            raise ControlRefusal('Give "account" as acct_ and letters or digits.')
        if not isinstance(revoked, bool):
            raise ControlRefusal('Give "revoked" as true or false.')
        with self._books.transaction():
            self._books.register_key(digest_of(key), KeyRecord(account, revoked))
        return web.json_response({"account": account, "revoked": revoked}, status=201)

    async def authenticate_cardholder(self, request: web.Request) -> web.Response:
        """POST /_sandbox/authentications: the cardholder passes or fails 3D Secure."""
        body = await json_object(request)
        refuse_others(body, ("payment_intent", "succeeds"))
        identifier, succeeds = body.get("payment_intent"), body.get("succeeds", True)
        if not isinstance(identifier, str) or not isinstance(succeeds, bool):
            raise ControlRefusal('Give "payment_intent" as its id, "succeeds" as true or false.')
        with self._books.transaction():
            for scope in self._books.accounts():
                intent = self._books.find(scope, "payment_intent", identifier)
                if intent is not None:
                    break
            else:
                raise ControlRefusal(f"There is no payment intent {identifier}.")
            now = int(self._books.clock())
            call = Call(self._books, scope, "POST", request.path, (), {}, now, API_VERSION)
            try:
                complete_authentication(call, intent, succeeded=succeeds)
            except StripeError as error:
                raise ControlRefusal(str(error)) from None
        return web.json_response(intent.body)

    async def reset(self, _request: web.Request) -> web.Response:
        """POST /_sandbox/reset: empty books, no faults, no lag, duplicates known."""
        self._faults.clear()
        self._reports.lag, self._reports.knows_duplicates = 0.0, True
        self._books.empty()
        return web.json_response({"reset": True})


def _kind(value: object) -> FaultKind:
    try:
        return FaultKind(value)
    except ValueError:
        kinds = ", ".join(kind.value for kind in FaultKind)
        raise ControlRefusal(f'Give "kind" as one of {kinds}.') from None


def _seconds(value: object, kind: FaultKind) -> float:
    return 0.0 if value is None and kind not in DELAYING else seconds_of(value, "seconds")


def _times(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= TIMES_MAX:
        raise ControlRefusal(f'Give "times" as a whole number from 1 to {TIMES_MAX}.')
    return value
