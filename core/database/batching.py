"""Runs concurrent requests in batches: those that arrive while a batch runs form the next one.

A batch has one item when there is one caller and many when there are many; no item waits for others
to arrive. Does no I/O of its own.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_WAIT_SECONDS = 1.0
"""An item that has waited this long for a batch that fails, fails with it."""


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Item, Result]):
    item: Item
    result: asyncio.Future[Result]
    since: float
    """By the event loop's clock."""


class Batcher(Generic[Item, Result]):
    """Runs one batch at a time."""

    def __init__(
        self,
        run_batch: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        *,
        max_size: int,
    ) -> None:
        """Run batches of up to `max_size` items with `run_batch`.

        `run_batch` returns a result or an exception for each item. If it raises, all items of the
        batch fail, and so do items that have waited MAX_WAIT_SECONDS for it: a server that hangs
        would make them wait as long again.
        """
        self._run_batch = run_batch
        self._max_size = max_size
        self._waiting: list[_Waiting[Item, Result]] = []
        self._worker: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Result:
        """Return the result of an item. Cancelling the caller does not cancel the item."""
        loop = asyncio.get_running_loop()
        result: asyncio.Future[Result] = loop.create_future()
        self._waiting.append(_Waiting(item, result, loop.time()))
        if self._worker is None:
            # Context of its own: a batch must not log the request id of its first caller.
            self._worker = asyncio.create_task(self._work(), context=Context())
        return await result

    async def _work(self) -> None:
        try:
            while self._waiting:
                batch = self._waiting[: self._max_size]
                self._waiting = self._waiting[self._max_size :]
                await self._run(batch)
        finally:
            self._worker = None

    async def _run(self, batch: Sequence["_Waiting[Item, Result]"]) -> None:
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
