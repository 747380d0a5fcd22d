"""Serves the application on a socket until told to stop, then drains; it installs no signal."""

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
from ulid import ULID

from adapter.app import build_app, json_response, log_fault, stamp
from adapter.plain_http import check_may_listen
from adapter.settings import AdapterSettings
from adapter.tls import PublicCertificate
from rpc.client import CoreClient
from transcoding import answers

logger = logging.getLogger("adapter")

DRAIN_SECONDS = 28.0
"""How long requests that have begun may take to end once the adapter stops; a call to the core
takes 25 at most."""
KEEP_ALIVE_SECONDS = 75.0
LINGER_SECONDS = 2.0
"""How long the rest of a refused body is read and thrown away, so that the client sees the answer
rather than a reset connection."""
HANDSHAKE_SECONDS = 10.0
"""How long a client may take to begin TLS, and to end it where the adapter does."""
BACKLOG = 1024


class JsonProtocol(web.RequestHandler):
    """Speaks HTTP on one connection, and answers in JSON also what is not HTTP."""

    __slots__ = ("_on_lost",)

    def __init__(self, manager: web.Server, on_lost: Callable[[], None], **options: Any) -> None:
        """Make one for a connection to come; `on_lost` is called when it has ended."""
        super().__init__(manager, **options)
        self._on_lost = on_lost

    def connection_lost(self, exc: BaseException | None) -> None:
        """Clean up after the connection."""
        super().connection_lost(exc)
        self._on_lost()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - the framework's own words, which may quote bytes
    ) -> web.StreamResponse:
        """Return the JSON answer to bytes that are not HTTP, or to a fault outside of a handler."""
        if request.writer.output_size > 0:
            raise ConnectionError("A response was begun already")
        identity = str(ULID())
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            if exc is not None:
                log_fault(exc)
            answer = answers.internal(identity)
        elif isinstance(exc, BadHttpMethod):
            answer = answers.METHOD_NOT_ALLOWED
        else:
            answer = answers.malformed_http(status, HTTPStatus(status).phrase)
        response = json_response(answer)
        stamp(response, identity, secure=request.secure)
        if answer is answers.METHOD_NOT_ALLOWED:
            response.headers[hdrs.ALLOW] = hdrs.METH_POST
        response.force_close()
        logger.info("%d to what is not HTTP", status, extra={"status": status})
        return response


async def serve(
    settings: AdapterSettings,
    on_ready: Callable[[str], None],
    stop: asyncio.Event,
    *,
    listener: socket.socket | None = None,
    on_hangup: Callable[[Callable[[], None]], None] | None = None,
) -> None:
    """Serve until `stop` is set, then finish the requests that have begun, within 30 seconds.

    Listens on the settings' address, or on `listener`, a bound socket that several processes may
    share. Calls `on_ready` once with the base URL. `on_hangup` is given what to call when the
    certificate is to be read anew.

    After `stop` it serves on for the lame duck's time, so that whoever balances over several of
    these finds `/readyz` say no; each connection is answered once more and closed. Then it accepts
    no more, and gives those that it has accepted as long again. What is idle then is closed.

    Raises:
        OSError: the address cannot be listened on.
        ValueError: a setting cannot work, or would have secrets sent in plain text.
        SchemaError: the schema holds something that has no JSON form.
    """
    certificate = None if settings.tls is None else PublicCertificate(settings.tls)
    if certificate is None:
        check_may_listen(settings.host, settings.port, listener, settings.trusted_proxies)
    elif on_hangup is not None:
        on_hangup(certificate.reload)
    core = CoreClient(settings.core_target, settings.core_tls)
    # A client that leaves ends its handler and the call to the core, which so learns that nobody
    # waits: what moves money goes on there, and the same request is told of it later.
    runner = web.AppRunner(
        build_app(core, settings, stop), shutdown_timeout=DRAIN_SECONDS, handler_cancellation=True
    )
    try:
        await runner.setup()
        context = None if certificate is None else certificate.context
        one_left = asyncio.Event()
        server = await _listen(settings, runner, one_left.set, listener, context)
        try:
            on_ready(base_url(server.sockets[0], "https" if context else "http"))
            await stop.wait()
            await asyncio.sleep(settings.lame_duck_seconds)
        finally:
            server.close()
        await _all_left(runner, one_left, settings.lame_duck_seconds)
    finally:
        await runner.cleanup()
        await core.close()


async def _all_left(runner: web.AppRunner, one_left: asyncio.Event, wait_seconds: float) -> None:
    assert runner.server is not None, "set up before"
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(wait_seconds):
            while runner.server.connections:
                one_left.clear()
                await one_left.wait()


async def _listen(
    settings: AdapterSettings,
    runner: web.AppRunner,
    on_lost: Callable[[], None],
    listener: socket.socket | None,
    context: ssl.SSLContext | None,
) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    manager = runner.server
    assert manager is not None, "set up before"

    options: dict[str, Any] = {
        "access_log": None,  # ours is written by adapter.app
        "auto_decompress": False,  # a small body could swell beyond the bound
        "keepalive_timeout": KEEP_ALIVE_SECONDS,
        "lingering_time": LINGER_SECONDS,
    }

    def protocol() -> JsonProtocol:
        return JsonProtocol(manager, on_lost, loop=loop, **options)

    how: dict[str, Any] = {"backlog": BACKLOG}
    if context is not None:
        how |= {
            "ssl": context,
            "ssl_handshake_timeout": HANDSHAKE_SECONDS,
            "ssl_shutdown_timeout": HANDSHAKE_SECONDS,
        }
    if listener is not None:
        return await loop.create_server(protocol, sock=listener, **how)
    return await loop.create_server(protocol, settings.host, settings.port, **how)


def base_url(listening: socket.socket, scheme: str) -> str:
    """Return the URL of a listening socket, for example `http://127.0.0.1:8080`."""
    host, port = listening.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
