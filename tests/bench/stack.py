"""Starts the processes that are measured: on free ports of 127.0.0.1, until a block ends."""

import asyncio
import base64
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from cli.addresses import Address
from cli.children import Child, Spawn, nivisco, spawn
from cli.profiler import PROFILE_DIRECTORY
from tests.core.running import OPERATOR_TOKEN, WEBHOOKS_TOKEN

CLIENT = "client"
"""Name of the measuring process among the CPU times."""
SERVERS = Path(__file__).with_name("servers")
_ANY_PORT = "127.0.0.1:0"
_START_SECONDS = 60.0
_DRAIN_SECONDS = 10.0


def process_cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process so far.

    Raises:
        OSError: there is no such process.
    """
    return time.clock_gettime(_cpu_clock(pid))


def _cpu_clock(pid: int) -> int:
    """Return the id of another process's CPU clock, as clock_getcpuclockid(3) makes it."""
    return ~pid << 3 | 2


def cpu_seconds_of(pids: Mapping[str, int]) -> dict[str, float]:
    """Return the CPU time of the measuring process and of the named ones, so far."""
    return {CLIENT: time.process_time()} | {
        name: process_cpu_seconds(pid) for name, pid in pids.items()
    }


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


def core_process(directory: Path, database_url: str, **settings: str) -> Spawn:
    """Return the command of a core that has new secrets and migrates the database."""
    environment = _environment() | {
        "NIVISCO_DATABASE_URL": database_url,
        "NIVISCO_GRPC": _ANY_PORT,
        "NIVISCO_SECRET_KEYS": "k1:" + base64.b64encode(secrets.token_bytes(32)).decode(),
        "NIVISCO_SERVICE_TOKENS": f"operator:{OPERATOR_TOKEN},webhooks:{WEBHOOKS_TOKEN}",
        "NIVISCO_MIGRATE": "1",
        **settings,
    }
    return Spawn("core", nivisco("core"), environment, directory / "core.log", _DRAIN_SECONDS)


def with_settings(spawned: Spawn, **settings: str) -> Spawn:
    """Return a command with other settings: the same core on another database, for example."""
    return replace(spawned, environment=spawned.environment | settings)


def adapter_process(directory: Path, *cores: Address) -> Spawn:
    """Return the command of an adapter of these cores."""
    environment = _environment() | {
        "NIVISCO_HTTP": _ANY_PORT,
        "NIVISCO_CORE": ",".join(map(str, cores)),
        "NIVISCO_WEBHOOKS_TOKEN": WEBHOOKS_TOKEN,
    }
    log = directory / "adapter.log"
    return Spawn("adapter", nivisco("adapter"), environment, log, _DRAIN_SECONDS)


def scheduler_process(directory: Path, core: Address, **settings: str) -> Spawn:
    """Return the command of a scheduler of a core."""
    environment = _environment() | {
        "NIVISCO_CORE": str(core),
        "NIVISCO_SCHEDULER_HTTP": _ANY_PORT,
        **settings,
    }
    log = directory / "scheduler.log"
    return Spawn("scheduler", nivisco("scheduler"), environment, log, _DRAIN_SECONDS)


def script_process(directory: Path, name: str, **settings: str) -> Spawn:
    """Return the command of one of the benchmark's own servers."""
    # -P: modules beside the script must not shadow the standard library.
    command = [sys.executable, "-P", str(SERVERS / f"{name}.py")]
    log = directory / f"{name}.log"
    return Spawn(name, command, _environment() | settings, log, _DRAIN_SECONDS)


def _environment() -> dict[str, str]:
    """Return this process's environment without NIVISCO_ settings, but where to profile into."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("NIVISCO_") or name == PROFILE_DIRECTORY
    }
