"""A card is set up at Stripe for charges without its holder, who may have to authenticate."""

import time
from typing import Any

import pytest
from sqlalchemy import select

from core.cards import store
from core.database.schema import webhook_events
from core.database.transactions import Database
from nivisco.payments.v1 import cards_pb2
from rpc.errors import CoreError
from tests.core.cards.test_import_customer import Shop
from tests.core.cards.test_remove_card import refused
from tests.core.payments.charging import charge_request
from tests.core.payments.running_service import STRIPE_KEY, running_service
from tests.core.recurring.running import ON_SQLITE
from tests.core.running import Business, Gateway, ShiftedClock, create_user, save_card
from tests.end_to_end.signing import stripe_event, stripe_signature

pytestmark = ON_SQLITE
ON_SETUP, ALWAYS = "4000002500003155", "4000002760003184"


def set_up(user_id: str, token: str, **more: Any) -> cards_pb2.CreateStripeCustomerRequest:
    """Return the request that sets a card up."""
    return cards_pb2.CreateStripeCustomerRequest(
        user_id=user_id, payment_method_token=token, set_up=True, **more
    )


async def card_of(at: Shop, number: str) -> str:
    """Create a payment method as Stripe's browser library does."""
    card = {"card[number]": number, "card[exp_month]": "6", "card[exp_year]": "2060"}
    return str((await at.stripe("payment_methods", type="card", **card))["id"])


async def needed(request: Any) -> CoreError:
    """Return the error that asks for authentication."""
    with pytest.raises(CoreError) as error:
        await request
    assert error.value.reason == "AUTHENTICATION_REQUIRED"
    return error.value


@pytest.mark.parametrize("number", [ON_SETUP, ALWAYS])
async def test_the_card_is_saved_when_the_same_request_finds_that_its_holder_authenticated(
    shop: Business, gateway: Gateway, number: str
) -> None:
    at, user_id = Shop(shop, gateway, "stripe"), await create_user(shop)
    await save_card(shop, user_id)
    token = await card_of(at, number)
    keyed = set_up(user_id, token, set_as_primary=True, idempotency_key="set-up-1")
    asked = await needed(shop.call(keyed))
    assert asked.metadata["transaction_id"].startswith("seti_")
    assert asked.metadata["client_secret"].startswith(asked.metadata["transaction_id"])
    assert (await needed(shop.call(keyed))).metadata == asked.metadata
    request = set_up(user_id, token, set_as_primary=True)
    assert (await needed(shop.call(request))).metadata == asked.metadata  # the same SetupIntent
    assert len(await at.listed(user_id)) == 1
    intent = {"setup_intent": asked.metadata["transaction_id"]}
    await gateway.control("authentications", **intent)
    saved = await shop.call(request)
    assert (saved.card.last4, saved.card.primary) == (number[-4:], True)
    assert await shop.call(request) == saved
    if number == ON_SETUP:
        assert (await shop.call(charge_request(user_id))).transaction_id.startswith("pi_")


async def test_a_waiting_set_up_of_another_intent_is_not_adopted(
    shop: Business, gateway: Gateway
) -> None:
    at, user_id = Shop(shop, gateway, "stripe"), await create_user(shop)
    customer = (await save_card(shop, user_id)).customer_id
    token = await card_of(at, ON_SETUP)
    form = {"customer": customer, "payment_method": token, "confirm": "true"}
    theirs = await at.stripe("setup_intents", **form)
    secondary = await needed(shop.call(set_up(user_id, token)))
    primary = await needed(shop.call(set_up(user_id, token, set_as_primary=True)))
    (books,) = await gateway.books()
    metadata = {each["id"]: each["metadata"] for each in books["setup_intents"]}
    assert metadata[theirs["id"]] == {}
    for asked, flag in ((secondary, "false"), (primary, "true")):
        assert metadata[asked.metadata["transaction_id"]] == {
            "nivisco_user_id": user_id,
            "nivisco_set_as_primary": flag,
        }
    assert await needed(shop.call(set_up(user_id, token)))
    assert len((await gateway.books())[0]["setup_intents"]) == 3
    await gateway.control("authentications", setup_intent=theirs["id"])
    assert (await shop.call(set_up(user_id, token))).card.last4 == ON_SETUP[-4:]


async def test_a_card_is_set_up_once_despite_faults_and_a_refused_one_is_not_saved(
    shop: Business, gateway: Gateway
) -> None:
    at, user_id = Shop(shop, gateway, "stripe"), await create_user(shop)
    await gateway.fault("reset_after", "/v1/setup_intents")
    saved = await shop.call(set_up(user_id, "tok_visa", idempotency_key="k"))
    assert saved.card.primary
    declined = set_up(user_id, "pm_card_chargeDeclined")
    assert await refused(shop.call(declined)) == "CARD_DECLINED"
    assert await refused(shop.call(set_up(user_id, "pm_unknown"))) == "INVALID_FIELDS"
    token = await card_of(at, ON_SETUP)
    failed = (await needed(shop.call(set_up(user_id, token)))).metadata["transaction_id"]
    await gateway.control("authentications", setup_intent=failed, succeeds=False)
    again = (await needed(shop.call(set_up(user_id, token)))).metadata["transaction_id"]
    assert again != failed
    await gateway.fault("error_500", "/v1/setup_intents", times=2)
    token = await card_of(at, ALWAYS)
    assert await refused(shop.call(set_up(user_id, token))) == "OUTCOME_UNKNOWN"
    assert len(await at.listed(user_id)) == 1
    (books,) = await gateway.books()
    assert len(books["setup_intents"]) == 4  # one saved, one declined, one failed, one waits


async def test_only_a_set_up_of_ours_that_succeeded_stores_a_card(
    database_url: str, gateway: Gateway
) -> None:
    clock = ShiftedClock()
    async with running_service(Database(database_url, clock), clock, gateway) as running:
        at = Shop(Business(None, None, STRIPE_KEY), gateway, "stripe")  # type: ignore[arg-type]

        async def cards() -> list[store.Card]:
            async with running.database.read() as transaction:
                return await store.cards_of_user(
                    transaction,
                    business_id=running.caller.business_id,
                    user_id=running.user_id,
                    env="TEST",
                )

        async def tell(event_id: str, intent: Any) -> None:
            kind, now = "setup_intent.succeeded", time.time()
            subject = {"id": intent["id"], "metadata": intent["metadata"]}
            body = stripe_event(event_id, kind, int(now), **subject).body
            await running.webhooks.receive(
                business_id=running.caller.business_id,
                gateway="stripe",
                body=body,
                signature=stripe_signature(body, now),
            )

        async def made(user_id: str, customer: str, **more: str) -> Any:
            metadata = {"metadata[nivisco_user_id]": user_id} if user_id else {}
            method = await card_of(at, "5555555555554444")
            form = {"customer": customer, "payment_method": method, "confirm": "true"}
            return await at.stripe("setup_intents", **form | metadata | more)

        (first,) = await cards()
        other = (await at.stripe("customers"))["id"]
        ignored = [
            await made("", first.customer_id),
            await made("USR-UNKNOWN", first.customer_id),
            await made(running.user_id, other),
            await made(running.user_id, first.customer_id, confirm="false"),
            {"id": "seti_unknown", "metadata": {"nivisco_user_id": running.user_id}},
            {"id": "a/b", "metadata": {"nivisco_user_id": running.user_id}},
        ]
        for number, intent in enumerate(ignored):
            await tell(f"evt_{number}", intent)
        async with running.database.read() as transaction:
            rows = await transaction.connection.execute(select(webhook_events.c.state))
            assert {row.state for row in rows} == {"ignored"}  # none waits to be looked up again
        assert await cards() == [first]
        primary = {"metadata[nivisco_set_as_primary]": "true"}
        intent = await made(running.user_id, first.customer_id, **primary)
        for event_id in ("evt_a", "evt_a", "evt_b"):
            await tell(event_id, intent)
            assert [card.is_primary for card in await cards()] == [True, False]
