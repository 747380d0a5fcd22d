"""The sandbox's webhooks, delivered to the adapter, update payments."""

import asyncio
from typing import Any

import pytest

from core.database.transactions import Database
from core.gateways.authorize.gateway import AuthorizeGateway
from core.gateways.gateway import Account, CardData, GatewayCharge, Succeeded
from core.money import Amount
from core.security.secrets import Secret
from tests.end_to_end.running import JsonClient, Stack, new_user
from tests.end_to_end.signing import SIGNATURE_KEY, STRIPE_SECRET
from tests.end_to_end.test_webhooks import add_payment, database, new_business, stack

__all__ = ["database", "stack"]  # fixtures
PATIENCE_SECONDS = 60.0


async def control(stack: Stack, path: str, **body: Any) -> dict[str, Any]:
    async with stack.merchant.session.post(
        f"{stack.gateway.url}/_sandbox/{path}", json=body
    ) as response:
        assert response.status < 300, await response.text()
        found: dict[str, Any] = await response.json()
        return found


async def until(
    client: JsonClient, user_id: str, status: str, balance: float, refunded: float | None = None
) -> None:
    """Wait until the user's only payment and wallet have this state."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            records = await client.call("get_payment_records", user_id=user_id)
            wallet = await client.call("get_user_wallet", user_id=user_id)
            [payment] = records.body["payments"]
            found = payment["status"], wallet.body["wallet"]["balance"]
            if found == (status, balance) and refunded in (None, payment["amount_refunded"]):
                return
            await asyncio.sleep(0.1)


async def test_events_of_stripe_update_payment_and_wallet(stack: Stack) -> None:
    client = await new_business(stack, "s1")
    key = "sk_test_s1_a"
    await control(
        stack,
        "webhooks",
        key=key,
        url=f"{client.url}/webhooks/stripe/{client.business_id}",
        secret=STRIPE_SECRET,
        copies=2,
    )
    user_id = await new_user(client)
    token = "pm_card_visa"
    await client.call("create_stripe_customer", user_id=user_id, payment_method_token=token)
    funded = await client.call("fund_customer", user_id=user_id, amount=20)
    assert funded.status == 200, funded.text
    intent = funded.body["transaction_id"]
    await control(stack, "stripe/refunds", payment_intent=intent, amount=500)
    await until(client, user_id, "partially_refunded", 15, refunded=5)
    dispute = await control(stack, "stripe/disputes", payment_intent=intent)
    await until(client, user_id, "disputed", 15)
    await control(stack, f"stripe/disputes/{dispute['id']}", status="won")
    await until(client, user_id, "partially_refunded", 15)
    await control(stack, "stripe/refunds", payment_intent=intent)
    await until(client, user_id, "refunded", 0)
    again = await control(stack, "webhooks/again", key=key, copies=3, shuffled=True)
    assert again["deliveries"] >= 15
    await until(client, user_id, "refunded", 0)


async def test_refunds_that_fail_and_disputes_that_are_reversed_arrive_in_any_order(
    stack: Stack,
) -> None:
    client = await new_business(stack, "s3")
    await control(
        stack,
        "webhooks",
        key="sk_test_s3_a",
        url=f"{client.url}/webhooks/stripe/{client.business_id}",
        secret=STRIPE_SECRET,
    )
    user_id = await new_user(client)
    token = "pm_card_visa"
    await client.call("create_stripe_customer", user_id=user_id, payment_method_token=token)
    funded = await client.call("fund_customer", user_id=user_id, amount=20)
    intent = funded.body["transaction_id"]

    async def refund(amount: int, *statuses: str) -> None:
        made = await control(
            stack, "stripe/refunds", payment_intent=intent, amount=amount, status="pending"
        )
        for status in statuses:
            await control(stack, f"stripe/refunds/{made['id']}", status=status)

    await control(stack, "webhooks/hold", hold=True)
    await refund(1000, "succeeded", "failed")
    await refund(300, "canceled")
    await refund(500, "succeeded")
    inquiry = "warning_needs_response"
    dispute = await control(stack, "stripe/disputes", payment_intent=intent, status=inquiry)
    for status in ("needs_response", "lost", "won"):
        await control(stack, f"stripe/disputes/{dispute['id']}", status=status)
    await control(stack, "webhooks/deliver", order="shuffled", repeat=3, seed=7, parallel=4)
    await until(client, user_id, "partially_refunded", 15, refunded=5)
    await control(stack, "webhooks/hold", hold=False)


async def test_a_customer_who_authenticates_later_is_credited(stack: Stack) -> None:
    client = await new_business(stack, "s2")
    await control(
        stack,
        "webhooks",
        key="sk_test_s2_a",
        url=f"{client.url}/webhooks/stripe/{client.business_id}",
        secret=STRIPE_SECRET,
    )
    user_id = await new_user(client)
    token = "pm_card_authenticationRequired"
    await client.call("create_stripe_customer", user_id=user_id, payment_method_token=token)
    asked = await client.call("fund_customer", user_id=user_id, amount=20, idempotency_key="k")
    assert asked.body["code"] == "AUTHENTICATION_REQUIRED"
    await control(stack, "authentications", payment_intent=asked.body["transaction_id"])
    await until(client, user_id, "succeeded", 20)


@pytest.mark.parametrize("is_settled", [True, False])
async def test_events_of_authorize_net_update_payment_and_wallet(
    stack: Stack, database: Database, is_settled: bool
) -> None:
    name = "a1" if is_settled else "a2"
    client, login_id = await new_business(stack, name), f"login{name}"
    await control(
        stack,
        "webhooks",
        api_login_id=login_id,
        url=f"{client.url}/webhooks/authorize/{client.business_id}",
        secret=SIGNATURE_KEY,
    )
    user_id = await new_user(client)
    payment_id = await add_payment(database, client, user_id, 1, "authorize", "pending", "fund")
    gateway = AuthorizeGateway({"TEST": stack.gateway.url})
    account = Account("TEST", "0123456789abcdef", login_id=login_id)
    customer_id, card = await gateway.create_customer_with_card(
        account,
        user_id=user_id,
        name="A",
        email="a@example.com",
        card=CardData(Secret("4111111111111111"), 12, 2060),
    )
    order = GatewayCharge(
        payment_id, "k", Amount(1000, "usd"), customer_id, card.gateway_card_id, None
    )
    charged = await gateway.charge(account, order)
    assert isinstance(charged, Succeeded)
    await until(client, user_id, "succeeded", 10)
    change = {"transaction": charged.transaction_id}
    if is_settled:
        await control(stack, "authorize/transactions", **change, status="settledSuccessfully")
        refund = await control(stack, "authorize/refunds", **change, amount="4.00")
        await until(client, user_id, "partially_refunded", 6)
        change = {"transaction": refund["id"]}
    await control(stack, "authorize/transactions", **change, status="voided")
    await until(client, user_id, *(("succeeded", 10) if is_settled else ("voided", 0)))
    await gateway.close()


async def test_saved_cards_follow_the_account_updater_and_the_dashboard(stack: Stack) -> None:
    client = await new_business(stack, "s4")
    key = "sk_test_s4_a"
    url = f"{client.url}/webhooks/stripe/{client.business_id}"
    await control(stack, "webhooks", key=key, url=url, secret=STRIPE_SECRET)
    user_id = await new_user(client)
    await client.call(
        "create_stripe_customer", user_id=user_id, payment_method_token="pm_card_visa"
    )
    (method,) = await stripe_cards(stack, key)
    renewed = {"exp_month": 6, "exp_year": 2061, "last4": "1881"}
    await control(stack, "stripe/cards", payment_method=method, **renewed)
    await until_cards(client, user_id, [("1881", 6, 2061)])
    async with stack.merchant.session.post(
        f"{stack.gateway.url}/v1/payment_methods/{method}/detach",
        headers={"Authorization": f"Bearer {key}"},
    ) as response:
        assert response.status == 200
    await until_cards(client, user_id, [])


async def test_a_card_is_saved_when_its_holder_authenticated(stack: Stack) -> None:
    client = await new_business(stack, "s5")
    key = "sk_test_s5_a"
    url = f"{client.url}/webhooks/stripe/{client.business_id}"
    await control(stack, "webhooks", key=key, url=url, secret=STRIPE_SECRET)
    user_id = await new_user(client)
    token = "pm_card_authenticationRequiredOnSetup"
    asked = await client.call(
        "create_stripe_customer", user_id=user_id, payment_method_token=token, set_up=True
    )
    assert (asked.status, asked.body["code"]) == (402, "AUTHENTICATION_REQUIRED")
    assert asked.body["client_secret"].startswith(asked.body["transaction_id"])
    await control(stack, "authentications", setup_intent=asked.body["transaction_id"])
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (await client.call("get_user_cards", user_id=user_id)).body["cards"]:
            await asyncio.sleep(0.1)
    charged = await client.call("charge_customer", user_id=user_id, amount=20)
    assert charged.status == 200, charged.text


async def stripe_cards(stack: Stack, key: str) -> list[str]:
    """Return the ids of the payment methods of a key's account."""
    async with stack.merchant.session.get(
        f"{stack.gateway.url}/_sandbox/books", headers={"Authorization": f"Bearer {key}"}
    ) as response:
        (books,) = (await response.json())["books"]
        return [str(each["id"]) for each in books["payment_methods"]]


async def until_cards(client: JsonClient, user_id: str, cards: list[tuple[str, int, int]]) -> None:
    """Wait until the user has these cards: last digits, month and year."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            listed = (await client.call("get_user_cards", user_id=user_id)).body["cards"]
            if [(each["last4"], each["exp_month"], each["exp_year"]) for each in listed] == cards:
                return
            await asyncio.sleep(0.1)
