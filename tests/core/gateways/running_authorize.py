"""An Authorize.Net gateway against the sandbox or against a server with a given response."""

import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from aiohttp import web

from core.gateways.authorize.gateway import AuthorizeGateway
from core.gateways.gateway import Account, CardData, GatewayCharge
from core.money import Amount
from core.security.secrets import Secret
from sandbox.authorize.xml import Field, messages, write
from tests.sandbox.running import Sandbox

KEY = "346HZ32z3fP4hTG2"
REVOKED_KEY = "RevokedKey123456"
LOGIN = "5KP3u95bQpv"
MERCHANT = Account("TEST", KEY, login_id=LOGIN)
BOOKS = f"authorize:{LOGIN}"
CHARGES = {"request": "createTransactionRequest"}
VISA = "4111111111111111"
REASON_BY_AMOUNT = "4222222222222"
OK = messages("Ok", "I00001", "Successful.")
FAILED = messages("Error", "E00027", "The transaction was unsuccessful.")

_numbers = itertools.count(1)


@asynccontextmanager
async def authorize_at(
    url: str, timeout_seconds: float = 10.0, **more: Any
) -> AsyncIterator[AuthorizeGateway]:
    made = AuthorizeGateway({"TEST": url, "LIVE": url}, timeout_seconds, **more)
    try:
        yield made
    finally:
        await made.close()


def a_card(number: str = VISA, **changes: Any) -> CardData:
    return replace(CardData(Secret(number), 12, 2060, Secret("123"), "12345"), **changes)


def a_charge(customer_id: str = "51", card_id: str = "52", **changes: Any) -> GatewayCharge:
    number = next(_numbers)
    charge = GatewayCharge(
        payment_id=f"PAY-{number:016d}",
        gateway_key=f"key-{number}",
        amount=Amount(2550, "usd"),
        customer_id=customer_id,
        gateway_card_id=card_id,
        description="Order 17",
    )
    return replace(charge, **changes)


async def charge_with(
    gateway: AuthorizeGateway, number: str = VISA, account: Account = MERCHANT, **changes: Any
) -> GatewayCharge:
    """An order of a new customer with this card."""
    customer_id, card = await gateway.create_customer_with_card(
        account,
        user_id=f"USR-{next(_numbers):026d}",
        name="Jane Doe",
        email="jane@example.com",
        card=a_card(number),
    )
    return a_charge(customer_id, card.gateway_card_id, **changes)


async def books(sandbox: Sandbox, account: str = BOOKS) -> Any:
    """Return the sandbox's books of an account."""
    _, shown = await sandbox.control("GET", f"books?account={account}")
    empty: dict[str, list[Any]] = {"customers": [], "cards": [], "transactions": []}
    return shown["books"][0] if shown["books"] else empty


async def charged(sandbox: Sandbox) -> list[int]:
    """Return the amounts in cents that will settle by the sandbox's books."""
    return [
        round(float(transaction["amount"]) * 100)
        for transaction in (await books(sandbox))["transactions"]
        if transaction["status"] == "capturedPendingSettlement"
    ]


def xml(name: str, fields: Sequence[Field]) -> web.Response:
    """Return an answer as Authorize.Net sends it."""
    return web.Response(body=write(name, fields), content_type="application/xml", charset="utf-8")


def transaction_answer(
    charge: GatewayCharge, overall: Field = OK, reference: str | None = None, **changes: Any
) -> web.Response:
    """Return the approving answer to a charge, with changes."""
    response: dict[str, Any] = {
        "responseCode": "1",
        "transId": "60000000001",
        "testRequest": "0",
        "messages": [("message", [("code", "1"), ("description", "Approved.")])],
        "profile": [
            ("customerProfileId", charge.customer_id),
            ("customerPaymentProfileId", charge.gateway_card_id),
        ],
        **changes,
    }
    error = response.pop("error", None)
    errors: Sequence[Field] = [("errors", [("error", [("errorCode", error)])])] if error else []
    fields: Sequence[Field] = [
        ("refId", charge.payment_id if reference is None else reference),
        overall,
        ("transactionResponse", [*response.items(), *errors]),
    ]
    return xml("createTransactionResponse", fields)


def details_answer(charge: GatewayCharge, /, **changes: Any) -> web.Response:
    """Return the details of an approved charge, with changes."""
    shown: dict[str, Any] = {
        "transId": "60000000001",
        "submitTimeUTC": "2030-01-02T03:04:05.6Z",
        "transactionType": "authCaptureTransaction",
        "transactionStatus": "capturedPendingSettlement",
        "responseCode": "1",
        "responseReasonCode": "1",
        "order": [("invoiceNumber", charge.payment_id)],
        "authAmount": "25.50",
        "settleAmount": "25.50",
        "profile": [("customerProfileId", charge.customer_id)],
        **changes,
    }
    return xml("getTransactionDetailsResponse", [OK, ("transaction", list(shown.items()))])
