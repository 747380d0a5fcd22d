"""A request to charge a card, the payment that it creates, and the request to the gateway."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from google.type import money_pb2

from core.caller import Caller
from core.cards.store import Card
from core.database.transactions import Transaction
from core.gateways.gateway import GatewayCharge
from core.idempotency.call import IdempotentCall
from core.metadata import metadata_of
from core.money import Amount
from core.payments.store import Lease, Payment


class Origin(Protocol):
    """Source of a charge that no caller requests: it may forbid the charge, and records it."""

    @property
    def is_limited(self) -> bool:
        """Whether too many declines of the user or card forbid the charge."""
        ...

    async def permit(self, transaction: Transaction) -> None:
        """Check whether the charge may start or resume, and lock that until the transaction ends.

        Raises:
            Refusal: it may not.
        """
        ...

    async def note(self, transaction: Transaction, payment_id: str) -> None:
        """Record the payment that the transaction creates."""
        ...


@dataclass(frozen=True, slots=True)
class ChargeRequest:
    """A request to charge a card. `kind` is `charge`, or `fund` to credit the wallet."""

    kind: str
    user_id: str
    env: str
    money: money_pb2.Money
    gateway: str | None = None
    description: str | None = None
    metadata: str | None = None
    """As `core.metadata.stored_metadata` returns it."""
    is_env_default: bool = False
    """Whether the request names no environment, so that `env` is the business's default."""
    call: IdempotentCall | None = None
    """The call as its idempotency record sees it."""
    origin: Origin | None = None
    is_asked: bool = True
    """Whether a caller requests it, and not only a schedule."""
    is_captured: bool = True
    """Whether the amount is taken at once; else it is authorized, to be captured later."""

    @property
    def is_keyed(self) -> bool:
        """Whether the caller sent an idempotency key."""
        return self.call is not None and self.call.is_keyed


def gateway_charge(payment: Payment) -> GatewayCharge:
    """Return a payment's charge as requested from its gateway."""
    return GatewayCharge(
        payment_id=payment.payment_id,
        gateway_key=payment.gateway_key,
        amount=Amount(payment.amount_minor, payment.currency),
        customer_id=payment.customer_id,
        gateway_card_id=payment.gateway_card_id,
        description=payment.description,
        metadata=metadata_of(payment.metadata),
        created_at=payment.created_at,
        is_captured=payment.authorized_minor is None,
    )


def new_payment(
    caller: Caller,
    request: ChargeRequest,
    payment_id: str,
    amount: Amount,
    card: Card,
    lease: Lease,
    *,
    now: datetime,
) -> Payment:
    """Return a new payment, to be inserted and charged."""
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
        metadata=request.metadata,
        idempotency_key=request.call.sent_key if request.call else None,
        customer_id=card.customer_id,
        gateway_card_id=card.gateway_card_id,
        gateway_key=_gateway_key(caller.business_id, payment_id),
        status="pending",
        attempt="running",
        lease=lease,
        joinable=False,
        checks=0,
        transaction_id=None,
        decline_code=None,
        answered=False,
        created_at=now,
        updated_at=now,
        authorized_minor=None if request.is_captured else amount.minor,
        capped_key_id=caller.key_id if caller.caps else None,
    )


def with_id(payment: Payment, payment_id: str) -> Payment:
    """Return a new payment with another id."""
    gateway_key = _gateway_key(payment.business_id, payment_id)
    return replace(payment, payment_id=payment_id, gateway_key=gateway_key)


def _gateway_key(business_id: str, payment_id: str) -> str:
    return f"{business_id}/{payment_id}"
