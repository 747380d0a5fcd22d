"""Measures charge_wallet per second, by clients, wallets and protocol."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.calls import Callers
from tests.bench.plan import Plan
from tests.bench.samples import Spread, Throughput, Turn, ratio
from tests.bench.stack import Stack
from tests.bench.turns import in_turns, take_turn

_ACTION = "charge_wallet"
_WAYS = ("JSON", "gRPC", "gRPC, keyed")


@dataclass(frozen=True, slots=True)
class Charges:
    """Results for one number of clients and wallets."""

    clients: int
    wallets: int
    ways: dict[str, Throughput]
    json_to_grpc: Spread
    """JSON requests per second / gRPC requests per second."""
    to_one_client: Spread
    """JSON requests per second / those of one client."""
    keyed_to_unkeyed: Spread
    """gRPC request time with an idempotency key / without."""


@dataclass(frozen=True, slots=True, order=True)
class _Cell:
    clients: int
    hot: bool
    way: str


async def measure_charges(
    stack: Stack, callers: Callers, user_ids: Sequence[str], plan: Plan, done: Counter[str]
) -> list[Charges]:
    """Charge the first user's wallet, and those of all others; count all in `done`."""
    hot, spread = user_ids[:1], user_ids[1:]
    most = max(plan.client_counts)
    clients = {
        "JSON": [await callers.json(stack.adapter, _ACTION) for _ in range(most)],
        "gRPC": [await callers.grpc(_ACTION) for _ in range(most)],
        "gRPC, keyed": [await callers.grpc(_ACTION, keyed=True) for _ in range(most)],
    }
    cells = [
        _Cell(count, is_hot, way)
        for count in plan.client_counts
        for is_hot in (False, True)
        for way in _WAYS
    ]

    async def turn_of(cell: _Cell, seconds: float) -> Turn:
        wallets = hot if cell.hot else spread
        callers_of_cell = clients[cell.way][: cell.clients]
        return await take_turn(stack.cpu_seconds, callers_of_cell, wallets, seconds, done)

    turns = await in_turns(cells, turn_of, plan.charges(len(cells)))
    return [
        _charges(turns, count, is_hot, 1 if is_hot else len(spread), min(plan.client_counts))
        for is_hot in (False, True)
        for count in plan.client_counts
    ]


def _charges(
    turns: dict[_Cell, list[Turn]], clients: int, hot: bool, wallets: int, fewest: int
) -> Charges:
    def per_second(count: int, way: str) -> list[float]:
        return [turn.per_second for turn in turns[_Cell(count, hot, way)]]

    return Charges(
        clients=clients,
        wallets=wallets,
        ways={way: Throughput.of(turns[_Cell(clients, hot, way)]) for way in _WAYS},
        json_to_grpc=ratio(per_second(clients, "JSON"), per_second(clients, "gRPC")),
        to_one_client=ratio(per_second(clients, "JSON"), per_second(fewest, "JSON")),
        keyed_to_unkeyed=ratio(per_second(clients, "gRPC"), per_second(clients, "gRPC, keyed")),
    )
