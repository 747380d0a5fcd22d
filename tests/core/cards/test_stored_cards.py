"""Rows of cards while others are removed at the gateway, on each database."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from core.cards import primary, store
from core.database.transactions import Database, Transaction
from core.gateways.gateway import SavedCard
from tests.core.payments.running_service import RunningService, running_service
from tests.core.running import Gateway, ShiftedClock

OLDER = SavedCard("pm_older", "visa", "4242", 12, 2060, "number")
NEWER = SavedCard("pm_newer", "visa", "4242", 6, 2050, "number")
ALIKE = SavedCard("pm_alike", "visa", "4242", 1, 2040, "another number")


@pytest.fixture
async def running(database_url: str, gateway: Gateway) -> AsyncIterator[RunningService]:
    clock = ShiftedClock()
    async with running_service(Database(database_url, clock), clock, gateway) as made:
        yield made


def ids(running: RunningService) -> dict[str, Any]:
    business_id, user_id = running.caller.business_id, running.user_id
    return {"business_id": business_id, "user_id": user_id, "env": "TEST", "gateway": "stripe"}


async def keep(
    running: RunningService, transaction: Transaction, saved: SavedCard, **more: Any
) -> Any:
    known = {"replaces": None} | more
    return await store.keep_card(
        transaction, **ids(running), customer_id="cus_1", saved=saved, **known
    )


@pytest.mark.parametrize("detached", [("pm_older",), ("pm_older", "pm_newer")])
async def test_a_card_that_took_the_row_of_a_removed_one_stays_only_if_it_is_attached(
    running: RunningService, detached: tuple[str, ...]
) -> None:
    business_id = running.caller.business_id
    async with running.database.transaction() as transaction:
        card = await keep(running, transaction, replace(NEWER, gateway_card_id="pm_older"))
        taken = await keep(running, transaction, NEWER)
        assert (taken.card_id, taken.gateway_card_id) == (card.card_id, "pm_newer")
        for _ in range(2):
            await primary.remove_card(transaction, business_id, card, detached)
        left = await store.card_by_id(transaction, business_id=business_id, card_id=card.card_id)
        assert (left is None) == ("pm_newer" in detached)
        scope = {"business_id": business_id, "env": "TEST", "gateway": "stripe"}
        for each in ("pm_older", "pm_newer"):
            removed = await store.was_removed(transaction, **scope, gateway_card_id=each)
            assert removed == (each in detached)


async def test_a_card_that_the_gateway_has_not_any_more_is_never_the_one_of_its_number(
    running: RunningService,
) -> None:
    async with running.database.transaction() as transaction:
        older = await keep(running, transaction, OLDER)
        alike = await keep(running, transaction, ALIKE)
        gone = [older, alike]
        saved = await keep(running, transaction, NEWER, replaces=alike, removed=gone)
        assert (saved.gateway_card_id, saved.exp_year) == ("pm_newer", 2050)


async def test_a_cards_details_are_stored_unless_another_card_took_its_row(
    running: RunningService,
) -> None:
    ids = {"business_id": running.caller.business_id}
    async with running.database.transaction() as transaction:
        card = await keep(running, transaction, OLDER)
        changed = replace(OLDER, last4="1881", exp_month=1, exp_year=2061)
        await store.set_details(transaction, **ids, card=card, saved=changed)
        await store.set_details(transaction, **ids, card=card, saved=ALIKE)
        stored = await store.card_by_id(transaction, **ids, card_id=card.card_id)
        assert stored == replace(card, last4="1881", exp_month=1, exp_year=2061)


async def test_cards_are_read_equally_in_a_transaction_and_without_one(
    running: RunningService,
) -> None:
    of_user = {name: value for name, value in ids(running).items() if name != "gateway"}
    async with running.database.transaction() as transaction:
        for saved in (OLDER, NEWER):
            await keep(running, transaction, saved)
        listed = await store.cards_of_user(transaction, **of_user)
        chosen = await store.primary_card(transaction, **ids(running))
    assert len(listed) == 2
    assert await store.cards_of_user(running.database, **of_user) == listed
    assert await store.primary_card(running.database, **ids(running)) == chosen
    other = of_user | {"env": "LIVE"}
    assert await store.cards_of_user(running.database, **other) == []
    assert await store.primary_card(running.database, **other, gateway="stripe") is None
