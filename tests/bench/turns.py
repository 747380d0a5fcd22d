"""Runs concurrent clients for a turn, and alternates the variants of a measurement."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

from tests.bench.calls import Call
from tests.bench.plan import Rounds
from tests.bench.samples import Turn

CpuSeconds = Callable[[], dict[str, float]]
"""Returns the CPU time of each process so far."""
_Variant = TypeVar("_Variant", bound=Hashable)


async def in_turns(
    variants: Sequence[_Variant],
    turn_of: Callable[[_Variant, float], Awaitable[Turn]],
    rounds: Rounds,
) -> dict[_Variant, list[Turn]]:
    """Warm up every variant, then alternate them, reversing the order each round.

    Interleaving makes disturbances of the machine hit all variants alike.
    """
    for variant in variants:
        await turn_of(variant, rounds.warm_up_seconds)
    turns: dict[_Variant, list[Turn]] = {variant: [] for variant in variants}
    for number in range(rounds.rounds):
        for variant in variants if number % 2 == 0 else reversed(variants):
            turns[variant].append(await turn_of(variant, rounds.seconds))
    return turns


async def take_turn(
    cpu_seconds: CpuSeconds,
    clients: Sequence[Call],
    user_ids: Iterable[str],
    seconds: float,
    done: Counter[str] | None = None,
) -> Turn:
    """Run all clients concurrently for a while, each at least once; count in `done` by user.

    Raises:
        UnexpectedAnswer, CoreError: a request failed; the other clients are cancelled.
    """
    latencies: list[float] = []
    users = itertools.cycle(user_ids)
    before, started = cpu_seconds(), time.perf_counter()
    try:
        async with asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(_keep_calling(client, users, started + seconds, latencies, done))
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    ended, after = time.perf_counter(), cpu_seconds()
    return Turn(ended - started, latencies, {name: after[name] - before[name] for name in after})


async def _keep_calling(
    call: Call,
    users: Iterator[str],
    until: float,
    latencies: list[float],
    done: Counter[str] | None,
) -> None:
    while True:
        user_id = next(users)
        started = time.perf_counter()
        await call(user_id)
        ended = time.perf_counter()
        latencies.append(ended - started)
        if done is not None:
            done[user_id] += 1
        if ended >= until:
            return
