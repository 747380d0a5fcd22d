"""PaymentIntents: charged, declined, confirmed, canceled, listed."""

from typing import Any

import pytest
import stripe
from stripe.params import PaymentIntentCreateParams

from tests.sandbox.running import Sandbox, assert_fields, charge_form

NOT_MODELLED_OF_CHARGE = set(
    "authorization_code level3 presentment_details radar_options refunds transfer".split()  # noqa: SIM905
)
NOT_MODELLED_OF_CHARGED_CARD = set(
    """capture_before description electronic_commerce_indicator iin issuer moto
    setup_credential_usage stored_credential_usage""".split()  # noqa: SIM905
)


async def charge(sandbox: Sandbox, customer: str, card: str, **rest: str) -> tuple[int, Any]:
    return await sandbox.call("POST", "/v1/payment_intents", charge_form(customer, card, **rest))


def sdk_charge(customer: str, card: str, amount: int) -> PaymentIntentCreateParams:
    return {
        "amount": amount,
        "currency": "usd",
        "customer": customer,
        "payment_method": card,
        "allowed_payment_method_types": ["card"],
        "confirm": True,
        "off_session": True,
    }


class TestSuccess:
    async def test_the_sdk_charges_a_saved_card(self, sandbox: Sandbox) -> None:
        client = sandbox.stripe()
        customer, card = await sandbox.customer_with_card()
        intent = await client.v1.payment_intents.create_async(
            {
                **sdk_charge(customer, card, 2550),
                "description": "Order 7",
                "metadata": {"payment_id": "PAY-1"},
            },
            {"idempotency_key": "charge-1"},
        )
        assert_fields(intent.to_dict(), stripe.PaymentIntent, absent={"payment_record"})
        assert (intent.status, intent.amount_received) == ("succeeded", 2550)
        assert isinstance(intent.latest_charge, str)
        charged: Any = (await client.v1.charges.retrieve_async(intent.latest_charge)).to_dict()
        assert_fields(charged, stripe.Charge, NOT_MODELLED_OF_CHARGE)
        card_details = charged["payment_method_details"]["card"]
        card_type = stripe.Charge.PaymentMethodDetails.Card
        assert_fields(card_details, card_type, NOT_MODELLED_OF_CHARGED_CARD)
        assert (charged["paid"], charged["status"], charged["amount"]) == (True, "succeeded", 2550)
        assert charged["metadata"] == {"payment_id": "PAY-1"}
        assert charged["outcome"]["type"] == "authorized"

    @pytest.mark.parametrize("currency", ["idr", "cop", "xcg"])
    async def test_a_card_can_be_charged_up_to_twelve_digits(
        self, sandbox: Sandbox, currency: str
    ) -> None:
        customer, card = await sandbox.customer_with_card()
        for amount in ("150000000", "999999999999"):
            status, intent = await charge(sandbox, customer, card, amount=amount, currency=currency)
            assert (status, intent["status"]) == (200, "succeeded")

    async def test_an_unattached_card_can_be_charged_once(self, sandbox: Sandbox) -> None:
        form = charge_form("", "pm_card_visa")
        del form["customer"]
        status, intent = await sandbox.call("POST", "/v1/payment_intents", form)
        assert (status, intent["status"]) == (200, "succeeded")
        assert intent["payment_method"] != "pm_card_visa"
        form["payment_method"] = intent["payment_method"]
        status, body = await sandbox.call("POST", "/v1/payment_intents", form)
        assert status == 400
        assert "may not be used again" in body["error"]["message"]

    async def test_expand_replaces_ids_with_objects(self, sandbox: Sandbox) -> None:
        customer, card = await sandbox.customer_with_card()
        _, intent = await charge(
            sandbox, customer, card, **{"expand[0]": "latest_charge", "expand[1]": "customer"}
        )
        assert intent["latest_charge"]["payment_intent"] == intent["id"]
        assert intent["customer"]["id"] == customer
        status, page = await sandbox.call("GET", "/v1/payment_intents?expand[]=data.latest_charge")
        assert (status, page["data"][0]["latest_charge"]["amount"]) == (200, 2500)
        for path in ("data.amount", "data.colour", "data.id"):
            status, body = await sandbox.call("GET", f"/v1/payment_intents?expand[]={path}")
            assert (status, body["error"]["param"]) == (400, "expand"), path

    async def test_setup_future_usage_attaches_the_card(self, sandbox: Sandbox) -> None:
        client = sandbox.stripe()
        customer = await client.v1.customers.create_async()
        form = charge_form(customer.id, "pm_card_visa", setup_future_usage="off_session")
        del form["off_session"]
        _, intent = await sandbox.call("POST", "/v1/payment_intents", form)
        listed = await client.v1.payment_methods.list_async({"customer": customer.id})
        assert [method.id for method in listed.data] == [intent["payment_method"]]


class TestDecline:
    async def test_a_declined_charge_is_stored_with_its_reason(self, sandbox: Sandbox) -> None:
        client = sandbox.stripe()
        customer, card = await sandbox.customer_with_card("pm_card_chargeCustomerFail")
        with pytest.raises(stripe.CardError) as declined:
            await client.v1.payment_intents.create_async(sdk_charge(customer, card, 900))
        body: Any = declined.value.json_body
        error = body["error"]
        assert declined.value.http_status == 402
        assert (error["code"], error["decline_code"]) == ("card_declined", "generic_decline")
        assert error["doc_url"].endswith("/card-declined")
        assert error["message"] == "Your card was declined."
        assert error["payment_method"]["id"] == card
        intent = error["payment_intent"]
        assert intent["status"] == "requires_payment_method"
        assert intent["latest_charge"] == error["charge"]
        assert intent["last_payment_error"]["decline_code"] == "generic_decline"
        failed = await client.v1.charges.retrieve_async(error["charge"])
        assert (failed.status, failed.paid, failed.failure_code) == (
            "failed",
            False,
            "card_declined",
        )
        found = await client.v1.payment_intents.retrieve_async(intent["id"])
        assert found.status == "requires_payment_method"

    @pytest.mark.parametrize(
        ("card", "code", "decline_code"),
        [
            ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline"),
            (
                "pm_card_visa_chargeDeclinedInsufficientFunds",
                "card_declined",
                "insufficient_funds",
            ),
            ("pm_card_chargeDeclinedExpiredCard", "expired_card", None),
            ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", None),
            ("pm_card_chargeDeclinedProcessingError", "processing_error", None),
            ("pm_card_radarBlock", "card_declined", "fraudulent"),
        ],
    )
    async def test_unattached_cards_decline_with_their_code(
        self, sandbox: Sandbox, card: str, code: str, decline_code: str | None
    ) -> None:
        form = charge_form("", card)
        del form["customer"]
        status, body = await sandbox.call("POST", "/v1/payment_intents", form)
        error = body["error"]
        assert (status, error["code"], error.get("decline_code")) == (402, code, decline_code)
        assert error["charge"].startswith("ch_")

    async def test_a_declined_intent_can_be_confirmed_with_another_card(
        self, sandbox: Sandbox
    ) -> None:
        customer, card = await sandbox.customer_with_card("pm_card_chargeCustomerFail")
        _, body = await charge(sandbox, customer, card)
        intent = body["error"]["payment_intent"]["id"]
        status, paid = await sandbox.call(
            "POST",
            f"/v1/payment_intents/{intent}/confirm",
            {"payment_method": "pm_card_visa"},
        )
        assert (status, paid["status"], paid["last_payment_error"]) == (200, "succeeded", None)


class TestOwnership:
    async def test_a_card_can_be_charged_for_its_own_customer_only(self, sandbox: Sandbox) -> None:
        owner, card = await sandbox.customer_with_card()
        other = await sandbox.stripe().v1.customers.create_async()
        status, body = await charge(sandbox, other.id, card)
        assert status == 400
        assert (
            f"does not belong to the Customer you supplied {other.id}" in (body["error"]["message"])
        )
        form = charge_form("", card)
        del form["customer"]
        status, body = await sandbox.call("POST", "/v1/payment_intents", form)
        assert status == 400
        assert f"belongs to the Customer {owner}" in body["error"]["message"]
        assert (await sandbox.books())["payment_intents"] == []


class TestRefusals:
    @pytest.mark.parametrize(
        ("changed", "code", "param"),
        [
            ({"amount": "49"}, "amount_too_small", "amount"),
            ({"amount": "1000000000000"}, "amount_too_large", "amount"),
            ({"amount": "0"}, "parameter_invalid_integer", "amount"),
            ({"amount": "-5"}, "parameter_invalid_integer", "amount"),
            ({"amount": "12.50"}, "parameter_invalid_integer", "amount"),
            ({"amount": "abc"}, "parameter_invalid_integer", "amount"),
            ({"amount": ""}, "parameter_invalid_empty", "amount"),
            ({"currency": "xxx"}, None, "currency"),
            ({"currency": "gbp", "amount": "29"}, "amount_too_small", "amount"),
            ({"confirm": "maybe"}, None, "confirm"),
            ({"customer": "cus_none"}, "resource_missing", "customer"),
            ({"payment_method": "pm_none"}, "resource_missing", "payment_method"),
            ({"payment_method": "pm_card_none"}, "resource_missing", "payment_method"),
            ({"colour": "red"}, "parameter_unknown", "colour"),
            ({"shipping[colour]": "red"}, "parameter_unknown", "shipping[colour]"),
            ({"transfer_data[destination]": "acct_1"}, "parameter_unknown", "transfer_data"),
            ({"allowed_payment_method_types[]": "klarna"}, None, "allowed_payment_method_types"),
            (
                {"payment_method_types[]": "card"},
                "payment_method_types_no_longer_supported",
                "payment_method_types",
            ),
            ({"metadata[k]": "x" * 501}, None, "metadata[k]"),
            ({"confirm": "false"}, None, "off_session"),
        ],
    )
    async def test_a_wrong_parameter_is_named(
        self, sandbox: Sandbox, changed: dict[str, str], code: str | None, param: str
    ) -> None:
        customer, card = await sandbox.customer_with_card()
        status, body = await sandbox.call(
            "POST", "/v1/payment_intents", charge_form(customer, card) | changed
        )
        assert status == 400
        assert body["error"]["type"] == "invalid_request_error"
        assert (body["error"].get("code"), body["error"]["param"]) == (code, param)
        assert (await sandbox.books())["payment_intents"] == []

    @pytest.mark.parametrize("missing", ["amount", "currency"])
    async def test_a_missing_parameter_is_named(self, sandbox: Sandbox, missing: str) -> None:
        form = charge_form("cus_1", "pm_card_visa")
        del form[missing]
        status, body = await sandbox.call("POST", "/v1/payment_intents", form)
        assert (status, body["error"]["code"]) == (400, "parameter_missing")
        assert body["error"]["message"] == f"Missing required param: {missing}."

    async def test_an_intent_that_allows_redirects_requires_a_return_url(
        self, sandbox: Sandbox
    ) -> None:
        customer, card = await sandbox.customer_with_card()
        form = charge_form(customer, card)
        del form["allowed_payment_method_types[]"]
        status, body = await sandbox.call("POST", "/v1/payment_intents", form)
        assert status == 400
        assert "`return_url`" in body["error"]["message"]
        for remedy in (
            {"return_url": "https://shop.example/back"},
            {
                "automatic_payment_methods[enabled]": "true",
                "automatic_payment_methods[allow_redirects]": "never",
            },
        ):
            status, _ = await sandbox.call("POST", "/v1/payment_intents", form | remedy)
            assert status == 200

    async def test_older_api_versions_accept_payment_method_types(self, sandbox: Sandbox) -> None:
        customer, card = await sandbox.customer_with_card()
        form = charge_form(customer, card) | {"payment_method_types[]": "card"}
        del form["allowed_payment_method_types[]"]
        status, intent = await sandbox.call(
            "POST", "/v1/payment_intents", form, Stripe_Version="2026-08-26.dahlia"
        )
        assert (status, intent["status"]) == (200, "succeeded")


class TestConfirmAndCancel:
    async def test_an_intent_can_be_confirmed_later_and_only_once(self, sandbox: Sandbox) -> None:
        client = sandbox.stripe()
        customer, card = await sandbox.customer_with_card()
        intent = await client.v1.payment_intents.create_async(
            {
                "amount": 700,
                "currency": "EUR",
                "customer": customer,
                "allowed_payment_method_types": ["card"],
            }
        )
        assert (intent.status, intent.currency) == ("requires_payment_method", "eur")
        with pytest.raises(stripe.InvalidRequestError, match="missing a payment method"):
            await client.v1.payment_intents.confirm_async(intent.id)
        paid = await client.v1.payment_intents.confirm_async(intent.id, {"payment_method": card})
        assert paid.status == "succeeded"
        with pytest.raises(stripe.InvalidRequestError) as refused:
            await client.v1.payment_intents.confirm_async(intent.id)
        assert refused.value.code == "payment_intent_unexpected_state"
        with pytest.raises(stripe.InvalidRequestError) as refused:
            await client.v1.payment_intents.cancel_async(intent.id)
        assert refused.value.code == "payment_intent_unexpected_state"
        assert len((await sandbox.books())["charges"]) == 1

    async def test_a_cancelled_intent_cannot_be_confirmed(self, sandbox: Sandbox) -> None:
        client = sandbox.stripe()
        intent = await client.v1.payment_intents.create_async(
            {"amount": 700, "currency": "usd", "payment_method": "pm_card_visa"}
        )
        assert intent.status == "requires_confirmation"
        cancelled = await client.v1.payment_intents.cancel_async(
            intent.id, {"cancellation_reason": "duplicate"}
        )
        assert (cancelled.status, cancelled.cancellation_reason) == ("canceled", "duplicate")
        assert cancelled.canceled_at is not None
        with pytest.raises(stripe.InvalidRequestError, match="status of canceled"):
            await client.v1.payment_intents.confirm_async(intent.id)


class TestList:
    async def test_a_customers_intents_are_paged_newest_first(self, sandbox: Sandbox) -> None:
        client = sandbox.stripe()
        customer, card = await sandbox.customer_with_card()
        stranger, strangers_card = await sandbox.customer_with_card()
        await charge(sandbox, stranger, strangers_card)
        made = [
            (await charge(sandbox, customer, card, **{"metadata[n]": str(n)}))[1]["id"]
            for n in range(3)
        ]
        page = await client.v1.payment_intents.list_async({"customer": customer, "limit": 2})
        assert page.url == "/v1/payment_intents"
        assert ([intent.id for intent in page.data], page.has_more) == (made[:0:-1], True)
        rest = await client.v1.payment_intents.list_async(
            {"customer": customer, "limit": 2, "starting_after": made[1]}
        )
        assert ([intent.id for intent in rest.data], rest.has_more) == ([made[0]], False)
        none = await client.v1.payment_intents.list_async(
            {"customer": customer, "created": {"lt": 1}}
        )
        assert none.data == []
