"""Runs the sandbox: opens its store, listens, and finishes requests in flight when it stops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from aiohttp import web

from sandbox.authorize import api as authorize_api
from sandbox.authorize.server import AuthorizeServer, AuthorizeSettings
from sandbox.books import Books
from sandbox.control.endpoints import add_control_routes
from sandbox.faults import Faults
from sandbox.stripe.forms import BODY_BYTES_MAX
from sandbox.stripe.server import StripeServer
from sandbox.webhooks import Webhooks

BOOKS_FILE: Final = "sandbox.db"
SHUTDOWN_SECONDS: Final = 2.0


async def serve(host: str, port: int, data_dir: Path, on_ready: Callable[[str], None]) -> None:
    """Serve until cancelled; `on_ready` gets the base URL once requests are accepted.

    Port 0 takes a free port. After cancellation, requests in flight have two seconds to finish.

    Raises:
        OSError: The port or the store cannot be used; the message says which and why.
    """
    books = Books(data_dir / BOOKS_FILE)
    try:
        runner = web.AppRunner(build_app(books), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
        await runner.setup()
        try:
            await _listen(runner, host, port)
            on_ready(_base_url(host, runner))
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()
    finally:
        books.close()


def build_app(books: Books) -> web.Application:
    """Return the application on this store, with no faults scheduled."""
    app = web.Application(client_max_size=BODY_BYTES_MAX)
    faults, settings, webhooks = Faults(), AuthorizeSettings(), Webhooks(books)
    add_control_routes(app, books, faults, settings, webhooks)

    async def cancel_deliveries(_app: web.Application) -> None:
        await webhooks.close()

    app.on_cleanup.append(cancel_deliveries)
    authorize = AuthorizeServer(books, faults, settings)
    app.router.add_route("*", authorize_api.PATH, authorize.serve)
    stripe = StripeServer(books, faults)
    app.router.add_route("*", "/{path:.*}", stripe.serve)
    return app


async def _listen(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise OSError(
            error.errno,
            f"the sandbox cannot listen on {host} port {port}: {error.strerror or error}",
        ) from error


def _base_url(host: str, runner: web.AppRunner) -> str:
    port = runner.addresses[0][1]
    url_host = f"[{host}]" if ":" in host else host
    return f"http://{url_host}:{port}"
