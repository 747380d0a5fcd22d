"""A charge as it is asked for: what equal requests left behind, and the row of a new payment."""

from dataclasses import dataclass
from datetime import timedelta

from google.type import money_pb2

from core.caller import Caller
from core.cards.store import Card
from core.database import Transaction
from core.errors import Reason, Refusal
from core.ids import new_payment_id
from core.money import Amount
from core.payments import store
from core.payments.store import Payment

UNANSWERED_LIFE = timedelta(hours=24)
"""How long an equal request without a key is told of a charge whose caller never heard of it."""


@dataclass(frozen=True, slots=True)
class ChargeRequest:
    """What a caller asks to be charged. `kind` is `charge`, or `fund` to credit the wallet."""

    kind: str
    user_id: str
    env: str
    money: money_pb2.Money
    gateway: str | None = None
    description: str | None = None
    idempotency_key: str | None = None


async def left_behind(
    transaction: Transaction, caller: Caller, request: ChargeRequest, amount: Amount
) -> list[Payment]:
    """Return the payments that the request may mean: those of its key, or its equals without.

    Raises:
        Refusal: IDEMPOTENCY_KEY_REUSED where the key was used for another request.
    """
    if request.idempotency_key is None:
        return await store.unanswered_payments(
            transaction,
            business_id=caller.business_id,
            user_id=request.user_id,
            env=request.env,
            kind=request.kind,
            amount_minor=amount.minor,
            currency=amount.currency,
            gateway=request.gateway,
            description=request.description,
            succeeded_since=transaction.now - UNANSWERED_LIFE,
        )
    payment = await store.payment_of_key(
        transaction, business_id=caller.business_id, idempotency_key=request.idempotency_key
    )
    if payment is None:
        return []
    if not (
        (payment.user_id, payment.env, payment.kind, payment.description)
        == (request.user_id, request.env, request.kind, request.description)
        and (payment.amount_minor, payment.currency) == (amount.minor, amount.currency)
        and request.gateway in (None, payment.gateway)
    ):
        raise Refusal(
            Reason.ERROR_REASON_IDEMPOTENCY_KEY_REUSED,
            "The idempotency key was used for another request; use a new one",
        )
    return [payment] if payment.status in ("pending", "succeeded") else []


async def new_payment(
    transaction: Transaction,
    caller: Caller,
    request: ChargeRequest,
    amount: Amount,
    card: Card,
) -> Payment:
    """Return the row of a payment that is about to be submitted, with an id of its own."""
    payment_id = new_payment_id(transaction.now)
    while await store.payment_exists(
        transaction, business_id=caller.business_id, payment_id=payment_id
    ):
        payment_id = new_payment_id(transaction.now)
    return Payment(
        business_id=caller.business_id,
        payment_id=payment_id,
        user_id=request.user_id,
        env=request.env,
        gateway=card.gateway,
        kind=request.kind,
        amount_minor=amount.minor,
        currency=amount.currency,
        description=request.description,
        idempotency_key=request.idempotency_key,
        customer_id=card.customer_id,
        gateway_card_id=card.gateway_card_id,
        gateway_key=f"{caller.business_id}/{payment_id}",
        status="pending",
        attempt="running",
        transaction_id=None,
        decline_code=None,
        answered=False,
        created_at=transaction.now,
    )
