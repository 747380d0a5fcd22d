"""Old and new cores on one database under load, then the old ones gone: `make prove` runs it.

    python -m tests.upgrades.together [--revision COMMIT] [--seconds 20]

The core of an earlier commit serves from a worktree of its own, on a database of its schema. Then
this version migrates the database and serves beside it, keyed requests go through both, some of
them through both at once, and the old core is killed with SIGKILL while its charges are in flight.
In the end the gateway's books, the wallets and the answers must agree: nothing lost or doubled.
SQLite has one core: there, this version starts after the old one was killed.
"""

import asyncio
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from google.protobuf.message import Message
from google.type.money_pb2 import Money

from nivisco.internal.v1 import operator_pb2
from nivisco.payments.v1 import wallet_pb2
from rpc.client import CoreClient
from rpc.errors import CoreError
from tests.core.payments.charging import INTENTS, card_holder, charge_request, fund_request
from tests.core.recurring.running import OPERATOR
from tests.core.running import (
    OPERATOR_TOKEN,
    Business,
    Gateway,
    call,
    register,
    running_sandbox,
    with_stripe,
)
from tests.databases import own_postgresql
from tests.processes import serving_line
from tests.upgrades.kept import KEYRING

ROOT = Path(__file__).parents[2]
VERSIONS = "core/database/migrations/versions"
CALLERS = 8
USERS = 4
START_SECONDS = 120.0
RESOLVED_SECONDS = 60.0
FINAL_REFUSALS = ("WALLET_TOO_LOW",)


def previous_schema() -> str:
    """Return the last release, or without one the commit before the newest revision."""
    tag = _git("describe", "--tags", "--abbrev=0", check=False)
    added = ("--first-parent", "-m", "-1", "--diff-filter=A", "--format=%H~1")
    return tag or _git("log", *added, "--", VERSIONS)


def _git(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, check=check, capture_output=True, text=True
    )
    return done.stdout.strip()


@contextmanager
def tree_of(commit: str) -> Iterator[Path]:
    """Check a commit out into a worktree until the block ends."""
    with tempfile.TemporaryDirectory(prefix="nivisco-old-") as name:
        tree = Path(name) / "tree"
        _git("worktree", "add", "--detach", str(tree), commit)
        try:
            yield tree
        finally:
            _git("worktree", "remove", "--force", str(tree))


@dataclass(slots=True)
class Version:
    """The code of a version, and the settings of its processes."""

    tree: Path
    variables: dict[str, str]

    async def start(self, *arguments: str, log: Path) -> asyncio.subprocess.Process:
        """Start one of its commands."""
        path = f"{self.tree}{os.pathsep}{self.tree / 'generated'}"
        kept = {n: v for n, v in os.environ.items() if not n.startswith("NIVISCO_")}
        with log.open("ab") as output:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "cli", *arguments),
                env=kept | self.variables | {"PYTHONPATH": path},
                stdout=output,
                stderr=output,
            )

    async def migrate(self, log: Path) -> None:
        """Migrate the database to its schema."""
        process = await self.start("migrate", log=log)
        assert await process.wait() == 0, log.read_text()

    @asynccontextmanager
    async def core(self, log: Path) -> AsyncIterator["Core"]:
        """Serve one core; it is killed at the end of the block, if it still runs."""
        process = await self.start("core", "--grpc", "127.0.0.1:0", log=log)
        try:
            client = CoreClient(await _address(process, log))
            yield Core(process, client)
            await client.close()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def _address(process: asyncio.subprocess.Process, log: Path) -> str:
    async with asyncio.timeout(START_SECONDS):
        while not (found := serving_line("core").search(log.read_text())):
            assert process.returncode is None, log.read_text()
            await asyncio.sleep(0.1)
    return found[1]


@dataclass(slots=True)
class Core:
    """A serving core."""

    process: asyncio.subprocess.Process
    client: CoreClient


@dataclass(slots=True)
class Load:
    """Keyed requests through the cores, and their final answers."""

    shop: Business
    users: list[str]
    clients: list[CoreClient]
    random: random.Random
    requests: dict[str, Message] = field(default_factory=dict)
    answers: dict[str, bytes] = field(default_factory=dict)
    differing: list[str] = field(default_factory=list)
    is_over: bool = False
    unfinished: str = ""
    """The last answer that was not final."""

    async def run(self, number: int) -> None:
        """Send one request after the other until it is over; every third through all cores."""
        while not self.is_over:
            key = f"{number}-{len(self.requests)}"
            self.requests[key] = self._request(key)
            clients = self.clients if self.random.random() < 1 / 3 else [self._any()]
            await asyncio.gather(*(self.send(key, client) for client in clients))

    def _any(self) -> CoreClient:
        return self.random.choice(self.clients)

    def _request(self, key: str) -> Any:
        user_id = self.random.choice(self.users)
        make: Any = self.random.choice([fund_request, charge_request, _debit])
        return make(user_id, self.random.randint(1, 9), description=key, idempotency_key=key)

    async def send(self, key: str, client: CoreClient) -> bool:
        """Send a request; return whether the answer is final, which must be that of before."""
        request = self.requests[key]
        try:
            response = await call(client, self.shop.credentials, request)
            answer = response.SerializeToString(deterministic=True)
        except CoreError as error:
            if error.reason not in FINAL_REFUSALS:
                self.unfinished = f"{key}: {error.reason}, {error.message}"
                return False
            answer = error.reason.encode()
        if self.answers.setdefault(key, answer) != answer:
            self.differing.append(key)
        return True

    async def finish(self, client: CoreClient) -> None:
        """Send every request again through one core until it has its final answer."""
        try:
            async with asyncio.timeout(RESOLVED_SECONDS):
                for key in self.requests:
                    while not await self.send(key, client):
                        await asyncio.sleep(0.5)
        except TimeoutError:
            raise click.ClickException(f"not resolved: {self.unfinished}") from None


def _debit(user_id: str, units: int, **more: Any) -> wallet_pb2.ChargeWalletRequest:
    return wallet_pb2.ChargeWalletRequest(user_id=user_id, amount=Money(units=units), **more)


async def prove(
    old: Version, new: Version, gateway: Gateway, place: Path, *, are_together: bool, seconds: float
) -> list[str]:
    """Return what was lost or doubled."""
    await old.migrate(place / "old-migrate.log")
    async with old.core(place / "old.log") as before:
        shop = await with_stripe(await register(before.client))
        users = [await card_holder(shop) for _ in range(USERS)]
        load = Load(shop, users, [before.client], random.Random(16))  # noqa: S311 - no secret
        async with asyncio.TaskGroup() as callers:
            for number in range(CALLERS):
                callers.create_task(load.run(number))
            await asyncio.sleep(seconds / 3)
            if are_together:
                await new.migrate(place / "new-migrate.log")
                async with new.core(place / "new.log") as after:
                    load.clients.append(after.client)
                    await asyncio.sleep(seconds / 3)
                    await _kill(before, gateway)
                    load.clients = [after.client]
                    await asyncio.sleep(seconds / 3)
                    load.is_over = True
                    return await _found(load, after.client, gateway)
            await _kill(before, gateway)
            load.is_over = True
    await new.migrate(place / "new-migrate.log")
    async with new.core(place / "new.log") as after:
        return await _found(load, after.client, gateway)


async def _kill(core: Core, gateway: Gateway) -> None:
    """Kill a core while the gateway holds its charges."""
    await gateway.fault("delay_after", INTENTS, times=CALLERS, seconds=30)
    await gateway.wait_until_holding(1)
    core.process.kill()
    await core.process.wait()
    await gateway.clear()


async def _found(load: Load, client: CoreClient, gateway: Gateway) -> list[str]:
    await load.finish(client)
    wrong = [f"{key} had two answers" for key in load.differing]
    expected: Counter[str] = Counter()
    for key, request in load.requests.items():
        is_card = not isinstance(request, wallet_pb2.ChargeWalletRequest)
        if is_card and load.answers[key].decode(errors="replace") not in FINAL_REFUSALS:
            expected[key] = 1
    charged = Counter(charge["description"] for charge in await gateway.charges())
    wrong += [
        f"{key}: charged {charged[key]} times in place of {expected[key]}"
        for key in expected.keys() | charged.keys()
        if charged[key] != expected[key]
    ]
    for user_id in load.users:
        wrong += await _balance_differs(load, client, user_id)
    answer = await call(client, OPERATOR, operator_pb2.ExamineRequest())
    wrong += [
        f"nivisco doctor: {check.name} {check.count}"
        for check in answer.checks
        if check.verdict != operator_pb2.CHECK_VERDICT_OK
    ]
    click.echo(f"  {len(load.requests)} requests, {sum(charged.values())} charges")
    return wrong


async def _balance_differs(load: Load, client: CoreClient, user_id: str) -> list[str]:
    """Compare the balance with what the answers say."""
    expected = 0
    for key, request in load.requests.items():
        answered = load.answers[key].decode(errors="replace") not in FINAL_REFUSALS
        sign = {"FundCustomerRequest": 1, "ChargeWalletRequest": -1}.get(request.DESCRIPTOR.name, 0)
        content: Any = request
        if answered and content.user_id == user_id:
            expected += sign * content.amount.units
    wallet = wallet_pb2.GetUserWalletRequest(user_id=user_id)
    balance = (await call(client, load.shop.credentials, wallet)).wallet.balance.units
    return [] if balance == expected else [f"{user_id} has {balance} in place of {expected}"]


async def _run(tree: Path, kind: str, url: str, seconds: float, place: Path) -> list[str]:
    async with running_sandbox(place) as gateway:
        variables = {
            "NIVISCO_DATABASE_URL": url,
            "NIVISCO_SECRET_KEYS": KEYRING,
            "NIVISCO_SERVICE_TOKENS": f"operator:{OPERATOR_TOKEN}",
            "NIVISCO_STRIPE_TEST_URL": gateway,
            "NIVISCO_STRIPE_LIVE_URL": gateway,
        }
        versions = Version(tree, variables), Version(ROOT, variables)
        are_together = kind == "postgresql"
        return await prove(
            *versions, Gateway(gateway), place, are_together=are_together, seconds=seconds
        )


@click.command()
@click.option("--revision", default="", help="Commit of the old cores.")
@click.option(
    "--keep",
    type=click.Path(path_type=Path, exists=True),
    help="Where to leave the logs.",
)
@click.option("--seconds", default=20.0, help="Seconds of load on each database.")
def main(*, revision: str, keep: Path | None, seconds: float) -> None:
    """Prove an upgrade from an earlier commit under load, on PostgreSQL and SQLite."""
    commit = _git("rev-parse", revision or previous_schema())
    is_wrong = False
    with tree_of(commit) as tree, own_postgresql() as server:
        server.skip_fsync()
        for kind in ("postgresql", "sqlite"):
            with tempfile.TemporaryDirectory() as name:
                place = (keep or Path(name)) / kind
                place.mkdir()
                url = server.url if kind == "postgresql" else f"sqlite:///{place / 'nivisco.db'}"
                click.echo(f"{kind}: {commit[:12]} and this version, {seconds:g} s of load")
                found = asyncio.run(_run(tree, kind, url, seconds, place))
            for each in found or ["nothing lost or doubled"]:
                click.echo(f"  {each}")
            is_wrong |= bool(found)
    sys.exit(is_wrong)


if __name__ == "__main__":
    main()
