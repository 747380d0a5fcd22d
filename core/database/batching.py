"""Runs concurrent requests in batches: those that arrive while batches run form the next one.

A batch has one item when there is one caller and many when there are many; no item waits for others
to arrive. Does no I/O of its own.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_WAIT_SECONDS = 1.0
"""An item that has waited this long for a batch that fails, fails with it."""


@dataclass(slots=True, eq=False)
class _Waiting(Generic[Item, Result]):
    item: Item
    key: Hashable
    result: asyncio.Future[Result]
    since: float
    """By the event loop's clock."""


def _same_key(_item: object) -> Hashable:
    return None


class Batcher(Generic[Item, Result]):
    """Runs batches, those with a key in common one after the other."""

    def __init__(
        self,
        run_batch: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        *,
        max_size: int,
        max_running: int = 1,
        beside_min: int = 1,
        key_of: Callable[[Item], Hashable] = _same_key,
    ) -> None:
        """Run batches of up to `max_size` items with `run_batch`, up to `max_running` at a time.

        An item waits while a batch runs that has one with its key. By default all have the same.
        A batch begins beside another one only with `beside_min` items or more: with fewer, what
        each batch costs would outweigh what the overlap saves.

        `run_batch` returns a result or an exception for each item. If it raises, all items of the
        batch fail, and so do items that have waited MAX_WAIT_SECONDS for one: a server that hangs
        would make them wait as long again.
        """
        self._run_batch = run_batch
        self._max_size = max_size
        self._max_running = max_running
        self._beside_min = beside_min
        self._key_of = key_of
        self._waiting: list[_Waiting[Item, Result]] = []
        self._running_keys: set[Hashable] = set()
        self._workers: set[asyncio.Task[None]] = set()

    async def submit(self, item: Item) -> Result:
        """Return the result of an item. Cancelling the caller does not cancel the item."""
        loop = asyncio.get_running_loop()
        result: asyncio.Future[Result] = loop.create_future()
        key = self._key_of(item)
        self._waiting.append(_Waiting(item, key, result, loop.time()))
        if not self._workers or (
            len(self._workers) < self._max_running
            and len(self._waiting) >= self._beside_min
            and key not in self._running_keys
        ):
            # Context of its own: a batch must not log the request id of its first caller.
            self._workers.add(loop.create_task(self._work(), context=Context()))
        return await result

    async def _work(self) -> None:
        try:
            while batch := self._take():
                keys = {each.key for each in batch}
                self._running_keys |= keys
                await self._run(batch)
                self._running_keys -= keys
        finally:
            worker = asyncio.current_task()
            assert worker is not None, "a worker is a task"
            self._workers.remove(worker)

    def _take(self) -> list[_Waiting[Item, Result]]:
        """Remove the next batch from those that wait, in their order."""
        batch: list[_Waiting[Item, Result]] = []
        others: list[_Waiting[Item, Result]] = []
        for each in self._waiting:
            may_run = len(batch) < self._max_size and each.key not in self._running_keys
            (batch if may_run else others).append(each)
        if self._running_keys and len(batch) < self._beside_min:
            return []
        self._waiting = others
        return batch

    async def _run(self, batch: Sequence[_Waiting[Item, Result]]) -> None:
        results: Sequence[Result | BaseException]
        try:
            results = await self._run_batch([each.item for each in batch])
        except BaseException as error:  # noqa: BLE001 - every caller gets it
            since = asyncio.get_running_loop().time() - MAX_WAIT_SECONDS
            batch = [*batch, *(each for each in self._waiting if each.since <= since)]
            self._waiting = [each for each in self._waiting if each.since > since]
            results = [error] * len(batch)
        for each, result in zip(batch, results, strict=True):
            if each.result.done():  # its caller was cancelled
                continue
            if isinstance(result, BaseException):
                each.result.set_exception(result)
            else:
                each.result.set_result(result)
