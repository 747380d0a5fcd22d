"""Faults: the caller's view, and the effect in the books."""

import asyncio
from typing import Any

import aiohttp
import pytest

from sandbox.faults import Fault, FaultKind
from tests.sandbox.running import Sandbox, charge_form

CHARGE = "/v1/payment_intents"


async def count_charges(sandbox: Sandbox) -> int:
    return len((await sandbox.books())["charges"])


class TestEffects:
    @pytest.mark.parametrize(("kind", "charges"), [("reset_before", 0), ("reset_after", 1)])
    async def test_a_reset_can_happen_before_or_after_the_effect(
        self, sandbox: Sandbox, kind: str, charges: int
    ) -> None:
        form = charge_form(*await sandbox.customer_with_card())
        await sandbox.schedule_fault(kind, match={"path": CHARGE})
        with pytest.raises(aiohttp.ClientConnectionError):
            await sandbox.call("POST", CHARGE, form, Idempotency_Key="k")
        assert await count_charges(sandbox) == charges
        status, headers, _ = await sandbox.call_with_headers(
            "POST", CHARGE, form, Idempotency_Key="k"
        )
        assert status == 200
        assert ("Idempotent-Replayed" in headers) == bool(charges)
        assert await count_charges(sandbox) == 1

    async def test_a_reset_is_a_tcp_reset(self, sandbox: Sandbox) -> None:
        await sandbox.schedule_fault("reset_before")
        port = int(sandbox.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"GET /v1/customers HTTP/1.1\r\nHost: x\r\n"
            b"Authorization: Bearer sk_test_shop1_a\r\n\r\n"
        )
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()

    async def test_a_cut_response_is_incomplete_after_the_effect(self, sandbox: Sandbox) -> None:
        form = charge_form(*await sandbox.customer_with_card())
        await sandbox.schedule_fault("cut_body")
        with pytest.raises(aiohttp.ClientPayloadError):
            await sandbox.call("POST", CHARGE, form, Idempotency_Key="k")
        assert await count_charges(sandbox) == 1
        status, body = await sandbox.call("POST", CHARGE, form, Idempotency_Key="k")
        assert (status, body["status"]) == (200, "succeeded")
        assert await count_charges(sandbox) == 1

    @pytest.mark.parametrize(
        ("kind", "status", "charges"),
        [("error_500", 500, 0), ("error_500_after", 500, 1), ("rate_limit", 429, 0)],
    )
    async def test_injected_errors_have_stripes_shape(
        self, sandbox: Sandbox, kind: str, status: int, charges: int
    ) -> None:
        form = charge_form(*await sandbox.customer_with_card())
        await sandbox.schedule_fault(kind)
        answered, body = await sandbox.call("POST", CHARGE, form)
        assert answered == status
        assert body["error"]["message"]
        assert await count_charges(sandbox) == charges

    @pytest.mark.parametrize(("kind", "charges"), [("delay", 0), ("delay_after", 1)])
    async def test_clearing_the_faults_ends_a_delay(
        self, sandbox: Sandbox, kind: str, charges: int
    ) -> None:
        form = charge_form(*await sandbox.customer_with_card())
        await sandbox.schedule_fault(kind, seconds=60)
        late = asyncio.create_task(sandbox.call("POST", CHARGE, form))
        await sandbox.wait_until_delayed(1)
        assert await count_charges(sandbox) == charges
        assert not late.done()
        await sandbox.control("DELETE", "faults")
        assert (await late)[0] == 200
        assert await count_charges(sandbox) == 1

    async def test_a_delay_ends_after_its_seconds(self, sandbox: Sandbox) -> None:
        await sandbox.schedule_fault("delay", seconds=0.01)
        assert (await sandbox.call("GET", "/v1/customers"))[0] == 200

    async def test_a_disconnected_caller_is_charged(self, sandbox: Sandbox) -> None:
        form = charge_form(*await sandbox.customer_with_card())
        await sandbox.schedule_fault("delay", seconds=60)
        impatient = asyncio.create_task(sandbox.call("POST", CHARGE, form, Idempotency_Key="k"))
        await sandbox.wait_until_delayed(1)
        impatient.cancel()
        await asyncio.wait([impatient])
        await sandbox.control("DELETE", "faults")
        async with asyncio.timeout(30):
            while await count_charges(sandbox) == 0:
                pass
        status, headers, _ = await sandbox.call_with_headers(
            "POST", CHARGE, form, Idempotency_Key="k"
        )
        assert (status, headers["Idempotent-Replayed"]) == (200, "true")
        assert await count_charges(sandbox) == 1

    async def test_a_late_landing_takes_effect_after_the_reset(self, sandbox: Sandbox) -> None:
        form = charge_form(*await sandbox.customer_with_card())
        await sandbox.schedule_fault("late_landing", seconds=60, match={"path": CHARGE})
        with pytest.raises(aiohttp.ClientConnectionError):
            await sandbox.call("POST", CHARGE, form, Idempotency_Key="k")
        await sandbox.wait_until_delayed(1)
        assert await count_charges(sandbox) == 0
        await sandbox.control("DELETE", "faults")
        async with asyncio.timeout(30):
            while await count_charges(sandbox) == 0:
                pass
        _, headers, _ = await sandbox.call_with_headers("POST", CHARGE, form, Idempotency_Key="k")
        assert headers["Idempotent-Replayed"] == "true"

    async def test_a_late_landing_after_a_retry_has_no_effect(self, sandbox: Sandbox) -> None:
        form = charge_form(*await sandbox.customer_with_card())
        await sandbox.schedule_fault("late_landing", seconds=60, match={"path": CHARGE})
        with pytest.raises(aiohttp.ClientConnectionError):
            await sandbox.call("POST", CHARGE, form, Idempotency_Key="k")
        assert (await sandbox.call("POST", CHARGE, form, Idempotency_Key="k"))[0] == 200
        await sandbox.control("DELETE", "faults")
        async with asyncio.timeout(30):
            while (await sandbox.control("GET", "faults"))[1]["holding"]:
                pass
        assert await count_charges(sandbox) == 1

    @pytest.mark.parametrize(("key", "charges"), [({"Idempotency_Key": "k"}, 1), ({}, 2)])
    async def test_a_duplicate_is_one_charge_only_with_a_key(
        self, sandbox: Sandbox, key: dict[str, str], charges: int
    ) -> None:
        form = charge_form(*await sandbox.customer_with_card())
        await sandbox.schedule_fault("duplicate", match={"path": CHARGE})
        assert (await sandbox.call("POST", CHARGE, form, **key))[0] == 200
        assert await count_charges(sandbox) == charges

    async def test_a_lagging_list_omits_new_objects(self, sandbox: Sandbox) -> None:
        form = charge_form(*await sandbox.customer_with_card())
        await sandbox.call("POST", CHARGE, form)
        await sandbox.schedule_fault("listing_lag", seconds=60, match={"path": CHARGE})
        lagging, complete = [await sandbox.call("GET", CHARGE) for _ in range(2)]
        assert [len(body["data"]) for _, body in (lagging, complete)] == [0, 1]


class TestMatching:
    @pytest.mark.parametrize(
        ("match", "applies"),
        [
            ({}, True),
            ({"method": "POST"}, True),
            ({"method": "GET"}, False),
            ({"path": "/v1/payment"}, True),
            ({"path": "/v1/*/confirm"}, False),
            ({"path": "/v1/payment_*"}, True),
            ({"account": "acct_shop1"}, True),
            ({"account": "acct_shop2"}, False),
            ({"method": "POST", "path": "/v1/charges"}, False),
        ],
    )
    def test_all_parts_of_a_match_must_apply(self, match: dict[str, Any], applies: bool) -> None:
        fault = Fault(1, FaultKind.DELAY, **match)
        assert fault.matches("POST", CHARGE, "acct_shop1") is applies

    async def test_faults_apply_in_order_and_as_often_as_scheduled(self, sandbox: Sandbox) -> None:
        await sandbox.schedule_fault("rate_limit", times=2)
        await sandbox.schedule_fault("error_500")
        await sandbox.schedule_fault("rate_limit", match={"method": "POST"})
        statuses = [(await sandbox.call("GET", "/v1/customers"))[0] for _ in range(4)]
        assert statuses == [429, 429, 500, 200]
        assert (await sandbox.call("POST", "/v1/customers"))[0] == 429
        _, shown = await sandbox.control("GET", "faults")
        assert shown == {"faults": [], "struck": 4, "holding": 0}
