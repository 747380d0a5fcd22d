"""Serves Stripe's HTTP protocol: reads a request, applies at most one fault, writes the response.

`api` decides what a request does; this module never touches money.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass, replace
from typing import Final

from aiohttp import web

from sandbox.books import Books, Scope
from sandbox.faults import Fault, FaultKind, Faults, reset_connection, send_half
from sandbox.stripe import api, errors
from sandbox.stripe.api import InjectedFailure, Outcome
from sandbox.stripe.calls import Call, Endpoint
from sandbox.stripe.errors import StripeError
from sandbox.stripe.forms import BODY_BYTES_MAX, Form, decode
from sandbox.stripe.keys import authenticate, read_publishable_key
from sandbox.stripe.resources import generate_id

_logger = logging.getLogger("sandbox")

_VERSION: Final = re.compile(r"\d{4}-\d{2}-\d{2}(\.[a-z]+)?(; ?[a-z_]+=v\d+)*")
_FORM_TYPE: Final = "application/x-www-form-urlencoded"
_CORS: Final = {
    # As api.stripe.com sends them, for the cardholder's browser.
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, PUT, PATCH, POST, DELETE",
    "Access-Control-Expose-Headers": "Request-Id, Stripe-Manage-Version, Stripe-Should-Retry",
    "Access-Control-Max-Age": "300",
}
_INJECTED: Final = {
    FaultKind.ERROR_500: InjectedFailure.BEFORE_EFFECT,
    FaultKind.ERROR_500_AFTER: InjectedFailure.AFTER_EFFECT,
}


@dataclass
class _Exchange:
    """What is known so far of one request and its response."""

    request_id: str
    scope: Scope | None = None
    version: str = api.API_VERSION
    idempotency_key: str | None = None
    fault: Fault | None = None
    is_browser: bool = False
    """Whether it has a publishable key."""

    def has_fault(self, kind: FaultKind) -> bool:
        """Return whether a fault of this kind applies."""
        return self.fault is not None and self.fault.kind is kind


class StripeServer:
    """Serves every path that is neither a control endpoint nor Authorize.Net's."""

    def __init__(self, books: Books, faults: Faults) -> None:
        self._books = books
        self._faults = faults
        self._keys_in_flight: set[tuple[Scope, str]] = set()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Return the response in Stripe's shape, or reset the connection if a fault says so."""
        if request.method == "OPTIONS":
            asked = request.headers.get("Access-Control-Request-Headers", "")
            return web.Response(headers=_CORS | {"Access-Control-Allow-Headers": asked})
        exchange = _Exchange(generate_id("req"))
        try:
            outcome = await self._handle(request, exchange)
        except StripeError as error:
            outcome = Outcome(error.response)
        except Exception:
            _logger.exception(
                "request failed", extra={"method": request.method, "path": request.path}
            )
            outcome = Outcome(errors.server_fault())
        if exchange.fault is not None and exchange.has_fault(FaultKind.DELAY_AFTER):
            await self._faults.delay(exchange.fault.seconds)
        if outcome is None or exchange.has_fault(FaultKind.RESET_AFTER):
            return reset_connection(request)
        response = _build_response(outcome, exchange)
        if exchange.has_fault(FaultKind.CUT_BODY):
            return await send_half(request, response)
        return response

    async def _handle(self, request: web.Request, exchange: _Exchange) -> Outcome | None:
        """Return the outcome, or None if the connection is reset before any effect."""
        endpoint, ids = api.find_endpoint(request.method, request.path)
        authorization = request.headers.get("Authorization")
        browser = read_publishable_key(authorization) if endpoint in api.PUBLISHABLE else None
        exchange.is_browser = browser is not None
        scope = exchange.scope = browser or authenticate(
            authorization, request.headers.get("Stripe-Account"), self._books.find_key
        )
        exchange.version = _read_version(request)
        form = await _read_form(request)
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
        if exchange.is_browser:
            call = api.as_browser(call)
            scope = exchange.scope = call.scope
        key = exchange.idempotency_key = _read_idempotency_key(request)
        if key is None:
            return await self._apply_fault(call, endpoint, exchange)
        if (scope, key) in self._keys_in_flight:
            raise errors.key_in_use(key)
        self._keys_in_flight.add((scope, key))
        try:
            return await self._apply_fault(call, endpoint, exchange)
        finally:
            self._keys_in_flight.remove((scope, key))

    async def _apply_fault(
        self, call: Call, endpoint: Endpoint, exchange: _Exchange
    ) -> Outcome | None:
        """Execute the call as its fault says: late, twice, failing, or not at all (None)."""
        fault = exchange.fault = self._faults.take(call.method, call.path, call.scope.account)
        if fault is None:
            return _execute(call, endpoint, exchange)
        match fault.kind:
            case FaultKind.DELAY:
                await self._faults.delay(fault.seconds)
            case FaultKind.RESET_BEFORE:
                return None
            case FaultKind.RATE_LIMIT:
                raise errors.rate_limited()
            case FaultKind.LATE_LANDING:
                self._faults.execute_late(
                    fault.seconds, lambda: self._execute_late(call, endpoint, exchange)
                )
                return None
            case FaultKind.DUPLICATE:
                _execute(call, endpoint, exchange)
            case FaultKind.LISTING_LAG:
                call = replace(call, lag_seconds=fault.seconds)
        return _execute(call, endpoint, exchange, _INJECTED.get(fault.kind))

    def _execute_late(self, call: Call, endpoint: Endpoint, exchange: _Exchange) -> None:
        try:
            _execute(replace(call, now=int(self._books.clock())), endpoint, exchange)
        except StripeError as error:
            _logger.info("late request refused", extra={"reason": str(error)})


def _execute(
    call: Call, endpoint: Endpoint, exchange: _Exchange, injected: InjectedFailure | None = None
) -> Outcome:
    return api.execute(
        call,
        endpoint,
        exchange.request_id,
        idempotency_key=exchange.idempotency_key,
        injected=injected,
    )


def _read_version(request: web.Request) -> str:
    version = request.headers.get("Stripe-Version", api.API_VERSION)
    if not _VERSION.fullmatch(version):
        raise errors.invalid_request(f"Invalid Stripe API version: {version[:64]}")
    return version


def _read_idempotency_key(request: web.Request) -> str | None:
    """Return the key of a POST; Stripe ignores it on other methods."""
    key = request.headers.get("Idempotency-Key")
    if not key or request.method != "POST":
        return None
    if len(key) > api.IDEMPOTENCY_KEY_CHARACTERS_MAX or not key.isprintable():
        raise errors.invalid_request(
            "Idempotency keys are at most "
            f"{api.IDEMPOTENCY_KEY_CHARACTERS_MAX} printable characters long."
        )
    return key


async def _read_form(request: web.Request) -> Form:
    """Return the parameters of the URL and, for a POST, of the body."""
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
    if body and request.content_type != _FORM_TYPE:
        raise errors.invalid_request(
            f"Invalid request (check that your POST content type is {_FORM_TYPE})."
        )
    return decode(b"&".join(part for part in (query, body) if part))


def _build_response(outcome: Outcome, exchange: _Exchange) -> web.Response:
    response = outcome.response
    if exchange.is_browser:
        response = api.shown_to_browser(response)
    if exchange.scope is not None and "request_log_url" not in response.body.get("error", {}):
        response = api.add_log_url(response, exchange.scope, exchange.request_id)
    headers = {"Request-Id": exchange.request_id, "Stripe-Version": exchange.version, **_CORS}
    if exchange.idempotency_key is not None:
        headers["Idempotency-Key"] = exchange.idempotency_key
    if outcome.original_request is not None:
        headers["Idempotent-Replayed"] = "true"
        headers["Original-Request"] = outcome.original_request
    return web.Response(
        status=response.status,
        body=json.dumps(response.body).encode(),
        content_type="application/json",
        headers=headers,
    )
