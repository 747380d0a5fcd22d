"""Refunds: at the API, and as the dashboard, issuers and time move them."""

from typing import Any

import pytest
import stripe

from tests.sandbox.receiving import receiving, shown
from tests.sandbox.running import Sandbox, assert_fields, charge_card, charge_form

NOT_MODELLED = {
    "customer",
    "customer_account",
    "description",
    "instructions_email",
    "presentment_details",
}


async def order(sandbox: Sandbox, path: str = "", **body: Any) -> Any:
    """Create or move a refund at the control endpoint."""
    status, answer = await sandbox.control("POST", f"stripe/refunds{path}", body)
    assert status < 300, answer
    return answer


class TestApi:
    async def test_the_sdk_refunds_a_payment_intent_in_parts(self, sandbox: Sandbox) -> None:
        client, intent = sandbox.stripe(), await charge_card(sandbox)
        service = client.v1.refunds
        first = await service.create_async(
            {"payment_intent": intent["id"], "amount": 1000, "metadata": {"payment_id": "ORDER-9"}}
        )
        assert_fields(first.to_dict(), stripe.Refund, absent=NOT_MODELLED)
        assert (first.amount, first.status) == (1000, "succeeded")
        rest = await service.create_async(
            {"charge": intent["latest_charge"], "reason": "duplicate"}
        )
        assert (rest.amount, rest.reason) == (1500, "duplicate")
        charge = await client.v1.charges.retrieve_async(
            intent["latest_charge"], {"expand": ["refunds"]}
        )
        assert (charge.amount_refunded, charge.refunded) == (2500, True)
        assert charge.refunds is not None
        assert [each.id for each in charge.refunds.data] == [rest.id, first.id]
        assert (await service.retrieve_async(first.id)).to_dict() == first.to_dict()
        changed = await service.update_async(first.id, {"metadata": {"payment_id": "", "n": "1"}})
        assert changed.to_dict() == {**first.to_dict(), "metadata": {"n": "1"}}

    async def test_refunds_are_listed_of_a_charge_or_payment_intent(self, sandbox: Sandbox) -> None:
        service = sandbox.stripe().v1.refunds
        one, other = await charge_card(sandbox), await charge_card(sandbox)
        made = [
            (await service.create_async({"payment_intent": each["id"], "amount": 100})).id
            for each in (one, other, one)
        ]
        of_charge = await service.list_async({"charge": one["latest_charge"]})
        of_intent = await service.list_async({"payment_intent": other["id"]})
        every = await service.list_async()
        assert [each.id for each in of_charge.data] == [made[2], made[0]]
        assert [each.id for each in of_intent.data] == [made[1]]
        assert [each.id for each in every.data] == made[::-1]

    async def test_a_charge_shows_its_refunds_on_expand_only(self, sandbox: Sandbox) -> None:
        intent = await charge_card(sandbox)
        refund = await order(sandbox, payment_intent=intent["id"])
        path = f"/v1/payment_intents/{intent['id']}?expand[]=latest_charge"
        _, shown_intent = await sandbox.call("GET", path)
        assert "refunds" not in shown_intent["latest_charge"]
        _, expanded = await sandbox.call("GET", f"{path}.refunds")
        assert expanded["latest_charge"]["refunds"]["data"] == [refund]

    async def test_an_idempotency_key_refunds_once(self, sandbox: Sandbox) -> None:
        intent = await charge_card(sandbox)
        form = {"payment_intent": intent["id"], "amount": "1000"}
        answers = [
            await sandbox.call("POST", "/v1/refunds", form, Idempotency_Key="k") for _ in range(2)
        ]
        assert answers[0] == answers[1]
        assert len((await sandbox.books())["refunds"]) == 1

    @pytest.mark.parametrize(
        ("form", "code", "part"),
        [
            ({}, None, "payment_intent or charge"),
            ({"amount": "2501"}, None, "is greater than unrefunded amount on charge ($25.00 usd)"),
            ({"amount": "0"}, "parameter_invalid_integer", "greater than or equal to 1"),
            ({"reason": "whim"}, None, "must be one of duplicate"),
            ({"charge": "ch_other"}, None, "does not belong"),
            ({"payment_intent": "pi_none"}, "resource_missing", "No such payment_intent"),
            ({"currency": "usd"}, "parameter_unknown", "currency"),
        ],
    )
    async def test_a_wrong_refund_is_refused_and_moves_nothing(
        self, sandbox: Sandbox, form: dict[str, str], code: str | None, part: str
    ) -> None:
        intent = await charge_card(sandbox)
        named = {"payment_intent": intent["id"]} if form else {}
        status, body = await sandbox.call("POST", "/v1/refunds", named | form)
        assert (status, body["error"].get("code")) == (400, code)
        assert part in body["error"]["message"]
        assert (await sandbox.books())["taken"] == {"usd": 2500}

    async def test_a_charge_is_refunded_once_and_a_failed_one_never(self, sandbox: Sandbox) -> None:
        intent = await charge_card(sandbox)
        await order(sandbox, payment_intent=intent["id"])
        named = {"payment_intent": intent["id"]}
        _, again = await sandbox.call("POST", "/v1/refunds", named)
        assert again["error"]["code"] == "charge_already_refunded"
        form = charge_form(*await sandbox.customer_with_card("pm_card_chargeCustomerFail"))
        _, declined = await sandbox.call("POST", "/v1/payment_intents", form)
        failed = declined["error"]["payment_intent"]
        for named in ({"payment_intent": failed["id"]}, {"charge": failed["latest_charge"]}):
            status, body = await sandbox.call("POST", "/v1/refunds", named)
            assert status == 400, body

    async def test_the_api_cancels_a_refund_that_requires_action_only(
        self, sandbox: Sandbox
    ) -> None:
        intent, service = await charge_card(sandbox), sandbox.stripe().v1.refunds
        for status in ("pending", "succeeded"):
            refund = await order(sandbox, payment_intent=intent["id"], amount=100, status=status)
            with pytest.raises(stripe.InvalidRequestError, match=f"has a status of {status}"):
                await service.cancel_async(refund["id"])
        waiting = await order(
            sandbox, payment_intent=intent["id"], amount=100, status="requires_action"
        )
        assert waiting["next_action"]["type"] == "display_details"
        canceled = await service.cancel_async(waiting["id"])
        assert (canceled.status, canceled.failure_reason) == ("canceled", "merchant_request")
        assert (await sandbox.books())["taken"] == {"usd": 2300}


class TestMoves:
    @pytest.mark.parametrize(
        ("statuses", "refunded"),
        [
            (["succeeded"], 1000),
            (["pending"], 1000),
            (["pending", "succeeded"], 1000),
            (["pending", "failed"], 0),
            (["pending", "canceled"], 0),
            (["succeeded", "failed"], 0),
            (["succeeded", "canceled"], 0),
            (["requires_action", "pending", "succeeded", "failed"], 0),
        ],
    )
    async def test_the_charge_follows_each_status(
        self, sandbox: Sandbox, statuses: list[str], refunded: int
    ) -> None:
        intent = await charge_card(sandbox)
        refund = await order(sandbox, payment_intent=intent["id"], amount=1000, status=statuses[0])
        for status in statuses[1:]:
            refund = await order(sandbox, f"/{refund['id']}", status=status)
        books = await sandbox.books()
        [charge] = books["charges"]
        assert books["refunds"] == [refund]
        assert (charge["amount_refunded"], charge["refunded"]) == (refunded, False)
        assert books["taken"] == {"usd": 2500 - refunded}
        assert (refund["failure_balance_transaction"] is None) == (refunded > 0)

    async def test_a_failed_refund_can_be_made_again(self, sandbox: Sandbox) -> None:
        intent = await charge_card(sandbox)
        for _ in range(2):
            refund = await order(sandbox, payment_intent=intent["id"])
            reason = "expired_or_canceled_card"
            failed = await order(
                sandbox, f"/{refund['id']}", status="failed", failure_reason=reason
            )
            assert failed["failure_reason"] == reason
        assert (await sandbox.books())["taken"] == {"usd": 2500}

    @pytest.mark.parametrize(
        ("path", "body", "part"),
        [
            ("", {}, '"payment_intent"'),
            ("", {"payment_intent": "pi_none"}, "no payment intent"),
            ("", {"payment_intent": "PI", "status": "failed"}, '"status" as one of succeeded'),
            ("", {"payment_intent": "PI", "amount": 0}, '"amount"'),
            ("", {"payment_intent": "PI", "amount": "5"}, '"amount"'),
            ("", {"payment_intent": "PI", "amount": 2600}, "unrefunded amount"),
            ("", {"payment_intent": "PI", "metadata": {"a": 1}}, '"metadata"'),
            ("", {"payment_intent": "PI", "reason": "whim"}, '"reason"'),
            ("/re_none", {"status": "failed"}, "no refund re_none"),
            ("/RE", {}, '"status" as one of failed, canceled: the refund is succeeded'),
            ("/RE", {"status": "pending"}, '"status" as one of failed, canceled'),
            ("/RE", {"status": "failed", "failure_reason": "x"}, '"failure_reason"'),
            ("/FAILED", {"status": "succeeded"}, "is failed, which is final"),
        ],
    )
    async def test_a_refusal_says_what_to_send(
        self, sandbox: Sandbox, path: str, body: dict[str, Any], part: str
    ) -> None:
        intent = await charge_card(sandbox)
        refund = await order(sandbox, payment_intent=intent["id"], amount=500)
        failed = await order(sandbox, payment_intent=intent["id"], amount=500, status="pending")
        await order(sandbox, f"/{failed['id']}", status="failed")
        path = path.replace("RE", refund["id"]).replace("FAILED", failed["id"])
        if body.get("payment_intent") == "PI":
            body = body | {"payment_intent": intent["id"]}
        status, answer = await sandbox.control("POST", f"stripe/refunds{path}", body)
        assert status == 400
        assert part in answer["error"]
        assert (await sandbox.books())["taken"] == {"usd": 2000}


CREATED = ["refund.created", "charge.refunded"]
UPDATED = ["refund.updated", "charge.refund.updated"]


class TestEvents:
    @pytest.mark.parametrize(
        ("statuses", "expected"),
        [
            (["succeeded"], CREATED),
            (["pending", "succeeded"], [*CREATED, *UPDATED]),
            (["pending", "failed"], [*CREATED, *UPDATED, "refund.failed"]),
            (["succeeded", "canceled"], [*CREATED, *UPDATED]),
        ],
    )
    async def test_each_change_sends_its_events_in_order(
        self, sandbox: Sandbox, statuses: list[str], expected: list[str]
    ) -> None:
        intent = await charge_card(sandbox)
        async with receiving(sandbox) as receiver:
            await sandbox.control("POST", "webhooks/hold", {})
            metadata = {"payment_id": "ORDER-991"}
            refund = await order(
                sandbox, payment_intent=intent["id"], status=statuses[0], metadata=metadata
            )
            for status in statuses[1:]:
                refund = await order(sandbox, f"/{refund['id']}", status=status)
            await sandbox.control("POST", "webhooks/hold", {"hold": False})
            await shown(sandbox)
        assert receiver.types == expected
        [created] = receiver.objects("refund.created")
        assert (created["status"], created["metadata"]) == (statuses[0], metadata)
        assert receiver.objects("charge.refunded")[0]["amount_refunded"] == 2500
        if len(statuses) > 1:
            last = receiver.events[-1]["data"]["object"]
            assert last == refund
            assert receiver.events[2]["data"]["previous_attributes"]["status"] == statuses[0]
