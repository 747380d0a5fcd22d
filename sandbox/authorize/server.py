"""Serves Authorize.Net's one path: reads a request, applies at most one fault, writes the response.

`api` decides what a request does; this module never touches money.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field, replace
from typing import Final

from aiohttp import web

from sandbox.authorize import api
from sandbox.authorize.calls import AnswerFormat, Call, authenticate
from sandbox.authorize.nonces import Nonces
from sandbox.authorize.xml import ApiError, read
from sandbox.books import Books
from sandbox.faults import Fault, FaultKind, Faults, reset_connection, send_half

_logger = logging.getLogger("sandbox")

_ERROR_PAGE: Final = (
    "<html><head><title>Runtime Error</title></head><body>Server Error</body></html>"
)
_CORS: Final = {
    # For the cardholder's browser, which has Accept.js ask for a nonce.
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, OPTIONS",
    "Access-Control-Allow-Headers": "Content-Type",
}
_RATE_LIMIT_PAGE: Final = "<html><head><title>Too Many Requests</title></head><body></body></html>"


@dataclass
class AuthorizeSettings:
    """What the control endpoints `reports`, `duplicates` and `answers` change."""

    lag_seconds: float = 0.0
    """Lists show no transaction younger than this."""
    detects_duplicates: bool = True
    """False as if the card was renewed between two requests, which makes them differ."""
    answer_formats: dict[str, AnswerFormat] = field(default_factory=dict)
    """By account."""

    def reset(self) -> None:
        """Restore what holds at the start."""
        self.lag_seconds, self.detects_duplicates = 0.0, True
        self.answer_formats.clear()


class AuthorizeServer:
    """Serves `api.PATH`."""

    def __init__(self, books: Books, faults: Faults, settings: AuthorizeSettings) -> None:
        self._books = books
        self._faults = faults
        self._settings = settings
        self._nonces = Nonces(books.clock)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Return an XML response, or HTML for a wrong method, a rate limit or a server error."""
        if request.method == "OPTIONS":
            return web.Response(status=204, headers=_CORS)
        if request.method != "POST":
            return _html(405, _ERROR_PAGE)
        try:
            body = await request.read()
        except (web.HTTPRequestEntityTooLarge, web.RequestPayloadError):
            return _xml(api.build_error(ApiError("E00003", "The request is too long or cut.")))
        if request.content_type == "application/json":
            text = json.dumps(self._nonces.answer(body))
            return web.Response(
                body=b"\xef\xbb\xbf" + text.encode(),
                content_type="application/json",
                charset="utf-8",
                headers=_CORS,
            )
        try:
            call = self._read_call(body)
        except ApiError as error:
            return _xml(api.build_error(error))
        fault = self._faults.take(
            request.method, request.path, call.scope.account, call.request.name
        )
        try:
            return await self._apply_fault(request, call, fault)
        except Exception:
            _logger.exception("request failed", extra={"request": call.request.name})
            return _html(500, _ERROR_PAGE)

    def _read_call(self, body: bytes) -> Call:
        request = read(body, api.REQUESTS)
        scope = authenticate(request, self._books)
        return Call(
            self._books,
            scope,
            request,
            self._books.clock(),
            self._settings.lag_seconds,
            self._settings.detects_duplicates,
            self._settings.answer_formats.get(scope.account, AnswerFormat()),
            self._nonces.take,
        )

    async def _apply_fault(
        self, request: web.Request, call: Call, fault: Fault | None
    ) -> web.StreamResponse:
        """Execute the call as its fault says: late, twice, failing, or not at all."""
        if fault is None:
            return _xml(self._execute(call))
        match fault.kind:
            case FaultKind.DELAY:
                await self._faults.delay(fault.seconds)
            case FaultKind.RESET_BEFORE:
                return reset_connection(request)
            case FaultKind.LATE_LANDING:
                self._faults.execute_late(fault.seconds, lambda: self._execute(call))
                return reset_connection(request)
            case FaultKind.RATE_LIMIT:
                return _html(429, _RATE_LIMIT_PAGE)
            case FaultKind.ERROR_500:
                return _html(500, _ERROR_PAGE)
            case FaultKind.DUPLICATE:
                self._execute(call)
            case FaultKind.LISTING_LAG:
                call = replace(call, lag_seconds=fault.seconds)
        return await self._finish(request, _xml(self._execute(call)), fault)

    async def _finish(
        self, request: web.Request, response: web.Response, fault: Fault
    ) -> web.StreamResponse:
        """Return the response as far as the fault lets it through, after the effect."""
        match fault.kind:
            case FaultKind.DELAY_AFTER:
                await self._faults.delay(fault.seconds)
            case FaultKind.RESET_AFTER:
                return reset_connection(request)
            case FaultKind.ERROR_500_AFTER:
                return _html(500, _ERROR_PAGE)
            case FaultKind.CUT_BODY:
                return await send_half(request, response)
        return response

    def _execute(self, call: Call) -> bytes:
        return api.execute(replace(call, now=self._books.clock()))


def _xml(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/xml", charset="utf-8")


def _html(status: int, page: str) -> web.Response:
    return web.Response(status=status, text=page, content_type="text/html")
