"""PaymentIntents that are authorized first: captured whole or in part, canceled, expired."""

from typing import Any

import pytest

from tests.sandbox.receiving import receiving, shown
from tests.sandbox.running import Sandbox, charge_form


async def authorize(sandbox: Sandbox, card: str = "pm_card_visa", **rest: str) -> Any:
    """Authorize 25.00 and return the intent."""
    form = charge_form(*await sandbox.customer_with_card(card), capture_method="manual", **rest)
    status, intent = await sandbox.call("POST", "/v1/payment_intents", form)
    assert status == 200, intent
    return intent


async def charge_of(sandbox: Sandbox, intent: Any) -> Any:
    return (await sandbox.call("GET", f"/v1/charges/{intent['latest_charge']}"))[1]


async def taken(sandbox: Sandbox) -> dict[str, int]:
    found: dict[str, int] = (await sandbox.books())["taken"]
    return found


async def test_an_authorization_takes_nothing(sandbox: Sandbox) -> None:
    intent = await authorize(sandbox)
    amounts = intent["amount"], intent["amount_capturable"], intent["amount_received"]
    assert (intent["status"], *amounts) == ("requires_capture", 2500, 2500, 0)
    charge = await charge_of(sandbox, intent)
    shown = charge["paid"], charge["captured"], charge["amount_captured"]
    assert (*shown, charge["balance_transaction"]) == (True, False, 0, None)
    assert (await taken(sandbox)).get("usd", 0) == 0


@pytest.mark.parametrize("amount", [None, "2500", "1000", "1"])
async def test_a_capture_takes_all_or_a_part_and_releases_the_rest(
    sandbox: Sandbox, amount: str | None
) -> None:
    intent = await authorize(sandbox)
    form = {} if amount is None else {"amount_to_capture": amount}
    status, captured = await sandbox.call(
        "POST", f"/v1/payment_intents/{intent['id']}/capture", form
    )
    expected = int(amount or 2500)
    amounts = captured["amount_received"], captured["amount_capturable"]
    assert (status, captured["status"], *amounts) == (200, "succeeded", expected, 0)
    charge = await charge_of(sandbox, intent)
    assert (charge["captured"], charge["amount_captured"]) == (True, expected)
    assert (charge["amount_refunded"], charge["refunded"]) == (0, False)
    assert (await taken(sandbox))["usd"] == expected
    refund = {"payment_intent": intent["id"], "amount": str(expected + 1)}
    assert (await sandbox.call("POST", "/v1/refunds", refund))[0] == 400


@pytest.mark.parametrize(
    ("before", "form", "code"),
    [
        ("", {"amount_to_capture": "2501"}, "amount_too_large"),
        ("", {"amount_to_capture": "0"}, "parameter_invalid_integer"),
        ("capture", {}, "payment_intent_unexpected_state"),
        ("cancel", {}, "payment_intent_unexpected_state"),
    ],
)
async def test_what_cannot_be_captured_is_refused(
    sandbox: Sandbox, before: str, form: dict[str, str], code: str
) -> None:
    intent = await authorize(sandbox)
    path = f"/v1/payment_intents/{intent['id']}"
    if before:
        assert (await sandbox.call("POST", f"{path}/{before}"))[0] == 200
    taken_before = await taken(sandbox)
    status, body = await sandbox.call("POST", f"{path}/capture", form)
    assert (status, body["error"]["code"]) == (400, code)
    assert await taken(sandbox) == taken_before


async def test_a_capture_is_repeated_by_its_idempotency_key(sandbox: Sandbox) -> None:
    intent = await authorize(sandbox)
    path = f"/v1/payment_intents/{intent['id']}/capture"
    first = await sandbox.call("POST", path, {"amount_to_capture": "900"}, Idempotency_Key="c")
    assert await sandbox.call("POST", path, {"amount_to_capture": "900"}, Idempotency_Key="c") == (
        first
    )


async def test_a_canceled_authorization_is_released_and_is_no_refund(sandbox: Sandbox) -> None:
    intent = await authorize(sandbox)
    status, canceled = await sandbox.call("POST", f"/v1/payment_intents/{intent['id']}/cancel")
    amounts = canceled["amount_capturable"], canceled["amount_received"]
    assert (status, canceled["status"], *amounts) == (200, "canceled", 0, 0)
    charge = await charge_of(sandbox, intent)
    assert (charge["captured"], charge["refunded"], charge["amount_refunded"]) == (False, False, 0)
    refunds = (await sandbox.call("GET", "/v1/refunds", {"payment_intent": intent["id"]}))[1]
    assert refunds["data"] == []


async def test_an_authorization_is_no_charge_to_refund(sandbox: Sandbox) -> None:
    intent = await authorize(sandbox)
    status, body = await sandbox.call("POST", "/v1/refunds", {"payment_intent": intent["id"]})
    assert status == 400
    assert "captured" in body["error"]["message"]


async def test_a_declined_authorization_is_a_declined_charge(sandbox: Sandbox) -> None:
    customer, card = await sandbox.customer_with_card("pm_card_chargeCustomerFail")
    form = charge_form(customer, card, capture_method="manual")
    status, body = await sandbox.call("POST", "/v1/payment_intents", form)
    intent = body["error"]["payment_intent"]
    assert (status, intent["status"]) == (402, "requires_payment_method")
    assert intent["amount_capturable"] == 0


@pytest.mark.parametrize(
    ("then", "last"),
    [
        (("capture", {}), "succeeded"),
        (("cancel", {}), "canceled"),
        (None, "canceled"),  # it expires
    ],
)
async def test_each_state_of_an_authorization_is_an_event(
    sandbox: Sandbox, then: tuple[str, dict[str, str]] | None, last: str
) -> None:
    async with receiving(sandbox) as receiver:
        intent = await authorize(sandbox)
        if then is not None:
            verb, form = then
            await sandbox.call("POST", f"/v1/payment_intents/{intent['id']}/{verb}", form)
        else:
            expired = {"payment_intent": intent["id"], "reason": "expired"}
            assert (await sandbox.control("POST", "stripe/cancellations", expired))[0] == 200
        await shown(sandbox)
    names = ("created", "amount_capturable_updated", last)
    assert receiver.types == [f"payment_intent.{name}" for name in names]
    final = receiver.events[-1]["data"]["object"]
    assert final["cancellation_reason"] == ("expired" if then is None else None)
