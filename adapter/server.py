"""Serves the application on a socket until it is stopped, then drains connections."""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from aiohttp import hdrs, web
from aiohttp.http_exceptions import BadHttpMethod

from adapter.app import App, log_exception, new_request_id
from adapter.plain_http import check_may_listen
from adapter.responses import json_response, method_not_allowed, set_common_headers
from adapter.settings import AdapterSettings
from adapter.tls import PublicCertificate
from rpc.client import CoreClient
from rpc.metrics import process_registry
from rpc.metrics_listener import serving_metrics
from transcoding import json_responses

logger = logging.getLogger("adapter")

DRAIN_SECONDS = 28.0
"""Timeout of requests in flight when the adapter stops; a call to the core takes at most 25."""
KEEP_ALIVE_SECONDS = 75.0
LINGER_SECONDS = 2.0
"""How long the rest of a rejected body is read and discarded, so that the client receives the
response and not a connection reset."""
HANDSHAKE_SECONDS = 10.0
"""Timeout of the TLS handshake and shutdown."""
BACKLOG = 1024


class JsonProtocol(web.RequestHandler):
    """One HTTP connection, with JSON responses to malformed HTTP, too."""

    __slots__ = ("_on_lost",)

    def __init__(self, manager: web.Server, on_lost: Callable[[], None], **options: Any) -> None:
        """`on_lost` is called when the connection has closed."""
        super().__init__(manager, **options)
        self._on_lost = on_lost

    def connection_lost(self, exc: BaseException | None) -> None:
        """Report the closed connection."""
        super().connection_lost(exc)
        self._on_lost()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it may quote bytes of the request
    ) -> web.StreamResponse:
        """Return the response to malformed HTTP, or to an exception outside of a handler."""
        if request.writer.output_size > 0:
            raise ConnectionError("the response has already begun")
        identity = new_request_id()
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            if exc is not None:
                log_exception(exc)
            response = json_response(json_responses.internal_error(identity))
        elif isinstance(exc, BadHttpMethod):
            response = method_not_allowed(hdrs.METH_POST)
        else:
            phrase = HTTPStatus(status).phrase
            response = json_response(json_responses.malformed_http(status, phrase))
        set_common_headers(response, identity, secure=request.secure)
        response.force_close()
        logger.info("malformed HTTP request rejected", extra={"status": status})
        return response


async def serve(
    settings: AdapterSettings,
    on_ready: Callable[[str], None],
    stop: asyncio.Event,
    *,
    listener: socket.socket | None = None,
    on_hangup: Callable[[Callable[[], None]], None] | None = None,
) -> None:
    """Serve until `stop` is set, then finish the requests in flight, within 30 seconds.

    Listens on the settings' address, or on `listener`, a bound socket that several processes may
    share. Calls `on_ready` once with the base URL. Passes to `on_hangup` the function that reloads
    the certificate.

    After `stop` it keeps serving for `lame_duck_seconds`, so that a load balancer sees `/readyz`
    fail; each connection gets one more response and is closed. Then it accepts no new connections
    and waits for the existing ones for as long again. Idle connections are closed then.

    Raises:
        OSError: the address cannot be listened on.
        ValueError: a setting is unusable, or would send secrets in plain text.
        SchemaError: a message has no JSON form.
    """
    certificate = None if settings.tls is None else PublicCertificate(settings.tls)
    if certificate is None:
        check_may_listen(settings.host, settings.port, listener, settings.trusted_proxies)
    elif on_hangup is not None:
        on_hangup(certificate.reload)
    core = CoreClient(
        settings.core_target, settings.core_tls, service_token=settings.webhooks_token
    )
    # If a client disconnects, its handler and the call to the core are cancelled, so that the core
    # knows that nobody waits. A charge continues there; the same request gets its outcome later.
    app = App(core, settings, stop)
    manager = web.Server(app.handle, handler_cancellation=True)
    runner = web.ServerRunner(manager, shutdown_timeout=DRAIN_SECONDS)
    try:
        await runner.setup()
        context = None if certificate is None else certificate.context
        one_closed = asyncio.Event()
        server = await _listen(settings, manager, one_closed.set, listener, context)
        async with serving_metrics(settings.metrics, process_registry(app.metrics), app.is_ready):
            try:
                on_ready(base_url(server.sockets[0], "https" if context else "http"))
                await stop.wait()
                await asyncio.sleep(settings.lame_duck_seconds)
            finally:
                server.close()
            await _wait_until_closed(manager, one_closed, settings.lame_duck_seconds)
    finally:
        await runner.cleanup()
        await core.close()


async def _wait_until_closed(
    manager: web.Server, one_closed: asyncio.Event, wait_seconds: float
) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(wait_seconds):
            while manager.connections:
                one_closed.clear()
                await one_closed.wait()


async def _listen(
    settings: AdapterSettings,
    manager: web.Server,
    on_lost: Callable[[], None],
    listener: socket.socket | None,
    context: ssl.SSLContext | None,
) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    options: dict[str, Any] = {
        "access_log": None,  # adapter.app writes ours
        "auto_decompress": False,  # a small body could exceed the limit
        "keepalive_timeout": KEEP_ALIVE_SECONDS,
        "lingering_time": LINGER_SECONDS,
    }

    def protocol() -> JsonProtocol:
        return JsonProtocol(manager, on_lost, loop=loop, **options)

    arguments: dict[str, Any] = {"backlog": BACKLOG}
    if context is not None:
        arguments |= {
            "ssl": context,
            "ssl_handshake_timeout": HANDSHAKE_SECONDS,
            "ssl_shutdown_timeout": HANDSHAKE_SECONDS,
        }
    if listener is not None:
        return await loop.create_server(protocol, sock=listener, **arguments)
    return await loop.create_server(protocol, settings.host, settings.port, **arguments)


def base_url(listening: socket.socket, scheme: str) -> str:
    """Return the URL of a listening socket, for example `http://127.0.0.1:8080`."""
    host, port = listening.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
