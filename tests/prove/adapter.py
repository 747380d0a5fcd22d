"""The adapter in front of whichever core serves, for clients over JSON and for webhooks.

It runs in the driver, so that it outlives the cores, as production's does.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import cast

from aiohttp import web
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from adapter.app import App
from adapter.settings import AdapterSettings
from rpc.client import CoreClient, CoreResponse
from rpc.error_details import FieldProblem
from rpc.metadata import Credentials
from tests.core.running import WEBHOOKS_TOKEN


class ServingCore:
    """The part of a CoreClient that the adapter uses, of the core that serves at the moment."""

    def __init__(self, serving: Callable[[], Awaitable[CoreClient]]) -> None:
        """`serving` waits for a serving core and returns its client."""
        self._serving = serving

    async def call(
        self,
        method: MethodDescriptor,
        request: Message,
        credentials: Credentials,
        *,
        timeout_seconds: float,
    ) -> Message:
        """Call as CoreClient does."""
        client = await self._serving()
        return await client.call(method, request, credentials, timeout_seconds=timeout_seconds)

    async def send(
        self,
        method: MethodDescriptor,
        request: Message,
        credentials: Credentials,
        *,
        timeout_seconds: float,
        field_problems: Sequence[FieldProblem] = (),
    ) -> CoreResponse:
        """Send as CoreClient does."""
        client = await self._serving()
        return await client.send(
            method,
            request,
            credentials,
            timeout_seconds=timeout_seconds,
            field_problems=field_problems,
        )


@asynccontextmanager
async def running_adapter(serving: Callable[[], Awaitable[CoreClient]]) -> AsyncIterator[str]:
    """Serve until the block ends, and yield the URL."""
    logging.getLogger("adapter").setLevel(logging.CRITICAL)
    core = cast(CoreClient, ServingCore(serving))
    app = App(core, AdapterSettings(webhooks_token=WEBHOOKS_TOKEN), asyncio.Event())
    runner = web.ServerRunner(
        web.Server(app.handle, access_log=None, handler_cancellation=True), shutdown_timeout=0.1
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
