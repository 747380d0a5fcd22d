"""Cards that change at Stripe without a request: renewed by their issuer, or authenticated."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from tests.prove.clients import Clients
from tests.prove.environment import Environment
from tests.prove.requests import CARD_OF_AUTHENTICATION
from tests.prove.triggers import CARD_RENEWAL

RENEWED_LAST4: Final = "1881"

Row = dict[str, Any]


async def change_a_card(environment: Environment, clients: Clients, kind: str) -> None:
    """Have a new user's card renewed, or set one up that its cardholder then authenticates."""
    if kind == CARD_RENEWAL:
        user_id = await clients.create_user("pm_card_visa")
        renewed = {"last4": RENEWED_LAST4, "exp_month": 6, "exp_year": 2061}
        card = await _card_of(environment, clients, user_id)
        await environment.call_sandbox("POST", "stripe/cards", {"payment_method": card, **renewed})
        return
    user_id = await clients.create_user(None)
    # Without a key: the answer to the key follows the set-up.
    asked = clients.new("set_up_card", user_id=user_id, is_keyed=False)
    asked.request.payment_method_token = CARD_OF_AUTHENTICATION
    await clients.run(asked)
    metadata = dict(asked.final[0].content[1])
    await environment.call_sandbox(
        "POST", "authentications", {"setup_intent": metadata["transaction_id"]}
    )


async def _card_of(environment: Environment, clients: Clients, user_id: str) -> str:
    """Return Stripe's id of a user's only card."""
    key = clients.merchants.stripe_key
    (books,) = (await environment.call_sandbox("GET", "books", key=key))["books"]
    (customer,) = [
        each["id"] for each in books["customers"] if each["metadata"].get("user_id") == user_id
    ]
    (card,) = [each["id"] for each in books["payment_methods"] if each["customer"] == customer]
    return str(card)


def card_differences(stripe: Mapping[str, Any], cards: Sequence[Row]) -> Iterator[str]:
    """Return the renewed cards that are stored as they were, and the set-up ones that are not."""
    stored = {row["gateway_card_id"]: row for row in cards}
    for method in stripe.get("payment_methods", []):
        shown, row = method["card"], stored.get(method["id"])
        if shown["last4"] != RENEWED_LAST4:
            continue
        if row is None or (row["last4"], row["exp_year"]) != (shown["last4"], shown["exp_year"]):
            yield f"the card {method['id']} was renewed, and its row did not follow: {row}"
    for intent in stripe.get("setup_intents", []):
        if intent["status"] == "succeeded" and intent["payment_method"] not in stored:
            yield f"lost: the card of {intent['id']} was set up, and is not stored"
