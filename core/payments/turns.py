"""Lets one task of this core at a time lock a payment, so that a hot one takes one connection.

Without it, every request about one payment waits for its row's lock on a connection of its own:
some of them take all connections from the other payments' requests, and the writes of outcomes wait
behind requests that only begin. A turn is taken before the transaction, never inside of one: who
has a connection must not wait for who waits for one. Other cores wait for the row's lock.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from core.database.transactions import DatabaseUnavailableError, LockTimeoutError

WAIT_SECONDS: Final = 10.0
"""How long a task waits for its turn: so that one call of a gateway fits a deadline of 25 s."""


class Turns:
    """The turns of a core's tasks, for each payment in the order in which they were asked for."""

    def __init__(self) -> None:
        """Start without a task."""
        self._waiting: dict[tuple[str, str], tuple[deque[asyncio.Future[None]], ...]] = {}
        """Who waits for a payment that has a turn running: those that end something, and others."""

    def is_taken(self, business_id: str, payment_id: str) -> bool:
        """Return whether a turn at the payment would have to wait now."""
        return (business_id, payment_id) in self._waiting

    @asynccontextmanager
    async def turn(
        self, business_id: str, payment_id: str, *, is_end: bool = False
    ) -> AsyncIterator[None]:
        """Run the block as the only one of this core that names the payment by this id.

        Those that name it by its other id have turns of their own: two connections at most.

        The write of an outcome (`is_end`) goes before what begins: caller and lease wait for it.

        Raises:
            LockTimeoutError: others had turns for WAIT_SECONDS.
            DatabaseUnavailableError: the turn before found no database, and so would this one.
        """
        key = (business_id, payment_id)
        if key in self._waiting:
            await self._wait(key, is_end=is_end)
        else:
            self._waiting[key] = (deque(), deque())
        try:
            yield
        except LockTimeoutError:
            raise
        except DatabaseUnavailableError as error:
            self._fail(key, error)
            raise
        finally:
            self._pass_on(key)

    async def _wait(self, key: tuple[str, str], *, is_end: bool) -> None:
        given: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting[key][0 if is_end else 1]
        waiting.append(given)
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await given
        except BaseException as error:
            if not given.done() or given.cancelled():
                with suppress(ValueError):  # it was passed over already
                    waiting.remove(given)
            elif given.exception() is None:
                self._pass_on(key)
            if isinstance(error, TimeoutError):
                raise LockTimeoutError("many requests wait for the same payment") from None
            raise

    def _pass_on(self, key: tuple[str, str]) -> None:
        """Give the turn to the next task that still waits."""
        for waiting in self._waiting[key]:
            while waiting:
                given = waiting.popleft()
                if not given.done():
                    given.set_result(None)
                    return
        del self._waiting[key]

    def _fail(self, key: tuple[str, str], error: DatabaseUnavailableError) -> None:
        """Fail those that wait: one after the other would wait for the same database."""
        for waiting in self._waiting[key]:
            while waiting:
                given = waiting.popleft()
                if not given.done():
                    given.set_exception(error)
