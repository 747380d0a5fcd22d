"""Every example of the public reference, executed and compared with its response.

Values are samples in the reference; keys, nesting, JSON types and fixed texts are the contract. A
response may have more keys than the reference, never fewer. The examples are in an order in which
each finds what it needs.
"""

from decimal import Decimal
from typing import Any

from tests.end_to_end.examples import run_a_job
from tests.end_to_end.running import JsonClient, Response, Stack

ID = "<id>"
"""Stands for an id in an earlier response."""

Example = tuple[str, dict[str, Any], dict[str, Any]]

USER = {"user_id": ID}
STRIPE_KEYS = {
    "env": "TEST",
    "stripe_secret_key": "sk_test_obviously_fake",
    "stripe_public_key": "pk_test_obviously_fake",
    "stripe_webhook_secret": "whsec_obviously_fake",
    "account_id": "acct_obviously",
}
AUTHORIZE_KEYS = {
    "env": "TEST",
    "api_login_id": "7y33L5",
    "transaction_key": "55A4A25E2CD6567FB39",
    "signature_key": "D7D0F6753ED0",
}
CARD = {"gateway": "stripe", "brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2026}

JOB = {"recurring_id": ID}

EXAMPLES: list[Example] = [
    ("validate_business", {}, {"success": True, "business": {"business_id": ID}}),
    (
        "get_business_info",
        {},
        {
            "success": True,
            "business": {
                "business_id": ID,
                "name": "Sample Coffee",
                "email": "owner@example.com",
                "domain": "samplecoffee.com",
                "created_at": "2024-02-01 12:00:00",
            },
        },
    ),
    (
        "modify_business",
        {"updates": {"name": "Houston Coffee Roasters", "email": "a@northwind.example.com"}},
        {
            "success": True,
            "message": "Business updated successfully",
            "business_id": ID,
            "updated_fields": ["name", "email"],
        },
    ),
    (
        "add_stripe_credentials",
        {"credentials": STRIPE_KEYS},
        {"success": True, "message": "Stripe credentials saved", "env": "TEST"},
    ),
    (
        "modify_stripe_credentials",
        {"credentials": STRIPE_KEYS},
        {"success": True, "message": "Stripe credentials saved", "env": "TEST"},
    ),
    (
        "add_authorize_credentials",
        {"credentials": AUTHORIZE_KEYS},
        {"success": True, "message": "Authorize.Net credentials saved", "env": "TEST"},
    ),
    (
        "modify_authorize_credentials",
        {"credentials": AUTHORIZE_KEYS | {"transaction_key": "55A4A25E2CD6567F"}},
        {"success": True, "message": "Authorize.Net credentials saved", "env": "TEST"},
    ),
    (
        "create_user",
        {"user": {"name": "Alicia Gomez", "email": "alicia@example.com"}},
        {"success": True, "user": {"user_id": ID}, "wallet": {"wallet_id": ID}},
    ),
    ("validate_user", USER, {"success": True, "user": {"user_id": ID, "active": True}}),
    (
        "get_user_info",
        USER,
        {
            "success": True,
            "user": {
                "user_id": ID,
                "name": "Alicia Gomez",
                "email": "alicia@example.com",
                "created_at": "2024-02-10 10:02:00",
            },
        },
    ),
    (
        "get_all_users",
        {"page": 1, "limit": 25},
        {
            "success": True,
            "count": 1,
            "total": 1,
            "users": [{"user_id": ID, "name": "Alicia Gomez", "email": "alicia@example.com"}],
        },
    ),
    (
        "update_user",
        {**USER, "updates": {"name": "Alicia G."}},
        {"success": True, "message": "User updated", "updated_fields": ["name"]},
    ),
    (
        "get_stripe_public_key",
        {},
        {"success": True, "env": "TEST", "stripe_public_key": "pk_test_obviously_fake"},
    ),
    (
        "create_stripe_customer",
        {**USER, "payment_method_token": "pm_card_visa", "set_as_primary": True},
        {"success": True, "customer_id": "cus_123", "card": {"last4": "4242", "brand": "visa"}},
    ),
    ("get_user_cards", USER, {"success": True, "cards": [CARD]}),
    (
        "get_user_primary_card",
        USER,
        {"success": True, "card": {key: CARD[key] for key in CARD if key != "brand"}},
    ),
    (
        "create_authorize_customer",
        {
            **USER,
            "payment_profile": {
                "card_number": "4111111111111111",
                "exp_month": 12,
                "exp_year": 2060,
                "postal_code": "77001",
            },
        },
        {"success": True, "customer_profile_id": "123456", "payment_profile_id": "654321"},
    ),
    (
        "charge_customer",
        {**USER, "amount": 25.50, "currency": "usd", "description": "Single latte"},
        {
            "success": True,
            "transaction_id": "pi_123",
            "amount": Decimal("25.5"),
            "currency": "usd",
            "status": "succeeded",
        },
    ),
    (
        "fund_customer",
        {**USER, "amount": 150.00, "currency": "usd", "description": "Wallet funding"},
        {
            "success": True,
            "transaction_id": "ch_123",
            "wallet": {"wallet_id": ID, "balance": 150},
        },
    ),
    (
        "get_payment_records",
        {"page": 1, "limit": 25},
        {
            "success": True,
            "count": 2,
            "total": 2,
            "payments": [
                {
                    "transaction_id": "pi_123",
                    "amount": 150,
                    "status": "succeeded",
                    "created_at": "2024-02-20 14:20:00",
                }
            ],
        },
    ),
    (
        "charge_wallet",
        {**USER, "amount": 34.50},
        {
            "success": True,
            "wallet_id": ID,
            "new_balance": Decimal("115.5"),
            "type": "debit",
            "source": "system",
            "reason": "business_charge",
            "message": "Wallet updated successfully",
        },
    ),
    (
        "get_user_wallet",
        USER,
        {
            "success": True,
            "wallet": {
                "wallet_id": ID,
                "user_id": ID,
                "currency": "usd",
                "balance": Decimal("115.5"),
                "updated_at": "2024-02-20 14:20:00",
            },
        },
    ),
    (
        "add_wallet_funds",
        {**USER, "amount": "40.00"},
        {
            "success": True,
            "wallet_id": ID,
            "new_balance": Decimal("155.5"),
            "type": "credit",
            "source": "manual",
            "reason": "manual_credit",
            "message": "Wallet updated successfully",
        },
    ),
    (
        "get_wallet_history",
        USER,
        {
            "success": True,
            "count": 3,
            "transactions": [
                {
                    "transaction_id": "WTX-999",
                    "type": "credit",
                    "amount": 40,
                    "source": "manual",
                    "reason": "manual_credit",
                    "description": "Manual wallet credit",
                    "created_at": "2024-02-20 14:20:00",
                }
            ],
        },
    ),
    (
        "create_recurring",
        {
            **USER,
            "amount": 25.00,
            "interval_type": "month",
            "interval_value": 1,
            "source": "stripe",
            "description": "Monthly latte",
            "start_at": "2024-03-01T08:00:00",
            "timezone": "America/Chicago",
        },
        {
            "success": True,
            "message": "Recurring job created successfully",
            "recurring_id": ID,
            "next_run": "2024-04-01 13:00:00",
            "timezone": "America/Chicago",
        },
    ),
    (
        "list_recurring",
        USER,
        {
            "success": True,
            "count": 1,
            "recurring": [
                {
                    "recurring_id": ID,
                    "amount": 25,
                    "currency": "usd",
                    "interval_type": "month",
                    "interval_value": 1,
                    "status": "active",
                    "next_run": "2024-04-01 13:00:00",
                    "last_run": None,
                    "executed_cycles": 0,
                    "description": "Monthly latte",
                }
            ],
        },
    ),
    (
        "update_recurring",
        {**JOB, "amount": 27.00, "status": "active"},
        {"success": True, "message": "Recurring job updated"},
    ),
    (
        "get_recurring_logs",
        JOB,
        {
            "success": True,
            "count": 1,
            "logs": [
                {
                    "log_id": ID,
                    "status": "succeeded",
                    "message": "Charge completed",
                    "attempted_at": "2024-03-01 13:00:03",
                    "transaction_id": "pi_123",
                }
            ],
        },
    ),
    ("pause_recurring", JOB, {"success": True, "message": "Recurring job set to paused"}),
    ("resume_recurring", JOB, {"success": True, "message": "Recurring job set to active"}),
    ("cancel_recurring", JOB, {"success": True, "message": "Recurring job set to cancelled"}),
    (
        "change_api_key",
        {},
        {
            "success": True,
            "message": "API key rotated successfully",
            "business_id": ID,
            "api_key": "4dbcec...",
        },
    ),
]

FREE_KEYS = {"created_at", "updated_at", "customer_id", "transaction_id", "api_key", "business_id"}
"""Keys with values of this run."""
FREE_KEYS |= {"name", "email", "domain", "exp_month", "exp_year"}
FREE_KEYS |= {"customer_profile_id", "payment_profile_id", "next_run", "attempted_at"}


def differences(shown: Any, actual: Any, path: str = "") -> list[str]:
    """Return where a response lacks a key of the reference, or has another type or value."""
    if isinstance(shown, dict):
        if not isinstance(actual, dict):
            return [f"{path} is no object"]
        found = [f"{path}.{key} is missing" for key in shown if key not in actual]
        for key in shown.keys() & actual.keys():
            found += differences(shown[key], actual[key], f"{path}.{key}")
        return found
    if isinstance(shown, list):
        if not isinstance(actual, list) or len(actual) < len(shown):
            return [f"{path} is no list of at least {len(shown)}"]
        return [
            each
            for position, value in enumerate(shown)
            for each in differences(value, actual[position], f"{path}[{position}]")
        ]
    if isinstance(shown, bool) or shown is None:
        return [] if actual is shown else [f"{path} is {actual!r}, not {shown!r}"]
    if isinstance(shown, (int, Decimal)):
        number = isinstance(actual, (int, Decimal)) and not isinstance(actual, bool)
        free = path.rpartition(".")[2] in FREE_KEYS
        return [] if number and (free or actual == shown) else [f"{path} is {actual!r}"]
    free = shown == ID or path.rpartition(".")[2] in FREE_KEYS
    right = isinstance(actual, str) and (free or actual == shown)
    return [] if right else [f"{path} is {actual!r}, not {shown!r}"]


async def execute(client: JsonClient, known: dict[str, str], example: Example) -> Response:
    action, payload, _ = example
    filled = {key: known[key] if value == ID else value for key, value in payload.items()}
    response = await client.call(action, **filled)
    if action == "create_user":
        known["user_id"] = response.body["user"]["user_id"]
    if action == "create_recurring":
        known["recurring_id"] = response.body["recurring_id"]
    return response


async def test_every_example_of_the_reference_gets_its_response(stack: Stack) -> None:
    known: dict[str, str] = {}
    registered = await stack.admin.call(
        "register_business",
        new_business={
            "name": "Northwind Coffee",
            "email": "owner@northwindcoffee.com",
            "domain": "northwindcoffee.com",
        },
    )
    assert registered.status == 200
    shown = ("success", "message", "business_id", "api_key", "domain")
    assert [key for key in registered.body if key in shown] == [*shown]
    assert registered.body["message"] == "Business registered successfully"
    assert len(registered.body["api_key"]) == 64
    for example in EXAMPLES:
        if example[0] == "get_recurring_logs":
            await run_a_job(stack, stack.merchant)
        response = await execute(stack.merchant, known, example)
        assert (response.status, differences(example[2], response.body)) == (200, []), example[0]
        assert next(iter(response.body)) == "success"
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"


async def test_times_have_the_format_of_the_reference(merchant: JsonClient) -> None:
    info = await merchant.call("get_business_info")
    date, _, time = info.body["business"]["created_at"].partition(" ")
    assert [len(date), len(time), date[4], time[2]] == [10, 8, "-", ":"]
