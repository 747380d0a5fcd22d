"""Measures charge_wallet a second: few and many clients, many wallets and one, JSON and gRPC."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.calls import Call, Callers, take_turn
from tests.bench.plan import Plan
from tests.bench.samples import Spread, Turn, percentile_99, ratio
from tests.bench.stack import Stack

_ACTION = "charge_wallet"
_WAYS = ("JSON", "gRPC")


@dataclass(frozen=True, slots=True)
class Throughput:
    """One way to charge, with so many clients at once."""

    per_second: Spread
    median_milliseconds: Spread
    percentile_99_milliseconds: float
    cpu: dict[str, Spread]
    """Microseconds a request by process."""


@dataclass(frozen=True, slots=True)
class Charges:
    """So many clients on so many wallets, by both ways."""

    clients: int
    wallets: int
    ways: dict[str, Throughput]
    json_to_grpc: Spread
    """Requests a second by JSON in those by gRPC."""
    to_one_client: Spread
    """Requests a second by JSON in those of one client."""


@dataclass(frozen=True, slots=True, order=True)
class _Cell:
    clients: int
    hot: bool
    way: str


async def measure_charges(
    stack: Stack, callers: Callers, user_ids: Sequence[str], plan: Plan, done: Counter[str]
) -> list[Charges]:
    """Charge the first user's wallet alone, and those of all others; count every charge in `done`.

    Many turns of each, interleaved, so that what disturbs the machine disturbs all alike.
    """
    hot, spread = user_ids[:1], user_ids[1:]
    clients = await _clients(callers, max(plan.client_counts))
    cells = [
        _Cell(count, is_hot, way)
        for count in plan.client_counts
        for is_hot in (False, True)
        for way in _WAYS
    ]

    async def turn_of(cell: _Cell, seconds: float) -> Turn:
        wallets = hot if cell.hot else spread
        return await take_turn(stack, clients[cell.way][: cell.clients], wallets, seconds, done)

    for cell in cells:
        await turn_of(cell, plan.warm_up_seconds(len(cells)))
    turns: dict[_Cell, list[Turn]] = {cell: [] for cell in cells}
    for number in range(plan.charge_rounds):
        for cell in cells if number % 2 == 0 else reversed(cells):
            turns[cell].append(await turn_of(cell, plan.charge_seconds(len(cells))))
    return [
        _charges(turns, count, is_hot, 1 if is_hot else len(spread), min(plan.client_counts))
        for is_hot in (False, True)
        for count in plan.client_counts
    ]


async def _clients(callers: Callers, most: int) -> dict[str, list[Call]]:
    return {
        "JSON": [await callers.json(_ACTION) for _ in range(most)],
        "gRPC": [await callers.grpc(_ACTION) for _ in range(most)],
    }


def _charges(
    turns: dict[_Cell, list[Turn]], clients: int, hot: bool, wallets: int, fewest: int
) -> Charges:
    def per_second(count: int, way: str) -> list[float]:
        return [turn.per_second for turn in turns[_Cell(count, hot, way)]]

    return Charges(
        clients=clients,
        wallets=wallets,
        ways={way: _throughput(turns[_Cell(clients, hot, way)]) for way in _WAYS},
        json_to_grpc=ratio(per_second(clients, "JSON"), per_second(clients, "gRPC")),
        to_one_client=ratio(per_second(clients, "JSON"), per_second(fewest, "JSON")),
    )


def _throughput(turns: Sequence[Turn]) -> Throughput:
    return Throughput(
        per_second=Spread.of([turn.per_second for turn in turns]),
        median_milliseconds=Spread.of([turn.median_microseconds / 1e3 for turn in turns]),
        percentile_99_milliseconds=percentile_99(turns) / 1e3,
        cpu={
            process: Spread.of([turn.cpu_microseconds(process) for turn in turns])
            for process in turns[0].cpu_seconds
        },
    )
