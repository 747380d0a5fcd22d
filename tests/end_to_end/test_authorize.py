"""Authorize.Net through the whole stack, which stores no card number or CVV anywhere."""

import asyncio
import re
import sqlite3
from pathlib import Path
from typing import Any

import aiohttp

from tests.end_to_end.running import JsonClient, Stack, new_user
from tests.end_to_end.test_processes import RUNNING, admin_client, at, new_merchant
from tests.processes import Running, Start, shown, start_up, wait_until_gone

KEYS = {"env": "TEST", "api_login_id": "5KP3u95bQpv", "transaction_key": "346HZ32z3fP4hTG2"}
VISA, REASON_BY_AMOUNT = "4111111111111111", "4222222222222"
UNKNOWN_CARD = "4000056655665556"
CVV, WRONG_CVV = "917", "4826"
REFERENCE_CARD = {
    "card_number": VISA,
    "exp_month": 12,
    "exp_year": 2060,
    "postal_code": "77001",
}


async def at_authorize(merchant: JsonClient) -> str:
    """Store Authorize.Net keys and create a user."""
    assert (await merchant.call("add_authorize_credentials", credentials=KEYS)).status == 200
    return await new_user(merchant)


async def test_a_card_is_saved_listed_and_charged_and_funds_a_wallet(
    merchant: JsonClient,
) -> None:
    user_id = await at_authorize(merchant)
    saved = await merchant.call(
        "create_authorize_customer", user_id=user_id, payment_profile=REFERENCE_CARD
    )
    assert saved.status == 200, saved.text
    profiles = (saved.body["customer_profile_id"], saved.body["payment_profile_id"])
    assert all(profile.isdigit() for profile in profiles)
    (card,) = (await merchant.call("get_user_cards", user_id=user_id)).body["cards"]
    assert saved.body["card"] == card
    assert card | {"gateway": "authorize", "brand": "visa", "last4": "1111"} == card
    assert (card["exp_month"], card["exp_year"]) == (12, 2060)
    primary = await merchant.call("get_user_primary_card", user_id=user_id, gateway="authorize")
    assert primary.body["card"] == card
    charge: dict[str, Any] = {"user_id": user_id, "amount": 25.50, "currency": "usd"}
    charged = await merchant.call("charge_customer", description="Single latte", **charge)
    assert charged.body["status"] == "succeeded"
    assert charged.body["transaction_id"].isdigit()
    funded = await merchant.call("fund_customer", gateway="authorize", **charge)
    assert funded.body["wallet"]["balance"] == charged.body["amount"]
    stripe = await merchant.call("get_user_primary_card", user_id=user_id, gateway="stripe")
    assert (stripe.status, stripe.body["code"]) == (404, "CARD_NOT_FOUND")


async def test_every_failure_has_the_same_error_as_at_stripe(
    stack: Stack, merchant: JsonClient
) -> None:
    user_id = await at_authorize(merchant)
    profile = REFERENCE_CARD | {"card_number": REASON_BY_AMOUNT}
    saved = await merchant.call(
        "create_authorize_customer", user_id=user_id, payment_profile=profile
    )
    assert saved.status == 200, saved.text
    for amount, status, code, decline_code in (
        (2, 402, "CARD_DECLINED", "generic_decline"),
        (8, 402, "CARD_DECLINED", "expired_card"),
        (44, 402, "CARD_DECLINED", "incorrect_cvc"),
        (252, 402, "PENDING_REVIEW", "held_for_review"),
        (103, 502, "GATEWAY_REFUSED", None),
    ):
        response = await merchant.call("charge_customer", user_id=user_id, amount=amount)
        actual = (response.status, response.body["code"], response.body.get("decline_code"))
        assert actual == (status, code, decline_code)
    for fault, status, code, retry_after in (
        ("rate_limit", 503, "GATEWAY_UNAVAILABLE", "1"),
        ("reset_after", 504, "OUTCOME_UNKNOWN", "10"),
    ):
        await stack.gateway.authorize_fault(fault)
        response = await merchant.call("charge_customer", user_id=user_id, amount=500)
        assert (response.status, response.body["code"]) == (status, code)
        assert response.headers["Retry-After"] == retry_after
    again = await merchant.call("charge_customer", user_id=user_id, amount=500)
    assert again.status == 200
    (charge,) = await stack.gateway.authorize_charges(KEYS["api_login_id"])
    assert charge["id"] == again.body["transaction_id"]
    wrong = await merchant.call(
        "create_authorize_customer",
        user_id=user_id,
        payment_profile={"card_number": UNKNOWN_CARD[:-1] + "1", "exp_month": 1, "exp_year": 2020},
    )
    assert wrong.status == 400
    assert [each["field"] for each in wrong.body["fields"]] == [
        "payment_profile.card_number",
        "payment_profile.exp_year",
    ]
    assert UNKNOWN_CARD[:-1] not in wrong.text


async def cards_of_all_kinds(merchant: JsonClient, user_id: str, sandbox: str) -> None:
    """Save cards: accepted, declined, invalid, with a lost response, and in a crash."""
    session = merchant.session
    profile = {"card_number": VISA, "exp_month": 12, "exp_year": 2060, "cvv": CVV}
    cases: list[tuple[dict[str, Any], str | None, int]] = [
        ({}, None, 200),
        ({"card_number": REASON_BY_AMOUNT}, "reset_after", 504),
        ({"card_number": REASON_BY_AMOUNT}, None, 200),
        ({"card_number": UNKNOWN_CARD}, None, 402),
        ({"postal_code": "46282"}, "error_500", 504),
        ({"postal_code": "46282"}, None, 402),
        ({"cvv": WRONG_CVV}, None, 400),
        ({"card_number": VISA[:-1] + "2", "exp_year": 2000}, None, 400),
        ({"card_number": VISA + "x"}, None, 400),
        ({"pan": VISA}, None, 400),
    ]
    for number, (changes, fault, status) in enumerate(cases):
        if fault:
            order = {"kind": fault, "match": {"path": "/xml/"}}
            async with session.post(f"{sandbox}/_sandbox/faults", json=order) as ordered:
                assert ordered.status == 201
        response = await merchant.call(
            "create_authorize_customer",
            user_id=user_id,
            payment_profile=profile | changes,
            idempotency_key=f"save-{number}",
        )
        assert response.status == status, (changes, response.text)


async def saving_when_the_core_dies(
    merchant: JsonClient, user_id: str, sandbox: str, up: Running
) -> None:
    """Kill the core while it saves a card."""
    session = merchant.session
    order = {"kind": "delay", "match": {"path": "/xml/"}, "seconds": 30}
    async with session.post(f"{sandbox}/_sandbox/faults", json=order) as ordered:
        assert ordered.status == 201
    profile = {"card_number": "5424000000000015", "exp_month": 12, "exp_year": 2060, "cvv": CVV}
    saving = asyncio.ensure_future(
        merchant.call("create_authorize_customer", user_id=user_id, payment_profile=profile)
    )
    async with asyncio.timeout(20):
        while True:
            async with session.get(f"{sandbox}/_sandbox/faults") as faults:
                if (await faults.json())["holding"]:
                    break
    up.kill_group()
    await asyncio.gather(saving, return_exceptions=True)
    up.wait()
    wait_until_gone(up.children())


async def test_no_file_contains_a_card_number_or_cvv_after_errors_and_a_crash(
    start: Start, tmp_path: Path
) -> None:
    data_dir = tmp_path / "data"
    up = start_up(start, data_dir, NIVISCO_LOG_LEVEL="DEBUG", PYTHONFAULTHANDLER="1")
    printed = up.wait_for(RUNNING)
    sandbox = shown(printed, "TEST payments")
    async with aiohttp.ClientSession() as session:
        merchant = await new_merchant(admin_client(printed, data_dir, session))
        user_id = await at_authorize(merchant)
        await cards_of_all_kinds(merchant, user_id, sandbox)
        charged = await merchant.call("charge_customer", user_id=user_id, amount=25)
        assert charged.status == 200
        await saving_when_the_core_dies(merchant, user_id, sandbox, up)
        up = start_up(start, data_dir, NIVISCO_LOG_LEVEL="DEBUG")
        again = at(admin_client(up.wait_for(RUNNING), data_dir, session), merchant)
        assert (await again.call("charge_customer", user_id=user_id, amount=26)).status == 200
    up.signal(2)
    assert up.wait() == 0
    files = [path for path in data_dir.rglob("*") if path.is_file()]
    assert {"nivisco.db", "sandbox.db", "core.log", "adapter.log"} <= {p.name for p in files}
    numbers = [VISA, REASON_BY_AMOUNT, UNKNOWN_CARD, VISA[:-1] + "2", "5424000000000015"]
    written = {path.name: path.read_bytes() for path in files} | {"printed": up.printed.encode()}
    for name, content in written.items():
        assert [number[-4:] for number in numbers if number.encode() in content] == [], name
    # Three digits stand in any file by chance, so each stored value is looked at by itself.
    for name in ("nivisco.db", "sandbox.db"):
        assert not {CVV, WRONG_CVV} & values_of(data_dir / name)
    for name, content in written.items():
        if name.endswith(".log"):
            assert not {CVV, WRONG_CVV} & words_of(content.decode()), name


RANDOM = re.compile(
    r"\b\w{8}(-\w{4}){3}-\w{12}\b"  # a UUID
    r"|\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(\.\d+)?"
    r"|\d+(\.\d+)? ?(ms|seconds)\b"
    r'|"[a-z_]*(seconds|milliseconds|ms)": [\d.]+'
)
"""What has any digits by chance."""


def words_of(text: str) -> set[str]:
    """Return every word and number that is no part of an id, a time or a duration."""
    return set(re.findall(r"[A-Za-z0-9]+", RANDOM.sub(" ", text)))


def values_of(path: Path) -> set[str]:
    """Return every value of a SQLite database, and every word of each, as text."""
    found: set[str] = set()
    with sqlite3.connect(path) as database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            for row in database.execute(f'SELECT * FROM "{table}"'):  # noqa: S608 - its own tables
                for value in row:
                    found |= words_of(str(value))
    database.close()
    return found
