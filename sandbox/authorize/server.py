"""Serves Authorize.Net's one path, and what goes wrong there.

Reads a request, meets it with at most one ordered fault, and writes the answer, or half of it, or
none. What a request means is decided in `authorize_api`.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import Final

from aiohttp import web

from sandbox import broken_wire
from sandbox.authorize import api
from sandbox.authorize.calls import Call, authenticate
from sandbox.authorize.xml import ApiError, read
from sandbox.books import Books
from sandbox.faults import Fault, FaultKind, Faults

_logger = logging.getLogger("sandbox")

_FAILED: Final = "<html><head><title>Runtime Error</title></head><body>Server Error</body></html>"
_BUSY: Final = "<html><head><title>Too Many Requests</title></head><body></body></html>"


@dataclass
class Reports:
    """How lists and the check for duplicates behave, as set under `/_sandbox/authorize/`."""

    lag: float = 0.0
    """The lists show nothing younger than so many seconds."""
    knows_duplicates: bool = True
    """False as for a card that is renewed between two requests, which is another one then."""


class AuthorizeServer:
    """Serves `api.PATH`."""

    def __init__(self, books: Books, faults: Faults, reports: Reports) -> None:
        self._books = books
        self._faults = faults
        self._reports = reports
        self._landing: set[asyncio.Task[None]] = set()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answers one request; as XML, unless a fault or a wrong method leaves only HTML."""
        if request.method != "POST":
            return web.Response(status=405, text=_FAILED, content_type="text/html")
        try:
            body = await request.read()
        except (web.HTTPRequestEntityTooLarge, web.RequestPayloadError):
            return _xml(api.refused(ApiError("E00003", "The request is too long or cut.")))
        try:
            call = self._call(body)
        except ApiError as error:
            return _xml(api.refused(error))
        fault = self._faults.strike(
            request.method, request.path, call.scope.account, call.request.name
        )
        try:
            return await self._answer(request, call, fault)
        except Exception:
            _logger.exception("%s failed in the sandbox", call.request.name)
            return web.Response(status=500, text=_FAILED, content_type="text/html")

    def _call(self, body: bytes) -> Call:
        request = read(body, api.REQUESTS)
        scope = authenticate(request, self._books)
        return Call(
            self._books,
            scope,
            request,
            self._books.clock(),
            self._reports.lag,
            self._reports.knows_duplicates,
        )

    async def _answer(
        self, request: web.Request, call: Call, fault: Fault | None
    ) -> web.StreamResponse:
        kind = fault.kind if fault is not None else None
        if fault is not None and kind is FaultKind.DELAY:
            await self._faults.hold(fault.seconds)
        if fault is not None and kind is FaultKind.LATE_LANDING:
            self._land_late(call, fault.seconds)
        if kind in (FaultKind.RESET_BEFORE, FaultKind.LATE_LANDING):
            return broken_wire.reset(request)
        if kind is FaultKind.RATE_LIMIT:
            return web.Response(status=429, text=_BUSY, content_type="text/html")
        if kind is FaultKind.ERROR_500:
            return web.Response(status=500, text=_FAILED, content_type="text/html")
        if fault is not None and kind is FaultKind.LISTING_LAG:
            call = replace(call, lag=fault.seconds)
        if kind is FaultKind.DUPLICATE:
            api.carry_out(replace(call, now=self._books.clock()))
        response = _xml(api.carry_out(replace(call, now=self._books.clock())))
        if fault is not None and kind is FaultKind.DELAY_AFTER:
            await self._faults.hold(fault.seconds)
        return await self._written(request, response, kind)

    async def _written(
        self, request: web.Request, response: web.Response, kind: FaultKind | None
    ) -> web.StreamResponse:
        """The answer to what was carried out, as far as the fault lets it come."""
        if kind is FaultKind.RESET_AFTER:
            return broken_wire.reset(request)
        if kind is FaultKind.ERROR_500_AFTER:
            return web.Response(status=500, text=_FAILED, content_type="text/html")
        if kind is FaultKind.CUT_BODY:
            return await broken_wire.cut(request, response)
        return response

    def _land_late(self, call: Call, seconds: float) -> None:
        """Carries the request out after its connection was reset, as one stuck on its way."""

        async def land() -> None:
            await self._faults.hold(seconds)
            api.carry_out(replace(call, now=self._books.clock()))

        landing = asyncio.ensure_future(land())
        self._landing.add(landing)
        landing.add_done_callback(self._landing.discard)


def _xml(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/xml", charset="utf-8")
