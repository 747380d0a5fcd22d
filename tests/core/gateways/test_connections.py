"""Slots: how accounts share a gateway's connections."""

import asyncio

import pytest

from core.gateways.connections import AccountSlots


async def taken(slots: AccountSlots, account: str) -> int:
    """Take all slots that an account can have without waiting, and return how many."""
    count = 0
    while await slots.acquire(account):
        count += 1
    return count


async def test_an_account_has_at_most_as_many_slots_as_are_free() -> None:
    slots = AccountSlots(1000, wait_seconds=0.0)
    assert await taken(slots, "first") == 500
    assert await taken(slots, "second") == 250
    assert await taken(slots, "third") == 125
    for _ in range(500):
        slots.release("first")
    assert 250 + await taken(slots, "second") == 438  # of 1000 - 125
    assert await taken(slots, "last") > 200


async def test_a_call_waits_for_a_slot_of_its_account_in_order() -> None:
    slots = AccountSlots(4, wait_seconds=20.0)
    assert await slots.acquire("busy")
    assert await slots.acquire("busy")
    waiting = [asyncio.ensure_future(slots.acquire("busy")) for _ in range(2)]
    await asyncio.sleep(0)
    slots.release("busy")
    assert await waiting[0]
    assert await slots.acquire("other")
    slots.release("other")
    await asyncio.sleep(0)
    assert not waiting[1].done()
    slots.release("busy")
    assert await waiting[1]


@pytest.mark.parametrize("is_given", [False, True])
async def test_a_cancelled_call_keeps_no_slot(*, is_given: bool) -> None:
    slots = AccountSlots(2, wait_seconds=20.0)
    assert await slots.acquire("account")
    waiting = asyncio.ensure_future(slots.acquire("account"))
    await asyncio.sleep(0)
    if is_given:
        slots.release("account")
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    if not is_given:
        slots.release("account")
    assert await slots.acquire("account")
