"""Cards are saved at Authorize.Net by a nonce of Accept.js, so that no number passes through."""

import json
import logging
from typing import Any

import aiohttp
import pytest

from nivisco.payments.v1 import cards_pb2, types_pb2
from rpc.errors import CoreError
from tests.core.cards.test_remove_card import refused
from tests.core.payments.charging import charge_request
from tests.core.recurring.running import ON_SQLITE
from tests.core.running import Business, Gateway, authorize_card, create_user, with_authorize
from tests.sandbox.authorize.running import PATH
from tests.sandbox.authorize.test_nonces import request

pytestmark = ON_SQLITE
DESCRIPTOR = "COMMON.ACCEPT.INAPP.PAYMENT"


async def nonce(gateway: Gateway, business: Business, **token: Any) -> str:
    """Return a nonce as the cardholder's browser gets it."""
    headers = {"Content-Type": "application/json"}
    body = request(business.login_id, **token)
    async with (
        aiohttp.ClientSession() as session,
        session.post(gateway.url + PATH, data=body, headers=headers) as response,
    ):
        shown = json.loads((await response.text()).removeprefix("\ufeff"))
        return str(shown["opaqueData"]["dataValue"])


def by_nonce(user_id: str, value: str, **more: Any) -> cards_pb2.CreateAuthorizeCustomerRequest:
    """Return the request that saves the card of a nonce."""
    opaque = cards_pb2.CreateAuthorizeCustomerRequest.OpaqueData(
        data_descriptor=DESCRIPTOR, data_value=value
    )
    return cards_pb2.CreateAuthorizeCustomerRequest(user_id=user_id, opaque_data=opaque, **more)


async def test_the_card_of_a_nonce_is_saved_and_charged(
    shop: Business, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    business = await with_authorize(shop)
    user_id, value = await create_user(business), await nonce(gateway, business)
    keyed = by_nonce(user_id, value, idempotency_key="nonce-1")
    saved = await business.call(keyed)
    card = saved.card
    assert (card.brand, card.last4, card.exp_month, card.exp_year) == (
        "mastercard",
        "0015",
        12,
        2060,
    )
    assert card.primary
    assert await business.call(keyed) == saved
    assert await refused(business.call(by_nonce(user_id, value))) == "INVALID_FIELDS"
    again = await business.call(by_nonce(user_id, await nonce(gateway, business)))
    assert again == saved
    other = await business.call(authorize_card(user_id))
    assert other.customer_profile_id == saved.customer_profile_id
    charge = charge_request(user_id, gateway=types_pb2.GATEWAY_AUTHORIZE)
    assert (await business.call(charge)).transaction_id
    assert len((await gateway.authorize_books(business.login_id))["cards"]) == 2
    assert not [each for each in caplog.records if value in f"{each.getMessage()}{each.__dict__}"]


async def test_a_refused_or_lost_nonce_stores_no_card_and_another_one_saves_it(
    shop: Business, gateway: Gateway
) -> None:
    business = await with_authorize(shop)
    user_id = await create_user(business)
    declined = by_nonce(user_id, await nonce(gateway, business, cardCode="901"))
    assert await refused(business.call(declined)) == "CARD_DECLINED"
    books = await gateway.authorize_books(business.login_id)
    assert not books["customers"]  # it would be created with the card, in one call
    assert await refused(business.call(by_nonce(user_id, "unknown"))) == "INVALID_FIELDS"
    for step in (
        "createCustomerProfile",
        "createCustomerPaymentProfile",
        "getCustomerPaymentProfile",
    ):
        await gateway.authorize_fault("reset_after", step)
        lost = by_nonce(user_id, await nonce(gateway, business), idempotency_key=f"lost-{step}")
        assert await refused(business.call(lost)) == "OUTCOME_UNKNOWN"
        assert await refused(business.call(lost)) == "OUTCOME_UNKNOWN"  # clients send it again
    assert not (await business.call(cards_pb2.GetUserCardsRequest(user_id=user_id))).cards
    saved = await business.call(by_nonce(user_id, await nonce(gateway, business)))
    books = await gateway.authorize_books(business.login_id)
    assert [each["id"] for each in books["cards"]] == [saved.payment_profile_id]
    await gateway.authorize("answers", api_login_id=business.login_id, names_duplicates=False)
    value = await nonce(gateway, business)
    with pytest.raises(CoreError, match=f"Import the customer {saved.customer_profile_id} "):
        await business.call(by_nonce(user_id, value))


async def test_a_nonce_of_a_bank_account_saves_nothing(shop: Business, gateway: Gateway) -> None:
    business = await with_authorize(shop)
    user_id = await create_user(business)
    for _ in range(2):  # the first one creates the profile
        value = await nonce(gateway, business, accountNumber="4111111")
        with pytest.raises(CoreError) as error:
            await business.call(by_nonce(user_id, value))
        assert [each.field for each in error.value.fields] == ["opaque_data"]
    books = await gateway.authorize_books(business.login_id)
    assert (len(books["customers"]), books["cards"]) == (1, [])


async def test_a_request_has_card_data_or_a_nonce(shop: Business) -> None:
    user_id = await create_user(shop)
    both = by_nonce(user_id, "nonce")
    both.payment_profile.CopyFrom(authorize_card(user_id).payment_profile)
    other_kind, unprintable = by_nonce(user_id, "nonce"), by_nonce(user_id, "nonce")
    other_kind.opaque_data.data_descriptor = "COMMON.APPLE.INAPP.PAYMENT"
    unprintable.opaque_data.postal_code = "7\u0007"
    for wrong, field in (
        (cards_pb2.CreateAuthorizeCustomerRequest(user_id=user_id), "payment_profile"),
        (cards_pb2.CreateAuthorizeCustomerRequest(), "user_id payment_profile"),
        (both, "opaque_data"),
        (other_kind, "opaque_data.data_descriptor"),
        (by_nonce(user_id, "a b"), "opaque_data.data_value"),
        (unprintable, "opaque_data.postal_code"),
    ):
        with pytest.raises(CoreError) as error:
            await shop.call(wrong)
        assert error.value.reason == "INVALID_FIELDS"
        assert [each.field for each in error.value.fields] == field.split()
