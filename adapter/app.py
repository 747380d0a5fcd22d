"""Builds the web application: routes, request ids, the log line and errors as JSON.

It holds no business rule and never shows a framework's own error page.
"""

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
from adapter.webhooks import GATEWAYS, Webhooks
from portal.pages.routes import add_pages
from rpc.client import CoreClient
from rpc.metadata import request_id
from transcoding import answers
from transcoding.actions import build_catalogue
from transcoding.answers import Answer
from transcoding.envelope import MAX_BODY_BYTES

logger = logging.getLogger("adapter")

REQUEST_ID_HEADER = "X-Request-Id"
REPLAYED_HEADER = "Idempotency-Replayed"
SERVER = "Nivisco"
"""What the Server header says: not which versions of what run here."""
READINESS_TIMEOUT_SECONDS = 2.0
NOTED: web.RequestKey[dict[str, str]] = web.RequestKey("noted", dict[str, str])
"""What the handler wants the log line to say: `action`, `business_id`."""
STOPPING = web.AppKey("stopping", asyncio.Event)
"""Set once the process is about to end: it is not ready, and every answer ends its connection."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def build_app(
    core: CoreClient, settings: AdapterSettings, stopping: asyncio.Event
) -> web.Application:
    """Return the application that serves the JSON door on `core`, which stays the caller's.

    Once `stopping` is set it still answers, and asks every client to connect anew.

    Raises:
        SchemaError: the schema holds something that has no JSON form, or a comment an error that
            there is not.
        FileNotFoundError: `make generate` has not written the schema's comments.
    """
    endpoint = Endpoint(core, build_catalogue(), settings)

    async def post(request: web.Request) -> web.StreamResponse:
        return json_response(await endpoint.answer(request, request[NOTED]))

    async def ready(_request: web.Request) -> web.StreamResponse:
        if not stopping.is_set() and await core.is_ready(timeout_seconds=READINESS_TIMEOUT_SECONDS):
            return json_response(Answer(200, '{"status":"ready"}'))
        return json_response(Answer(503, '{"status":"not ready"}', retry_after_seconds=1))

    app = web.Application(middlewares=[frame])
    if settings.tls is None and settings.trusted_proxies:
        app.middlewares.append(_only_from(settings.trusted_proxies))
    app[STOPPING] = stopping
    app.router.add_post("/", post, expect_handler=_expect_body)
    for gateway in GATEWAYS:
        app.router.add_post(
            f"/webhooks/{gateway}/{{business_id}}",
            partial(_webhook, Webhooks(core, settings), gateway),
            expect_handler=_expect_body,
        )
    app.router.add_get("/healthz", _alive)
    app.router.add_get("/readyz", ready)
    add_pages(app)
    return app


def json_response(answer: Answer) -> web.Response:
    """Return the HTTP response that carries an answer."""
    response = web.Response(
        status=answer.status,
        body=answer.body.encode(),
        content_type="application/json",
        charset="utf-8",
    )
    if answer.retry_after_seconds is not None:
        response.headers[hdrs.RETRY_AFTER] = str(answer.retry_after_seconds)
    if answer.is_replayed:
        response.headers[REPLAYED_HEADER] = "true"
    return response


def _only_from(proxies: Sequence[Network]) -> Middleware:
    @web.middleware
    async def only_from_proxies(request: web.Request, handler: Handler) -> web.StreamResponse:
        if is_trusted(request.remote, proxies):
            return await handler(request)
        response = json_response(answers.PROXY_ONLY)
        response.force_close()
        return response

    return only_from_proxies


async def _webhook(webhooks: Webhooks, gateway: str, request: web.Request) -> web.StreamResponse:
    request[NOTED]["action"] = f"{gateway} webhook"
    return json_response(await webhooks.answer(request, gateway))


async def _alive(_request: web.Request) -> web.StreamResponse:
    return json_response(Answer(200, '{"status":"alive"}'))


CLIENT_LEFT = 499
"""What the log shows where nobody was there to be answered, as nginx does."""


@web.middleware
async def frame(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Frame every request: its id, its headers, its line in the log, its unexpected end."""
    started = time.perf_counter()
    given = request.headers.get(REQUEST_ID_HEADER, "")
    identity = given if _REQUEST_ID.fullmatch(given) else str(ULID())
    request[NOTED] = {}
    token = request_id.set(identity)
    try:
        response = await _handled(request, handler)
    except asyncio.CancelledError:
        _log(CLIENT_LEFT, request, started)
        raise
    else:
        stamp(response, identity, secure=request.secure)
        if request.app[STOPPING].is_set():
            response.force_close()
        _log(response.status, request, started)
        return response
    finally:
        request_id.reset(token)


def stamp(response: web.StreamResponse, identity: str, *, secure: bool) -> None:
    """Write the headers that every answer carries, and over TLS that it must stay so."""
    response.headers[REQUEST_ID_HEADER] = identity
    response.headers[hdrs.SERVER] = SERVER
    response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
    if secure:
        response.headers["Strict-Transport-Security"] = HSTS


async def _handled(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as error:
        response = json_response(answers.METHOD_NOT_ALLOWED)
        response.headers[hdrs.ALLOW] = ", ".join(sorted(error.allowed_methods))
        return response
    except web.HTTPNotFound:
        return json_response(answers.refusal("UNKNOWN_PATH", "Nothing is served at this path"))
    except web.HTTPException:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the client gets the documented 500
        log_fault(error)
        return json_response(answers.internal(request_id.get()))


def log_fault(error: BaseException) -> None:
    """Log where an unexpected exception came from; not its message, which may hold a value."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    logger.error("Unexpected %s\n%s", type(error).__qualname__, frames)


def _log(status: int, request: web.Request, started: float) -> None:
    logger.info(
        "%s answered %d",
        request.method,
        status,
        extra={
            "status": status,
            "milliseconds": round((time.perf_counter() - started) * 1000, 3),
            "action": request[NOTED].get("action"),
            "business_id": request[NOTED].get("business_id"),
        },
    )


async def _expect_body(request: web.Request) -> None:
    """Ask a client that waits for `100 Continue` to send its body, unless it is too large."""
    wanted = request.headers.get(hdrs.EXPECT, "").lower() == "100-continue"
    if wanted and (request.content_length or 0) <= MAX_BODY_BYTES:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
