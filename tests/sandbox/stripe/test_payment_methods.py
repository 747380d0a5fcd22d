"""Cards: created, attached, detached, declined."""

from pathlib import Path

import pytest
import stripe

from sandbox.stripe.cards import PUBLISHED, find_card_by_payment_method, passes_luhn
from tests.sandbox.running import Sandbox, assert_fields, charge_form

DECLINED_AT_ATTACH = [
    ("pm_card_visa_chargeDeclined", "4000000000000002", "card_declined", "generic_decline"),
    (
        "pm_card_visa_chargeDeclinedInsufficientFunds",
        "4000000000009995",
        "card_declined",
        "insufficient_funds",
    ),
    ("pm_card_visa_chargeDeclinedLostCard", "4000000000009987", "card_declined", "lost_card"),
    ("pm_card_visa_chargeDeclinedStolenCard", "4000000000009979", "card_declined", "stolen_card"),
    ("pm_card_chargeDeclinedExpiredCard", "4000000000000069", "expired_card", None),
    ("pm_card_chargeDeclinedIncorrectCvc", "4000000000000127", "incorrect_cvc", None),
    ("pm_card_chargeDeclinedProcessingError", "4000000000000119", "processing_error", None),
    (
        "pm_card_visa_chargeDeclinedVelocityLimitExceeded",
        "4000000000006975",
        "card_declined",
        "card_velocity_exceeded",
    ),
]


def card_form(number: str, **rest: str) -> dict[str, str]:
    return {
        "type": "card",
        "card[number]": number,
        "card[exp_month]": "12",
        "card[exp_year]": "2034",
        "card[cvc]": "123",
        **rest,
    }


def on_disk(data_dir: Path) -> bytes:
    return b"".join(path.read_bytes() for path in data_dir.iterdir())


class TestCardTable:
    def test_numbers_have_valid_check_digits(self) -> None:
        assert [card.number for card in PUBLISHED if not passes_luhn(card.number)] == []

    def test_numbers_and_names_are_unique(self) -> None:
        assert len({card.number for card in PUBLISHED}) == len(PUBLISHED)
        names = [name for card in PUBLISHED for name in card.names]
        assert len(set(names)) == len(names)

    @pytest.mark.parametrize(("identifier", "number", "_code", "_decline"), DECLINED_AT_ATTACH)
    def test_a_number_and_its_test_id_are_the_same_card(
        self, identifier: str, number: str, _code: str, _decline: str | None
    ) -> None:
        card = find_card_by_payment_method(identifier)
        assert card is not None
        assert card.number == number


class TestCreate:
    async def test_a_card_has_every_field_and_no_number(self, sandbox: Sandbox) -> None:
        method = await sandbox.stripe().v1.payment_methods.create_async(
            {
                "type": "card",
                "card": {"number": "5555555555554444", "exp_month": 12, "exp_year": 2034},
                "billing_details": {"name": "Ann", "address": {"postal_code": "94102"}},
            }
        )
        shown = method.to_dict()
        other_types = {
            name
            for name, kind in stripe.PaymentMethod.__annotations__.items()
            if "Optional[stripe._payment_method.PaymentMethod." in str(kind)
        } - {"card"}
        assert_fields(shown, stripe.PaymentMethod, other_types)
        assert_fields(shown["card"], stripe.PaymentMethod.Card, {"description", "iin", "issuer"})
        assert (shown["card"]["brand"], shown["card"]["last4"]) == ("mastercard", "4444")
        assert shown["billing_details"]["address"]["postal_code"] == "94102"
        assert "5555555555554444" not in str(shown)

    @pytest.mark.parametrize(
        ("token", "brand"), [("tok_visa", "visa"), ("tok_amex", "amex"), ("tok_jcb", "jcb")]
    )
    async def test_a_token_creates_a_card(self, sandbox: Sandbox, token: str, brand: str) -> None:
        method = await sandbox.stripe().v1.payment_methods.create_async(
            {"type": "card", "card": {"token": token}}
        )
        assert method.card is not None
        assert method.card.brand == brand

    @pytest.mark.parametrize(
        ("changed", "code"),
        [
            ({"card[number]": "4242424242424241"}, "incorrect_number"),
            ({"card[number]": "abc"}, "incorrect_number"),
            ({"card[number]": "4111111111111111"}, "card_declined"),
            ({"card[exp_month]": "13"}, "invalid_expiry_month"),
            ({"card[exp_year]": "2019"}, "invalid_expiry_year"),
            ({"card[cvc]": "12"}, "invalid_cvc"),
        ],
    )
    async def test_an_invalid_card_is_a_card_error(
        self, sandbox: Sandbox, changed: dict[str, str], code: str
    ) -> None:
        status, body = await sandbox.call(
            "POST", "/v1/payment_methods", card_form("4242424242424242") | changed
        )
        assert (status, body["error"]["type"], body["error"]["code"]) == (402, "card_error", code)

    async def test_an_unknown_token_is_missing(self, sandbox: Sandbox) -> None:
        status, body = await sandbox.call(
            "POST", "/v1/payment_methods", {"type": "card", "card[token]": "tok_none"}
        )
        assert (status, body["error"]["message"]) == (400, "No such token: 'tok_none'")


class TestAttach:
    async def test_a_test_id_creates_a_new_card_each_time(self, sandbox: Sandbox) -> None:
        client = sandbox.stripe()
        customer = await client.v1.customers.create_async()
        ids = set()
        for _ in range(2):
            method = await client.v1.payment_methods.attach_async(
                "pm_card_visa", {"customer": customer.id}
            )
            assert method.customer == customer.id
            ids.add(method.id)
        assert len(ids) == 2
        for listed in (
            await client.v1.payment_methods.list_async({"customer": customer.id, "type": "card"}),
            await client.v1.customers.payment_methods.list_async(customer.id),
        ):
            assert {method.id for method in listed.data} == ids

    @pytest.mark.parametrize(("identifier", "number", "code", "decline_code"), DECLINED_AT_ATTACH)
    async def test_a_declining_card_fails_when_it_is_attached(
        self,
        sandbox: Sandbox,
        identifier: str,
        number: str,
        code: str,
        decline_code: str | None,
    ) -> None:
        client = sandbox.stripe()
        customer = await client.v1.customers.create_async()
        _, made = await sandbox.call("POST", "/v1/payment_methods", card_form(number))
        for card in (identifier, made["id"]):
            with pytest.raises(stripe.CardError) as declined:
                await client.v1.payment_methods.attach_async(card, {"customer": customer.id})
            assert declined.value.http_status == 402
            assert declined.value.code == code
            assert declined.value.error is not None
            assert declined.value.error.to_dict().get("decline_code") == decline_code
        listed = await client.v1.payment_methods.list_async({"customer": customer.id})
        assert listed.data == []

    async def test_a_card_can_be_attached_to_one_customer_only(self, sandbox: Sandbox) -> None:
        client = sandbox.stripe()
        owner, card = await sandbox.customer_with_card()
        other = await client.v1.customers.create_async()
        again = await client.v1.payment_methods.attach_async(card, {"customer": owner})
        assert again.customer == owner
        with pytest.raises(stripe.InvalidRequestError, match="already been attached"):
            await client.v1.payment_methods.attach_async(card, {"customer": other.id})

    async def test_unknown_cards_and_customers_are_missing(self, sandbox: Sandbox) -> None:
        customer, card = await sandbox.customer_with_card()
        cases = [
            ("pm_none", customer, 404, "No such payment_method: 'pm_none'"),
            (card, "cus_none", 400, "No such customer: 'cus_none'"),
        ]
        for method, owner, status, message in cases:
            answered, body = await sandbox.call(
                "POST", f"/v1/payment_methods/{method}/attach", {"customer": owner}
            )
            assert (answered, body["error"]["code"]) == (status, "resource_missing")
            assert body["error"]["message"] == message


class TestDetach:
    async def test_a_detached_card_cannot_be_used_again(self, sandbox: Sandbox) -> None:
        client = sandbox.stripe()
        customer, card = await sandbox.customer_with_card()
        await client.v1.customers.update_async(
            customer, {"invoice_settings": {"default_payment_method": card}}
        )
        detached = await client.v1.payment_methods.detach_async(card)
        assert detached.customer is None
        found = await client.v1.customers.retrieve_async(customer)
        assert found.invoice_settings is not None
        assert found.invoice_settings.default_payment_method is None
        with pytest.raises(stripe.InvalidRequestError, match="may not be used again"):
            await client.v1.payment_methods.attach_async(card, {"customer": customer})
        status, body = await sandbox.call(
            "POST", "/v1/payment_intents", charge_form(customer, card)
        )
        assert status == 400
        assert "may not be used again" in body["error"]["message"]


class TestUpdate:
    async def test_absent_parameters_stay_unchanged(self, sandbox: Sandbox) -> None:
        service = sandbox.stripe().v1.payment_methods
        _, card = await sandbox.customer_with_card()
        before = await service.retrieve_async(card)
        await service.update_async(card, {"card": {"exp_month": 5, "exp_year": 2034}})
        await service.update_async(card, {"billing_details": {"address": {"city": "Houston"}}})
        updated = await service.update_async(
            card, {"billing_details": {"name": "J", "address": {"country": "US"}}}
        )
        assert updated.card is not None
        assert before.card is not None
        assert (updated.card.exp_month, updated.card.exp_year) == (5, 2034)
        assert updated.card.fingerprint == before.card.fingerprint
        address = updated.billing_details.address
        assert address is not None
        assert (address.city, address.country, updated.billing_details.name) == (
            "Houston",
            "US",
            "J",
        )

    async def test_only_an_attached_card_is_updated(self, sandbox: Sandbox) -> None:
        service = sandbox.stripe().v1.payment_methods
        _, card = await sandbox.customer_with_card()
        await service.detach_async(card)
        with pytest.raises(stripe.InvalidRequestError, match="before you can update it"):
            await service.update_async(card, {"card": {"exp_month": 5}})

    async def test_a_date_that_is_over_is_refused(self, sandbox: Sandbox) -> None:
        _, card = await sandbox.customer_with_card()
        with pytest.raises(stripe.CardError) as refused:
            await sandbox.stripe().v1.payment_methods.update_async(
                card, {"card": {"exp_month": 1, "exp_year": 2020}}
            )
        assert refused.value.code == "invalid_expiry_year"


async def test_no_card_number_reaches_the_disk(sandbox: Sandbox, tmp_path: Path) -> None:
    number = "4242424242424242"
    await sandbox.call("POST", "/v1/payment_methods", card_form(number), Idempotency_Key="card-1")
    await sandbox.call("POST", "/v1/payment_methods", card_form("4000000000000069"))
    await sandbox.call("POST", "/v1/payment_methods", card_form("4111111111111111"))
    written = on_disk(tmp_path)
    assert b"succeeds" in written
    for secret in (number, "4000000000000069", "4111111111111111", "sk_test_shop1_a"):
        assert secret.encode() not in written
