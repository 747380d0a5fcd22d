"""Requests that arrive while a batch runs form the next batch, and each caller gets its result."""

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar
from random import Random

import pytest

from core.database import batching
from core.database.batching import Batcher

caller: ContextVar[str] = ContextVar("caller", default="none")


class Doubling:
    """Doubles numbers in batches, once it may."""

    def __init__(self, max_size: int = 10) -> None:
        self.batches: list[list[int]] = []
        self.callers: list[str] = []
        self.may_run = asyncio.Event()
        self.batcher = Batcher(self.run_batch, max_size=max_size)

    async def run_batch(self, items: Sequence[int]) -> Sequence[int | Exception]:
        self.batches.append(list(items))
        self.callers.append(caller.get())
        await self.may_run.wait()
        if 13 in items:
            raise LookupError("the whole batch")
        return [ValueError("negative") if item < 0 else 2 * item for item in items]

    def submit(self, *items: int) -> "list[asyncio.Task[int]]":
        return [asyncio.ensure_future(self.batcher.submit(item)) for item in items]

    async def wait_until_begun(self, batches: int) -> None:
        while len(self.batches) < batches:
            await asyncio.sleep(0)


async def test_a_single_item_does_not_wait_for_others() -> None:
    doubling = Doubling()
    doubling.may_run.set()
    assert await doubling.batcher.submit(1) == 2
    assert await doubling.batcher.submit(2) == 4
    assert doubling.batches == [[1], [2]]


async def test_items_that_arrive_while_a_batch_runs_are_the_next_batch_in_order() -> None:
    doubling = Doubling()
    first = doubling.submit(1)
    await doubling.wait_until_begun(1)
    others = doubling.submit(2, 3, 4)
    await asyncio.sleep(0)
    doubling.may_run.set()
    assert await asyncio.gather(*first, *others) == [2, 4, 6, 8]
    assert doubling.batches == [[1], [2, 3, 4]]


async def test_a_batch_has_a_maximum_size() -> None:
    doubling = Doubling(max_size=2)
    doubling.may_run.set()
    assert await asyncio.gather(*doubling.submit(1, 2, 3, 4, 5)) == [2, 4, 6, 8, 10]
    assert doubling.batches == [[1, 2], [3, 4], [5]]


async def test_an_item_fails_alone_and_a_batch_that_raises_fails_as_a_whole() -> None:
    doubling = Doubling(max_size=2)
    doubling.may_run.set()
    ends = await asyncio.gather(*doubling.submit(1, -1, 13, 5, 6), return_exceptions=True)
    assert [type(end) for end in ends] == [int, ValueError, LookupError, LookupError, int]


async def test_items_that_waited_long_for_a_failing_batch_fail_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    doubling = Doubling()
    failing = doubling.submit(13)
    await doubling.wait_until_begun(1)
    waiting = doubling.submit(1)
    await asyncio.sleep(0)
    monkeypatch.setattr(batching, "MAX_WAIT_SECONDS", 0.0)
    doubling.may_run.set()
    ends = await asyncio.gather(*failing, *waiting, return_exceptions=True)
    assert [type(end) for end in ends] == [LookupError, LookupError]
    assert await doubling.batcher.submit(2) == 4


async def test_a_cancelled_caller_does_not_affect_the_others() -> None:
    doubling = Doubling()
    cancelled, waiting = doubling.submit(1, 2)
    await doubling.wait_until_begun(1)
    cancelled.cancel()
    doubling.may_run.set()
    assert await waiting == 4
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert await doubling.batcher.submit(3) == 6


async def test_a_batch_does_not_run_in_the_context_of_its_first_caller() -> None:
    doubling = Doubling()
    doubling.may_run.set()
    caller.set("first")
    await doubling.batcher.submit(1)
    assert doubling.callers == ["none"]


class Overlapping:
    """Runs batches of (key, number) until they are ended, and records what ran and when."""

    def __init__(self, *, max_size: int = 10, max_running: int = 2, beside_min: int = 1) -> None:
        self.running: list[tuple[list[tuple[str, int]], asyncio.Future[None]]] = []
        self.begun: list[tuple[str, int]] = []
        self.most = 0
        """Batches that ran at a time."""
        self.batcher = Batcher(
            self.run_batch,
            max_size=max_size,
            max_running=max_running,
            beside_min=beside_min,
            key_of=lambda item: item[0],
        )

    async def run_batch(self, items: Sequence[tuple[str, int]]) -> Sequence[int | Exception]:
        keys = {key for key, _ in items}
        for others, _ in self.running:
            assert keys.isdisjoint(key for key, _ in others)
        batch = (list(items), asyncio.get_running_loop().create_future())
        self.running.append(batch)
        self.begun += items
        self.most = max(self.most, len(self.running))
        try:
            await batch[1]
        finally:
            self.running.remove(batch)
        return [number for _, number in items]

    async def submit(self, *items: tuple[str, int]) -> "list[asyncio.Task[int]]":
        tasks = [asyncio.ensure_future(self.batcher.submit(item)) for item in items]
        await settle()
        return tasks

    async def end(self, batch: int, error: Exception | None = None) -> None:
        end = self.running[batch][1]
        end.set_result(None) if error is None else end.set_exception(error)
        await settle()

    def keys(self) -> list[str]:
        return ["".join(key for key, _ in items) for items, _ in self.running]


async def settle() -> None:
    """Let every task that can run do so until it waits."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_items_with_the_key_of_a_running_batch_wait_for_it_and_others_do_not() -> None:
    batches = Overlapping()
    await batches.submit(("a", 1))
    await batches.submit(("a", 2), ("b", 3))
    assert batches.keys() == ["a", "b"]
    await batches.submit(("c", 4), ("a", 5))
    assert batches.keys() == ["a", "b"]
    await batches.end(1)
    assert batches.keys() == ["a", "c"]
    await batches.end(0)
    assert batches.keys() == ["c", "aa"]


async def test_a_batch_begins_beside_another_with_enough_items_only() -> None:
    batches = Overlapping(beside_min=3)
    await batches.submit(("a", 1))
    await batches.submit(("b", 2), ("a", 3), ("c", 4))
    assert batches.keys() == ["a"]
    await batches.submit(("d", 5))
    assert batches.keys() == ["a", "bcd"]
    await batches.end(1)
    assert batches.keys() == ["a"]
    await batches.end(0)
    assert batches.keys() == ["a"]


async def test_a_batch_that_fails_does_not_affect_the_one_that_runs_beside_it() -> None:
    batches = Overlapping()
    (fails,) = await batches.submit(("a", 1))
    (runs,) = await batches.submit(("b", 2))
    await batches.end(0, LookupError("the whole batch"))
    with pytest.raises(LookupError):
        await fails
    assert not runs.done()
    await batches.end(0)
    assert await runs == 2


@pytest.mark.parametrize("max_running", [1, 2, 3])
@pytest.mark.parametrize("seed", range(20))
async def test_running_batches_share_no_key_and_each_key_has_its_order(
    seed: int, max_running: int
) -> None:
    random = Random(seed)  # noqa: S311
    batches = Overlapping(
        max_size=random.choice([1, 3, 10]),
        max_running=max_running,
        beside_min=random.choice([1, 3]),
    )
    items = [(random.choice("abcdef"), number) for number in range(100)]
    tasks: list[asyncio.Task[int]] = []
    failed = 0
    while len(tasks) < len(items) or batches.running:
        if len(tasks) < len(items) and random.random() < 0.5:
            count = random.randint(1, 8)
            tasks += await batches.submit(*items[len(tasks) : len(tasks) + count])
        elif batches.running:
            error = LookupError() if random.random() < 0.2 else None
            failed += len(batches.running[0][0]) if error else 0
            batch = 0 if error else random.randrange(len(batches.running))
            await batches.end(batch, error)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    numbers = [number for _, number in items]
    assert sum(isinstance(result, LookupError) for result in results) == failed
    assert all(
        isinstance(result, LookupError) or result == number
        for number, result in zip(numbers, results, strict=True)
    )
    assert sorted(batches.begun, key=lambda item: item[0]) == sorted(
        items, key=lambda item: item[0]
    )
    assert batches.most <= max_running
