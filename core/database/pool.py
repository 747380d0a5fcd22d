"""A pool of connections, given out in the order in which they were asked for."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress

from core.database.connections import Connection


class PoolTimeoutError(TimeoutError):
    """No connection became free in time."""


class Pool:
    """Up to a number of connections, which are opened when needed.

    A connection that is open, or being opened, has a slot. A slot that becomes free goes to the
    longest waiting task, with a connection or without.
    """

    def __init__(
        self, connect: Callable[[], Awaitable[Connection]], *, size: int, wait_seconds: float
    ) -> None:
        """Keep up to `size` connections made by `connect`."""
        self._connect = connect
        self.size = size
        """Most connections at once."""
        self._free_slots = size
        self._wait_seconds = wait_seconds
        self._idle: list[Connection] = []
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()

    @property
    def open(self) -> int:
        """How many connections are open or being opened."""
        return self.size - self._free_slots

    @property
    def in_use(self) -> int:
        """How many of them are given out."""
        return self.open - len(self._idle)

    @property
    def waiting(self) -> int:
        """How many tasks wait for one."""
        return len(self._waiting)

    async def acquire(self) -> Connection:
        """Return a connection, to be given back with `release`.

        Raises:
            PoolTimeoutError: none became free in time.
            DBAPIError, OSError: none could be opened.
        """
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable:
                return connection
            self._free_slots += 1
        if self._free_slots:
            self._free_slots -= 1
        elif (given := await self._wait()) is not None:
            return given
        try:
            return await self._connect()
        except BaseException:
            self._pass_on(None)
            raise

    async def _wait(self) -> Connection | None:
        """Return the next free connection, or None with the slot for one."""
        given: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(given)
        try:
            async with asyncio.timeout(self._wait_seconds):
                return await given
        except BaseException as error:
            if given.done() and not given.cancelled():
                self._pass_on(given.result())
            else:
                with suppress(ValueError):  # it was passed over already
                    self._waiting.remove(given)
            if isinstance(error, TimeoutError):
                raise PoolTimeoutError from None
            raise

    def release(self, connection: Connection) -> None:
        """Take a connection back; one that is not usable any more only frees its slot."""
        self._pass_on(connection if connection.is_usable else None)

    def _pass_on(self, connection: Connection | None) -> None:
        while self._waiting:
            given = self._waiting.popleft()
            if not given.done():
                given.set_result(connection)
                return
        if connection is None:
            self._free_slots += 1
        else:
            self._idle.append(connection)

    def drop_idle(self) -> None:
        """End the idle connections, as when the server has restarted."""
        for connection in self._taken_idle():
            connection.drop()

    async def close(self) -> None:
        """Close the idle connections; those of a server that hangs end when this is cancelled."""
        idle = self._taken_idle()
        try:
            for connection in idle:
                with suppress(Exception):  # it is gone either way
                    await connection.close()
        finally:
            for connection in idle:
                if connection.is_usable:
                    connection.drop()

    def _taken_idle(self) -> list[Connection]:
        idle, self._idle = self._idle, []
        self._free_slots += len(idle)
        return idle
