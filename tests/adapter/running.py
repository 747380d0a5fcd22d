"""Starts the adapter on a real port, with a client for it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from adapter.server import serve
from adapter.settings import AdapterSettings

CREDENTIALS = {"business_id": "BUS-12345", "api_key": "a" * 64}


@dataclass
class AdapterClient:
    """The adapter's URL, with a client for it."""

    url: str
    session: aiohttp.ClientSession
    stop: asyncio.Event
    serving: asyncio.Future[None]

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        assert parts.hostname is not None
        assert parts.port is not None
        return parts.hostname, parts.port

    async def post(self, action: str | None = None, /, **fields: object) -> tuple[int, Any]:
        """POST an envelope with valid credentials; return status and body."""
        envelope: dict[str, object] = {**CREDENTIALS, "action": action, **fields}
        return await self.post_bytes(json.dumps(envelope).encode())

    async def post_bytes(self, body: bytes) -> tuple[int, Any]:
        async with self.session.post(self.url, data=body) as response:
            return response.status, json.loads(await response.read())

    async def exchange(self, raw: bytes) -> bytes:
        """Send raw bytes on a new connection and return everything until it closes."""
        reader, writer = await asyncio.open_connection(*self.address)
        try:
            writer.write(raw)
            await writer.drain()
            return await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()


@asynccontextmanager
async def running_adapter(
    settings: AdapterSettings, on_hangup: Callable[[Callable[[], None]], None] | None = None
) -> AsyncIterator[AdapterClient]:
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    serving = asyncio.create_task(serve(settings, ready.set_result, stop, on_hangup=on_hangup))
    either: set[asyncio.Future[Any]] = {serving, ready}
    done, _ = await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if serving in done:
        await serving
    async with aiohttp.ClientSession() as session:
        yield AdapterClient(await ready, session, stop, serving)
    stop.set()
    await asyncio.wait([serving])
    if not serving.cancelled():
        serving.result()
