"""Errors over HTTP: the documented ones exact, the others by the table, none of them a 500."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError

from core.idempotency import service
from tests.end_to_end.running import Door, Stack, running_stack

NOT_ALLOWED = {"success": False, "error": "Method Not Allowed"}
NOT_JSON = {"success": False, "error": "Invalid JSON"}
NO_CREDENTIALS = {"success": False, "error": "Missing required fields: business_id and api_key"}
WRONG_CREDENTIALS = {"success": False, "error": "Invalid business credentials"}


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_another_method_than_post_is_405(merchant: Door, method: str) -> None:
    answer = await merchant.send(b"", method)
    assert (answer.status, answer.body) == (405, NOT_ALLOWED)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b'"x"', b"{'a':1}", b"\xff\xfe{}", b'{"a":"\xc3("}',
        b"[" * 60_000, b'{"a":' * 10_000 + b"1" + b"}" * 10_000, b'{"a":1}garbage',
    ],
)  # fmt: skip
async def test_a_body_that_is_no_json_object_is_the_documented_400(
    merchant: Door, body: bytes
) -> None:
    answer = await merchant.send(body)
    assert (answer.status, answer.body) == (400, NOT_JSON)


@pytest.mark.parametrize(
    "envelope",
    [{}, {"action": "validate_business"}, {"business_id": "B"}, {"api_key": "k"},
     {"business_id": "", "api_key": "k"}, {"business_id": None, "api_key": None}],
)  # fmt: skip
async def test_missing_credentials_are_the_documented_400(
    merchant: Door, envelope: dict[str, Any]
) -> None:
    answer = await merchant.send(json.dumps(envelope))
    assert (answer.status, answer.body) == (400, NO_CREDENTIALS)


@pytest.mark.parametrize(
    ("business_id", "api_key"),
    [("nobody", "k"), (5, "k"), ("B", ["k"]), ("é", "k"), ("x" * 129, "k"), ("B", "a\nb"),
     ("B", "\ud800"), ("ADMIN-BUSINESS", "0" * 64)],
)  # fmt: skip
@pytest.mark.parametrize(
    "payload", [{"action": "validate_business"}, {"action": "nope"}, {"unknown": 1}]
)
async def test_wrong_credentials_are_the_documented_401_whatever_else_is_wrong(
    merchant: Door, business_id: Any, api_key: Any, payload: dict[str, Any]
) -> None:
    envelope = {"business_id": business_id, "api_key": api_key} | payload
    answer = await merchant.send(json.dumps(envelope))
    assert (answer.status, answer.body) == (401, WRONG_CREDENTIALS)


async def test_a_body_of_64_kib_is_read_and_one_byte_more_is_413(merchant: Door) -> None:
    envelope = {
        "business_id": merchant.business_id, "api_key": merchant.api_key,
        "action": "validate_business", "idempotency_key": "k",
    }  # fmt: skip
    body = json.dumps(envelope).encode()
    full = body + b" " * (65_536 - len(body))
    assert (await merchant.send(full)).status == 200
    too_large = await merchant.send(full + b" ")
    assert (too_large.status, too_large.body["code"]) == (413, "BODY_TOO_LARGE")


BAD_AMOUNTS = [
    "1e400", "-1e400", "1e999999999", "NaN", "Infinity", "-0", "0", "0.00", "-1", "25.505",
    '"25.505"', '"abc"', '"-1"', '"1e2"', '""', '" 1"', "[1]", "{}", "true", "null",
    "1000000000000", '"٣"', "9" * 5000, "0." + "1" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("amount", BAD_AMOUNTS)
async def test_an_amount_that_is_none_is_400_and_names_the_field(
    merchant: Door, amount: str
) -> None:
    user = (await merchant.call("create_user", user={"name": "A", "email": "a@example.com"})).body
    envelope = {
        "business_id": merchant.business_id, "api_key": merchant.api_key,
        "action": "add_wallet_funds", "user_id": user["user"]["user_id"],
    }  # fmt: skip
    answer = await merchant.send(json.dumps(envelope)[:-1] + f', "amount": {amount}}}')
    assert (answer.status, answer.body["code"]) == (400, "INVALID_FIELDS")
    assert [each["field"] for each in answer.body["fields"]] == ["amount"]
    assert "amount" in answer.body["error"]


@pytest.mark.parametrize("amount", ["25.50", '"25.50"', "25.5", "25.500", "2550e-2", "1E1"])
async def test_an_amount_is_read_exactly_however_it_is_written(merchant: Door, amount: str) -> None:
    user = (await merchant.call("create_user", user={"name": "A", "email": "a@example.com"})).body
    envelope = {
        "business_id": merchant.business_id, "api_key": merchant.api_key,
        "action": "add_wallet_funds", "user_id": user["user"]["user_id"],
    }  # fmt: skip
    answer = await merchant.send(json.dumps(envelope)[:-1] + f', "amount": {amount}}}')
    shown = "10" if amount == "1E1" else "25.5"
    assert f'"new_balance":{shown},' in answer.text.replace(" ", "")


@pytest.mark.parametrize(
    ("user", "fields"),
    [
        ({"name": "x" * 10_000, "email": "a@example.com"}, ["user.name"]),
        ({"name": "A", "email": "no-domain@"}, ["user.email"]),
        ({"name": "A", "email": "no-at"}, ["user.email"]),
        ({"name": "a\u0000b", "email": "a@example.com"}, ["user.name"]),
        ({"name": "\ud800", "email": "a@example.com"}, ["user.name"]),
        ({"name": 5, "email": ["x"]}, ["user.name", "user.email"]),
        ({"name": "A", "email": "a@example.com", "nmae": "B"}, ["user.nmae"]),
        ({"nmae": "B"}, ["user.nmae", "user.name", "user.email"]),
        ([], ["user"]),
        ("x", ["user"]),
        (None, ["user"]),
    ],
)
async def test_fields_that_cannot_be_right_are_400_and_all_named(
    merchant: Door, user: Any, fields: list[str]
) -> None:
    answer = await merchant.call("create_user", user=user)
    assert (answer.status, answer.body["code"]) == (400, "INVALID_FIELDS")
    assert [each["field"] for each in answer.body["fields"]] == fields


async def test_a_repeated_key_is_400_and_named(merchant: Door) -> None:
    envelope = json.dumps(
        {"business_id": merchant.business_id, "api_key": merchant.api_key,
         "action": "get_user_info", "user_id": "a"}
    )  # fmt: skip
    answer = await merchant.send(envelope[:-1] + ', "user_id": "b"}')
    assert answer.status == 400
    assert [each["field"] for each in answer.body["fields"]] == ["user_id"]


async def test_an_unknown_action_is_400_once_the_credentials_hold(merchant: Door) -> None:
    answer = await merchant.call("charge_custmer")
    assert (answer.status, answer.body["code"]) == (400, "UNKNOWN_ACTION")
    assert "charge_customer" in answer.body["error"]


@pytest.mark.parametrize("internal", ["create_admin", "receive_webhook", "execute_occurrence"])
async def test_internal_services_can_never_be_reached_by_json(
    merchant: Door, internal: str
) -> None:
    assert (await merchant.call(internal)).body["code"] == "UNKNOWN_ACTION"


async def test_a_domain_mismatch_is_400_and_names_the_field(stack: Stack) -> None:
    new = {"name": "N", "email": "owner@example.com", "domain": "northwindcoffee.com"}
    answer = await stack.admin.call("register_business", new_business=new)
    assert answer.status == 400
    assert [each["field"] for each in answer.body["fields"]] == ["new_business.email"]


TABLE: list[tuple[str, dict[str, Any], int, str]] = [
    ("register_business",
     {"new_business": {"name": "N", "email": "o@n.com", "domain": "n.com"}}, 403, "ADMIN_ONLY"),
    ("get_user_info", {"user_id": "USR-NOBODY"}, 404, "USER_NOT_FOUND"),
    ("get_user_primary_card", {"user_id": "<user>"}, 404, "CARD_NOT_FOUND"),
    ("charge_customer", {"user_id": "<user>", "amount": 1}, 409, "CREDENTIALS_MISSING"),
    ("get_stripe_public_key", {}, 409, "CREDENTIALS_MISSING"),
    ("charge_wallet", {"user_id": "<user>", "amount": 1}, 402, "WALLET_TOO_LOW"),
    ("modify_stripe_credentials",
     {"credentials": {"env": "TEST", "stripe_public_key": "pk_test_x"}},
     404, "CREDENTIALS_NOT_FOUND"),
    ("pause_recurring", {"recurring_id": "REC-1"}, 404, "RECURRING_NOT_FOUND"),
    ("pause_recurring", {}, 400, "INVALID_FIELDS"),
    ("get_all_users", {"limit": 101}, 400, "INVALID_FIELDS"),
    ("get_all_users", {"from_date": "yesterday"}, 400, "INVALID_FIELDS"),
    ("get_user_wallet", {"user_id": "<user>", "env": "test"}, 400, "INVALID_FIELDS"),
    ("get_user_wallet", {"user_id": "<user>", "idempotency_key": "x" * 65}, 400, "INVALID_FIELDS"),
]  # fmt: skip


@pytest.mark.parametrize(("action", "payload", "status", "code"), TABLE)
async def test_every_other_error_follows_the_table(
    merchant: Door, action: str, payload: dict[str, Any], status: int, code: str
) -> None:
    user = (await merchant.call("create_user", user={"name": "A", "email": "a@example.com"})).body
    filled = {
        key: user["user"]["user_id"] if value == "<user>" else value
        for key, value in payload.items()
    }
    answer = await merchant.call(action, **filled)
    assert (answer.status, answer.body["code"]) == (status, code)
    assert answer.body["success"] is False
    assert answer.headers["X-Request-Id"]


async def with_card(stack: Stack, token: str) -> str:
    merchant = stack.merchant
    keys = {
        "env": "TEST",
        "stripe_secret_key": "sk_test_obviously_fake",
        "stripe_public_key": "pk_test_obviously_fake",
    }
    await merchant.call("add_stripe_credentials", credentials=keys)
    user = (await merchant.call("create_user", user={"name": "A", "email": "a@example.com"})).body
    user_id = str(user["user"]["user_id"])
    await merchant.call("create_stripe_customer", user_id=user_id, payment_method_token=token)
    return user_id


CHARGES: list[tuple[str, str | None, int, str, list[str]]] = [
    ("pm_card_chargeCustomerFail", None, 402, "CARD_DECLINED", ["decline_code", "transaction_id"]),
    ("pm_card_authenticationRequired", None, 402, "AUTHENTICATION_REQUIRED",
     ["transaction_id", "client_secret"]),
    ("pm_card_visa", "rate_limit", 503, "GATEWAY_UNAVAILABLE", ["payment_id"]),
    ("pm_card_visa", "reset_after", 504, "OUTCOME_UNKNOWN", ["payment_id"]),
    ("pm_card_visa", "reset_before", 504, "OUTCOME_UNKNOWN", ["payment_id"]),
]  # fmt: skip


@pytest.mark.parametrize(("token", "fault", "status", "code", "extra"), CHARGES)
async def test_every_way_a_charge_can_fail_has_its_status(
    stack: Stack, token: str, fault: str | None, status: int, code: str, extra: list[str]
) -> None:
    user_id = await with_card(stack, token)
    if fault:
        await stack.gateway.fault(fault, "/v1/payment_intents", times=20, method=None)
    answer = await stack.merchant.call("charge_customer", user_id=user_id, amount=25.5)
    assert (answer.status, answer.body["code"]) == (status, code)
    assert answer.body.keys() == {"success", "error", "code", *extra}
    assert ("Retry-After" in answer.headers) == (status >= 500)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/nope", 404),
        ("GET", "/nope", 404),
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 200),
    ],
)
async def test_other_paths_answer_json(merchant: Door, method: str, path: str, status: int) -> None:
    answer = await merchant.send(b"", method, path)
    assert answer.status == status
    assert answer.headers["Content-Type"].startswith("application/json")


async def test_a_client_that_hung_up_is_told_of_its_charge_when_it_comes_back(
    stack: Stack,
) -> None:
    user_id = await with_card(stack, "pm_card_visa")
    await stack.gateway.fault("delay_after", "/v1/payment_intents", seconds=60)
    fund = {"user_id": user_id, "amount": 50}
    leaving = asyncio.ensure_future(stack.merchant.call("fund_customer", **fund))
    await stack.gateway.wait_until_holding(1)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    coming_back = asyncio.ensure_future(stack.merchant.call("fund_customer", **fund))
    while "pending" not in (await stack.merchant.call("get_payment_records")).text:
        pass
    await stack.gateway.clear()
    answer = await coming_back
    assert (answer.status, answer.body["wallet"]["balance"]) == (200, 50)
    assert len(await stack.gateway.charges()) == 1


@contextmanager
def listening(moment: str, listener: Callable[..., None]) -> Iterator[None]:
    """Have SQLAlchemy call `listener` at a moment of every connection."""
    event.listen(Engine, moment, listener)
    yield
    event.remove(Engine, moment, listener)


def make_full(connection: Connection) -> None:
    connection.exec_driver_sql("PRAGMA max_page_count = 1")


async def test_a_database_that_is_full_is_503_and_nothing_was_done(tmp_path: Path) -> None:
    user = {"name": "A" * 200, "email": "a@example.com"}
    created = 0
    async with running_stack(tmp_path, f"sqlite:///{tmp_path / 'nivisco.db'}") as stack:
        merchant = stack.merchant
        with listening("begin", make_full):
            while (answer := await merchant.call("create_user", user=user)).status == 200:
                created += 1
                assert created < 1000
        assert (answer.status, answer.body["code"]) == (503, "SERVICE_UNAVAILABLE")
        assert answer.headers["Retry-After"] == "1"
        assert (await merchant.call("get_all_users")).body["total"] == created


@pytest.mark.parametrize(
    ("action", "table", "stays_away", "status", "code"),
    [
        ("create_user", "INSERT INTO users", True, 504, "OUTCOME_UNKNOWN"),
        ("create_user", "INSERT INTO users", False, 503, "SERVICE_UNAVAILABLE"),
        ("get_all_users", "FROM users", True, 503, "SERVICE_UNAVAILABLE"),
        ("get_all_users", "FROM users", False, 503, "SERVICE_UNAVAILABLE"),
    ],
)
async def test_a_commit_that_is_not_confirmed_is_504_where_nobody_can_tell_what_it_changed(
    merchant: Door,
    monkeypatch: pytest.MonkeyPatch,
    action: str,
    table: str,
    status: int,
    code: str,
    *,
    stays_away: bool,
) -> None:
    monkeypatch.setattr(service, "TOOK_PLACE_SECONDS", 0.5)
    user = {"user": {"name": "A", "email": "a@example.com"}}
    payload = user if action == "create_user" else {}
    armed: list[str] = []

    def arm(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if table in statement:
            armed.append(statement)

    def cut(_connection: object) -> None:
        if armed:
            if not stays_away:
                armed.clear()
            raise OperationalError("COMMIT", {}, Exception("the connection was cut"))

    with ExitStack() as stack:
        stack.enter_context(listening("before_cursor_execute", arm))
        stack.enter_context(listening("commit", cut))
        answer = await merchant.call(action, **payload)
    assert (answer.status, answer.body["code"]) == (status, code)
    assert answer.headers["Retry-After"] == "1"
    assert ("read the records" in answer.body["error"]) == (status == 504)
    assert (await merchant.call("get_all_users")).body["total"] == 0
