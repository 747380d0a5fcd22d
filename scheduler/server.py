"""Runs a scheduler and its HTTP listener for health and metrics."""

import asyncio
import os
import re
import socket
from collections.abc import Callable

from rpc.client import CoreClient
from rpc.metrics_listener import serving_metrics
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
        ValueError: the core's target cannot be used.
    """
    core = CoreClient(settings.core_target, settings.core_tls, service_token=settings.service_token)
    metrics = Metrics()
    occurrences = Occurrences(
        core, settings.service_token, _name(), timeout_seconds=settings.core_timeout_seconds
    )

    async def is_ready() -> bool:
        return metrics.is_ready

    try:
        address = (settings.host, settings.port)
        async with serving_metrics(address, metrics.registry, is_ready) as url:
            on_ready(url)
            await Scheduler(occurrences, settings, metrics).run(stop)
    finally:
        await core.close()


def _name() -> str:
    """Return this process's name in the core's logs: at most 64 printable characters."""
    return re.sub(r"[^!-~]", "-", socket.gethostname())[:48] + f":{os.getpid()}"
