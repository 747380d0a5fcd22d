"""Looks a payment up, with its card, its refunds and disputes at the gateway, and its history."""

from dataclasses import dataclass
from typing import Final

from core.caller import Caller
from core.cards.store import Card
from core.database.transactions import Database, Transaction
from core.errors import Reason, Refusal
from core.payments import decision_store, event_store, lookup_store
from core.payments.decision_rules import Action, Subject
from core.payments.event_rules import events_of_payment
from core.payments.history_rules import (
    Change,
    ObjectHistory,
    PaymentRecord,
    Resolved,
    Source,
    disputes_of,
    history_of,
    refunds_of,
)
from core.payments.lookup_store import FoundPayment
from core.payments.store import Payment
from core.refunds import store as refunds_store
from core.refunds.store import Refund

NEWEST_MAX: Final = 100
"""Most refunds, disputes and changes of a payment in a response: with metadata of MAP_BYTES_MAX for
each refund it is smaller than rpc.frames.ANSWER_FRAME_BYTES_MAX, as a page of refunds is."""


@dataclass(frozen=True, slots=True)
class PaymentDetails:
    """A payment with what is known about it; of each list the newest NEWEST_MAX, oldest first."""

    payment: Payment
    card: Card | None
    """The card as it is now; None if it is not saved any more."""
    gateway_refunds: list[ObjectHistory]
    """Refunds that the gateway told of."""
    disputes: list[ObjectHistory]
    history: list[Change]
    refunds: list[Refund]
    """Refunds that were requested here."""


class Lookup:
    """The use case GetPayment."""

    def __init__(self, database: Database) -> None:
        """Read payments from `database`."""
        self._database = database

    async def payment(
        self, caller: Caller, *, payment_id: str | None, transaction_id: str | None, env: str
    ) -> PaymentDetails:
        """Return the caller's payment with our id, or else with the gateway's id in `env`.

        Raises:
            Refusal: PAYMENT_NOT_FOUND.
        """
        business_id = caller.business_id
        async with self._database.listing() as transaction:  # one state of the database
            found = None
            if payment_id is not None:
                found = await lookup_store.payment_by_id(
                    transaction, business_id=business_id, payment_id=payment_id
                )
            elif transaction_id is not None:
                found = await lookup_store.payment_by_transaction(
                    transaction, business_id=business_id, env=env, transaction_id=transaction_id
                )
            if found is None:
                raise Refusal(Reason.ERROR_REASON_PAYMENT_NOT_FOUND, "Payment not found")
            return await _details(transaction, found)


async def _details(transaction: Transaction, found: FoundPayment) -> PaymentDetails:
    payment = found.payment
    recorded = await event_store.events_of(
        transaction,
        event_store.Source(payment.business_id, payment.gateway, payment.env),
        payment_id=payment.payment_id,
        transaction_id=payment.transaction_id,
    )
    _, events, _ = events_of_payment(
        recorded,
        transaction_id=payment.transaction_id,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        authorized_minor=payment.authorized_minor,
    )
    decisions = await decision_store.decisions_about(
        transaction,
        business_id=payment.business_id,
        subject=Subject.PAYMENT,
        subject_id=payment.payment_id,
    )
    decided = [
        Resolved(each.resolution.value, each.decided_at)
        for each in decisions
        if each.action is Action.RESOLVE and each.resolution is not None
    ]
    return PaymentDetails(
        payment,
        found.card,
        refunds_of(events)[-NEWEST_MAX:],
        disputes_of(events)[-NEWEST_MAX:],
        history_of(_record(found), events, decided)[-NEWEST_MAX:],
        await refunds_store.newest_of_payment(
            transaction, payment.business_id, payment.payment_id, NEWEST_MAX
        ),
    )


def _record(found: FoundPayment) -> PaymentRecord:
    payment = found.payment
    # Only recurring jobs have keys that are not ASCII.
    is_recurring = not (payment.idempotency_key or "").isascii()
    return PaymentRecord(
        origin=Source.RECURRING if is_recurring else Source.REQUEST,
        is_funding=payment.kind == "fund",
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        transaction_id=payment.transaction_id,
        created_at=payment.created_at,
        first_outcome=found.first_outcome,
        first_outcome_at=found.first_outcome_at,
        succeeded_at=found.succeeded_at,
        status=payment.status,
        amount_refunded_minor=payment.amount_refunded_minor,
        updated_at=payment.updated_at,
        is_authorization=payment.authorized_minor is not None,
    )
