"""SetupIntents, and what a browser may do with a publishable key."""

from typing import Any

import pytest

from tests.sandbox.running import KEY, Sandbox, charge_form

BROWSER = "pk_test_obviously_fake"
ON_SETUP = "pm_card_authenticationRequiredOnSetup"


async def customer(sandbox: Sandbox) -> str:
    """Create a customer."""
    return str((await sandbox.call("POST", "/v1/customers", {}))[1]["id"])


async def set_up(
    sandbox: Sandbox, customer_id: str, card: str, **more: str
) -> tuple[int, dict[str, Any]]:
    """Create and confirm a SetupIntent."""
    form = {"customer": customer_id, "payment_method": card, "confirm": "true", **more}
    return await sandbox.call("POST", "/v1/setup_intents", form)


@pytest.mark.parametrize(
    ("card", "status", "shown"),
    [
        ("pm_card_visa", 200, "succeeded"),
        ("pm_card_authenticationRequiredSetupForOffSession", 200, "succeeded"),
        (ON_SETUP, 200, "requires_action"),
        ("pm_card_authenticationRequired", 200, "requires_action"),
        ("pm_card_chargeDeclined", 402, "requires_payment_method"),
    ],
)
async def test_a_confirmation_depends_on_the_card(
    sandbox: Sandbox, card: str, status: int, shown: str
) -> None:
    customer_id = await customer(sandbox)
    answered, body = await set_up(sandbox, customer_id, card)
    intent = body["error"]["setup_intent"] if status == 402 else body
    assert (answered, intent["status"]) == (status, shown)
    assert (intent["next_action"] is not None) == (shown == "requires_action")
    path = f"/v1/payment_methods?customer={customer_id}"
    attached = (await sandbox.call("GET", path))[1]["data"]
    assert len(attached) == (1 if shown == "succeeded" else 0)


@pytest.mark.parametrize("succeeds", [True, False])
async def test_authentication_saves_the_card_for_charges_without_the_cardholder(
    sandbox: Sandbox, succeeds: bool
) -> None:
    customer_id = await customer(sandbox)
    intent = (await set_up(sandbox, customer_id, ON_SETUP, **{"metadata[a]": "b"}))[1]
    control = {"setup_intent": intent["id"], "succeeds": succeeds}
    assert (await sandbox.control("POST", "authentications", control))[0] == 200
    path = f"/v1/setup_intents/{intent['id']}"
    shown = (await sandbox.call("GET", path))[1]
    expected = "succeeded" if succeeds else "requires_payment_method"
    assert (shown["status"], shown["metadata"]) == (expected, {"a": "b"})
    listed = await sandbox.call("GET", f"/v1/setup_intents?customer={customer_id}")
    assert [each["id"] for each in listed[1]["data"]] == [intent["id"]]
    if succeeds:
        form = charge_form(customer_id, shown["payment_method"])
        status, charged = await sandbox.call("POST", "/v1/payment_intents", form)
        assert (status, charged["status"]) == (200, "succeeded")
        assert (await sandbox.call("POST", f"{path}/confirm", {}))[0] == 400
    else:
        assert shown["last_setup_error"]["code"] == "setup_intent_authentication_failure"
        assert (await sandbox.call("POST", f"{path}/cancel", {}))[1]["status"] == "canceled"
    assert (await sandbox.control("POST", "authentications", control))[0] == 400


async def test_a_browser_confirms_with_the_client_secret_only(sandbox: Sandbox) -> None:
    customer_id = await customer(sandbox)
    status, method = await sandbox.call(
        "POST", "/v1/payment_methods", {"type": "card", "card[token]": "tok_visa"}, key=BROWSER
    )
    assert (status, method["type"]) == (200, "card")
    intent = (await sandbox.call("POST", "/v1/setup_intents", {"customer": customer_id}))[1]
    path = f"/v1/setup_intents/{intent['id']}/confirm"
    right = {"client_secret": intent["client_secret"], "payment_method": "pm_card_visa"}
    for form, key, expected in (
        ({"payment_method": "pm_card_visa"}, BROWSER, 400),
        (right | {"client_secret": "seti_x_secret_y"}, BROWSER, 400),
        (right, "pk_live_obviously_fake", 404),
        (right, BROWSER, 200),
    ):
        status, body = await sandbox.call("POST", path, form, key=key)
        assert status == expected, body
    assert body["status"] == "succeeded"
    assert not {"customer", "metadata"} & body.keys()
    path = path.removesuffix("/confirm") + f"?client_secret={intent['client_secret']}"
    assert (await sandbox.call("GET", path, key=BROWSER))[1]["status"] == "succeeded"
    assert (await sandbox.call("GET", "/v1/setup_intents", key=BROWSER))[0] == 401
    assert (await sandbox.call("POST", "/v1/customers", {}, key=BROWSER))[0] == 401


async def test_a_charge_is_authenticated_from_a_browser(sandbox: Sandbox) -> None:
    customer_id, card = await sandbox.customer_with_card("pm_card_authenticationRequired")
    _, body = await sandbox.call("POST", "/v1/payment_intents", charge_form(customer_id, card))
    intent = body["error"]["payment_intent"]
    form = {"client_secret": intent["client_secret"], "payment_method": card}
    path = f"/v1/payment_intents/{intent['id']}/confirm"
    status, shown = await sandbox.call("POST", path, form, key=BROWSER)
    assert (status, shown["status"]) == (200, "requires_action")
    control = {"payment_intent": intent["id"]}
    assert (await sandbox.control("POST", "authentications", control))[1]["status"] == "succeeded"


async def test_every_response_lets_a_browser_read_it(sandbox: Sandbox) -> None:
    _, headers, _ = await sandbox.call_with_headers("GET", "/v1/customers", key=KEY)
    assert headers["Access-Control-Allow-Origin"] == "*"
    asked = {"Access-Control-Request-Headers": "authorization"}
    async with sandbox.session.options(f"{sandbox.url}/v1/customers", headers=asked) as preflight:
        assert preflight.headers["Access-Control-Allow-Headers"] == "authorization"
        assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
