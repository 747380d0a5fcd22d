"""A charge as it is asked for: what equal requests left behind, and the row of a new payment."""

from collections.abc import Set
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from google.type import money_pb2

from core.caller import Caller
from core.cards.store import Card
from core.database.transactions import Transaction
from core.idempotency.call import IdempotentCall
from core.ids import new_payment_id
from core.money import Amount
from core.payments import store
from core.payments.store import Lease, Payment

UNANSWERED_LIFE = timedelta(hours=24)
"""How long an equal request without a key is told of a charge whose caller never heard of it."""


class Origin(Protocol):
    """What has a charge made where that is not a caller: it may forbid it, and remembers it."""

    async def permit(self, transaction: Transaction) -> None:
        """Look, and hold it to the transaction's end, whether the charge may begin or go on.

        Raises:
            Refusal: it may not.
        """
        ...

    async def note(self, transaction: Transaction, payment_id: str) -> None:
        """Remember the payment that the transaction begins."""
        ...


@dataclass(frozen=True, slots=True)
class ChargeRequest:
    """What a caller asks to be charged. `kind` is `charge`, or `fund` to credit the wallet."""

    kind: str
    user_id: str
    env: str
    money: money_pb2.Money
    gateway: str | None = None
    description: str | None = None
    call: IdempotentCall | None = None
    """The call that asks, as its idempotency record sees it."""
    origin: Origin | None = None

    @property
    def is_keyed(self) -> bool:
        """Whether the caller sent an idempotency key."""
        return self.call is not None and self.call.is_keyed


async def find_retried_payments(
    transaction: Transaction,
    caller: Caller,
    request: ChargeRequest,
    amount: Amount,
    *,
    claimed: str | None,
    waited_for: Set[str],
) -> list[Payment]:
    """Return the payments that the request may mean: the one of its key, or its equals without.

    `claimed` is the payment that an earlier run of the keyed call began. One that was refused
    without a charge is not meant any more. `waited_for` are payments of other cores: one that was
    joinable and succeeded meanwhile is this request's too, also where another one was told first.
    """
    if not request.is_keyed:
        open_ones = await store.unanswered_payments(
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
        others = waited_for - {payment.payment_id for payment in open_ones}
        ended = [await _payment_of(transaction, caller, payment_id) for payment_id in others]
        joined = [each for each in ended if each.joinable and each.status == "succeeded"]
        return [*joined, *open_ones]
    if claimed is None:
        return []
    payment = await _payment_of(transaction, caller, claimed)
    return [] if payment.status == "failed" else [payment]


async def _payment_of(transaction: Transaction, caller: Caller, payment_id: str) -> Payment:
    return await store.payment_by_id(
        transaction, business_id=caller.business_id, payment_id=payment_id
    )


async def new_payment(
    transaction: Transaction,
    caller: Caller,
    request: ChargeRequest,
    amount: Amount,
    card: Card,
    lease: Lease,
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
        idempotency_key=request.call.sent_key if request.call else None,
        customer_id=card.customer_id,
        gateway_card_id=card.gateway_card_id,
        gateway_key=f"{caller.business_id}/{payment_id}",
        status="pending",
        attempt="running",
        lease=lease,
        joinable=False,
        checks=0,
        transaction_id=None,
        decline_code=None,
        answered=False,
        created_at=transaction.now,
        updated_at=transaction.now,
    )
