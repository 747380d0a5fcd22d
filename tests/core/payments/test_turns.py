"""One task of a core at a time has a payment's turn, and those that end something go first."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from core.database.transactions import DatabaseUnavailableError, LockTimeoutError
from core.payments import turns
from core.payments.turns import Turns

A, B = ("business", "PAY-A"), ("business", "PAY-B")


class Tasks:
    """Tasks that take turns, and the order in which they had them."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.had: list[str] = []
        self.running: list[asyncio.Task[None]] = []

    async def start(self, name: str, key: tuple[str, str] = A, **how: Any) -> asyncio.Task[None]:
        """Start a task and let it wait for its turn."""

        async def run() -> None:
            async with self.turns.turn(*key, **how):
                self.had.append(name)
                await asyncio.sleep(0)

        self.running.append(asyncio.create_task(run()))
        await asyncio.sleep(0)
        return self.running[-1]

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Have A's turn during the block, and let all tasks end after it."""
        async with self.turns.turn(*A):
            yield
        await asyncio.gather(*self.running, return_exceptions=True)


async def test_others_of_the_payment_wait_in_their_order() -> None:
    tasks = Tasks()
    async with tasks.taken():
        for name in "123":
            await tasks.start(name)
        assert tasks.had == []
    assert tasks.had == ["1", "2", "3"]


async def test_another_payment_does_not_wait() -> None:
    tasks = Tasks()
    async with tasks.taken():
        await (await tasks.start("other", B))
        assert tasks.had == ["other"]


async def test_what_ends_something_goes_before_what_begins() -> None:
    tasks = Tasks()
    async with tasks.taken():
        await tasks.start("begins")
        await tasks.start("ends", is_end=True)
        await tasks.start("ends too", is_end=True)
    assert tasks.had == ["ends", "ends too", "begins"]


async def test_a_turn_is_free_again_after_an_error() -> None:
    tasks = Tasks()
    with pytest.raises(ValueError, match="of the block"):
        async with tasks.turns.turn(*A):
            raise ValueError("of the block")
    await (await tasks.start("next"))
    assert tasks.had == ["next"]


@pytest.mark.parametrize(
    ("error", "runs"),
    [(DatabaseUnavailableError("away"), []), (LockTimeoutError("locked"), ["next"])],
    ids=["away", "locked by another core"],
)
async def test_those_that_wait_fail_with_a_database_that_is_away(
    error: DatabaseUnavailableError, runs: list[str]
) -> None:
    tasks = Tasks()

    async def fail() -> None:
        async with tasks.taken():
            await tasks.start("next")
            raise error

    with pytest.raises(type(error)):
        await fail()
    (end,) = await asyncio.gather(*tasks.running, return_exceptions=True)
    assert (end is error) is (not runs)
    assert tasks.had == runs
    await (await tasks.start("last"))
    assert tasks.had == [*runs, "last"]


@pytest.mark.parametrize("is_given", [False, True], ids=["while it waits", "as it gets its turn"])
async def test_a_task_that_is_cancelled_is_passed_over(is_given: bool) -> None:
    tasks = Tasks()
    async with tasks.taken():
        cancelled = await tasks.start("cancelled")
        await tasks.start("next")
        if not is_given:
            cancelled.cancel()
            await asyncio.sleep(0)
    if is_given:
        tasks = Tasks()
        async with tasks.turns.turn(*A):
            cancelled = await tasks.start("cancelled")
            await tasks.start("next")
        cancelled.cancel()
        await asyncio.gather(*tasks.running, return_exceptions=True)
    assert tasks.had == ["next"]
    await (await tasks.start("last"))
    assert tasks.had == ["next", "last"]


async def test_a_task_that_waits_for_too_long_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "WAIT_SECONDS", 0.01)
    tasks = Tasks()
    async with tasks.taken():
        late = await tasks.start("late")
        with pytest.raises(LockTimeoutError, match="the same payment"):
            await late
    assert tasks.had == []
    await (await tasks.start("next"))
    assert tasks.had == ["next"]
