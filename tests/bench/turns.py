"""Runs concurrent clients for a turn, and alternates the variants of a measurement."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

from tests.bench.calls import Call
from tests.bench.histogram import Histogram
from tests.bench.samples import Turn
from tests.bench.size import Size

CpuSeconds = Callable[[], dict[str, float]]
"""Returns the CPU time of each process so far."""
_Variant = TypeVar("_Variant", bound=Hashable)


async def in_turns(
    variants: Sequence[_Variant],
    turn_of: Callable[[_Variant, float], Awaitable[Turn]],
    size: Size,
) -> dict[_Variant, list[Turn]]:
    """Warm up every variant, then alternate them, reversing the order each round.

    Interleaving makes disturbances of the machine hit all variants alike.
    """
    for variant in variants:
        await turn_of(variant, size.warm_up_seconds)
    turns: dict[_Variant, list[Turn]] = {variant: [] for variant in variants}
    for number in range(size.rounds):
        for variant in variants if number % 2 == 0 else reversed(variants):
            turns[variant].append(await turn_of(variant, size.turn_seconds))
    return turns


async def take_turn(
    cpu_seconds: CpuSeconds, clients: Sequence[Call], user_ids: Iterable[str], seconds: float
) -> Turn:
    """Run all clients concurrently for a while, each at least once and one request at a time.

    Raises:
        UnexpectedAnswer, CoreError: a request failed; the other clients are cancelled.
    """
    users, latencies = itertools.cycle(user_ids), Histogram()
    until = time.perf_counter() + seconds

    async def keep_calling(call: Call) -> None:
        while True:
            started = time.perf_counter()
            await call(next(users))
            ended = time.perf_counter()
            latencies.record(ended - started)
            if ended >= until:
                return

    return await _turn(cpu_seconds, [keep_calling(call) for call in clients], latencies)


async def take_counted_turn(
    cpu_seconds: CpuSeconds, clients: Sequence[Call], user_ids: Iterable[str], requests: int
) -> Turn:
    """Send so many requests, each client one at a time.

    Raises:
        UnexpectedAnswer, CoreError: a request failed; the other clients are cancelled.
    """
    users, latencies = itertools.islice(itertools.cycle(user_ids), requests), Histogram()

    async def keep_calling(call: Call) -> None:
        for user_id in users:
            started = time.perf_counter()
            await call(user_id)
            latencies.record(time.perf_counter() - started)

    return await _turn(cpu_seconds, [keep_calling(call) for call in clients], latencies)


async def take_steady_turn(
    cpu_seconds: CpuSeconds,
    clients: Sequence[Call],
    user_ids: Iterable[str],
    seconds: float,
    per_second: float,
) -> Turn:
    """Send requests at a steady rate, whatever the responses take (an open loop).

    A request's time counts from when it was due, so that a response that keeps a client from
    sending the next one shows in the times of both (coordinated omission is avoided).

    Raises:
        UnexpectedAnswer, CoreError: a request failed; the other clients are cancelled.
    """
    users, latencies = itertools.cycle(user_ids), Histogram()
    started = time.perf_counter()
    count = max(len(clients), round(seconds * per_second))
    due_times = iter([started + number / per_second for number in range(count)])

    async def keep_schedule(call: Call, due_times: Iterator[float]) -> None:
        for due in due_times:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            sent = time.perf_counter()  # up to half a millisecond early: timers count whole ones
            await call(next(users))
            latencies.record(time.perf_counter() - min(due, sent))

    work = [keep_schedule(call, due_times) for call in clients]
    return await _turn(cpu_seconds, work, latencies)


async def _turn(
    cpu_seconds: CpuSeconds, work: Sequence[Awaitable[None]], latencies: Histogram
) -> Turn:
    """Await all work, and return its turn.

    Raises:
        UnexpectedAnswer, CoreError: a request failed; the rest is cancelled.
    """
    before, started = cpu_seconds(), time.perf_counter()
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    ended, after = time.perf_counter(), cpu_seconds()
    return Turn(ended - started, latencies, {name: after[name] - before[name] for name in after})
