"""The connection pool: nobody waits for ever, and no slot is lost."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest

from core.database.connections import Answer, Connection, Kind
from core.database.pool import Pool, PoolTimeoutError


class FakeConnection(Connection):
    """A connection to nothing."""

    def __init__(self) -> None:
        self.is_open = True

    async def run(self, text: str, arguments: Sequence[Any] = ()) -> Answer:
        raise NotImplementedError

    async def run_many(self, text: str, rows: Sequence[Sequence[Any]]) -> Answer:
        raise NotImplementedError

    async def begin(self, kind: Kind) -> datetime | None:
        raise NotImplementedError

    async def commit(self) -> None:
        raise NotImplementedError

    async def rollback(self) -> None:
        raise NotImplementedError

    @property
    def is_usable(self) -> bool:
        return self.is_open

    def drop(self) -> None:
        self.is_open = False

    async def close(self) -> None:
        self.is_open = False


class Server:
    """Opens connections, or refuses to."""

    def __init__(self) -> None:
        self.opened: list[FakeConnection] = []
        self.errors: list[Exception] = []
        """Of the next attempts."""
        self.may_open = asyncio.Event()
        self.may_open.set()

    async def connect(self) -> Connection:
        await self.may_open.wait()
        if self.errors:
            raise self.errors.pop()
        self.opened.append(FakeConnection())
        return self.opened[-1]


def pool_of(server: Server, size: int = 1, wait_seconds: float = 60) -> Pool:
    return Pool(server.connect, size=size, wait_seconds=wait_seconds)


async def started(*tasks: "asyncio.Task[Any]") -> None:
    """Let the tasks run until they wait."""
    await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)


async def test_a_connection_is_used_again() -> None:
    pool = pool_of(server := Server())
    for _ in range(3):
        pool.release(await pool.acquire())
    assert len(server.opened) == 1


async def test_tasks_get_connections_in_the_order_in_which_they_ask() -> None:
    pool = pool_of(Server())
    connection = await pool.acquire()
    first, second = (asyncio.create_task(pool.acquire()) for _ in range(2))
    await started(first, second)
    pool.release(connection)
    assert await first is connection
    await started(second)
    pool.release(connection)
    assert await second is connection


async def test_who_waits_too_long_for_a_connection_is_told_so() -> None:
    pool = pool_of(Server(), wait_seconds=0)
    connection = await pool.acquire()
    with pytest.raises(PoolTimeoutError):
        await pool.acquire()
    pool.release(connection)
    assert await pool.acquire() is connection


async def test_a_failed_connect_keeps_no_slot() -> None:
    pool = pool_of(server := Server())
    server.errors = [OSError("refused"), OSError("refused")]
    for _ in range(2):
        with pytest.raises(OSError, match="refused"):
            await pool.acquire()
    assert await pool.acquire() is server.opened[0]


async def test_a_failed_connect_passes_its_slot_to_who_waits() -> None:
    pool = pool_of(server := Server())
    server.may_open.clear()
    server.errors = [OSError("refused")]
    failing = asyncio.create_task(pool.acquire())
    waiting = asyncio.create_task(pool.acquire())
    await started(failing, waiting)
    server.may_open.set()
    with pytest.raises(OSError, match="refused"):
        await failing
    assert await waiting is server.opened[0]


@pytest.mark.parametrize("is_given", [False, True])
async def test_a_cancelled_task_keeps_no_slot(*, is_given: bool) -> None:
    pool = pool_of(Server())
    connection = await pool.acquire()
    waiting = asyncio.create_task(pool.acquire())
    await started(waiting)
    if is_given:
        pool.release(connection)  # to the task, which has not run since
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    if not is_given:
        pool.release(connection)
    assert await pool.acquire() is connection


async def test_a_cancelled_connect_keeps_no_slot() -> None:
    pool = pool_of(server := Server())
    server.may_open.clear()
    connecting = asyncio.create_task(pool.acquire())
    await started(connecting)
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    server.may_open.set()
    assert await pool.acquire() is server.opened[0]


async def test_a_connection_that_ended_is_replaced() -> None:
    pool = pool_of(server := Server(), size=2)
    broken, ended_later = await pool.acquire(), await pool.acquire()
    waiting = asyncio.create_task(pool.acquire())
    await started(waiting)
    broken.drop()
    pool.release(broken)
    pool.release(ended_later)
    assert await waiting is server.opened[2]
    ended_later.drop()
    assert await pool.acquire() is server.opened[3]


async def test_dropped_and_closed_idle_connections_free_their_slots() -> None:
    pool = pool_of(server := Server(), size=2)
    for connection in [await pool.acquire(), await pool.acquire()]:
        pool.release(connection)
    pool.drop_idle()
    again = [await pool.acquire(), await pool.acquire()]
    assert again == server.opened[2:]
    for connection in again:
        pool.release(connection)
    await pool.close()
    assert not any(connection.is_usable for connection in server.opened)
    assert await pool.acquire() is server.opened[4]
