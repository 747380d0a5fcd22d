"""Part `neighbours`: how long merchants' keyed debits take beside one that does harm.

Debits arrive at a steady rate, a quarter of what the same clients reach in a closed loop right
before, alone and beside each of:

    a hanging gateway     one merchant's charges, more at once than it may have at a gateway
    a flood of wrong keys from the address of all, whose own keys are known
    slow bodies           requests that send one byte a second

The harm begins before the measured time and ends after it. What it is answered does not count.
"""

import asyncio
import json
import statistics
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
from typing import Final

from cli.addresses import Address
from rpc.client import CoreClient
from tests.bench.accounts import MANY, Account
from tests.bench.calls import CHARGE, CHARGE_CARD, json_requests
from tests.bench.figures import Figure, Result, at_most
from tests.bench.http_connection import HttpConnection, UnexpectedAnswer, post_request
from tests.bench.postgresql.contest import OURS, Contest
from tests.bench.run import Run
from tests.bench.samples import Turn, ratio, summary
from tests.bench.stack import adapter_process, with_settings
from tests.bench.turns import in_turns, take_steady_turn, take_turn
from tests.core.running import (
    Business,
    Gateway,
    running_sandbox,
    save_card,
    with_stripe,
)

_RATIO_MAX: Final = 2.0
_CLOSED, _ALONE = "closed loop", "alone"
_HANGING, _FLOOD, _SLOW = "a hanging gateway", "a flood of wrong keys", "slow bodies"
_PAUSE_SECONDS: Final = 1.0
"""As Retry-After says."""
_FLOOD_PER_SECOND: Final = 500
_FLOOD_CONNECTIONS: Final = 20
_HANG_SECONDS: Final = 60.0
_HANG_TIMES: Final = 100_000
_CHARGES = "/v1/payment_intents"
_BODY_BYTES: Final = 60_000
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class _Harm:
    """Who does harm, and where."""

    adapter: Address
    gateway: Gateway
    accounts: list[Account]
    """The merchant's users, with cards."""
    connections: int
    """How many connections a merchant or an attacker opens."""

    async def hang(self) -> None:
        """Charge at a gateway that does not answer."""
        requests = list(json_requests(self.adapter, self.accounts, CHARGE_CARD).values())
        await self.gateway.fault("delay", _CHARGES, times=_HANG_TIMES, seconds=_HANG_SECONDS)

        async def charge(number: int, connection: HttpConnection) -> None:
            amount = b'"amount": %d.5' % next(_numbers)  # each is another charge
            request = requests[number % len(requests)].replace(b'"amount": 25.5', amount)
            await _sent(connection, self._post(request.partition(b"\r\n\r\n")[2]))
            await asyncio.sleep(_PAUSE_SECONDS)

        try:
            await self._by_connections(self.connections, charge)
        finally:
            await self.gateway.clear()

    async def flood(self) -> None:
        """Send wrong keys at a steady rate."""

        async def guess(_number: int, connection: HttpConnection) -> None:
            wrong = {"business_id": f"BUS-{next(_numbers)}", "api_key": "f" * 64, "action": "x"}
            await _sent(connection, self._post(json.dumps(wrong).encode()))
            await asyncio.sleep(_FLOOD_CONNECTIONS / _FLOOD_PER_SECOND)

        await self._by_connections(_FLOOD_CONNECTIONS, guess)

    async def send_slowly(self) -> None:
        """Send bodies of one byte a second, and begin again when the connection is closed."""
        head = self._post(bytes(_BODY_BYTES)).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"

        async def send() -> None:
            while True:
                with suppress(OSError):
                    reader, writer = await asyncio.open_connection(
                        self.adapter.host, self.adapter.port
                    )
                    try:
                        writer.write(head)
                        while not reader.at_eof():
                            writer.write(b" ")
                            await writer.drain()
                            await asyncio.sleep(_PAUSE_SECONDS)
                    finally:
                        writer.close()

        await asyncio.gather(*(send() for _ in range(self.connections)))

    def _post(self, body: bytes) -> bytes:
        return post_request(self.adapter, body)

    async def _by_connections(
        self, connections: int, work: Callable[[int, HttpConnection], Awaitable[None]]
    ) -> None:
        async def keep_working(number: int, connection: HttpConnection) -> None:
            while True:
                await work(number, connection)

        async with AsyncExitStack() as opened:
            working = []
            for number in range(connections):
                connection = await HttpConnection.open(self.adapter.host, self.adapter.port)
                opened.callback(connection.close)
                working.append(keep_working(number, connection))
            await asyncio.gather(*working)


async def _sent(connection: HttpConnection, request: bytes) -> None:
    with suppress(UnexpectedAnswer, OSError):
        await connection.send(request)


async def measure(run: Run) -> Result:
    """Measure alone and beside each harm, in turns, and check the books."""
    size = run.size
    async with run.contest() as contest, _merchant_with_harm(contest, run) as harm:
        harms = {_HANGING: harm.hang, _FLOOD: harm.flood, _SLOW: harm.send_slowly}
        accounts = [each for each in contest.accounts[MANY] if each not in harm.accounts]
        requests = json_requests(harm.adapter, accounts, CHARGE, keyed=True)
        clients = await contest.clients(harm.adapter, requests, size.clients)
        users = [account.user_id for account in accounts]
        load = 0.0

        async def turn_of(way: str, seconds: float) -> Turn:
            if way == _CLOSED:
                turn = await take_turn(contest.cpu_seconds, clients, users, seconds)
            else:
                async with _beside(harms.get(way), seconds / 2):
                    turn = await take_steady_turn(
                        contest.cpu_seconds, clients, users, 2 * seconds, load
                    )
            contest.acknowledged[OURS][MANY] += len(turn.latencies)
            return turn

        turns = await in_turns([_CLOSED], turn_of, size)
        load = statistics.median(turn.per_second for turn in turns[_CLOSED]) / 4
        turns |= await in_turns([_ALONE, *harms], turn_of, size)
        books = await contest.books()
    alone = turns[_ALONE]
    return Result(
        [
            Figure(
                f"p99 of others' keyed debits beside {way} / alone",
                ratio([each.milliseconds(99.0) for each in turns[way]],
                      [each.milliseconds(99.0) for each in alone]),
                "x",
                at_most(_RATIO_MAX),
                f"{summary(f'{load:,.0f}/s due, beside it:', turns[way])}; "
                f"{summary('alone', alone)}",
            )
            for way in harms
        ],
        books,
    )  # fmt: skip


@asynccontextmanager
async def _beside(
    work: Callable[[], Awaitable[None]] | None, lead_seconds: float
) -> AsyncIterator[None]:
    """Run the harm, if any, from a moment before until the block ends."""
    if work is None:
        yield
        return
    task = asyncio.ensure_future(work())
    try:
        await asyncio.wait([task], timeout=lead_seconds)
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


@asynccontextmanager
async def _merchant_with_harm(contest: Contest, run: Run) -> AsyncIterator[_Harm]:
    """Start core and adapter, and give one of the merchants a gateway, the sandbox."""
    size = run.size
    await contest.create(OURS)
    async with running_sandbox(contest.directory) as sandbox:
        core = await contest.start(with_settings(contest.core, NIVISCO_STRIPE_TEST_URL=sandbox))
        adapter = await contest.start(adapter_process(contest.directory, core))
        client = CoreClient(str(core))
        last = contest.accounts[MANY][-1].credentials
        accounts = [each for each in contest.accounts[MANY] if each.credentials == last]
        try:
            shop = await with_stripe(Business(client, last))
            for account in accounts:
                await save_card(shop, account.user_id)
        finally:
            await client.close()
        yield _Harm(adapter, Gateway(sandbox), accounts, size.charges_in_flight)
