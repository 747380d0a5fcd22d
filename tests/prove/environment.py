"""What a driver keeps running: the sandbox, one core after another, the adapter, the clock."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from google.protobuf.message import Message

from rpc.client import CoreClient
from rpc.errors import CoreError
from rpc.metadata import Credentials
from tests.core.running import OPERATOR_TOKEN, call, create_admin
from tests.prove.adapter import running_adapter
from tests.prove.forked_processes import (
    DidNotStart,
    ForkServer,
    Process,
    running_fork_server,
    within_patience,
)
from tests.prove.shared_clock import SharedClock
from tests.prove.triggers import SETTLE_SECONDS

SIGKILL = 9
CALL_SECONDS = 25.0
RETRY_SECONDS = 0.2
LANDING_POLLS = 40
TURN_SECONDS = 0.05
IDLE_TURNS = 8
"""How often a core looks for due work before what it has not done counts as left undone."""


@dataclass
class Core:
    """A serving core and its client."""

    process: Process
    client: CoreClient

    @property
    def name(self) -> str:
        """Its name in the journal."""
        return self.process.name


@dataclass
class Environment:
    """The processes of one driver."""

    directory: Path
    database_url: str
    keyring: str
    fork_server: ForkServer
    gateway_url: str
    http: aiohttp.ClientSession
    clock: SharedClock
    mutant: str | None = None
    core: Core | None = None
    is_up: asyncio.Event = field(default_factory=asyncio.Event)
    admin: Credentials = field(default_factory=Credentials)
    starts: int = 0
    retired: list[Core] = field(default_factory=list)
    adapter_url: str = ""
    _journal: int = -1

    def __post_init__(self) -> None:
        self._journal = os.open(
            self.directory / "journal", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600
        )

    def note(self, text: str, who: str = "driver") -> None:
        """Write a line to the journal."""
        os.write(self._journal, f"{time.time():.4f} {who} {text}\n".encode())

    def new_journal(self) -> None:
        """Empty the journal."""
        os.ftruncate(self._journal, 0)

    def journal(self) -> str:
        """Return the journal."""
        return (self.directory / "journal").read_text()

    async def start_core(self, armed: tuple[str, int] | None = None) -> bool:
        """Start a core for the clients; False: it was killed while it started.

        Raises:
            DidNotStart: it ended for another reason than the armed kill.
        """
        self.starts += 1
        name = f"core-{self.starts}"
        process = await self.fork_server.fork(
            "core",
            name,
            directory=str(self.directory),
            database_url=self.database_url,
            keyring=self.keyring,
            gateway_url=self.gateway_url,
            listen="127.0.0.1:0",
            armed=armed,
            mutant=self.mutant,
        )
        try:
            await within_patience(f"{name} to serve", process.serving())
        except DidNotStart:
            if await process.wait() == SIGKILL and armed:
                process.close()
                return False
            raise
        self.core = Core(process, CoreClient(process.address, service_token=OPERATOR_TOKEN))
        self.is_up.set()
        return True

    async def use(self, database_url: str, mutant: str | None = None) -> None:
        """Start a core on a new database, with a mutant's bug if named."""
        if self.core is not None:
            await self.kill_core()
        self.database_url, self.mutant = database_url, mutant
        await self.start_core()
        async with asyncio.timeout(CALL_SECONDS):
            while True:
                try:
                    self.admin = await create_admin(await self.serving_client())
                except CoreError as error:
                    self.note(f"no admin yet: {error.reason}")
                    await asyncio.sleep(RETRY_SECONDS)
                else:
                    return

    async def serving(self) -> Core:
        """Wait for a serving core and return it."""
        await self.is_up.wait()
        assert self.core is not None
        return self.core

    async def serving_client(self) -> CoreClient:
        """Wait for a serving core and return its client."""
        return (await self.serving()).client

    async def core_ended(self) -> int:
        """Wait until the core ended and return the signal."""
        core = await self.serving()
        signal = await core.process.wait()
        await self._retire(core)
        return signal

    async def _retire(self, core: Core) -> None:
        if self.core is core:
            self.is_up.clear()
            self.core = None
            core.process.close()
            self.retired.append(core)

    async def close_retired(self) -> None:
        """Close the clients of ended cores. Not earlier, because calls may be in flight there.

        Raises:
            Stuck: a client does not close.
        """
        while self.retired:
            core = self.retired.pop()
            await within_patience(f"the client of {core.name} to close", core.client.close())

    async def idle_turns(self, wanted: int) -> None:
        """Wait until the core has looked for due work so many times, each without finding any.

        So it waits longer on a slow machine. It ends early if the core is killed.

        Raises:
            Stuck: the core does not become idle.
        """
        with suppress(ConnectionError):
            await within_patience("the core to be idle", self._idle_turns(wanted))

    async def _idle_turns(self, wanted: int) -> None:
        process = (await self.serving()).process
        first: int | None = None
        while True:
            turns = (await process.send(command="turns"))["turns"]
            first = turns if first is None else first
            if turns - first >= wanted:
                return
            await asyncio.sleep(TURN_SECONDS)

    async def kill_core(self) -> None:
        """Kill the core now."""
        core = await self.serving()
        self.note(f"{core.name} killed")
        core.process.kill()
        await within_patience(f"{core.name} to end after SIGKILL", core.process.wait())
        await self._retire(core)

    async def pass_settle_time(self) -> None:
        """Advance the clock by the settle time of Authorize.Net.

        No request may be in flight to the gateway: in production none takes as long.
        """
        if await self.wait_until_landed():
            self.note(f"clock advanced by {SETTLE_SECONDS:.0f} s")
            self.clock.advance(SETTLE_SECONDS + 1)

    async def wait_until_landed(self) -> bool:
        """Wait until the sandbox delays no request; False: one takes too long."""
        for _ in range(LANDING_POLLS):
            if not (await self.call_sandbox("GET", "faults"))["holding"]:
                return True
            await asyncio.sleep(0.05)
        return False

    async def call_sandbox(
        self, method: str, path: str, body: Any = None, key: str = "", *, may_refuse: bool = False
    ) -> Any:
        """Call a control endpoint of the sandbox, with `key` for one account."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        async with self.http.request(
            method, f"{self.gateway_url}/_sandbox/{path}", json=body, headers=headers
        ) as answer:
            assert answer.status < 300 or may_refuse, await answer.text()
            return await answer.json()

    async def call_stripe(self, path: str, form: dict[str, str], key: str) -> Any:
        """POST to Stripe as another program with the merchant's key; None after a fault."""
        headers = {"Authorization": f"Bearer {key}"}
        with suppress(aiohttp.ClientError):  # a fault
            async with self.http.post(
                f"{self.gateway_url}/v1/{path}", data=form, headers=headers
            ) as answer:
                self.note(f"{path} without the core: {answer.status}", who="gateway")
                return await answer.json()
        return None

    async def deliver(self, url: str, body: bytes, headers: dict[str, str]) -> None:
        """Deliver a webhook once; what the adapter answers is ignored."""
        with suppress(aiohttp.ClientError):
            async with self.http.post(url, data=body, headers=headers) as answer:
                await answer.read()

    async def call(
        self, credentials: Credentials, request: Message, core: Core | None = None
    ) -> Any:
        """Call the serving core, or `core`, once."""
        core = core or await self.serving()
        return await call(core.client, credentials, request, timeout_seconds=CALL_SECONDS)


@asynccontextmanager
async def running_environment(
    directory: Path, database_url: str, keyring: str
) -> AsyncIterator[Environment]:
    """Run a sandbox, and a first core if there is a database, until the block ends."""
    clock = SharedClock(directory / "clock")
    async with (
        running_fork_server(directory) as fork_server,
        aiohttp.ClientSession() as http,
    ):
        gateway = await fork_server.fork("sandbox", "sandbox", directory=str(directory))
        await gateway.serving()
        environment = Environment(directory, "", keyring, fork_server, gateway.address, http, clock)
        if database_url:
            await environment.use(database_url)
        try:
            async with running_adapter(environment.serving_client) as environment.adapter_url:
                yield environment
        finally:
            if environment.core is not None:
                await environment.kill_core()
            await environment.close_retired()
            gateway.close()
