"""Runs core, adapter and echo like `nivisco up`: one process each, SQLite in a temporary directory.

They listen on free ports of 127.0.0.1 and end with this process.
"""

import asyncio
import base64
import os
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cli.addresses import Address
from cli.children import Child, Spawn, nivisco, spawn
from rpc.client import CoreClient
from tests.core.running import OPERATOR_TOKEN

CLIENT = "client"
"""Name of the measuring process among the CPU times."""
_ECHO = Path(__file__).with_name("echo.py")
_ANY_PORT = "127.0.0.1:0"
_START_SECONDS = 60.0
_DRAIN_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Stack:
    """The addresses and processes."""

    core: CoreClient
    adapter: Address
    echo: Address
    pids: dict[str, int]
    directory: Path

    def cpu_seconds(self) -> dict[str, float]:
        """Return the CPU time of each process so far."""
        return {CLIENT: time.process_time()} | {
            name: process_cpu_seconds(pid) for name, pid in self.pids.items()
        }


def process_cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process so far.

    Raises:
        OSError: there is no such process.
    """
    return time.clock_gettime(_cpu_clock(pid))


def _cpu_clock(pid: int) -> int:
    """Return the id of another process's CPU clock, as clock_getcpuclockid(3) makes it."""
    return ~pid << 3 | 2


@asynccontextmanager
async def running_stack() -> AsyncIterator[Stack]:
    """Run all processes until the block ends.

    Raises:
        Failure: a process failed to start; the message has its last lines.
        TimeoutError: a process was not ready in time.
    """
    with tempfile.TemporaryDirectory(prefix="nivisco-bench-") as name:
        directory = Path(name)
        database = f"sqlite+aiosqlite:///{directory / 'nivisco.db'}"
        async with AsyncExitStack() as open_:
            core, core_at = await open_.enter_async_context(
                running(core_process(directory, database))
            )
            adapter, adapter_at = await open_.enter_async_context(
                running(adapter_process(directory, core_at))
            )
            echo, echo_at = await open_.enter_async_context(
                running(script_process(directory, _ECHO))
            )
            client = CoreClient(str(core_at))
            open_.push_async_callback(client.close)
            pids = {"core": core.pid, "adapter": adapter.pid, "echo": echo.pid}
            yield Stack(client, adapter_at, echo_at, pids, directory)


@asynccontextmanager
async def running(what: Spawn) -> AsyncIterator[tuple[Child, Address]]:
    """Run a process until the block ends; yield it and its address.

    Raises:
        Failure: it failed to start; the message has its last lines.
        TimeoutError: it was not ready in time.
    """
    child = await spawn(what, ())
    try:
        async with asyncio.timeout(_START_SECONDS):
            address = Address.parse(await child.until_ready())
        yield child, address
    finally:
        await child.stop()


def core_process(directory: Path, database_url: str) -> Spawn:
    """Return the command of a core that has new secrets and migrates the database."""
    environment = _environment() | {
        "NIVISCO_DATABASE_URL": database_url,
        "NIVISCO_GRPC": _ANY_PORT,
        "NIVISCO_SECRET_KEYS": "k1:" + base64.b64encode(secrets.token_bytes(32)).decode(),
        "NIVISCO_SERVICE_TOKENS": f"operator:{OPERATOR_TOKEN}",
        "NIVISCO_MIGRATE": "1",
    }
    return Spawn("core", nivisco("core"), environment, directory / "core.log", _DRAIN_SECONDS)


def adapter_process(directory: Path, core: Address) -> Spawn:
    """Return the command of an adapter of the core."""
    environment = _environment() | {"NIVISCO_HTTP": _ANY_PORT, "NIVISCO_CORE": str(core)}
    log = directory / "adapter.log"
    return Spawn("adapter", nivisco("adapter"), environment, log, _DRAIN_SECONDS)


def script_process(
    directory: Path, script: Path, settings: Mapping[str, str] | None = None
) -> Spawn:
    """Return the command of a server of the benchmark."""
    # -P: modules beside the script must not shadow the standard library.
    command = [sys.executable, "-P", str(script)]
    environment = _environment() | dict(settings or {})
    return Spawn(
        script.stem, command, environment, directory / f"{script.stem}.log", _DRAIN_SECONDS
    )


def _environment() -> dict[str, str]:
    """Return this process's environment without NIVISCO_ settings."""
    return {n: value for n, value in os.environ.items() if not n.startswith("NIVISCO_")}
