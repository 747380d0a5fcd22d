"""Errors over HTTP that need the real core; tests/adapter has those of the adapter alone."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy.exc import OperationalError

from core.database.connections import Connection, Kind
from core.database.postgresql import PostgresqlConnection
from core.database.sqlite import SqliteConnection
from core.idempotency import service
from tests.core.database.recording import recorded
from tests.databases import fresh_sqlite
from tests.end_to_end.running import (
    JsonClient,
    Response,
    Stack,
    new_user,
    running_stack,
    user_with_card,
)

WRONG_CREDENTIALS = {"success": False, "error": "Invalid business credentials"}


@pytest.mark.parametrize(
    "payload", [{"action": "validate_business"}, {"action": "nope"}, {"unknown": 1}]
)
async def test_wrong_credentials_get_the_documented_401_before_any_other_error(
    merchant: JsonClient, payload: dict[str, Any]
) -> None:
    for business_id, api_key in (("nobody", "k"), ("ADMIN-BUSINESS", "0" * 64)):
        envelope = {"business_id": business_id, "api_key": api_key} | payload
        response = await merchant.send(json.dumps(envelope))
        assert (response.status, response.body) == (401, WRONG_CREDENTIALS)


BAD_AMOUNTS = [
    "1e400", "-1e400", "1e999999999", "NaN", "Infinity", "-0", "0", "0.00", "-1", "25.505",
    '"25.505"', '"abc"', '"-1"', '"1e2"', '""', '" 1"', "[1]", "{}", "true", "null",
    "1000000000000", '"٣"', "9" * 5000, "0." + "1" * 5000,
]  # fmt: skip


async def credit(merchant: JsonClient, amount: str) -> Response:
    """Credit a new user's wallet with an amount as JSON text."""
    envelope = {
        "business_id": merchant.business_id,
        "api_key": merchant.api_key,
        "action": "add_wallet_funds",
        "user_id": await new_user(merchant),
    }
    return await merchant.send(json.dumps(envelope)[:-1] + f', "amount": {amount}}}')


async def test_an_invalid_amount_is_a_400_that_names_the_field(merchant: JsonClient) -> None:
    for amount in BAD_AMOUNTS:
        response = await credit(merchant, amount)
        assert (response.status, response.body["code"]) == (400, "INVALID_FIELDS"), amount
        assert [each["field"] for each in response.body["fields"]] == ["amount"], amount
        assert "amount" in response.body["error"]


async def test_an_amount_is_exact_in_every_notation(merchant: JsonClient) -> None:
    for amount in ("25.50", '"25.50"', "25.5", "25.500", "2550e-2"):
        assert '"new_balance":25.5,' in (await credit(merchant, amount)).text, amount
    assert '"new_balance":10,' in (await credit(merchant, "1E1")).text


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
async def test_every_invalid_field_is_named(
    merchant: JsonClient, user: Any, fields: list[str]
) -> None:
    response = await merchant.call("create_user", user=user)
    assert (response.status, response.body["code"]) == (400, "INVALID_FIELDS")
    assert [each["field"] for each in response.body["fields"]] == fields


async def test_an_email_of_another_domain_is_a_400_that_names_the_field(stack: Stack) -> None:
    new = {"name": "N", "email": "owner@example.com", "domain": "northwindcoffee.com"}
    response = await stack.admin.call("register_business", new_business=new)
    assert response.status == 400
    assert [each["field"] for each in response.body["fields"]] == ["new_business.email"]


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
async def test_every_reason_has_its_status(
    merchant: JsonClient, action: str, payload: dict[str, Any], status: int, code: str
) -> None:
    user_id = await new_user(merchant)
    filled = {key: user_id if value == "<user>" else value for key, value in payload.items()}
    response = await merchant.call(action, **filled)
    assert (response.status, response.body["code"]) == (status, code)
    assert response.body["success"] is False
    assert response.headers["X-Request-Id"]


CHARGES: list[tuple[str, str | None, int, str, list[str]]] = [
    ("pm_card_chargeCustomerFail", None, 402, "CARD_DECLINED", ["decline_code", "transaction_id"]),
    ("pm_card_authenticationRequired", None, 402, "AUTHENTICATION_REQUIRED",
     ["transaction_id", "client_secret"]),
    ("pm_card_visa", "rate_limit", 503, "GATEWAY_UNAVAILABLE", ["payment_id"]),
    ("pm_card_visa", "reset_after", 504, "OUTCOME_UNKNOWN", ["payment_id"]),
    ("pm_card_visa", "reset_before", 504, "OUTCOME_UNKNOWN", ["payment_id"]),
]  # fmt: skip


@pytest.mark.parametrize(("token", "fault", "status", "code", "extra"), CHARGES)
async def test_every_failure_of_a_charge_has_its_status(
    stack: Stack, token: str, fault: str | None, status: int, code: str, extra: list[str]
) -> None:
    user_id = await user_with_card(stack.merchant, token)
    if fault:
        await stack.gateway.fault(fault, "/v1/payment_intents", times=20, method=None)
    response = await stack.merchant.call("charge_customer", user_id=user_id, amount=25.5)
    assert (response.status, response.body["code"]) == (status, code)
    assert response.body.keys() == {"success", "error", "code", *extra}
    assert ("Retry-After" in response.headers) == (status >= 500)


async def test_a_retry_after_a_disconnect_gets_the_outcome_of_the_first_charge(
    stack: Stack,
) -> None:
    user_id = await user_with_card(stack.merchant)
    await stack.gateway.fault("delay_after", "/v1/payment_intents", seconds=60)
    fund = {"user_id": user_id, "amount": 50}
    first = asyncio.ensure_future(stack.merchant.call("fund_customer", **fund))
    await stack.gateway.wait_until_holding(1)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    retry = asyncio.ensure_future(stack.merchant.call("fund_customer", **fund))
    while "pending" not in (await stack.merchant.call("get_payment_records")).text:
        pass
    await stack.gateway.clear()
    response = await retry
    assert (response.status, response.body["wallet"]["balance"]) == (200, 50)
    assert len(await stack.gateway.charges()) == 1


@contextmanager
def full_database() -> Iterator[None]:
    """Let the file grow no more."""
    begin = SqliteConnection.begin

    async def begin_full(self: SqliteConnection, kind: Kind) -> datetime | None:
        await self.run("PRAGMA max_page_count = 1")
        return await begin(self, kind)

    with patch.object(SqliteConnection, "begin", begin_full):
        yield


async def test_a_full_database_is_a_503_without_effect(tmp_path: Path) -> None:
    user = {"name": "A" * 200, "email": "a@example.com"}
    created = 0
    async with running_stack(tmp_path, fresh_sqlite(tmp_path / "nivisco.db")) as stack:
        merchant = stack.merchant
        with full_database():
            while (response := await merchant.call("create_user", user=user)).status == 200:
                created += 1
                assert created < 1000
        assert (response.status, response.body["code"]) == (503, "SERVICE_UNAVAILABLE")
        assert response.headers["Retry-After"] == "1"
        assert (await merchant.call("get_all_users")).body["total"] == created


@pytest.mark.parametrize(
    ("stays_away", "status", "code"),
    [(True, 504, "OUTCOME_UNKNOWN"), (False, 503, "SERVICE_UNAVAILABLE")],
)
async def test_an_unconfirmed_commit_is_a_504_only_if_its_outcome_cannot_be_looked_up(
    merchant: JsonClient,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    code: str,
    *,
    stays_away: bool,
) -> None:
    monkeypatch.setattr(service, "TOOK_PLACE_SECONDS", 0.5)
    user = {"name": "A", "email": "a@example.com"}
    with recorded() as executed, ExitStack() as stack:
        for driver in (PostgresqlConnection, SqliteConnection):
            commit, cuts = driver.commit, list[Connection]()

            async def commit_or_cut(
                self: Connection, commit: Any = commit, cuts: list[Connection] = cuts
            ) -> None:
                has_user = any("INSERT INTO users" in each.text for each in executed)
                if has_user and (stays_away or not cuts):
                    cuts.append(self)
                    raise OperationalError("COMMIT", None, Exception("the connection was cut"))
                await commit(self)

            stack.enter_context(patch.object(driver, "commit", commit_or_cut))
        response = await merchant.call("create_user", user=user)
    assert (response.status, response.body["code"]) == (status, code)
    assert response.headers["Retry-After"] == "1"
    assert ("read the records" in response.body["error"]) == (status == 504)
    assert (await merchant.call("get_all_users")).body["total"] == 0
