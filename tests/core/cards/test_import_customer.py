"""An existing customer of a gateway becomes a user's, with its cards, as the gateway has them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from core.cards import importing, store
from core.database.transactions import Transaction
from core.gateways.authorize.gateway import AuthorizeGateway
from core.gateways.gateway import Account, SavedCard
from core.gateways.stripe.gateway import StripeGateway
from nivisco.payments.v1 import cards_pb2, credentials_pb2, types_pb2, users_pb2
from rpc.errors import CoreError
from tests.core.cards.test_remove_card import GATEWAYS, refused
from tests.core.payments.charging import charge_request
from tests.core.recurring.running import ON_SQLITE
from tests.core.running import (
    Business,
    Gateway,
    create_user,
    register,
    save_card,
    with_authorize,
    with_stripe,
)
from tests.sandbox.authorize.running import PATH, build_request, card_xml

TEST = types_pb2.ENV_TEST
VISA, MASTERCARD = "4111111111111111", "5424000000000015"
DEFAULT = "<defaultPaymentProfile>true</defaultPaymentProfile>"


@dataclass(frozen=True)
class Shop:
    """A business with keys of both gateways, and the gateway of the test."""

    business: Business
    gateway: Gateway
    name: str

    async def import_to(self, user_id: str, customer_id: str, **more: Any) -> Any:
        """Import a customer."""
        request = cards_pb2.ImportCustomerRequest(
            user_id=user_id, gateway=GATEWAYS[self.name], customer_id=customer_id, **more
        )
        return await self.business.call(request)

    async def listed(self, user_id: str) -> list[Any]:
        """Return the user's cards."""
        request = cards_pb2.GetUserCardsRequest(user_id=user_id)
        return list((await self.business.call(request)).cards)

    async def customer(self, *, with_cards: bool = True) -> str:
        """Create a customer at the gateway, with a Visa card and a Mastercard as the default."""
        if self.name == "authorize":
            return await self._profile(with_cards=with_cards)
        customer = (await self.stripe("customers", email="c@example.com"))["id"]
        for card in ("visa", "mastercard") if with_cards else ():
            method = await self.stripe(f"payment_methods/pm_card_{card}/attach", customer=customer)
            default = {"invoice_settings[default_payment_method]": method["id"]}
            await self.stripe(f"customers/{customer}", **default)
        if with_cards:  # newer than the default card
            await self.stripe("payment_methods/pm_card_amex/attach", customer=customer)
        return str(customer)

    async def _profile(self, *, with_cards: bool) -> str:
        cards = (card_xml(MASTERCARD) + DEFAULT, card_xml(VISA))  # lists have the newest first
        profiles = [f"<paymentProfiles>{card}</paymentProfiles>" for card in cards]
        shown = "".join(profiles if with_cards else ())
        email = f"<email>c{len(await self._profiles())}@example.com</email>"
        answer = await self.authorize(
            "createCustomerProfileRequest", f"<profile>{email}{shown}</profile>"
        )
        return answer.partition("<customerProfileId>")[2].partition("<")[0]

    async def _profiles(self) -> list[Any]:
        return (await self.gateway.authorize_books(self.business.login_id))["customers"]

    async def delete(self, customer_id: str) -> None:
        """Delete a customer at the gateway."""
        if self.name == "authorize":
            inner = f"<customerProfileId>{customer_id}</customerProfileId>"
            await self.authorize("deleteCustomerProfileRequest", inner)
        else:
            await self.stripe(f"customers/{customer_id}", "DELETE")

    async def use_keys(self, name: str, key: str) -> None:
        """Have the business use the keys of an account of the gateway."""
        pb = credentials_pb2
        if self.name == "stripe":
            stripe = pb.ModifyStripeCredentialsRequest.Credentials(env=TEST, stripe_secret_key=key)
            await self.business.call(pb.ModifyStripeCredentialsRequest(credentials=stripe))
        else:
            authorize = pb.ModifyAuthorizeCredentialsRequest.Credentials(
                env=TEST, api_login_id=name, transaction_key=key
            )
            await self.business.call(pb.ModifyAuthorizeCredentialsRequest(credentials=authorize))

    async def remove_under_other_keys(self, cards: Sequence[Any]) -> None:
        """Remove cards while the business uses the keys of another account, which has none."""
        await self.use_keys("otherlogin", {"stripe": "sk_test_other_a"}.get(self.name, "otherkey"))
        for card in cards:
            await self.business.call(cards_pb2.RemoveCardRequest(card_id=card.card_id))
        own = {"stripe": self.business.stripe_key}.get(self.name, self.business.transaction_key)
        await self.use_keys(self.business.login_id, own)

    async def stripe(self, path: str, method: str = "POST", **form: str) -> Any:
        """Send a request to Stripe."""
        headers = {"Authorization": f"Bearer {self.business.stripe_key}"}
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                method, f"{self.gateway.url}/v1/{path}", data=form, headers=headers
            ) as response,
        ):
            assert response.status == 200, await response.text()
            return await response.json()

    async def authorize(self, name: str, inner: str) -> str:
        """Send a request to Authorize.Net."""
        body = build_request(name, inner, self.business.login_id, self.business.transaction_key)
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.gateway.url + PATH, data=body) as response,
        ):
            text = await response.text()
            assert "<resultCode>Ok</resultCode>" in text, text
            return text


def ids(cards: Sequence[Any]) -> set[str]:
    """Return the ids of cards."""
    return {card.card_id for card in cards}


@pytest.fixture(params=GATEWAYS)
async def at(request: pytest.FixtureRequest, shop: Business, gateway: Gateway) -> Shop:
    return Shop(await with_authorize(shop), gateway, request.param)


@ON_SQLITE
async def test_the_cards_become_the_users_and_the_default_one_is_charged(at: Shop) -> None:
    user_id, customer_id = await create_user(at.business), await at.customer()
    imported = await at.import_to(user_id, customer_id, idempotency_key="import-1")
    brands = {"stripe": ["mastercard", "amex", "visa"], "authorize": ["mastercard", "visa"]}
    assert imported.customer_id == customer_id
    assert [card.brand for card in imported.cards] == brands[at.name]
    assert [card.primary for card in imported.cards] == [True] + [False] * (len(imported.cards) - 1)
    assert sorted(map(repr, imported.cards)) == sorted(map(repr, await at.listed(user_id)))
    assert await at.import_to(user_id, customer_id, idempotency_key="import-1") == imported
    assert await at.import_to(user_id, customer_id) == imported
    paid = await at.business.call(charge_request(user_id))
    payments = await at.business.call(charge_request(user_id, gateway=GATEWAYS[at.name]))
    assert paid.transaction_id != payments.transaction_id


@ON_SQLITE
@pytest.mark.parametrize("at", ["stripe"], indirect=True)
async def test_a_retry_is_in_the_environment_of_the_first_request(at: Shop) -> None:
    user_id, customer_id = await create_user(at.business), await at.customer()
    imported = await at.import_to(user_id, customer_id, idempotency_key="import-1")
    await with_stripe(at.business, types_pb2.ENV_LIVE)  # the default from now on
    for more in ({}, {"env": types_pb2.ENV_TEST}):
        again = await at.import_to(user_id, customer_id, idempotency_key="import-1", **more)
        assert again == imported


@ON_SQLITE
async def test_an_import_again_adds_new_cards_and_keeps_the_chosen_primary_card(at: Shop) -> None:
    user_id, customer_id = await create_user(at.business), await at.customer(with_cards=False)
    assert not (await at.import_to(user_id, customer_id)).cards
    if at.name == "stripe":
        first = (await save_card(at.business, user_id, "pm_card_discover")).card
        await at.stripe("payment_methods/pm_card_visa/attach", customer=customer_id)
    else:
        profile = f"<paymentProfile>{card_xml('6011000000000012')}</paymentProfile>"
        inner = f"<customerProfileId>{customer_id}</customerProfileId>{profile}"
        await at.authorize("createCustomerPaymentProfileRequest", inner)
        first = (await at.import_to(user_id, customer_id)).cards[0]
        inner = inner.replace("6011000000000012", VISA)
        await at.authorize("createCustomerPaymentProfileRequest", inner)
    again = await at.import_to(user_id, customer_id)
    assert {card.brand: card.primary for card in again.cards} == {"discover": True, "visa": False}
    assert first in again.cards


@pytest.mark.parametrize("at", ["stripe"], indirect=True)
async def test_a_customer_is_one_users_only_also_for_concurrent_imports(at: Shop) -> None:
    customer_id = await at.customer()
    users = [await create_user(at.business) for _ in range(3)]
    ends = await asyncio.gather(
        *(at.import_to(user_id, customer_id) for user_id in users), return_exceptions=True
    )
    reasons = [each.reason for each in ends if isinstance(each, CoreError)]
    assert reasons == ["CUSTOMER_IN_USE"] * 2
    assert sorted([len(await at.listed(user_id)) for user_id in users]) == [0, 0, 3]


@ON_SQLITE
@pytest.mark.parametrize("at", ["stripe"], indirect=True)
async def test_an_import_again_does_not_wait_for_other_imports_of_the_business(
    at: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked: list[str] = []
    lock = store.lock_imports

    async def lock_imports(transaction: Transaction, business_id: str) -> None:
        locked.append(business_id)
        await lock(transaction, business_id)

    monkeypatch.setattr(store, "lock_imports", lock_imports)
    user_id, customer_id = await create_user(at.business), await at.customer()
    first = await at.import_to(user_id, customer_id)
    assert await at.import_to(user_id, customer_id) == first
    assert len(locked) == 1


@ON_SQLITE
async def test_a_user_with_cards_of_another_customer_keeps_them(at: Shop) -> None:
    user_id = await create_user(at.business)
    first, second = await at.customer(), await at.customer(with_cards=False)
    cards = (await at.import_to(user_id, first)).cards
    assert await refused(at.import_to(user_id, second)) == "USER_HAS_CUSTOMER"
    assert len(await at.listed(user_id)) == len(cards)
    for card in cards:
        await at.business.call(cards_pb2.RemoveCardRequest(card_id=card.card_id))
    assert (await at.import_to(user_id, second)).customer_id == second
    assert not (await at.import_to(await create_user(at.business), first)).cards


@ON_SQLITE
async def test_cards_that_other_keys_did_not_find_are_restored_with_their_ids(at: Shop) -> None:
    user_id, customer_id = await create_user(at.business), await at.customer()
    before = await at.import_to(user_id, customer_id)
    await at.remove_under_other_keys(before.cards)
    assert not await at.listed(user_id)
    assert await at.import_to(user_id, customer_id) == before
    assert await at.import_to(user_id, customer_id) == before
    assert (await at.business.call(charge_request(user_id, gateway=GATEWAYS[at.name]))).payment_id
    await at.business.call(cards_pb2.RemoveCardRequest(card_id=before.cards[0].card_id))
    assert ids((await at.import_to(user_id, customer_id)).cards) == ids(before.cards[1:])


@ON_SQLITE
async def test_cards_that_are_not_read_in_time_are_restored_by_the_next_import(
    at: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    user_id, customer_id = await create_user(at.business), await at.customer()
    before = await at.import_to(user_id, customer_id)
    await at.remove_under_other_keys(before.cards)
    kind: Any = {"stripe": StripeGateway, "authorize": AuthorizeGateway}[at.name]
    asked: list[str] = []

    async def find_card(*_: Any, gateway_card_id: str, **__: Any) -> bool:
        asked.append(gateway_card_id)
        if len(asked) > 1:
            await asyncio.Event().wait()
        return True

    with monkeypatch.context() as patched:
        patched.setattr(kind, "find_card", find_card)
        patched.setattr(importing, "FIND_AGAIN_SECONDS_MAX", 0.0)
        (restored,) = (await at.import_to(user_id, customer_id)).cards
    assert restored.card_id in ids(before.cards)
    assert "removed cards were not read in time, and are not restored" in caplog.messages
    assert ids((await at.import_to(user_id, customer_id)).cards) == ids(before.cards)


@ON_SQLITE
async def test_another_user_gets_such_a_card_under_an_id_of_its_own(at: Shop) -> None:
    user_id, customer_id = await create_user(at.business), await at.customer()
    before = (await at.import_to(user_id, customer_id)).cards
    await at.remove_under_other_keys(before)
    await at.import_to(user_id, await at.customer(with_cards=False))
    after = (await at.import_to(await create_user(at.business), customer_id)).cards
    assert [card.last4 for card in after] == [card.last4 for card in before]
    assert not ids(after) & ids(before)


@ON_SQLITE
async def test_a_list_that_still_shows_a_removed_card_does_not_restore_it(
    at: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_id, customer_id = await create_user(at.business), await at.customer()
    kind: Any = {"stripe": StripeGateway, "authorize": AuthorizeGateway}[at.name]
    read = kind.cards_of_customer
    listed: list[list[SavedCard]] = []

    async def old_list(self: Any, account: Account, customer_id: str) -> list[SavedCard]:
        listed.append(await read(self, account, customer_id))
        return listed[0]

    monkeypatch.setattr(kind, "cards_of_customer", old_list)
    first, *others = (await at.import_to(user_id, customer_id)).cards
    await at.business.call(cards_pb2.RemoveCardRequest(card_id=first.card_id))
    imported = (await at.import_to(user_id, customer_id)).cards
    assert ids(imported) == ids(others)


@pytest.mark.parametrize("is_restored", [True, False], ids=["restored", "counts_as_removed"])
async def test_a_removal_during_the_import_wins(
    at: Shop, monkeypatch: pytest.MonkeyPatch, *, is_restored: bool
) -> None:
    user_id, customer_id = await create_user(at.business), await at.customer()
    kind: Any = {"stripe": StripeGateway, "authorize": AuthorizeGateway}[at.name]
    first, *others = (await at.import_to(user_id, customer_id)).cards
    removal = cards_pb2.RemoveCardRequest(card_id=first.card_id)
    await at.remove_under_other_keys([first])
    find = kind.find_card

    async def find_card(self: Any, *args: Any, **named: Any) -> Any:
        found = await find(self, *args, **named)
        monkeypatch.setattr(kind, "find_card", find)
        if is_restored:
            assert first.card_id in ids((await at.import_to(user_id, customer_id)).cards)
        await at.business.call(removal)
        return found

    monkeypatch.setattr(kind, "find_card", find_card)
    imported = (await at.import_to(user_id, customer_id)).cards
    assert ids(imported) == ids(others)
    assert ids(await at.listed(user_id)) == ids(others)


@ON_SQLITE
async def test_a_card_that_counts_as_removed_is_removed_at_its_gateway(at: Shop) -> None:
    user_id, customer_id = await create_user(at.business), await at.customer()
    first, *others = (await at.import_to(user_id, customer_id)).cards
    await at.remove_under_other_keys([first])
    removal = cards_pb2.RemoveCardRequest(card_id=first.card_id)
    if at.name == "stripe":
        await at.gateway.revoke(at.business.stripe_key)
        assert await refused(at.business.call(removal)) == "GATEWAY_REFUSED"
        await at.gateway.revoke(at.business.stripe_key, revoked=False)
    removed = [await at.business.call(removal) for _ in range(2)]
    assert removed[0] == removed[1]
    assert ids((await at.import_to(user_id, customer_id)).cards) == ids(others)


@ON_SQLITE
async def test_a_refused_import_stores_nothing_and_says_why(at: Shop) -> None:
    user_id, customer_id = await create_user(at.business), await at.customer()
    deleted = await at.customer()
    await at.delete(deleted)
    other = {"stripe": "12345678", "authorize": "cus_12345678"}[at.name]
    unknown = {"stripe": "cus_unknown", "authorize": "99999999"}[at.name]
    for wrong in (deleted, unknown, other, "", "0123", "cus_" + "x" * 300, "cus_a/b", "CUS_a"):
        with pytest.raises(CoreError) as error:
            await at.import_to(user_id, wrong)
        assert [each.field for each in error.value.fields] == ["customer_id"]
        assert error.value.reason == "INVALID_FIELDS"
    stranger = Shop(await register(at.business.client, "stranger"), at.gateway, at.name)
    assert await refused(stranger.import_to(user_id, customer_id)) == "USER_NOT_FOUND"
    live = at.import_to(user_id, customer_id, env=types_pb2.ENV_LIVE)
    assert await refused(live) == "CREDENTIALS_MISSING"
    if at.name == "stripe":
        await at.gateway.fault("cut_body", "/v1/payment_methods", times=2, method="GET")
    else:
        await at.gateway.authorize_fault("cut_body", "getCustomerProfile")
    lost = at.import_to(user_id, customer_id, idempotency_key="k")
    assert await refused(lost) == "OUTCOME_UNKNOWN"
    assert not await at.listed(user_id)
    assert (await at.import_to(user_id, customer_id, idempotency_key="k")).cards[0].primary
    inactive = users_pb2.UpdateUserRequest.Updates(active=False)
    await at.business.call(users_pb2.UpdateUserRequest(user_id=user_id, updates=inactive))
    assert await refused(at.import_to(user_id, customer_id)) == "USER_INACTIVE"
