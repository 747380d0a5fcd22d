"""Measures get_user_wallet with one client: the echo, gRPC and JSON in turns."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.calls import Call, Callers
from tests.bench.plan import Plan
from tests.bench.samples import Spread, Turn, percentile_99, ratio
from tests.bench.stack import Stack
from tests.bench.turns import in_turns, take_turn

_ACTION = "get_user_wallet"


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """One variant, in microseconds per request."""

    median: Spread
    percentile_99: float
    cpu: dict[str, Spread]
    """By process."""


@dataclass(frozen=True, slots=True)
class RoundTrips:
    """All variants, and their ratios by round."""

    ways: dict[str, RoundTrip]
    json_to_echo: Spread
    json_to_grpc: Spread
    grpc_to_echo: Spread
    adapter_microseconds: Spread
    """Time that the adapter adds: JSON minus gRPC."""
    adapter_cpu_microseconds: Spread
    adapter_cpu_to_echo: Spread
    """CPU time of the adapter / CPU time of the echo."""


async def measure_round_trips(
    stack: Stack, callers: Callers, user_ids: Sequence[str], plan: Plan
) -> RoundTrips:
    """Measure with one client."""
    ways: dict[str, Call] = {
        "echo": await callers.json(stack.echo, _ACTION),
        "gRPC": await callers.grpc(_ACTION),
        "JSON": await callers.json(stack.adapter, _ACTION),
    }

    async def turn_of(name: str, seconds: float) -> Turn:
        return await take_turn(stack.cpu_seconds, [ways[name]], user_ids, seconds)

    return _compared(await in_turns(list(ways), turn_of, plan.round_trips(len(ways))))


def _compared(turns: dict[str, list[Turn]]) -> RoundTrips:
    medians = {name: [turn.median_microseconds for turn in turns[name]] for name in turns}
    adapter_cpu = [turn.cpu_microseconds("adapter") for turn in turns["JSON"]]
    echo_cpu = [turn.cpu_microseconds("echo") for turn in turns["echo"]]
    return RoundTrips(
        ways={name: _round_trip(turns[name]) for name in turns},
        json_to_echo=ratio(medians["JSON"], medians["echo"]),
        json_to_grpc=ratio(medians["JSON"], medians["gRPC"]),
        grpc_to_echo=ratio(medians["gRPC"], medians["echo"]),
        adapter_microseconds=Spread.of(
            [json - grpc for json, grpc in zip(medians["JSON"], medians["gRPC"], strict=True)]
        ),
        adapter_cpu_microseconds=Spread.of(adapter_cpu),
        adapter_cpu_to_echo=ratio(adapter_cpu, echo_cpu),
    )


def _round_trip(turns: Sequence[Turn]) -> RoundTrip:
    return RoundTrip(
        median=Spread.of([turn.median_microseconds for turn in turns]),
        percentile_99=percentile_99(turns),
        cpu={
            process: Spread.of([turn.cpu_microseconds(process) for turn in turns])
            for process in turns[0].cpu_seconds
        },
    )
