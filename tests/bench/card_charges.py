"""Part `charges`: many charge_customer by JSON in flight at once, at a gateway that takes 300 ms.

They are of many businesses, because an account of a gateway has at most 32 calls in flight.

Ideal is what the gateway alone would take: charges / in flight * 300 ms. A request that gets
503 or 504, because the core is too busy, is sent again with its key, and the time goes on.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cli.addresses import Address
from cli.children import Spawn
from rpc.client import CoreClient
from tests.bench.accounts import Account, Books
from tests.bench.calls import CHARGE_CARD, json_requests, open_clients
from tests.bench.figures import Figure, Result, at_most
from tests.bench.postgresql.server import query
from tests.bench.run import Run
from tests.bench.samples import Spread, summary
from tests.bench.size import Size
from tests.bench.stack import (
    adapter_process,
    core_process,
    cpu_seconds_of,
    running,
    script_process,
    with_settings,
)
from tests.bench.turns import take_counted_turn
from tests.core.running import (
    Business,
    create_admin,
    create_user,
    register,
    running_sandbox,
    save_card,
    with_stripe,
)

_DATABASE = "charges"
_GATEWAY_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class _Shop:
    """Users with cards, of several businesses in turn, and the processes that charge them."""

    accounts: list[Account]
    adapter: Address
    cpu_seconds: Callable[[], dict[str, float]]


async def measure(run: Run) -> Result:
    """Charge in rounds, and compare payments and responses."""
    size, filled = run.size, await run.filled()
    url = await filled.server.create_database(_DATABASE)
    async with _running_shop(filled.directory, url, size) as shop, AsyncExitStack() as opened:
        requests = json_requests(shop.adapter, shop.accounts, CHARGE_CARD, keyed=True)
        refused: Counter[str] = Counter()
        number = size.charges_in_flight
        clients = await open_clients(opened, shop.adapter, requests, number, refused)
        users = [account.user_id for account in shop.accounts]
        turns = [
            await take_counted_turn(shop.cpu_seconds, clients, users, size.charges)
            for _ in range(size.rounds + 1)
        ]
    books = await _read_books(url, sum(len(turn.latencies) for turn in turns))
    measured = turns[1:]  # the first one opens connections to the gateway
    ideal = size.charges / size.charges_in_flight * _GATEWAY_SECONDS
    return Result(
        [
            Figure(
                f"{size.charges:,} charge_customer, {size.charges_in_flight} in flight, gateway of "
                f"{_GATEWAY_SECONDS * 1000:.0f} ms / ideal, time",
                Spread.of([turn.seconds / ideal for turn in measured]),
                "x",
                at_most(1.2),
                f"ideal {ideal:.2f} s, {refused.total()} times 503 or 504, sent again; "
                f"{summary('ours', measured)}",
            )
        ],
        {"ours": books},
    )


@asynccontextmanager
async def _running_shop(directory: Path, database_url: str, size: Size) -> AsyncIterator[_Shop]:
    """Save the cards at the sandbox, then serve with the bare gateway in its place."""
    command = core_process(directory, database_url)
    accounts = await _save_cards(directory, command, size)
    async with AsyncExitStack() as opened:
        pids = {}
        gateway = script_process(directory, "card_gateway", GATEWAY_SECONDS=str(_GATEWAY_SECONDS))
        child, gateway_at = await opened.enter_async_context(running(gateway))
        pids["gateway"] = child.pid
        core = with_settings(command, NIVISCO_STRIPE_TEST_URL=gateway_at.url())
        child, core_at = await opened.enter_async_context(running(core))
        pids["core"] = child.pid
        child, adapter_at = await opened.enter_async_context(
            running(adapter_process(directory, core_at))
        )
        pids["adapter"] = child.pid
        yield _Shop(accounts, adapter_at, lambda: cpu_seconds_of(pids))


async def _save_cards(directory: Path, core: Spawn, size: Size) -> list[Account]:
    """Save a card of as many users as charges are in flight, each business's in turn."""
    async with AsyncExitStack() as opened:
        sandbox = await opened.enter_async_context(running_sandbox(directory))
        at_sandbox = with_settings(core, NIVISCO_STRIPE_TEST_URL=sandbox)
        _, core_at = await opened.enter_async_context(running(at_sandbox))
        client = CoreClient(str(core_at))
        opened.push_async_callback(client.close)
        admin = await create_admin(client)
        shops = [
            await with_stripe(await register(client, f"shop{number}", admin))
            for number in range(size.merchants)
        ]
        users = size.charges_in_flight // size.merchants
        return [account for _ in range(users) for account in await _one_user_each(shops)]


async def _one_user_each(shops: Sequence[Business]) -> list[Account]:
    async def user_with_card(shop: Business) -> Account:
        user_id = await create_user(shop)
        await save_card(shop, user_id)
        return Account(shop.credentials, user_id, wallet_id="")

    return await asyncio.gather(*map(user_with_card, shops))


async def _read_books(database_url: str, acknowledged: int) -> Books:
    """Compare the payments with the responses; each has a transaction of its own."""
    rows = await query(
        database_url,
        "SELECT status, count(*), count(DISTINCT transaction_id) FROM payments GROUP BY status",
    )
    found = [tuple(row) for row in rows]
    expected = [("succeeded", acknowledged, acknowledged)]
    differences = [] if found == expected else [f"{found} in place of {expected}"]
    return Books(f"{acknowledged:,} charges", differences)
