"""Carries out what many ask for in groups: what gathers while one group runs is the next one.

So a transaction serves one caller when there is one and many when there are many, and nobody waits
for others to come. No I/O of its own.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Generic, TypeVar

Order = TypeVar("Order")
Result = TypeVar("Result")


PATIENCE_SECONDS = 1.0
"""How long an order has waited for a group that fails, to fail with it."""


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Order, Result]):
    order: Order
    answer: asyncio.Future[Result]
    since: float
    """By the event loop's clock."""


class Batcher(Generic[Order, Result]):
    """One group at a time, of at most so many orders."""

    def __init__(
        self,
        carry_out: Callable[[Sequence[Order]], Awaitable[Sequence[Result | Exception]]],
        *,
        at_most: int,
    ) -> None:
        """Have `carry_out` return a result for each order, or the exception that it ends with.

        What it raises ends every order of the group, and those that have waited for it as long as
        anybody should: what fails slowly, a server that hangs for one, is not worth a second wait.
        """
        self._carry_out = carry_out
        self._at_most = at_most
        self._waiting: list[_Waiting[Order, Result]] = []
        self._worker: asyncio.Task[None] | None = None

    async def submit(self, order: Order) -> Result:
        """Return the result of an order; it is carried out also where the asker leaves."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Result] = loop.create_future()
        self._waiting.append(_Waiting(order, answer, loop.time()))
        if self._worker is None:
            # A context of its own: the group is not the work of whoever came first.
            self._worker = asyncio.create_task(self._work(), context=Context())
        return await answer

    async def _work(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = (
                    self._waiting[: self._at_most],
                    self._waiting[self._at_most :],
                )
                await self._answer(group)
        finally:
            self._worker = None

    async def _answer(self, group: Sequence["_Waiting[Order, Result]"]) -> None:
        results: Sequence[Result | BaseException]
        try:
            results = await self._carry_out([each.order for each in group])
        except BaseException as error:  # noqa: BLE001 - each asker gets it
            since = asyncio.get_running_loop().time() - PATIENCE_SECONDS
            group = [*group, *(each for each in self._waiting if each.since <= since)]
            self._waiting = [each for each in self._waiting if each.since > since]
            results = [error] * len(group)
        for each, result in zip(group, results, strict=True):
            if each.answer.done():  # its asker left
                continue
            if isinstance(result, BaseException):
                each.answer.set_exception(result)
            else:
                each.answer.set_result(result)
