"""The sandbox as an aiohttp application; Stripe's protocol on the wire, and what goes wrong there.

Reads a request, meets it with at most one ordered fault, and writes the answer, or half of it, or
none. What a request means is decided in `stripe_api`; this file never touches money.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from dataclasses import dataclass, replace
from typing import Final

from aiohttp import web

from sandbox import broken_wire
from sandbox.authorize import api as authorize_api
from sandbox.authorize.server import AuthorizeServer, Reports
from sandbox.books import Books
from sandbox.control import add_control_routes
from sandbox.faults import Fault, FaultKind, Faults
from sandbox.stripe import api as stripe_api
from sandbox.stripe import errors
from sandbox.stripe.api import Injected, Outcome
from sandbox.stripe.calls import Call, Endpoint
from sandbox.stripe.errors import Answer, StripeError
from sandbox.stripe.forms import BODY_BYTES_MAX, Form, decode
from sandbox.stripe.keys import Scope, authenticate
from sandbox.stripe.resources import new_id
from sandbox.webhooks import Webhooks

_logger = logging.getLogger("sandbox")

_VERSION: Final = re.compile(r"\d{4}-\d{2}-\d{2}(\.[a-z]+)?(; ?[a-z_]+=v\d+)*")
_FORM: Final = "application/x-www-form-urlencoded"
_INJECTED: Final = {
    FaultKind.ERROR_500: Injected.FAILS_BEFORE_EFFECT,
    FaultKind.ERROR_500_AFTER: Injected.FAILS_AFTER_EFFECT,
}


def build_app(books: Books) -> web.Application:
    """The application over these books, with no faults ordered yet."""
    app = web.Application(client_max_size=BODY_BYTES_MAX)
    faults, reports, webhooks = Faults(), Reports(), Webhooks(books)
    add_control_routes(app, books, faults, reports, webhooks)

    async def stop_sending(_app: web.Application) -> None:
        await webhooks.close()

    app.on_cleanup.append(stop_sending)
    authorize = AuthorizeServer(books, faults, reports)
    app.router.add_route("*", authorize_api.PATH, authorize.serve)
    stripe = StripeServer(books, faults)
    app.router.add_route("*", "/{path:.*}", stripe.serve)
    return app


@dataclass
class _Exchange:
    """One request and answer, as far as it has come; the fault that it meets, if any."""

    request_id: str
    scope: Scope | None = None
    version: str = stripe_api.API_VERSION
    idempotency_key: str | None = None
    fault: Fault | None = None

    def meets(self, kind: FaultKind) -> bool:
        """Whether this kind of fault struck."""
        return self.fault is not None and self.fault.kind is kind


class StripeServer:
    """Serves every path that is not the sandbox's own."""

    def __init__(self, books: Books, faults: Faults) -> None:
        self._books = books
        self._faults = faults
        self._keys_in_use: set[tuple[Scope, str]] = set()
        self._landing: set[asyncio.Task[None]] = set()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answers one request; whatever happens, in Stripe's shape."""
        exchange = _Exchange(new_id("req"))
        try:
            outcome = await self._answer(request, exchange)
        except StripeError as error:
            outcome = Outcome(error.answer)
        except Exception:
            _logger.exception("%s %s failed in the sandbox", request.method, request.path)
            outcome = Outcome(errors.server_fault())
        if exchange.fault is not None and exchange.meets(FaultKind.DELAY_AFTER):
            await self._faults.hold(exchange.fault.seconds)
        if outcome is None or exchange.meets(FaultKind.RESET_AFTER):
            return broken_wire.reset(request)
        response = _response(outcome, exchange)
        if exchange.meets(FaultKind.CUT_BODY):
            return await broken_wire.cut(request, response)
        return response

    async def _answer(self, request: web.Request, exchange: _Exchange) -> Outcome | None:
        """The outcome, or None where the connection is reset with nothing done."""
        endpoint, ids = stripe_api.find_endpoint(request.method, request.path)
        scope = authenticate(
            request.headers.get("Authorization"),
            request.headers.get("Stripe-Account"),
            self._books.find_key,
        )
        exchange.scope = scope
        exchange.version = _version(request)
        form = await _form(request)
        call = Call(
            self._books,
            scope,
            request.method,
            request.path,
            ids,
            form,
            int(self._books.clock()),
            exchange.version,
        )
        key = exchange.idempotency_key = _idempotency_key(request)
        if key is None:
            return await self._carry_out(call, endpoint, exchange)
        if (scope, key) in self._keys_in_use:
            raise errors.key_in_use(key)
        self._keys_in_use.add((scope, key))
        try:
            return await self._carry_out(call, endpoint, exchange)
        finally:
            self._keys_in_use.remove((scope, key))

    async def _carry_out(
        self, call: Call, endpoint: Endpoint, exchange: _Exchange
    ) -> Outcome | None:
        fault = exchange.fault = self._faults.strike(call.method, call.path, call.scope.account)
        injected = None
        if fault is not None:
            injected = _INJECTED.get(fault.kind)
            if fault.kind is FaultKind.DELAY:
                await self._faults.hold(fault.seconds)
            elif fault.kind is FaultKind.RESET_BEFORE:
                return None
            elif fault.kind is FaultKind.RATE_LIMIT:
                raise errors.rate_limited()
            elif fault.kind is FaultKind.LATE_LANDING:
                self._land_late(call, endpoint, exchange, fault.seconds)
                return None
            elif fault.kind is FaultKind.DUPLICATE:
                self._deliver(call, endpoint, exchange)
            elif fault.kind is FaultKind.LISTING_LAG:
                call = replace(call, lag_seconds=fault.seconds)
        return self._deliver(call, endpoint, exchange, injected)

    def _deliver(
        self,
        call: Call,
        endpoint: Endpoint,
        exchange: _Exchange,
        injected: Injected | None = None,
    ) -> Outcome:
        return stripe_api.carry_out(
            call,
            endpoint,
            exchange.request_id,
            idempotency_key=exchange.idempotency_key,
            injected=injected,
        )

    def _land_late(
        self, call: Call, endpoint: Endpoint, exchange: _Exchange, seconds: float
    ) -> None:
        """Carries the request out after its connection was reset, as one stuck on its way."""

        async def land() -> None:
            await self._faults.hold(seconds)
            arrived = replace(call, now=int(self._books.clock()))
            try:
                self._deliver(arrived, endpoint, exchange)
            except StripeError as error:
                _logger.info("a late request was refused: %s", error)

        landing = asyncio.ensure_future(land())
        self._landing.add(landing)
        landing.add_done_callback(self._landing.discard)


def _version(request: web.Request) -> str:
    version = request.headers.get("Stripe-Version", stripe_api.API_VERSION)
    if not _VERSION.fullmatch(version):
        raise errors.invalid_request(f"Invalid Stripe API version: {version[:64]}")
    return version


def _idempotency_key(request: web.Request) -> str | None:
    """The key, where it counts: Stripe ignores it on anything but POST."""
    key = request.headers.get("Idempotency-Key")
    if not key or request.method != "POST":
        return None
    if len(key) > stripe_api.IDEMPOTENCY_KEY_CHARACTERS_MAX or not key.isprintable():
        raise errors.invalid_request(
            "Idempotency keys are at most "
            f"{stripe_api.IDEMPOTENCY_KEY_CHARACTERS_MAX} printable characters long."
        )
    return key


async def _form(request: web.Request) -> Form:
    """The parameters: a POST's from its body, any other's from the URL."""
    query = request.rel_url.raw_query_string.encode()
    if request.method != "POST":
        return decode(query)
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise errors.invalid_request(
            f"Request body is too large: at most {BODY_BYTES_MAX} bytes are read.", status=413
        ) from None
    except web.RequestPayloadError:
        raise errors.invalid_request("Invalid request: its body does not arrive whole.") from None
    if body and request.content_type != _FORM:
        raise errors.invalid_request(
            f"Invalid request (check that your POST content type is {_FORM})."
        )
    return decode(b"&".join(part for part in (query, body) if part))


def _response(outcome: Outcome, exchange: _Exchange) -> web.Response:
    answer: Answer = outcome.answer
    if exchange.scope is not None and "request_log_url" not in answer.body.get("error", {}):
        answer = stripe_api.logged(answer, exchange.scope, exchange.request_id)
    headers = {"Request-Id": exchange.request_id, "Stripe-Version": exchange.version}
    if exchange.idempotency_key is not None:
        headers["Idempotency-Key"] = exchange.idempotency_key
    if outcome.original_request is not None:
        headers["Idempotent-Replayed"] = "true"
        headers["Original-Request"] = outcome.original_request
    return web.Response(
        status=answer.status,
        body=json.dumps(answer.body).encode(),
        content_type="application/json",
        headers=headers,
    )
