"""The control endpoints."""

from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from sandbox.books import Books
from sandbox.server import build_app
from tests.sandbox.running import ACCOUNT, Sandbox, charge_form


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("faults", None, "JSON object"),
        ("faults", [], "JSON object"),
        ("faults", {}, '"kind"'),
        ("faults", {"kind": "explode"}, '"kind"'),
        ("faults", {"kind": []}, '"kind"'),
        ("faults", {"kind": "delay"}, '"seconds"'),
        ("faults", {"kind": "delay", "seconds": -1}, '"seconds"'),
        ("faults", {"kind": "delay", "seconds": True}, '"seconds"'),
        ("faults", {"kind": "error_500", "times": 0}, '"times"'),
        ("faults", {"kind": "error_500", "times": 1.5}, '"times"'),
        ("faults", {"kind": "error_500", "match": "x"}, '"match"'),
        ("faults", {"kind": "error_500", "match": {"path": 1}}, '"match.path"'),
        ("faults", {"kind": "error_500", "match": {"verb": "GET"}}, "'verb'"),
        ("faults", {"kind": "error_500", "colour": "red"}, "'colour'"),
        ("keys", {"key": "nonsense"}, '"key"'),
        ("keys", {"key": "sk_test_1", "account": "shop"}, '"account"'),
        ("keys", {"key": "sk_test_1", "revoked": "yes"}, '"revoked"'),
        ("authentications", {}, '"payment_intent"'),
        ("authentications", {"payment_intent": "pi_none"}, "no payment intent"),
    ],
)
async def test_a_refusal_names_the_wrong_field(
    sandbox: Sandbox, path: str, body: Any, expected: str
) -> None:
    status, answer = await sandbox.control("POST", path, body)
    assert status == 400
    assert expected in answer["error"]


async def test_books_show_totals_and_objects_by_account(sandbox: Sandbox) -> None:
    customer, card = await sandbox.customer_with_card()
    for number in range(2):
        form = charge_form(customer, card, **{"metadata[n]": str(number)})
        await sandbox.call("POST", "/v1/payment_intents", form, Idempotency_Key=f"k{number}")
    failing = charge_form("", "pm_card_visa_chargeDeclined")
    del failing["customer"]
    await sandbox.call("POST", "/v1/payment_intents", failing)
    await sandbox.call("POST", "/v1/customers", key="sk_test_shop2_a")
    books = await sandbox.books()
    assert (books["account"], books["livemode"]) == (ACCOUNT, False)
    assert books["taken"] == {"usd": 5000}
    assert [charge["status"] for charge in books["charges"]] == ["failed", "succeeded", "succeeded"]
    assert [seen["key"] for seen in books["idempotency_keys"]][:2] == ["k1", "k0"]
    assert books["idempotency_keys"][0]["status"] == 200
    _, everything = await sandbox.control("GET", "books")
    assert [shown["account"] for shown in everything["books"]] == [ACCOUNT, "acct_shop2"]
    _, one = await sandbox.control("GET", "books?account=acct_shop2")
    assert [len(shown["customers"]) for shown in one["books"]] == [1]
    assert "sk_test" not in str(everything)


async def test_reset_deletes_data_and_faults(sandbox: Sandbox) -> None:
    await sandbox.customer_with_card()
    await sandbox.schedule_fault("error_500", times=5)
    assert await sandbox.control("POST", "reset") == (200, {"reset": True})
    assert await sandbox.control("GET", "books") == (200, {"books": []})
    assert (await sandbox.call("POST", "/v1/customers"))[0] == 200


async def test_healthz_returns_ok(sandbox: Sandbox) -> None:
    assert await sandbox.call("GET", "/healthz", key=None) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("peer", "status"),
    [
        ("127.0.0.1", 200),
        ("::1", 200),
        ("::ffff:127.0.0.1", 200),
        ("10.0.0.7", 403),
        ("::ffff:10.0.0.7", 403),
        ("", 403),
    ],
)
async def test_control_endpoints_refuse_other_machines(peer: str, status: int) -> None:
    books = Books(None)
    app = build_app(books)
    request = make_mocked_request("GET", "/_sandbox/faults", app=app).clone(remote=peer)
    found = await app.router.resolve(request)
    assert (await found.handler(request)).status == status
    books.close()
