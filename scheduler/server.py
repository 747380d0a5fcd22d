"""Runs a scheduler and its HTTP listener for health and metrics."""

import asyncio
import os
import re
import socket
from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from rpc.client import CoreClient
from rpc.loopback import resolves_to_loopback
from scheduler.metrics import Metrics
from scheduler.occurrences import Occurrences
from scheduler.scheduler import Scheduler
from scheduler.settings import SchedulerSettings


async def serve(
    settings: SchedulerSettings, on_ready: Callable[[str], None], stop: asyncio.Event
) -> None:
    """Run a scheduler until `stop` is set and it has drained; see `Scheduler.run`.

    Calls `on_ready` once with the URL of health and metrics. It does not wait for the core:
    `/readyz` is 503 until the core responds.

    Raises:
        OSError: the address cannot be listened on.
        ValueError: the address is not loopback, or the core's target cannot be used.
    """
    if not resolves_to_loopback(settings.host):
        raise ValueError(
            f"NIVISCO_SCHEDULER_HTTP: {settings.host} is not this machine's loopback, where alone "
            "health and metrics are served: have a collector on this machine read them"
        )
    core = CoreClient(settings.core_target, settings.core_tls, service_token=settings.service_token)
    metrics = Metrics()
    occurrences = Occurrences(
        core, settings.service_token, _name(), timeout_seconds=settings.core_timeout_seconds
    )
    runner = web.AppRunner(_app(metrics), access_log=None, shutdown_timeout=1.0)
    try:
        await runner.setup()
        await web.TCPSite(runner, settings.host, settings.port).start()
        host, port = runner.addresses[0][:2]
        on_ready(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
        await Scheduler(occurrences, settings, metrics).run(stop)
    finally:
        await runner.cleanup()
        await core.close()


def _name() -> str:
    """Return this process's name in the core's logs: at most 64 printable characters."""
    return re.sub(r"[^!-~]", "-", socket.gethostname())[:48] + f":{os.getpid()}"


def _app(metrics: Metrics) -> web.Application:
    def json_response(status: str, code: int = 200) -> web.Response:
        body = f'{{"status":"{status}"}}'
        return web.Response(text=body, status=code, content_type="application/json")

    async def healthz(_request: web.Request) -> web.Response:
        return json_response("alive")

    async def readyz(_request: web.Request) -> web.Response:
        return json_response("ready") if metrics.is_ready else json_response("not ready", 503)

    async def metrics_text(_request: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics_text)
    return app
