"""3D Secure: charges that require the cardholder."""

import pytest

from tests.sandbox.running import Sandbox, charge_form


class TestAuthentication:
    @pytest.mark.parametrize(
        ("card", "off_session", "status", "expected"),
        [
            ("pm_card_authenticationRequired", True, 402, "authentication_required"),
            ("pm_card_authenticationRequired", False, 200, "requires_action"),
            ("pm_card_authenticationRequiredOnSetup", True, 402, "authentication_required"),
            ("pm_card_authenticationRequiredOnSetup", False, 200, "requires_action"),
            ("pm_card_authenticationRequiredSetupForOffSession", True, 200, "succeeded"),
            ("pm_card_authenticationRequiredSetupForOffSession", False, 200, "requires_action"),
            ("pm_card_threeDSecure2Required", False, 200, "requires_action"),
            ("pm_card_threeDSecureOptional", False, 200, "succeeded"),
        ],
    )
    async def test_3d_secure_depends_on_card_and_off_session(
        self, sandbox: Sandbox, card: str, off_session: bool, status: int, expected: str
    ) -> None:
        customer, method = await sandbox.customer_with_card(card)
        form = charge_form(customer, method)
        if not off_session:
            del form["off_session"]
        answered, body = await sandbox.call("POST", "/v1/payment_intents", form)
        assert answered == status
        if status == 402:
            error = body["error"]
            assert (error["code"], error["decline_code"]) == (expected, expected)
            assert error["payment_intent"]["status"] == "requires_payment_method"
            assert "_secret_" in error["payment_intent"]["client_secret"]
        else:
            assert body["status"] == expected
            assert (body["next_action"] is not None) == (expected == "requires_action")
        books = await sandbox.books()
        assert len(books["charges"]) == (1 if expected == "succeeded" else 0)

    async def test_error_on_requires_action_fails_the_intent(self, sandbox: Sandbox) -> None:
        customer, card = await sandbox.customer_with_card("pm_card_authenticationRequired")
        form = charge_form(customer, card, error_on_requires_action="true")
        del form["off_session"]
        status, body = await sandbox.call("POST", "/v1/payment_intents", form)
        assert (status, body["error"]["code"]) == (402, "authentication_required")
        assert body["error"]["payment_intent"]["status"] == "requires_payment_method"

    @pytest.mark.parametrize(
        ("card", "succeeds", "status", "code"),
        [
            ("pm_card_authenticationRequired", True, "succeeded", None),
            (
                "pm_card_authenticationRequired",
                False,
                "requires_payment_method",
                "payment_intent_authentication_failure",
            ),
            (
                "pm_card_threeDSecureRequiredChargeDeclined",
                True,
                "requires_payment_method",
                "card_declined",
            ),
        ],
    )
    async def test_authentication_finishes_the_intent(
        self, sandbox: Sandbox, card: str, succeeds: bool, status: str, code: str | None
    ) -> None:
        customer, method = await sandbox.customer_with_card(card)
        form = charge_form(customer, method, return_url="https://shop.example/back")
        del form["off_session"]
        _, waiting = await sandbox.call("POST", "/v1/payment_intents", form)
        assert waiting["next_action"]["type"] == "redirect_to_url"
        order = {"payment_intent": waiting["id"], "succeeds": succeeds}
        answered, intent = await sandbox.control("POST", "authentications", order)
        assert (answered, intent["status"]) == (200, status)
        assert (intent["last_payment_error"] or {}).get("code") == code
        answered, _ = await sandbox.control("POST", "authentications", order)
        assert answered == 400

    async def test_a_card_set_up_with_authentication_can_be_charged_off_session(
        self, sandbox: Sandbox
    ) -> None:
        customer, card = await sandbox.customer_with_card("pm_card_authenticationRequiredOnSetup")
        form = charge_form(customer, card, setup_future_usage="off_session")
        del form["off_session"]
        _, waiting = await sandbox.call("POST", "/v1/payment_intents", form)
        await sandbox.control("POST", "authentications", {"payment_intent": waiting["id"]})
        status, paid = await sandbox.call(
            "POST", "/v1/payment_intents", charge_form(customer, card)
        )
        assert (status, paid["status"]) == (200, "succeeded")
