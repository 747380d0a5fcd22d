"""Saving cards at Stripe: one customer for each user and environment, one primary card."""

import asyncio
from typing import Any

import pytest

from nivisco.payments.v1 import cards_pb2, credentials_pb2, types_pb2
from rpc.errors import CoreError
from tests.core.running import Business, Gateway, create_user, save_card, with_stripe


async def test_the_first_card_is_primary_and_the_same_resource_everywhere(shop: Business) -> None:
    user_id = await create_user(shop)
    saved = await save_card(shop, user_id)
    assert saved.customer_id.startswith("cus_")
    assert saved.card == cards_pb2.Card(
        card_id=saved.card.card_id,
        user_id=user_id,
        gateway=types_pb2.GATEWAY_STRIPE,
        env=types_pb2.ENV_TEST,
        brand="visa",
        last4="4242",
        exp_month=saved.card.exp_month,
        exp_year=saved.card.exp_year,
        primary=True,
        created_at=saved.card.created_at,
    )
    assert saved.card.created_at.seconds > 0
    primary = await shop.call(cards_pb2.GetUserPrimaryCardRequest(user_id=user_id))
    (listed,) = (await shop.call(cards_pb2.GetUserCardsRequest(user_id=user_id))).cards
    assert primary.card == listed == saved.card


async def test_all_cards_of_a_user_have_the_same_customer(shop: Business) -> None:
    user_id = await create_user(shop)
    first = await save_card(shop, user_id)
    second = await save_card(shop, user_id, "pm_card_mastercard")
    assert second.customer_id == first.customer_id
    cards = (await shop.call(cards_pb2.GetUserCardsRequest(user_id=user_id))).cards
    assert [(card.brand, card.primary) for card in cards] == [
        ("mastercard", False),
        ("visa", True),
    ]


async def test_concurrently_saved_cards_have_one_customer_and_one_primary(shop: Business) -> None:
    user_id = await create_user(shop)
    tokens = ("pm_card_visa", "pm_card_mastercard", "pm_card_amex", "pm_card_jcb", "pm_card_visa")
    saved = await asyncio.gather(*(save_card(shop, user_id, token) for token in tokens))
    assert len({answer.customer_id for answer in saved}) == 1
    cards = (await shop.call(cards_pb2.GetUserCardsRequest(user_id=user_id))).cards
    assert [len(cards), sum(card.primary for card in cards)] == [4, 1]


async def test_a_card_token_is_saved_like_a_payment_method(shop: Business) -> None:
    saved = await save_card(shop, await create_user(shop), "tok_visa")
    assert saved.card.last4 == "4242"


@pytest.mark.parametrize(
    ("token", "reason", "detail"),
    [
        ("pm_card_visa_chargeDeclined", "CARD_DECLINED", "generic_decline"),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "CARD_DECLINED", "insufficient_funds"),
        ("pm_unknown", "INVALID_FIELDS", "payment_method_token"),
        ("visa", "INVALID_FIELDS", "payment_method_token"),
        ("", "INVALID_FIELDS", "payment_method_token"),
    ],
)
async def test_a_refused_token_leaves_no_card(
    shop: Business, token: str, reason: str, detail: str
) -> None:
    user_id = await create_user(shop)
    with pytest.raises(CoreError) as refused:
        await save_card(shop, user_id, token)
    found: Any = refused.value.metadata.get("decline_code") or [
        problem.field for problem in refused.value.fields
    ]
    assert (refused.value.reason, found) == (reason, detail if isinstance(found, str) else [detail])
    assert not (await shop.call(cards_pb2.GetUserCardsRequest(user_id=user_id))).cards


@pytest.mark.parametrize("kind", ["reset_after", "reset_before", "cut_body"])
@pytest.mark.parametrize("path", ["/v1/customers", "/v1/payment_methods/*"])
async def test_a_lost_response_creates_no_second_customer_or_card(
    shop: Business, gateway: Gateway, kind: str, path: str
) -> None:
    user_id = await create_user(shop)
    await gateway.fault(kind, path)
    saved = await save_card(shop, user_id)
    again = await save_card(shop, user_id, "pm_card_mastercard")
    assert saved.customer_id == again.customer_id
    assert len((await shop.call(cards_pb2.GetUserCardsRequest(user_id=user_id))).cards) == 2


async def test_a_card_belongs_to_its_environment(shop: Business) -> None:
    await with_stripe(shop, types_pb2.ENV_LIVE)
    user_id = await create_user(shop)
    await shop.call(
        cards_pb2.CreateStripeCustomerRequest(
            user_id=user_id, payment_method_token="pm_card_visa", env=types_pb2.ENV_TEST
        )
    )
    with pytest.raises(
        CoreError
    ) as refused:  # LIVE is the default since its credentials are stored
        await shop.call(cards_pb2.GetUserPrimaryCardRequest(user_id=user_id))
    assert refused.value.reason == "CARD_NOT_FOUND"


async def test_saving_a_card_needs_credentials(business: Business, user_id: str) -> None:
    with pytest.raises(CoreError) as refused:
        await save_card(business, user_id)
    assert refused.value.reason == "CREDENTIALS_MISSING"


async def test_a_customer_that_the_account_does_not_have_is_created_again(shop: Business) -> None:
    user_id = await create_user(shop)
    old = await save_card(shop, user_id)
    other = credentials_pb2.ModifyStripeCredentialsRequest.Credentials(
        env=types_pb2.ENV_TEST, stripe_secret_key="sk_test_otheraccount_a"
    )
    await shop.call(credentials_pb2.ModifyStripeCredentialsRequest(credentials=other))
    new = await save_card(shop, user_id, "pm_card_mastercard")
    again = await save_card(shop, user_id)
    assert new.customer_id != old.customer_id
    assert again.customer_id == new.customer_id
