"""The process of the sandbox, which is not killed at failpoints."""

import asyncio
import functools
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop

from sandbox import server as sandbox_server
from sandbox import webhooks
from sandbox.books import Books
from tests.prove.shared_clock import SharedClock

FIRST_PAUSE_SECONDS = 0.05
"""Before a failed webhook is delivered again; cores are away for less than a second."""

_Serve = Callable[[Callable[[str], None]], Awaitable[None]]


def main(*, directory: str, name: str) -> None:
    """Serve the sandbox on the shared clock."""
    place = Path(directory)
    clock = SharedClock(place / "clock")
    patched: Any = sandbox_server
    retried: Any = webhooks
    retried.FIRST_PAUSE_SECONDS = FIRST_PAUSE_SECONDS
    patched.Books = functools.partial(Books, clock=clock.seconds)
    uvloop.run(
        _until_driver_ends(
            place,
            name,
            lambda ready: sandbox_server.serve("127.0.0.1", 0, place / "sandbox", ready),
        )
    )


async def _until_driver_ends(place: Path, name: str, serve: _Serve) -> None:
    reader, writer = await asyncio.open_unix_connection(str(place / "control"))

    def say(**answer: str) -> None:
        writer.write(json.dumps(answer).encode() + b"\n")

    say(name=name)
    serving = asyncio.ensure_future(serve(lambda address: say(address=address)))
    gone = asyncio.ensure_future(reader.read())
    await asyncio.wait([serving, gone], return_when=asyncio.FIRST_COMPLETED)
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
