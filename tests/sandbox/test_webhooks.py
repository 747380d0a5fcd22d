"""Webhooks: created in a change's order, held and delivered on order, retried."""

import asyncio
import itertools
from typing import Any

import pytest

from sandbox.books import Scope
from sandbox.webhooks import IN_FLIGHT_MAX, Delivery, Event
from tests.sandbox.receiving import SECRET, receiving, shown
from tests.sandbox.running import ACCOUNT, Sandbox, charge_card, charge_form


async def refund(sandbox: Sandbox, intent: Any, **rest: Any) -> Any:
    body = {"payment_intent": intent["id"], **rest}
    status, answer = await sandbox.control("POST", "stripe/refunds", body)
    assert status == 201, answer
    return answer


class TestIntents:
    @pytest.mark.parametrize(
        ("card", "off_session", "order", "expected"),
        [
            ("pm_card_visa", True, None, ["created", "succeeded"]),
            ("pm_card_chargeCustomerFail", True, None, ["created", "payment_failed"]),
            ("pm_card_authenticationRequired", True, None, ["created", "payment_failed"]),
            ("pm_card_authenticationRequired", False, None, ["created", "requires_action"]),
            (
                "pm_card_authenticationRequired",
                False,
                ("authentications", {}),
                ["created", "requires_action", "succeeded"],
            ),
            (
                "pm_card_authenticationRequired",
                False,
                ("authentications", {"succeeds": False}),
                ["created", "requires_action", "payment_failed"],
            ),
            (
                "pm_card_authenticationRequired",
                False,
                ("authentications", {"expires": True}),
                ["created", "requires_action", "canceled"],
            ),
            (
                "pm_card_authenticationRequired",
                False,
                ("stripe/cancellations", {"reason": "abandoned"}),
                ["created", "requires_action", "canceled"],
            ),
        ],
    )
    async def test_each_state_is_sent_as_it_was(
        self,
        sandbox: Sandbox,
        card: str,
        off_session: bool,
        order: tuple[str, dict[str, Any]] | None,
        expected: list[str],
    ) -> None:
        async with receiving(sandbox) as receiver:
            await sandbox.control("POST", "webhooks/hold", {"hold": True})
            form = charge_form(*await sandbox.customer_with_card(card))
            if not off_session:
                del form["off_session"]
            _, body = await sandbox.call("POST", "/v1/payment_intents", form)
            intent = body["error"]["payment_intent"] if "error" in body else body
            if order is not None:
                path, rest = order
                ordered = {"payment_intent": intent["id"], **rest}
                status, intent = await sandbox.control("POST", path, ordered)
                assert status == 200, intent
            await sandbox.control("POST", "webhooks/hold", {"hold": False})
            await shown(sandbox)
        assert receiver.types == [f"payment_intent.{name}" for name in expected]
        first, *_, last = receiver.events
        assert first["data"]["object"]["status"] == "requires_confirmation"
        assert last["data"]["object"] == intent
        assert (first["livemode"], type(first["created"])) == (False, int)

    async def test_test_and_live_events_go_to_their_own_receivers(self, sandbox: Sandbox) -> None:
        live_key = "sk_live_shop1_b"
        async with receiving(sandbox) as test, receiving(sandbox, key=live_key) as live:
            form = charge_form("", "pm_card_visa")
            del form["customer"]
            await sandbox.call("POST", "/v1/payment_intents", form, key=live_key)
            await shown(sandbox)
            assert test.events == []
            assert {event["livemode"] for event in live.events} == {True}
            assert len(live.events) == 2

    async def test_a_registered_key_names_its_account(self, sandbox: Sandbox) -> None:
        await sandbox.control("POST", "keys", {"key": "sk_test_other", "account": ACCOUNT})
        async with receiving(sandbox, key="sk_test_other") as receiver:
            await charge_card(sandbox)
            await shown(sandbox)
        assert len(receiver.events) == 2

    @pytest.mark.parametrize(
        ("path", "body", "part"),
        [
            ("authentications", {"payment_intent": "PAID", "expires": True}, "is succeeded"),
            ("authentications", {"payment_intent": "PAID", "expires": 1}, '"expires"'),
            (
                "authentications",
                {"payment_intent": "PAID", "expires": True, "succeeds": True},
                "not both",
            ),
            ("stripe/cancellations", {}, '"payment_intent"'),
            ("stripe/cancellations", {"payment_intent": "pi_none"}, "no payment intent"),
            ("stripe/cancellations", {"payment_intent": "PAID"}, "status of succeeded"),
            ("stripe/cancellations", {"payment_intent": "PAID", "reason": "x"}, '"reason"'),
        ],
    )
    async def test_a_refusal_says_what_to_send(
        self, sandbox: Sandbox, path: str, body: dict[str, Any], part: str
    ) -> None:
        intent = await charge_card(sandbox)
        if body.get("payment_intent") == "PAID":
            body = body | {"payment_intent": intent["id"]}
        status, answer = await sandbox.control("POST", path, body)
        assert status == 400
        assert part in answer["error"]


class TestOrder:
    async def test_held_events_are_delivered_shuffled_and_repeated(self, sandbox: Sandbox) -> None:
        arrived = []
        async with receiving(sandbox) as receiver:
            await sandbox.control("POST", "webhooks/hold", {"hold": True})
            intent = await charge_card(sandbox)
            for _ in range(5):
                await refund(sandbox, intent, amount=100)
            state = await shown(sandbox)
            held = [*["payment_intent.created", "payment_intent.succeeded"], *REFUNDED * 5]
            assert (state["held"], state["delivered"], receiver.events) == (held, 0, [])
            order = {"order": "shuffled", "repeat": 3, "seed": 7}
            status, answer = await sandbox.control("POST", "webhooks/deliver", order)
            assert (status, answer) == (200, {"deliveries": 36})
            state = await shown(sandbox)
            assert (state["held"], state["delivered"], state["hold"]) == ([], 36, True)
            arrived = [event["id"] for event in receiver.events]
        created = list(dict.fromkeys(arrived))
        assert len(created) == 12
        assert all(arrived.count(each) == 3 for each in created)

    @pytest.mark.parametrize("parallel", [1, 4])
    async def test_only_the_accounts_events_are_delivered(
        self, sandbox: Sandbox, parallel: int
    ) -> None:
        login = {"api_login_id": "shop"}
        async with receiving(sandbox) as stripe, receiving(sandbox, **login) as authorize:
            await sandbox.control("POST", "webhooks/hold", {"hold": True})
            await charge_card(sandbox)
            order = login | {"parallel": parallel}
            _, answer = await sandbox.control("POST", "webhooks/deliver", order)
            assert answer == {"deliveries": 0}
            _, answer = await sandbox.control("POST", "webhooks/hold", {"hold": False})
            assert answer == {"hold": False, "deliveries": 2}
            await shown(sandbox)
            await charge_card(sandbox)
            await shown(sandbox)
            assert (len(stripe.events), authorize.events) == (4, [])

    def test_the_same_seed_shuffles_alike(self) -> None:
        events = [Event(Scope("a", livemode=False), str(number), b"") for number in range(20)]
        first = Delivery(shuffled=True, repeat=2, seed=7).arrange(events)
        assert first == Delivery(shuffled=True, repeat=2, seed=7).arrange(events)
        assert first != Delivery(shuffled=True, repeat=2, seed=8).arrange(events)
        assert sorted(first, key=events.index) == [each for each in events for _ in range(2)]
        in_order = Delivery(repeat=2).arrange(events)
        assert [key for key, _ in itertools.groupby(in_order)] == events

    async def test_events_are_sent_again(self, sandbox: Sandbox) -> None:
        async with receiving(sandbox) as receiver:
            await charge_card(sandbox)
            order = {"key": "sk_test_shop1_a", "copies": 2, "shuffled": True, "seed": 3}
            assert (await sandbox.control("POST", "webhooks/again", order))[1] == {"deliveries": 4}
            await shown(sandbox)
        assert len(receiver.events) == 6
        assert len({event["id"] for event in receiver.events}) == 2

    async def test_reset_forgets_events_and_holds_no_more(self, sandbox: Sandbox) -> None:
        async with receiving(sandbox) as receiver:
            await sandbox.control("POST", "webhooks/hold", {})
            await charge_card(sandbox)
            await sandbox.control("POST", "reset")
            state = await shown(sandbox)
            assert (state["events"], state["held"], state["hold"]) == ([], [], False)
            await charge_card(sandbox)
            await shown(sandbox)
            assert len(receiver.events) == 2

    @pytest.mark.parametrize(
        ("path", "body", "part"),
        [
            ("", {"key": "sk_test_1", "url": "http://example.com/", "secret": "s"}, '"url"'),
            ("", {"key": "sk_test_1", "url": "http://127.0.0.1:1/"}, '"secret"'),
            ("", {"url": "http://127.0.0.1:1/", "secret": "s"}, '"key"'),
            ("/hold", {"hold": "yes"}, '"hold"'),
            ("/hold", {"deliver": True}, "'deliver'"),
            ("/deliver", {"order": "random"}, '"order" as one of created, shuffled'),
            ("/deliver", {"repeat": 0}, '"repeat"'),
            ("/deliver", {"seed": "x"}, '"seed"'),
            ("/deliver", {"parallel": 1000}, '"parallel"'),
            ("/deliver", {"key": "nonsense"}, '"key"'),
            ("/again", {}, '"key"'),
        ],
    )
    async def test_a_refusal_says_what_to_send(
        self, sandbox: Sandbox, path: str, body: dict[str, Any], part: str
    ) -> None:
        status, answer = await sandbox.control("POST", f"webhooks{path}", body)
        assert status == 400
        assert part in answer["error"]


REFUNDED = ["refund.created", "charge.refunded"]


class TestReceivers:
    async def test_a_delivery_that_fails_is_retried(self, sandbox: Sandbox) -> None:
        async with receiving(sandbox) as receiver:
            receiver.statuses = [503]
            await charge_card(sandbox)
            state = await shown(sandbox)
        assert sorted(receiver.types) == ["payment_intent.created", "payment_intent.succeeded"]
        assert (state["delivered"], state["failed"]) == (2, 0)

    async def test_a_receiver_that_hangs_blocks_nobody_else(self, sandbox: Sandbox) -> None:
        async with (
            receiving(sandbox, key="sk_test_hanging_a") as hanging,
            receiving(sandbox) as healthy,
        ):
            hanging.released = asyncio.Event()
            intent = await charge_card(sandbox)
            form = charge_form("", "pm_card_visa")
            del form["customer"]
            for _ in range(IN_FLIGHT_MAX):
                await sandbox.call("POST", "/v1/payment_intents", form, key="sk_test_hanging_a")
            async with asyncio.timeout(30):
                await refund(sandbox, intent)
                while len(healthy.events) < 4:
                    await sandbox.control("GET", "webhooks")
            assert hanging.most_waiting == IN_FLIGHT_MAX
            _, state = await sandbox.control("GET", "webhooks")
            assert state["under_way"] == 2 * IN_FLIGHT_MAX
            assert SECRET not in str(state)

    async def test_held_events_of_a_receiver_that_hangs_delay_nobody_else(
        self, sandbox: Sandbox
    ) -> None:
        key = "sk_test_hanging_a"
        async with receiving(sandbox, key=key) as hanging, receiving(sandbox) as healthy:
            hanging.released = asyncio.Event()
            await sandbox.control("POST", "webhooks/hold", {"hold": True})
            form = charge_form("", "pm_card_visa")
            del form["customer"]
            await sandbox.call("POST", "/v1/payment_intents", form, key=key)
            await charge_card(sandbox)
            await sandbox.control("POST", "webhooks/deliver", {"repeat": 2})
            async with asyncio.timeout(30):
                while len(healthy.events) < 4:
                    await sandbox.control("GET", "webhooks")
            assert hanging.most_waiting == 1  # in order: the next waits for it
