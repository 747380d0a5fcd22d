"""The driver's side of the fork server and its processes: start, commands, exit, kill."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

PATIENCE_SECONDS = 30.0
_Ended = TypeVar("_Ended")


class DidNotStart(Exception):
    """A process failed to start; the message says why."""


class Stuck(Exception):
    """Something that always ends has not ended; the message says what was waited for."""


async def within_patience(what: str, ending: Awaitable[_Ended]) -> _Ended:
    """Wait for what ends within a moment on any machine.

    Raises:
        Stuck: it has not ended within PATIENCE_SECONDS.
    """
    try:
        async with asyncio.timeout(PATIENCE_SECONDS) as limit:
            return await ending
    except TimeoutError:
        if not limit.expired():
            raise
        raise Stuck(f"waited {PATIENCE_SECONDS:.0f} s for {what}") from None


class Process:
    """A process of the fork server."""

    def __init__(self, name: str, pid: int) -> None:
        self.name = name
        self.pid = pid
        self.address = ""
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """Resolves to the signal that ended it, or 0."""
        self.connected: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = (
            asyncio.get_running_loop().create_future()
        )
        self._turn = asyncio.Lock()

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return not self.ended.done()

    async def wait(self) -> int:
        """Wait until it ended; return the signal that ended it, or 0."""
        return await asyncio.shield(self.ended)

    async def serving(self) -> None:
        """Wait until it serves.

        Raises:
            DidNotStart: it failed or was killed.
        """
        answer = await self._answer()
        if "address" not in answer:
            raise DidNotStart(str(answer.get("failed", "it ended")))
        self.address = answer["address"]

    async def send(self, **command: Any) -> dict[str, Any]:
        """Send a command and return the answer.

        Raises:
            ConnectionError: the process ended.
        """
        async with self._turn:
            _, writer = await self.connected
            if writer.is_closing():  # it was killed, and its end is not noted yet
                raise ConnectionError(f"{self.name} ended")
            writer.write(json.dumps(command).encode() + b"\n")
            answer = await self._answer()
        if not answer:
            raise ConnectionError(f"{self.name} ended")
        return answer

    async def _answer(self) -> dict[str, Any]:
        either: list[asyncio.Future[Any]] = [self.connected, self.ended]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not self.connected.done():
            return {}
        reader, _ = self.connected.result()
        with suppress(ConnectionError):
            line = await reader.readline()
            return json.loads(line) if line.endswith(b"\n") else {}
        return {}

    def kill(self) -> None:
        """Send SIGKILL, if it runs."""
        if self.is_alive:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Close its connection."""
        if self.connected.done() and not self.connected.cancelled():
            self.connected.result()[1].close()


class ForkServer:
    """The process that forks the others (`tests.prove.fork_server`)."""

    def __init__(self, process: asyncio.subprocess.Process, errors: Path) -> None:
        self._process = process
        self._errors = errors
        self._forked: asyncio.Queue[int | None] = asyncio.Queue()
        self._by_pid: dict[int, Process] = {}
        self._by_name: dict[str, Process] = {}
        self._early: dict[int, int] = {}
        self._turn = asyncio.Lock()

    async def fork(self, role: str, name: str, **order: Any) -> Process:
        """Start a process; it may not serve yet."""
        assert self._process.stdin is not None
        async with self._turn:
            self._process.stdin.write(
                json.dumps({"role": role, "name": name, **order}).encode() + b"\n"
            )
            async with asyncio.timeout(PATIENCE_SECONDS):
                pid = await self._forked.get()
        if pid is None:
            raise DidNotStart(f"the fork server ended: see {self._errors.read_text()[-2000:]}")
        process = Process(name, pid)
        self._by_pid[pid] = process
        self._by_name[name] = process
        if pid in self._early:
            process.ended.set_result(self._early.pop(pid))
        return process

    async def watch(self) -> None:
        """Read its messages until it ends."""
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            said = json.loads(line)
            if "pid" in said:
                self._forked.put_nowait(said["pid"])
            elif "ended" in said:
                process = self._by_pid.pop(said["ended"], None)
                if process is None:
                    self._early[said["ended"]] = said["signal"]
                else:
                    process.ended.set_result(said["signal"])
        self._forked.put_nowait(None)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Assign a connection to the process that opened it."""
        greeting = json.loads(await reader.readline())
        while greeting["name"] not in self._by_name:  # faster than the fork server's message
            await asyncio.sleep(0)
        self._by_name.pop(greeting["name"]).connected.set_result((reader, writer))


@asynccontextmanager
async def running_fork_server(directory: Path) -> AsyncIterator[ForkServer]:
    """Run the fork server until the block ends."""
    with (directory / "stderr").open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.prove.fork_server",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            start_new_session=True,  # the driver handles Ctrl-C
        )
    fork_server = ForkServer(process, directory / "stderr")
    server = await asyncio.start_unix_server(
        fork_server.accept, path=directory / "control", limit=64 * 1024 * 1024
    )
    watching = asyncio.ensure_future(fork_server.watch())
    try:
        yield fork_server
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), PATIENCE_SECONDS)
        except TimeoutError:
            process.kill()
        await asyncio.gather(watching, return_exceptions=True)
        server.close()
