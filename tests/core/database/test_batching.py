"""Requests that arrive while a batch runs form the next batch, and each caller gets its result."""

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar

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
