"""Runs core, adapter and echo as `nivisco up` does: a process each, SQLite in a new directory.

They listen on free ports of 127.0.0.1, end with this process, and leave no file behind.
"""

import asyncio
import base64
import os
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cli.addresses import Address
from cli.children import Child, Spawn, nivisco, spawn
from core.client import CoreClient
from tests.core.running import OPERATOR_TOKEN

CLIENT = "client"
"""The process that measures, among those whose CPU time is read."""
_ANY_PORT = "127.0.0.1:0"
_START_SECONDS = 60.0
_DRAIN_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Stack:
    """Where everything serves, and which process it is."""

    core: CoreClient
    adapter: Address
    echo: Address
    pids: dict[str, int]
    directory: Path

    def cpu_seconds(self) -> dict[str, float]:
        """Return the CPU time that each process has used until now."""
        return {CLIENT: time.process_time()} | {
            name: time.clock_gettime(_cpu_clock(pid)) for name, pid in self.pids.items()
        }


def _cpu_clock(pid: int) -> int:
    """Return the id of another process's CPU clock, as clock_getcpuclockid(3) makes it."""
    return ~pid << 3 | 2


@asynccontextmanager
async def running_stack() -> AsyncIterator[Stack]:
    """Serve everything until the block ends.

    Raises:
        ChildEnded: a process did not start; the message shows its last lines.
        TimeoutError: a process was not ready in time.
    """
    with tempfile.TemporaryDirectory(prefix="nivisco-bench-") as name:
        directory = Path(name)
        kept = {n: value for n, value in os.environ.items() if not n.startswith("NIVISCO_")}
        async with AsyncExitStack() as running:
            core, core_at = await running.enter_async_context(_running(_core(directory, kept)))
            adapter, adapter_at = await running.enter_async_context(
                _running(_adapter(directory, kept, core_at))
            )
            echo, echo_at = await running.enter_async_context(_running(_echo(directory, kept)))
            client = CoreClient(str(core_at))
            running.push_async_callback(client.close)
            pids = {"core": core.pid, "adapter": adapter.pid, "echo": echo.pid}
            yield Stack(client, adapter_at, echo_at, pids, directory)


@asynccontextmanager
async def _running(what: Spawn) -> AsyncIterator[tuple[Child, Address]]:
    child = await spawn(what, ())
    try:
        async with asyncio.timeout(_START_SECONDS):
            line = await asyncio.shield(child.ready)
            if not line:
                await asyncio.shield(child.ended)
                raise child.how_it_ended()
        yield child, Address.parse(line)
    finally:
        await child.stop(asyncio.Event())


def _core(directory: Path, base: dict[str, str]) -> Spawn:
    environment = base | {
        "NIVISCO_DATABASE_URL": f"sqlite+aiosqlite:///{directory / 'nivisco.db'}",
        "NIVISCO_GRPC": _ANY_PORT,
        "NIVISCO_SECRET_KEYS": "k1:" + base64.b64encode(secrets.token_bytes(32)).decode(),
        "NIVISCO_SERVICE_TOKENS": f"operator:{OPERATOR_TOKEN}",
        "NIVISCO_MIGRATE": "1",
    }
    return Spawn("core", nivisco("core"), environment, directory / "core.log", _DRAIN_SECONDS)


def _adapter(directory: Path, base: dict[str, str], core: Address) -> Spawn:
    environment = base | {"NIVISCO_HTTP": _ANY_PORT, "NIVISCO_CORE": str(core)}
    log = directory / "adapter.log"
    return Spawn("adapter", nivisco("adapter"), environment, log, _DRAIN_SECONDS)


def _echo(directory: Path, base: dict[str, str]) -> Spawn:
    # -P: this directory's modules must not stand in for the standard library's.
    command = [sys.executable, "-P", str(Path(__file__).with_name("echo.py"))]
    return Spawn("echo", command, base, directory / "echo.log", _DRAIN_SECONDS)
