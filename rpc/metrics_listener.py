"""Serves a process's health and metrics over plain HTTP, on a listener of its own.

Probes and Prometheus may reach it from other machines: it shows no business, no id and no secret.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

logger = logging.getLogger("nivisco")

_SHUTDOWN_SECONDS = 1.0


@asynccontextmanager
async def serving_metrics(
    address: tuple[str, int] | None,
    registry: CollectorRegistry,
    is_ready: Callable[[], Awaitable[bool]],
) -> AsyncIterator[str]:
    """Serve /healthz, /readyz and /metrics at host and port until the block ends; give the URL.

    /healthz is 200 while the event loop runs, /readyz while `is_ready`, otherwise 503. Without an
    address nothing is served.

    Raises:
        OSError: the address cannot be listened on.
    """
    if address is None:
        yield ""
        return
    app = _app(registry, is_ready)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
    try:
        await runner.setup()
        await web.TCPSite(runner, *address).start()
        host, port = runner.addresses[0][:2]
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        logger.info("metrics served", extra={"address": url})
        yield url
    finally:
        await runner.cleanup()


def _app(registry: CollectorRegistry, is_ready: Callable[[], Awaitable[bool]]) -> web.Application:
    def json_response(status: str, code: int = 200) -> web.Response:
        body = f'{{"status":"{status}"}}'
        return web.Response(text=body, status=code, content_type="application/json")

    async def healthz(_request: web.Request) -> web.Response:
        return json_response("alive")

    async def readyz(_request: web.Request) -> web.Response:
        return json_response("ready") if await is_ready() else json_response("not ready", 503)

    async def metrics(_request: web.Request) -> web.Response:
        # In a thread: the text of some hundred series takes longer than a request may wait.
        text = await asyncio.to_thread(generate_latest, registry)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    return app
