"""What gathers while one group is carried out is the next one, and each asker gets their own."""

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar

import pytest

from core.database import batching
from core.database.batching import Batcher

whose: ContextVar[str] = ContextVar("whose", default="nobody's")


class Doubling:
    """Doubles numbers, a group at a time, when it is let."""

    def __init__(self, at_most: int = 10) -> None:
        self.groups: list[list[int]] = []
        self.seen: list[str] = []
        self.let = asyncio.Event()
        self.batcher = Batcher(self.carry_out, at_most=at_most)

    async def carry_out(self, orders: Sequence[int]) -> Sequence[int | Exception]:
        self.groups.append(list(orders))
        self.seen.append(whose.get())
        await self.let.wait()
        if 13 in orders:
            raise LookupError("the whole group")
        return [ValueError("negative") if order < 0 else 2 * order for order in orders]

    def ask(self, *orders: int) -> "list[asyncio.Task[int]]":
        return [asyncio.ensure_future(self.batcher.submit(order)) for order in orders]

    async def until_begun(self, groups: int) -> None:
        while len(self.groups) < groups:
            await asyncio.sleep(0)


async def test_one_alone_does_not_wait_for_others() -> None:
    doubling = Doubling()
    doubling.let.set()
    assert await doubling.batcher.submit(1) == 2
    assert await doubling.batcher.submit(2) == 4
    assert doubling.groups == [[1], [2]]


async def test_what_comes_while_a_group_runs_is_the_next_group_in_order() -> None:
    doubling = Doubling()
    first = doubling.ask(1)
    await doubling.until_begun(1)
    others = doubling.ask(2, 3, 4)
    await asyncio.sleep(0)
    doubling.let.set()
    assert await asyncio.gather(*first, *others) == [2, 4, 6, 8]
    assert doubling.groups == [[1], [2, 3, 4]]


async def test_a_group_holds_at_most_so_many() -> None:
    doubling = Doubling(at_most=2)
    doubling.let.set()
    assert await asyncio.gather(*doubling.ask(1, 2, 3, 4, 5)) == [2, 4, 6, 8, 10]
    assert doubling.groups == [[1, 2], [3, 4], [5]]


async def test_an_order_fails_alone_and_a_group_that_raises_fails_whole() -> None:
    doubling = Doubling(at_most=2)
    doubling.let.set()
    ends = await asyncio.gather(*doubling.ask(1, -1, 13, 5, 6), return_exceptions=True)
    assert [type(end) for end in ends] == [int, ValueError, LookupError, LookupError, int]


async def test_who_has_waited_long_for_a_group_that_fails_fails_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    doubling = Doubling()
    failing = doubling.ask(13)
    await doubling.until_begun(1)
    waiting = doubling.ask(1)
    await asyncio.sleep(0)
    monkeypatch.setattr(batching, "PATIENCE_SECONDS", 0.0)
    doubling.let.set()
    ends = await asyncio.gather(*failing, *waiting, return_exceptions=True)
    assert [type(end) for end in ends] == [LookupError, LookupError]
    assert await doubling.batcher.submit(2) == 4


async def test_an_asker_who_leaves_takes_nothing_from_the_others() -> None:
    doubling = Doubling()
    leaving, staying = doubling.ask(1, 2)
    await doubling.until_begun(1)
    leaving.cancel()
    doubling.let.set()
    assert await staying == 4
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert await doubling.batcher.submit(3) == 6


async def test_a_group_is_nobodys_own_work() -> None:
    doubling = Doubling()
    doubling.let.set()
    whose.set("the first asker's")
    await doubling.batcher.submit(1)
    assert doubling.seen == ["nobody's"]
