"""Builds the web application: routes, request ids, the log line, and errors as JSON."""

import asyncio
import logging
import re
import time
import traceback
from collections.abc import Sequence
from functools import partial

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware
from ulid import ULID

from adapter.endpoint import Endpoint
from adapter.plain_http import Network, is_trusted
from adapter.settings import AdapterSettings
from adapter.tls import HSTS
from adapter.webhooks import GATEWAYS, MAX_WEBHOOK_BYTES, Webhooks
from portal.pages.routes import add_pages, with_slash
from rpc.client import CoreClient
from rpc.metadata import request_id
from transcoding import json_responses
from transcoding.actions import build_catalogue
from transcoding.envelope import MAX_BODY_BYTES
from transcoding.json_responses import JsonResponse

logger = logging.getLogger("adapter")

REQUEST_ID_HEADER = "X-Request-Id"
REPLAYED_HEADER = "Idempotency-Replayed"
ERROR_CODE_HEADER = "X-Error-Code"
SERVER = "Nivisco"
"""The Server header, without versions."""
READINESS_TIMEOUT_SECONDS = 2.0
LOG_FIELDS: web.RequestKey[dict[str, str]] = web.RequestKey("log_fields", dict[str, str])
"""Fields of the request's log line that the handler sets: `action`, `business_id`."""
STOPPING = web.AppKey("stopping", asyncio.Event)
"""Set when the process is stopping: it is not ready, and every response closes its connection."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def build_app(
    core: CoreClient, settings: AdapterSettings, stopping: asyncio.Event
) -> web.Application:
    """Return the application that serves the JSON endpoint; the caller closes `core`.

    After `stopping` is set it still responds, and closes each connection.

    Raises:
        SchemaError: a message has no JSON form.
        FileNotFoundError: `make generate` has not written the schema's comments.
    """
    endpoint = Endpoint(core, build_catalogue(), settings)

    async def post(request: web.Request) -> web.StreamResponse:
        return http_response(await endpoint.handle(request, request[LOG_FIELDS]))

    async def ready(_request: web.Request) -> web.StreamResponse:
        if not stopping.is_set() and await core.is_ready(timeout_seconds=READINESS_TIMEOUT_SECONDS):
            return http_response(JsonResponse(200, '{"status":"ready"}'))
        return http_response(JsonResponse(503, '{"status":"not ready"}', retry_after_seconds=1))

    app = web.Application(middlewares=[request_context])
    if settings.tls is None and settings.trusted_proxies:
        app.middlewares.append(_only_from(settings.trusted_proxies))
    app[STOPPING] = stopping
    app.router.add_post("/", post, expect_handler=partial(_expect_body, MAX_BODY_BYTES))
    webhooks = Webhooks(core, settings)
    for gateway in GATEWAYS:
        webhook = partial(_webhook, webhooks, gateway)
        for path in with_slash(f"/webhooks/{gateway}/{{business_id}}"):
            app.router.add_post(
                path, webhook, expect_handler=partial(_expect_body, MAX_WEBHOOK_BYTES)
            )
    for path in with_slash("/healthz"):
        app.router.add_get(path, _alive)
    for path in with_slash("/readyz"):
        app.router.add_get(path, ready)
    add_pages(app)
    return app


def http_response(content: JsonResponse) -> web.Response:
    """Return the HTTP response with this content."""
    response = web.Response(
        status=content.status,
        body=content.body.encode(),
        content_type="application/json",
        charset="utf-8",
    )
    if content.retry_after_seconds is not None:
        response.headers[hdrs.RETRY_AFTER] = str(content.retry_after_seconds)
    if content.is_replayed:
        response.headers[REPLAYED_HEADER] = "true"
    if content.error_code is not None:
        response.headers[ERROR_CODE_HEADER] = content.error_code
    if content is json_responses.REQUEST_TIMEOUT:
        response.force_close()  # RFC 9110, section 15.5.9: the rest of the request is not awaited
    return response


def _only_from(proxies: Sequence[Network]) -> Middleware:
    @web.middleware
    async def only_from_proxies(request: web.Request, handler: Handler) -> web.StreamResponse:
        if is_trusted(request.remote, proxies):
            return await handler(request)
        response = http_response(json_responses.PROXY_ONLY)
        response.force_close()
        return response

    return only_from_proxies


async def _webhook(webhooks: Webhooks, gateway: str, request: web.Request) -> web.StreamResponse:
    request[LOG_FIELDS]["action"] = f"{gateway} webhook"
    return http_response(await webhooks.handle(request, gateway))


async def _alive(_request: web.Request) -> web.StreamResponse:
    return http_response(JsonResponse(200, '{"status":"alive"}'))


CLIENT_DISCONNECTED = 499
"""The logged status if the client disconnected before the response, as in nginx."""


@web.middleware
async def request_context(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give every request its id, its response the common headers, and the log its line."""
    started = time.perf_counter()
    given = request.headers.get(REQUEST_ID_HEADER, "")
    identity = given if _REQUEST_ID.fullmatch(given) else str(ULID())
    request[LOG_FIELDS] = {}
    token = request_id.set(identity)
    try:
        response = await _call_handler(request, handler)
    except asyncio.CancelledError:
        _log(CLIENT_DISCONNECTED, request, started)
        raise
    else:
        set_common_headers(response, identity, secure=request.secure)
        if request.app[STOPPING].is_set():
            response.force_close()
        _log(response.status, request, started)
        return response
    finally:
        request_id.reset(token)


def set_common_headers(response: web.StreamResponse, identity: str, *, secure: bool) -> None:
    """Set the headers of every response; over TLS also Strict-Transport-Security."""
    response.headers[REQUEST_ID_HEADER] = identity
    response.headers[hdrs.SERVER] = SERVER
    response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
    if secure:
        response.headers["Strict-Transport-Security"] = HSTS


async def _call_handler(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as error:
        response = http_response(json_responses.METHOD_NOT_ALLOWED)
        response.headers[hdrs.ALLOW] = ", ".join(sorted(error.allowed_methods))
        return response
    except web.HTTPNotFound:
        return http_response(
            json_responses.error_response("UNKNOWN_PATH", "Nothing is served at this path")
        )
    except web.HTTPException:
        raise
    except Exception as error:  # noqa: BLE001 - every bug becomes the documented 500
        log_exception(error)
        return http_response(json_responses.internal_error(request_id.get()))


def log_exception(error: BaseException) -> None:
    """Log an unexpected exception without its message, which may contain a secret."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    logger.error(
        "unexpected exception",
        extra={"exception": type(error).__qualname__, "traceback": frames},
    )


def _log(status: int, request: web.Request, started: float) -> None:
    logger.info(
        "request completed",
        extra={
            "method": request.method,
            "status": status,
            "milliseconds": round((time.perf_counter() - started) * 1000, 3),
            "action": request[LOG_FIELDS].get("action"),
            "business_id": request[LOG_FIELDS].get("business_id"),
        },
    )


async def _expect_body(max_bytes: int, request: web.Request) -> None:
    """Send `100 Continue` to a client that waits for it, unless its body is too large."""
    wanted = request.headers.get(hdrs.EXPECT, "").lower() == "100-continue"
    if wanted and (request.content_length or 0) <= max_bytes:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
