"""Idempotency keys: replay, misuse, expiry."""

import asyncio
from pathlib import Path

import pytest
import stripe

from sandbox.books import IDEMPOTENCY_LIFE_SECONDS, Books, Scope, StoredResponse
from tests.sandbox.running import Sandbox, charge_form


class TestReplay:
    async def test_a_repeated_charge_is_taken_once(self, sandbox: Sandbox) -> None:
        form = charge_form(*await sandbox.customer_with_card())
        answers = [
            await sandbox.call_with_headers(
                "POST", "/v1/payment_intents", form, Idempotency_Key="k"
            )
            for _ in range(3)
        ]
        bodies = [body for _, _, body in answers]
        assert bodies[0] == bodies[1] == bodies[2]
        headers = [headers for _, headers, _ in answers]
        assert "Idempotent-Replayed" not in headers[0]
        assert headers[1]["Idempotent-Replayed"] == "true"
        assert headers[1]["Original-Request"] == headers[0]["Request-Id"]
        assert headers[1]["Idempotency-Key"] == "k"
        assert len((await sandbox.books())["charges"]) == 1

    async def test_a_decline_is_replayed(self, sandbox: Sandbox) -> None:
        form = charge_form(*await sandbox.customer_with_card("pm_card_chargeCustomerFail"))
        first, second = [
            await sandbox.call("POST", "/v1/payment_intents", form, Idempotency_Key="k")
            for _ in range(2)
        ]
        assert first == second
        assert first[0] == 402
        assert len((await sandbox.books())["charges"]) == 1

    @pytest.mark.parametrize("kind", ["error_500", "error_500_after"])
    async def test_a_500_is_replayed(self, sandbox: Sandbox, kind: str) -> None:
        form = charge_form(*await sandbox.customer_with_card())
        await sandbox.schedule_fault(kind)
        for _ in range(2):
            status, body = await sandbox.call(
                "POST", "/v1/payment_intents", form, Idempotency_Key="k"
            )
            assert (status, body["error"]["type"]) == (500, "api_error")
        taken = (await sandbox.books())["charges"]
        assert len(taken) == (1 if kind == "error_500_after" else 0)

    @pytest.mark.parametrize(
        ("wrong", "status"),
        [({"amount": "1"}, 400), ({"amount": "x"}, 400), ({"colour": "red"}, 400)],
    )
    async def test_validation_errors_are_not_stored(
        self, sandbox: Sandbox, wrong: dict[str, str], status: int
    ) -> None:
        form = charge_form(*await sandbox.customer_with_card())
        refused = await sandbox.call(
            "POST", "/v1/payment_intents", form | wrong, Idempotency_Key="k"
        )
        assert refused[0] == status
        paid = await sandbox.call("POST", "/v1/payment_intents", form, Idempotency_Key="k")
        assert paid[0] == 200

    async def test_401_and_429_are_not_stored(self, sandbox: Sandbox) -> None:
        form = charge_form(*await sandbox.customer_with_card())
        await sandbox.schedule_fault("rate_limit")
        statuses = [
            (await sandbox.call("POST", "/v1/payment_intents", form, key=key, Idempotency_Key="k"))[
                0
            ]
            for key in ("sk_wrong_shop1_a", "sk_test_shop1_a", "sk_test_shop1_a")
        ]
        assert statuses == [401, 429, 200]

    async def test_a_missing_resource_is_replayed(self, sandbox: Sandbox) -> None:
        form = charge_form("cus_none", "pm_card_visa")
        for replayed in (None, "true"):
            status, headers, _ = await sandbox.call_with_headers(
                "POST", "/v1/payment_intents", form, Idempotency_Key="k"
            )
            assert (status, headers.get("Idempotent-Replayed")) == (400, replayed)

    async def test_a_key_belongs_to_one_account_and_mode(self, sandbox: Sandbox) -> None:
        ids = set()
        for key in ("sk_test_shop1_a", "sk_test_shop1_b", "sk_test_shop2_a", "sk_live_shop1_a"):
            _, body = await sandbox.call("POST", "/v1/customers", key=key, Idempotency_Key="k")
            ids.add(body["id"])
        assert len(ids) == 3

    async def test_a_get_ignores_the_key(self, sandbox: Sandbox) -> None:
        for path in ("/v1/customers", "/v1/payment_intents"):
            status, headers, _ = await sandbox.call_with_headers("GET", path, Idempotency_Key="k")
            assert (status, "Idempotent-Replayed" in headers) == (200, False)


class TestMisuse:
    async def test_the_same_key_with_other_parameters_is_refused(self, sandbox: Sandbox) -> None:
        client = sandbox.stripe()
        await client.v1.customers.create_async({"name": "Ann"}, {"idempotency_key": "k"})
        with pytest.raises(stripe.IdempotencyError, match="same parameters"):
            await client.v1.customers.create_async({"name": "Beth"}, {"idempotency_key": "k"})

    async def test_the_same_key_at_another_url_is_refused(self, sandbox: Sandbox) -> None:
        await sandbox.call("POST", "/v1/customers", Idempotency_Key="k")
        status, body = await sandbox.call(
            "POST", "/v1/payment_methods", {"type": "card"}, Idempotency_Key="k"
        )
        assert (status, body["error"]["type"]) == (400, "idempotency_error")
        assert "'/v1/customers' vs '/v1/payment_methods'" in body["error"]["message"]

    async def test_the_same_key_with_another_card_is_refused(self, sandbox: Sandbox) -> None:
        form = {"type": "card", "card[exp_month]": "12", "card[exp_year]": "2034"}
        statuses = [
            (
                await sandbox.call(
                    "POST",
                    "/v1/payment_methods",
                    form | {"card[number]": number},
                    Idempotency_Key="k",
                )
            )[0]
            for number in ("4242424242424242", "4242424242424242", "5555555555554444")
        ]
        assert statuses == [200, 200, 400]

    async def test_keys_have_at_most_255_characters(self, sandbox: Sandbox) -> None:
        for characters, expected in ((255, 200), (256, 400)):
            status, _ = await sandbox.call(
                "POST", "/v1/customers", Idempotency_Key="k" * characters
            )
            assert status == expected

    async def test_a_key_in_flight_conflicts(self, sandbox: Sandbox) -> None:
        form = charge_form(*await sandbox.customer_with_card())
        await sandbox.schedule_fault("delay", seconds=60)
        first = asyncio.create_task(
            sandbox.call("POST", "/v1/payment_intents", form, Idempotency_Key="k")
        )
        await sandbox.wait_until_delayed(1)
        status, body = await sandbox.call("POST", "/v1/payment_intents", form, Idempotency_Key="k")
        assert (status, body["error"]["code"]) == (409, "idempotency_key_in_use")
        assert body["error"]["type"] == "invalid_request_error"
        await sandbox.control("DELETE", "faults")
        assert (await first)[0] == 200
        again = await sandbox.call("POST", "/v1/payment_intents", form, Idempotency_Key="k")
        assert again == await first

    async def test_an_executed_request_is_replayed_before_its_late_response(
        self, sandbox: Sandbox
    ) -> None:
        form = charge_form(*await sandbox.customer_with_card())
        await sandbox.schedule_fault("delay_after", seconds=60)
        first = asyncio.create_task(
            sandbox.call("POST", "/v1/payment_intents", form, Idempotency_Key="k")
        )
        await sandbox.wait_until_delayed(1)
        again = await sandbox.call("POST", "/v1/payment_intents", form, Idempotency_Key="k")
        await sandbox.control("DELETE", "faults")
        assert again == await first
        assert len((await sandbox.books())["charges"]) == 1


class TestExpiry:
    def test_a_stored_response_expires_after_24_hours(self, tmp_path: Path) -> None:
        now = 1_000_000.0
        books = Books(tmp_path / "books.db", lambda: now)
        scope = Scope("acct_1", livemode=False)
        stored = StoredResponse("/v1/customers", "f", "req_1", 200, {"id": "cus_1"})
        with books.transaction():
            books.store_response(scope, "k", stored)
        now += IDEMPOTENCY_LIFE_SECONDS - 1
        assert books.find_response(scope, "k") == stored
        now += 1
        assert books.find_response(scope, "k") is None
        later = StoredResponse("/v1/customers", "f", "req_2", 200, {"id": "cus_2"})
        with books.transaction():
            books.store_response(scope, "k", later)
        assert books.find_response(scope, "k") == later
        books.close()
