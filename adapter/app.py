"""Handles every request: finds what serves its path, gives it an id, and logs one line."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
import traceback
from base64 import b32encode
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from http import HTTPMethod, HTTPStatus
from typing import TYPE_CHECKING, TypeAlias

from aiohttp import hdrs, web

from adapter import plain_http
from adapter.endpoint import Endpoint
from adapter.metrics import OTHER, AdapterMetrics
from adapter.plain_http import is_trusted
from adapter.responses import (
    ERROR_CODE_HEADER,
    REQUEST_ID_HEADER,
    Response,
    json_response,
    method_not_allowed,
    set_common_headers,
)
from adapter.settings import AdapterSettings
from adapter.webhooks import GATEWAYS, Webhooks
from portal.pages.documents import Document, prefers_html
from portal.pages.routes import answered_pages, documents, with_slash
from rpc import tracing
from rpc.client import CoreClient
from rpc.metadata import client_address, request_id
from rpc.request_log import log_request
from transcoding import json_responses
from transcoding.actions import ACTIONS_PATH, build_catalogue
from transcoding.field_problems import did_you_mean
from transcoding.json_responses import JsonResponse

if TYPE_CHECKING:  # slow to import, and off by default
    from rpc.otel import Span

logger = logging.getLogger("adapter")

READINESS_TIMEOUT_SECONDS = 2.0
CLIENT_DISCONNECTED = 499
"""The logged status if the client disconnected before the response, as in nginx."""

LogFields: TypeAlias = dict[str, str]
"""Fields of the request's log line: `address`, and `action` and `business_id` of its handler."""
Handler: TypeAlias = Callable[[web.BaseRequest, LogFields], Awaitable[Response]]
Handlers: TypeAlias = Mapping[str, Handler]
"""The handlers of a path by their methods."""

_NO_PATH = "Nothing is served at this path"
_READS = frozenset({HTTPMethod.GET, HTTPMethod.HEAD})
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_WEBHOOK = re.compile(rf"/webhooks/({'|'.join(GATEWAYS)})/([^{{}}/]+)/?")
"""Paths of webhooks: gateway and business."""
_BASE_32 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_TO_CROCKFORD = bytes.maketrans(_BASE_32, b"0123456789ABCDEFGHJKMNPQRSTVWXYZ")


class App:
    """The adapter's one handler of HTTP requests, for `aiohttp.web.Server`."""

    def __init__(
        self, core: CoreClient, settings: AdapterSettings, stopping: asyncio.Event
    ) -> None:
        """Serve the JSON endpoint of a core, webhooks, health and pages.

        After `stopping` is set it still responds, is not ready, and closes each connection. The
        caller closes `core`.

        Raises:
            SchemaError: a message has no JSON form.
            FileNotFoundError: `make generate` has not written the schema's comments.
        """
        self._core = core
        self._stopping = stopping
        self._catalogue = build_catalogue()
        self._endpoint = Endpoint(core, self._catalogue, settings)
        self.metrics = AdapterMetrics(lambda: self._endpoint.in_flight)
        self._webhooks = Webhooks(core, settings)
        self._is_tls = settings.tls is not None
        self._trusted = settings.trusted_proxies if settings.tls is None else ()
        self._handlers: dict[str, Handlers] = {"/": {HTTPMethod.POST: self._post}}
        for name in self._catalogue:
            handlers: Handlers = {HTTPMethod.POST: partial(self._post, action=name)}
            for path in with_slash(ACTIONS_PATH + name):
                # Clients put paths after a base URL, which is often typed with a slash at its end.
                self._handlers[path] = self._handlers[f"/{path}"] = handlers
        for path in with_slash("/healthz"):
            self._handlers[path] = _get_and_head(self._alive)
        for path in with_slash("/readyz"):
            self._handlers[path] = _get_and_head(self._ready)
        for path in with_slash("/status"):
            self._handlers[path] = _get_and_head(self._status)
        for path, document in documents().items():
            self._handlers[path] = _get_and_head(partial(_show, document))
        self._pages = answered_pages()

    async def handle(self, request: web.BaseRequest) -> Response:
        """Return the response to a request, with its id and the common headers."""
        started = time.perf_counter()
        given = request.headers.get(REQUEST_ID_HEADER, "")
        identity = given if _REQUEST_ID.fullmatch(given) else new_request_id()
        request_id.set(identity)  # aiohttp runs each request in a task, so in its own context
        address = self._address(request)
        client_address.set(address or "")
        fields: LogFields = {}
        if address is not None:
            fields["address"] = address
        span = tracing.begin(
            OTHER, is_server=True, traceparent=request.headers.get(tracing.TRACEPARENT)
        )
        try:
            response = await self._respond(request, fields)
        except asyncio.CancelledError:
            self._record(CLIENT_DISCONNECTED, request, fields, started, span)
            raise
        except Exception as error:  # noqa: BLE001 - every bug becomes the documented 500
            log_exception(error)
            response = json_response(json_responses.internal_error(identity))
            response = self._for_browser(request, response)
        set_common_headers(response, identity, secure=request.secure)
        if self._stopping.is_set() or _withholds_body(request):
            response.force_close()
        self._record(response.status, request, fields, started, span)
        return response

    def _record(
        self,
        status: int,
        request: web.BaseRequest,
        fields: LogFields,
        started: float,
        span: Span | None,
    ) -> None:
        seconds = time.perf_counter() - started
        self.metrics.record_request(fields.get("action"), status, seconds)
        if span is not None:
            action = fields.get("action", OTHER)
            business_id = fields.get("business_id")
            is_error = status >= HTTPStatus.INTERNAL_SERVER_ERROR
            span.end(is_error=is_error, name=action, status=status, business_id=business_id)
        _log(status, request, fields, seconds)

    def _address(self, request: web.BaseRequest) -> str | None:
        # Plain HTTP comes from this machine or a proxy, as App and check_may_listen see to.
        return request.remote if self._is_tls else plain_http.client_address(request)

    async def _respond(self, request: web.BaseRequest, fields: LogFields) -> Response:
        if self._trusted and not is_trusted(request.remote, self._trusted):
            response = self._for_browser(request, json_response(json_responses.PROXY_ONLY))
            response.force_close()
            return response
        path = request.rel_url.path_safe
        handlers = self._find(path)
        if handlers is None:
            unknown = json_responses.error_response(
                "UNKNOWN_PATH", _NO_PATH + self._did_you_mean(path)
            )
            return self._for_browser(request, json_response(unknown))
        handler = handlers.get(request.method)
        if handler is not None:
            return await handler(request, fields)
        return self._for_browser(request, method_not_allowed(*handlers))

    def _for_browser(self, request: web.BaseRequest, error: Response) -> Response:
        """Return the error as a page if a browser asks for one: at `/` the home page."""
        if request.method not in _READS or not prefers_html(request):
            return error
        document = self._pages.errors[error.status]
        if request.path == "/" and error.status == HTTPStatus.METHOD_NOT_ALLOWED:
            document = self._pages.home
        shown = Response(*document.respond_as(request, error.status))
        for name in (hdrs.ALLOW, ERROR_CODE_HEADER):
            if name in error.headers:
                shown.headers[name] = error.headers[name]
        return shown

    def _find(self, path: str) -> Handlers | None:
        """Return what serves a path, which is decoded but for %2F and %25."""
        handlers = self._handlers.get(path)
        if handlers is None and (found := _WEBHOOK.fullmatch(path)):
            gateway, business_id = found[1], found[2].replace("%2F", "/").replace("%25", "%")
            return {HTTPMethod.POST: partial(self._webhook, gateway, business_id)}
        return handlers

    def _did_you_mean(self, path: str) -> str:
        """Return the name of an action that resembles that of a path, as a question, or nothing."""
        if not path.startswith(ACTIONS_PATH):
            return ""
        return did_you_mean(path.removeprefix(ACTIONS_PATH).rstrip("/"), self._catalogue)

    async def _post(
        self, request: web.BaseRequest, fields: LogFields, action: str | None = None
    ) -> Response:
        return json_response(await self._endpoint.handle(request, fields, action))

    async def _webhook(
        self, gateway: str, business_id: str, request: web.BaseRequest, fields: LogFields
    ) -> Response:
        fields["action"] = f"{gateway} webhook"
        address = fields.get("address")
        response = await self._webhooks.handle(request, gateway, business_id, address)
        self.metrics.record_webhook(gateway, response.status)
        return json_response(response)

    async def is_ready(self) -> bool:
        """Return whether this process is not stopping, and its core and database answer."""
        return not self._stopping.is_set() and await self._core.is_ready(
            timeout_seconds=READINESS_TIMEOUT_SECONDS
        )

    async def _alive(self, _request: web.BaseRequest, _fields: LogFields) -> Response:
        return json_response(JsonResponse(200, '{"status":"alive"}'))

    async def _ready(self, _request: web.BaseRequest, _fields: LogFields) -> Response:
        if await self.is_ready():
            return json_response(JsonResponse(200, '{"status":"ready"}'))
        return json_response(JsonResponse(503, '{"status":"not ready"}', retry_after_seconds=1))

    async def _status(self, request: web.BaseRequest, _fields: LogFields) -> Response:
        """Return what this process knows, with 200 also if the core is not ready: see `/readyz`."""
        is_ready = await self.is_ready()
        if prefers_html(request):
            return Response(*self._pages.status[is_ready].respond_as(request, HTTPStatus.OK))
        core = "ready" if is_ready else "not ready"
        response = json_response(JsonResponse(200, f'{{"adapter":"ready","core":"{core}"}}'))
        response.headers[hdrs.VARY] = hdrs.ACCEPT
        return response


def _get_and_head(handler: Handler) -> Handlers:
    return {HTTPMethod.GET: handler, HTTPMethod.HEAD: handler}


async def _show(document: Document, request: web.BaseRequest, _fields: LogFields) -> Response:
    return Response(*document.respond(request))


def new_request_id() -> str:
    """Return a ULID: 48 bits of milliseconds and 80 random bits, in Crockford's base 32.

    The package `ulid` takes twice as long.
    """
    milliseconds = time.time_ns() // 1_000_000
    padded = bytes(4) + milliseconds.to_bytes(6) + os.urandom(10)
    return b32encode(padded)[6:].translate(_TO_CROCKFORD).decode()


def log_exception(error: BaseException) -> None:
    """Log an unexpected exception without its message, which may contain a secret."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    logger.error(
        "unexpected exception",
        extra={"exception": type(error).__qualname__, "traceback": frames},
    )


def _log(status: int, request: web.BaseRequest, fields: LogFields, seconds: float) -> None:
    log_request(
        logger,
        logging.INFO,
        "request completed",
        {
            "method": request.method,
            "status": status,
            "milliseconds": round(seconds * 1000, 3),
            "action": fields.get("action"),
            "business_id": fields.get("business_id"),
            "address": fields.get("address"),
        },
    )


def _withholds_body(request: web.BaseRequest) -> bool:
    """Return whether a client that waits for `100 Continue` has not sent its whole body.

    After a final response it may send the rest or not (RFC 9110, section 10.1.1), so the next bytes
    of the connection could be either body or request.
    """
    return hdrs.EXPECT in request.headers and not request.content.is_eof()
