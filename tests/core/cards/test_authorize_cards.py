"""Saving cards at Authorize.Net: one profile for each user and environment."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from nivisco.payments.v1 import cards_pb2, credentials_pb2, types_pb2, users_pb2
from rpc.errors import CoreError
from tests.core.payments.charging import charge_request
from tests.core.running import (
    Business,
    Gateway,
    ShiftedClock,
    authorize_card,
    create_user,
    register,
    running_core,
    save_card,
    settings_for,
    with_authorize,
)

AUTHORIZE, STRIPE = types_pb2.GATEWAY_AUTHORIZE, types_pb2.GATEWAY_STRIPE
MASTERCARD = "5424000000000015"
AMEX = "370000000000002"


@pytest.fixture
async def merchant(shop: Business) -> Business:
    """A business with keys of both gateways."""
    return await with_authorize(shop)


async def cards_of(business: Business, user_id: str) -> list[Any]:
    return list((await business.call(cards_pb2.GetUserCardsRequest(user_id=user_id))).cards)


async def primary(business: Business, user_id: str, **which: Any) -> Any:
    request = cards_pb2.GetUserPrimaryCardRequest(user_id=user_id, **which)
    return (await business.call(request)).card


async def test_all_cards_of_a_user_are_saved_in_one_profile(
    merchant: Business, gateway: Gateway
) -> None:
    user_id = await create_user(merchant)
    first = await merchant.call(authorize_card(user_id))
    second = await merchant.call(authorize_card(user_id, MASTERCARD))
    third = await merchant.call(authorize_card(user_id, AMEX, cvv="9000"))
    assert first.customer_profile_id.isdigit()
    assert {second.customer_profile_id, third.customer_profile_id} == {first.customer_profile_id}
    books = await gateway.authorize_books(merchant.login_id)
    assert [customer["id"] for customer in books["customers"]] == [first.customer_profile_id]
    saved = {answer.payment_profile_id for answer in (first, second, third)}
    assert {card["id"] for card in books["cards"]} == saved
    listed = await cards_of(merchant, user_id)
    assert listed == [third.card, second.card, first.card]
    assert [(c.gateway, c.brand, c.last4, c.primary) for c in listed] == [
        (AUTHORIZE, "amex", "0002", False),
        (AUTHORIZE, "mastercard", "0015", False),
        (AUTHORIZE, "visa", "1111", True),
    ]


async def test_each_gateway_has_its_own_primary_card(
    merchant: Business,
) -> None:
    user_id = await create_user(merchant)
    await save_card(merchant, user_id)
    await merchant.call(authorize_card(user_id))
    assert [card.gateway for card in await cards_of(merchant, user_id)] == [AUTHORIZE, STRIPE]
    assert (await primary(merchant, user_id)).gateway == STRIPE  # the first card's
    assert (await primary(merchant, user_id, gateway=AUTHORIZE)).last4 == "1111"
    await merchant.call(authorize_card(user_id, MASTERCARD, set_as_primary=True))
    assert (await primary(merchant, user_id)).last4 == "0015"
    assert (await primary(merchant, user_id, gateway=STRIPE)).last4 == "4242"


async def test_saving_a_card_again_updates_its_expiry(
    merchant: Business,
) -> None:
    user_id = await create_user(merchant)
    first = await merchant.call(authorize_card(user_id))
    again = await merchant.call(authorize_card(user_id, exp_month=5, exp_year=2061))
    expected = cards_pb2.CreateAuthorizeCustomerResponse()
    expected.CopyFrom(first)
    expected.card.exp_month, expected.card.exp_year = 5, 2061
    assert again == expected
    assert await cards_of(merchant, user_id) == [expected.card]


async def test_concurrent_calls_create_one_profile_and_one_card(
    merchant: Business, gateway: Gateway
) -> None:
    user_id = await create_user(merchant)
    saved = await asyncio.gather(*(merchant.call(authorize_card(user_id)) for _ in range(4)))
    assert all(answer == saved[0] for answer in saved)
    books = await gateway.authorize_books(merchant.login_id)
    assert [len(books["customers"]), len(books["cards"])] == [1, 1]
    assert len(await cards_of(merchant, user_id)) == 1


@pytest.mark.parametrize("kind", ["reset_after", "reset_before", "cut_body", "error_500_after"])
async def test_a_retry_after_a_lost_response_finds_profile_and_card(
    merchant: Business, gateway: Gateway, kind: str
) -> None:
    user_id = await create_user(merchant)
    for number, request, key in (
        ("4111111111111111", "createCustomerProfile", None),
        (MASTERCARD, "createCustomerPaymentProfile", "key-1"),
    ):
        wanted = authorize_card(user_id, number, **({"idempotency_key": key} if key else {}))
        await gateway.authorize_fault(kind, request)
        with pytest.raises(CoreError) as unknown:
            await merchant.call(wanted)
        assert unknown.value.reason == "OUTCOME_UNKNOWN"
        saved = await merchant.call(wanted)
        assert await merchant.call(wanted) == saved
    books = await gateway.authorize_books(merchant.login_id)
    assert [len(books["customers"]), len(books["cards"])] == [1, 2]
    assert len(await cards_of(merchant, user_id)) == 2


async def test_a_profile_that_the_account_does_not_have_is_created_again(
    merchant: Business, gateway: Gateway
) -> None:
    user_id = await create_user(merchant)
    old = await merchant.call(authorize_card(user_id))
    other = credentials_pb2.ModifyAuthorizeCredentialsRequest.Credentials(
        env=types_pb2.ENV_TEST, api_login_id=f"{merchant.login_id}x"
    )
    await merchant.call(credentials_pb2.ModifyAuthorizeCredentialsRequest(credentials=other))
    new = await merchant.call(authorize_card(user_id))
    assert new.customer_profile_id != old.customer_profile_id
    assert (await merchant.call(authorize_card(user_id))) == new
    await merchant.call(charge_request(user_id))
    assert len(await gateway.authorize_charges(f"{merchant.login_id}x")) == 1


INVALID_CARDS: list[tuple[dict[str, Any], str]] = [
    ({"number": "4111111111111112"}, "card_number"),
    ({"number": "9111111111111111"}, "card_number"),
    ({"number": "41111111111111"}, "card_number"),
    ({"number": "4000000000000000006"}, "card_number"),
    ({"number": "411111111111111a"}, "card_number"),
    ({"exp_month": 13}, "exp_month"),
    ({"exp_year": 2020}, "exp_year"),
    ({"cvv": "9000"}, "cvv"),
    ({"postal_code": "77\x0001"}, "postal_code"),
]


async def test_an_invalid_card_is_refused_by_field_without_quoting_it(
    merchant: Business, gateway: Gateway
) -> None:
    user_id = await create_user(merchant)
    for changes, field in INVALID_CARDS:
        with pytest.raises(CoreError) as refused:
            await merchant.call(authorize_card(user_id, **changes))
        assert refused.value.reason == "INVALID_FIELDS"
        assert [p.field for p in refused.value.fields] == [f"payment_profile.{field}"]
        text = refused.value.message + "".join(p.description for p in refused.value.fields)
        assert not any(str(value) in text for value in changes.values() if value != 13)
    assert (await gateway.authorize_books(merchant.login_id))["customers"] == []


async def test_a_card_expires_with_its_month(tmp_path: Path, gateway: Gateway) -> None:
    clock = ShiftedClock()
    urls = {"TEST": gateway.url, "LIVE": gateway.url}
    async with running_core(settings_for(tmp_path, authorize_urls=urls), clock) as client:
        merchant = await with_authorize(await register(client))
        user_id = await create_user(merchant)
        month = clock.now().replace(day=15)
        clock.ahead += month - clock.now()
        await merchant.call(authorize_card(user_id, exp_month=month.month, exp_year=month.year))
        year, before = (month.year, month.month - 1) if month.month > 1 else (month.year - 1, 12)
        with pytest.raises(CoreError) as refused:
            await merchant.call(authorize_card(user_id, exp_month=before, exp_year=year))
        assert refused.value.fields[0].field.startswith("payment_profile.exp_")


async def test_a_declined_card_leaves_no_profile_and_no_card(
    merchant: Business, gateway: Gateway
) -> None:
    user_id = await create_user(merchant)
    with pytest.raises(CoreError) as declined:
        await merchant.call(authorize_card(user_id, postal_code="46282"))
    assert declined.value.reason == "CARD_DECLINED"
    assert declined.value.metadata["decline_code"] == "generic_decline"
    assert await cards_of(merchant, user_id) == []
    assert (await gateway.authorize_books(merchant.login_id))["customers"] == []


async def test_rate_limits_and_rejected_keys_have_reasons(
    merchant: Business, gateway: Gateway
) -> None:
    user_id = await create_user(merchant)
    await gateway.authorize_fault("rate_limit", "createCustomerProfile")
    with pytest.raises(CoreError) as busy:
        await merchant.call(authorize_card(user_id))
    assert busy.value.reason == "GATEWAY_UNAVAILABLE"
    keys = {"api_login_id": merchant.login_id, "transaction_key": merchant.transaction_key}
    await gateway.authorize("keys", **keys, revoked=True)
    with pytest.raises(CoreError) as refused:
        await merchant.call(authorize_card(user_id))
    assert refused.value.reason == "GATEWAY_REFUSED"
    assert "api_login_id" in refused.value.message
    assert merchant.transaction_key not in refused.value.message


async def test_a_transaction_key_that_is_too_long_is_refused_by_field(
    merchant: Business,
) -> None:
    user_id = await create_user(merchant)
    await merchant.call(authorize_card(user_id))
    long = credentials_pb2.ModifyAuthorizeCredentialsRequest.Credentials(
        env=types_pb2.ENV_TEST, transaction_key="seventeen-letters"
    )
    await merchant.call(credentials_pb2.ModifyAuthorizeCredentialsRequest(credentials=long))
    for request in (authorize_card(user_id), charge_request(user_id)):
        with pytest.raises(CoreError) as refused:
            await merchant.call(request)
        assert [p.field for p in refused.value.fields] == ["credentials.transaction_key"]
        assert "seventeen" not in refused.value.message


async def test_saving_a_card_needs_credentials_and_an_active_user(
    shop: Business, gateway: Gateway
) -> None:
    user_id = await create_user(shop)
    with pytest.raises(CoreError) as refused:
        await shop.call(authorize_card(user_id))
    assert refused.value.reason == "CREDENTIALS_MISSING"
    merchant = await with_authorize(shop)
    inactive = users_pb2.UpdateUserRequest.Updates(active=False)
    await merchant.call(users_pb2.UpdateUserRequest(user_id=user_id, updates=inactive))
    with pytest.raises(CoreError) as refused:
        await merchant.call(authorize_card(user_id))
    assert refused.value.reason == "USER_INACTIVE"
    assert (await gateway.authorize_books(merchant.login_id))["customers"] == []


async def test_an_idempotency_key_replays_and_rejects_another_card(merchant: Business) -> None:
    user_id = await create_user(merchant)
    request = authorize_card(user_id, idempotency_key="save-1")
    saved = await merchant.call(request)
    assert await merchant.call(request) == saved
    with pytest.raises(CoreError) as reused:
        await merchant.call(authorize_card(user_id, MASTERCARD, idempotency_key="save-1"))
    assert reused.value.reason == "IDEMPOTENCY_KEY_REUSED"
