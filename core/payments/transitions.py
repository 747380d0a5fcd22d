"""Applies charge outcomes and gateway events to payments, with all that follows from them.

The only writer of a payment's status. In the same transaction it moves the wallet's money, stores
the answer to the payment's key, has the recurring cycle follow, and sets when the gateway is asked
next. It opens no transaction; its caller has called `lock` first.
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from core.database.transactions import Transaction
from core.gateways.events import Fact, FactKind
from core.gateways.gateway import (
    Authorized,
    ChargeOutcome,
    Declined,
    HeldForReview,
    Succeeded,
)
from core.idempotency.call import Answer
from core.idempotency.service import Idempotency
from core.payments import (
    attempt_store,
    closing_rules,
    decision_store,
    event_rules,
    event_store,
    rules,
    store,
)
from core.payments.decision_rules import Resolution, Subject, last_resolution
from core.payments.event_rules import CHARGED, PaymentState, RecordedEvent
from core.payments.event_store import Source
from core.payments.funding import charge_result_of, credit_wallet, move_taken_back
from core.payments.in_flight import ChargeResult
from core.payments.messages import closed_answer, refusal_answer, success_answer
from core.payments.rules import PaymentUpdate
from core.payments.store import Payment
from core.payments.turns import Turns
from core.refunds.messages import answer_of
from core.refunds.rules import ToldRefund
from core.refunds.store import Refund, follow, refunds_of_payment
from core.wallet import store as wallet_store

logger = logging.getLogger("core.payments")


class Follower(Protocol):
    """What follows a payment in other parts of the core, in the payment's own transactions."""

    async def lock(self, transaction: Transaction, payment: Payment) -> None:
        """Lock what follows the payment, before the payment is locked."""
        ...

    async def follow(self, transaction: Transaction, payment: Payment, message: str | None) -> None:
        """Follow the payment's new state; `message` is the gateway's about a decline."""
        ...


class Transitions:
    """Writes the states of payments."""

    def __init__(self, idempotency: Idempotency, followers: Collection[Follower]) -> None:
        """Store answers with `idempotency`, and have `followers` follow each new state."""
        self._idempotency = idempotency
        self._followers = followers
        self.turns = Turns()
        """To be taken before a transaction that locks a payment which many may ask for."""

    async def lock(self, transaction: Transaction, payment: Payment) -> Payment:
        """Lock a payment and all that follows it, and return it as it is now.

        The order is that of a charge: the recurring job, the idempotency record, the payment.
        """
        await self._lock_before(transaction, payment)
        return await store.payment_by_id(
            transaction, business_id=payment.business_id, payment_id=payment.payment_id
        )

    async def _lock_before(self, transaction: Transaction, payment: Payment) -> None:
        """Lock what must be locked before the payment."""
        for follower in self._followers:
            await follower.lock(transaction, payment)
        if payment.idempotency_key is not None:
            await self._idempotency.lock(transaction, payment.business_id, payment.idempotency_key)

    async def end_attempt(
        self,
        transaction: Transaction,
        payment: Payment,
        outcome: ChargeOutcome,
        update: PaymentUpdate,
        *,
        owner: str,
    ) -> tuple[Payment, ChargeResult | None] | None:
        """Write the outcome of an attempt as `write_outcome` does, without reading the payment.

        None if the core `owner` does not have its lease; then nothing is written. While it has, no
        other transaction changes what this needs to know of the payment.
        """
        await self._lock_before(transaction, payment)
        is_ended = await attempt_store.end_attempt(
            transaction,
            payment,
            update,
            answered=_is_answered(update),
            responding_core=_responding(payment, update, owner),
            owner=owner,
        )
        return await self._ended(transaction, payment, outcome, update) if is_ended else None

    async def write_outcome(
        self,
        transaction: Transaction,
        payment: Payment,
        outcome: ChargeOutcome,
        update: PaymentUpdate,
        *,
        core_id: str | None = None,
    ) -> tuple[Payment, ChargeResult | None]:
        """Write the outcome of a locked payment; return the payment, and a success's result.

        `core_id` is the core that sends the response, if one does.
        """
        await attempt_store.end_attempt(
            transaction,
            payment,
            update,
            answered=_is_answered(update),
            responding_core=_responding(payment, update, core_id),
        )
        return await self._ended(transaction, payment, outcome, update)

    async def _ended(
        self,
        transaction: Transaction,
        payment: Payment,
        outcome: ChargeOutcome,
        update: PaymentUpdate,
    ) -> tuple[Payment, ChargeResult | None]:
        """Have all that belongs to a payment follow the outcome that was written."""
        payment = replace(
            payment,
            status=update.status,
            attempt=update.attempt,
            transaction_id=update.transaction_id,
            decline_code=update.decline_code,
            lease=None,
            look_at=transaction.now + update.check_after if update.check_after else None,
        )
        result = None
        if isinstance(outcome, Succeeded | Authorized):
            is_funding = payment.kind == "fund"
            wallet = await credit_wallet(transaction, payment) if is_funding else None
            result = ChargeResult(payment, wallet)
        answer = success_answer(result) if result else refusal_answer(outcome)
        if answer is not None:
            await self._store_answer(transaction, payment, answer)
        if update.status != "pending":
            await self._follow(transaction, payment, rules.decline_message(outcome))
        return payment, result

    async def apply_events(self, transaction: Transaction, payment: Payment) -> Payment:
        """Apply all events of a payment to it, and return it as it is then.

        Called with each new event and after each outcome, so events may come before the outcome.
        Does nothing while a core runs an attempt.
        """
        return await self._apply(transaction, payment)

    async def apply_refunds(
        self, transaction: Transaction, payment: Payment, *, allow_receivable: bool = True
    ) -> Payment:
        """Apply the refunds that were requested here to their payment, as events are.

        A refund debits the wallet that the payment funded from its reservation on, and credits it
        if it fails. Without `allow_receivable` the wallet must cover the debit.

        Raises:
            Refusal: WALLET_TOO_LOW; the transaction must not commit.
        """
        return await self._apply(
            transaction, payment, has_refunds=True, allow_receivable=allow_receivable
        )

    async def _apply(
        self,
        transaction: Transaction,
        payment: Payment,
        *,
        has_refunds: bool = False,
        allow_receivable: bool = True,
    ) -> Payment:
        if payment.lease is not None and payment.lease.until > transaction.now:
            return payment
        source = Source(payment.business_id, payment.gateway, payment.env)
        events = await event_store.events_of(
            transaction,
            source,
            payment_id=payment.payment_id,
            transaction_id=payment.transaction_id,
        )
        refunds: list[Refund] = []
        if has_refunds or payment.amount_refunded_minor or event_rules.has_refund(events):
            refunds = await refunds_of_payment(transaction, payment.business_id, payment.payment_id)
        if not events and not refunds:
            if payment.status != "pending":
                await self._look_later(transaction, payment, events)
            return payment
        transaction_id, agreeing, contradicting = event_rules.events_of_payment(
            events,
            transaction_id=payment.transaction_id,
            amount_minor=payment.amount_minor,
            currency=payment.currency,
            authorized_minor=payment.authorized_minor,
        )
        if contradicting:
            await _report(transaction, source, payment, contradicting)
        if payment.status == "pending":
            outcome = _outcome_of(agreeing, payment)
            if outcome is None:
                await store.check_now(transaction, payment)
                return payment
            payment, _ = await self.write_outcome(
                transaction, payment, outcome, rules.payment_update(outcome)
            )
        payment = replace(payment, transaction_id=transaction_id)
        await self._write_next_state(
            transaction, payment, agreeing, refunds, allow_receivable=allow_receivable
        )
        await event_store.set_applied(transaction, source, agreeing)
        told = event_rules.told_refunds(agreeing, refunds, transaction_id)
        for refund in refunds:
            if refund.refund_id in told:
                await self._follow_refund(transaction, refund, told[refund.refund_id])
        return await store.payment_by_id(
            transaction, business_id=payment.business_id, payment_id=payment.payment_id
        )

    async def apply_reads(
        self,
        transaction: Transaction,
        payment: Payment,
        facts: Sequence[Fact],
        *,
        began_at: datetime,
    ) -> None:
        """Store what the payment's gateway said when it was asked, and apply it.

        No facts mean that it said nothing new. Neither does one that was asked for before, or
        during, a capture or void and shows the payment as it was: the call itself tells what it
        did.
        """
        has_moved = payment.closing is not None and payment.updated_at > began_at
        is_outdated = payment.is_closing or has_moved
        for fact in facts:
            if is_outdated and fact.kind in event_rules.UNDECIDED:
                continue
            await event_store.insert_read(transaction, payment, fact, began_at=began_at)
        await self.apply_events(transaction, payment)

    async def _follow_refund(
        self, transaction: Transaction, refund: Refund, told: ToldRefund
    ) -> None:
        """Write what the gateway tells of a refund, and store the answer to its key."""
        is_same = (refund.status, refund.gateway_refund_id, refund.failure_code) == (
            told.status,
            told.gateway_refund_id,
            told.failure_code,
        )
        if is_same and refund.attempt is None:
            return
        before, refund = refund, await follow(transaction, refund, told)
        logger.info(
            "refund status changed by its gateway",
            extra={
                "refund_id": refund.refund_id,
                "previous_status": before.status,
                "status": refund.status,
            },
        )
        if before.attempt is None and before.is_counted != refund.is_counted:
            await _report_decision(transaction, refund)
        if refund.idempotency_key is not None:
            await self._idempotency.keep_for_payment(
                transaction,
                business_id=refund.business_id,
                idempotency_key=refund.idempotency_key,
                payment_id=refund.refund_id,
                answer=answer_of(refund),
            )

    async def _write_next_state(
        self,
        transaction: Transaction,
        payment: Payment,
        events: Sequence[RecordedEvent],
        refunds: Sequence[Refund],
        *,
        allow_receivable: bool,
    ) -> None:
        """Write the state of a payment after all its events, and move its wallet's money."""
        wallet_id, taken = await wallet_store.moved_by_payment(
            transaction, business_id=payment.business_id, payment_id=payment.payment_id
        )
        before = PaymentState(
            payment.status,
            payment.transaction_id,
            payment.decline_code,
            payment.amount_refunded_minor,
            taken.net_minor,
            is_charged=wallet_id is not None or payment.status in CHARGED,
            is_authorization=payment.authorized_minor is not None,
        )
        after = event_rules.next_state(
            before,
            events,
            amount_minor=payment.amount_minor,
            currency=payment.currency,
            refunds=refunds,
        )
        await self._look_later(transaction, replace(payment, status=after.status), events)
        if after == before:
            return
        assert not after.is_charged or after.transaction_id, "a charged payment has a transaction"
        await store.write_state(
            transaction,
            payment,
            status=after.status,
            transaction_id=after.transaction_id,
            decline_code=after.decline_code,
            amount_refunded_minor=after.amount_refunded_minor,
            amount_minor=after.captured_minor or payment.amount_minor,
        )
        logger.info(
            "payment status changed by gateway events",
            extra={
                "payment_id": payment.payment_id,
                "previous_status": before.status,
                "status": after.status,
            },
        )
        if payment.is_closing and after.status != "authorized":
            await self._answer_closing(transaction, payment)
            if after.status not in CHARGED and after.status != "voided":
                # Its answer says that it was not made, also if the payment is authorized again.
                await store.give_up_closing(transaction, payment)
        payment = replace(payment, status=after.status, decline_code=after.decline_code)
        if after.is_charged:
            if payment.kind == "fund" and wallet_id is None:
                await credit_wallet(transaction, payment)
            result = await charge_result_of(transaction, payment)
            await self._store_answer(transaction, payment, success_answer(result))
            if result.wallet is not None:
                await move_taken_back(
                    transaction,
                    payment,
                    wallet_id=result.wallet.wallet_id,
                    taken=taken,
                    total_minor=after.taken_back_minor,
                    reason="dispute" if "disputed" in (before.status, after.status) else "refund",
                    allow_receivable=allow_receivable,
                )
        elif after.status == "authorized":
            await self._store_answer(transaction, payment, success_answer(ChargeResult(payment)))
        elif (outcome := _outcome_of(events, payment)) and (answer := refusal_answer(outcome)):
            await self._store_answer(transaction, payment, answer)
        present = event_rules.outcome_event(events)
        await self._follow(transaction, payment, present.fact.message if present else None)

    async def _look_later(
        self, transaction: Transaction, payment: Payment, events: Sequence[RecordedEvent]
    ) -> None:
        """Set when the gateway is asked about a payment that is not pending, if it is."""
        unclear = event_rules.unclear_objects(
            events,
            transaction_id=payment.transaction_id,
            is_charged=payment.status in CHARGED,
        )
        settling = event_rules.unsettled_refunds(events, payment.gateway).values()
        later = [settled_at for settled_at in settling if settled_at > transaction.now]
        is_cancelable = event_rules.is_cancelable(
            events,
            status=payment.status,
            gateway=payment.gateway,
            transaction_id=payment.transaction_id,
        )
        next_look = rules.next_look(
            payment.status,
            created_at=payment.created_at,
            now=transaction.now,
            checks=payment.checks,
            is_unclear=bool(unclear) or len(later) < len(settling),
            cancel_at=payment.cancel_at if is_cancelable else None,
            is_closing=payment.is_closing,
        )
        at = min([*later, next_look] if next_look else later, default=None)
        if at is not None or payment.look_at is not None:
            await store.look_later(transaction, payment, at)

    async def _follow(
        self, transaction: Transaction, payment: Payment, message: str | None
    ) -> None:
        for follower in self._followers:
            await follower.follow(transaction, payment, message)

    async def _answer_closing(self, transaction: Transaction, payment: Payment) -> None:
        """Store the answer to the key of the capture or void that a written state ends."""
        if payment.closing_key is None:
            return
        ended = await store.payment_by_id(
            transaction, business_id=payment.business_id, payment_id=payment.payment_id
        )
        problem = closing_rules.problem_of_ended(ended)
        await self._idempotency.keep_for_payment(
            transaction,
            business_id=ended.business_id,
            idempotency_key=payment.closing_key,
            payment_id=ended.payment_id,
            answer=Answer.refusal(problem) if problem else closed_answer(ended),
        )

    async def _store_answer(
        self, transaction: Transaction, payment: Payment, answer: Answer
    ) -> None:
        """Store the answer to the payment's key."""
        if payment.idempotency_key is not None:
            await self._idempotency.keep_for_payment(
                transaction,
                business_id=payment.business_id,
                idempotency_key=payment.idempotency_key,
                payment_id=payment.payment_id,
                answer=answer,
            )


async def _report(
    transaction: Transaction,
    source: Source,
    payment: Payment,
    contradicting: Sequence[RecordedEvent],
) -> None:
    """Mark and log events that contradict their payment, with both sides, once."""
    new = set(await event_store.set_contradicting(transaction, source, contradicting))
    for each in contradicting:
        if each.event_id not in new:
            continue
        logger.error(
            "gateway event contradicts its payment and is not applied: compare them in the "
            "gateway's dashboard",
            extra={
                "payment_id": payment.payment_id,
                "transaction_id": payment.transaction_id,
                "amount_minor": payment.amount_minor,
                "currency": payment.currency,
                "event": each.event_id,
                "event_transaction_id": each.transaction_id,
                "event_kind": each.fact.kind.value,
                "event_amount_minor": each.fact.amount_minor,
                "event_currency": each.fact.currency,
            },
        )


async def _report_decision(transaction: Transaction, refund: Refund) -> None:
    """Log that the gateway contradicts what an operator decided about a refund, if one did."""
    made = await decision_store.decisions_about(
        transaction,
        business_id=refund.business_id,
        subject=Subject.REFUND,
        subject_id=refund.refund_id,
    )
    last = last_resolution(made)
    if last is None or (last.resolution is Resolution.SUCCEEDED) == refund.is_counted:
        return
    logger.error(
        "gateway contradicts an operator's decision about a refund, and counts",
        extra={
            "refund_id": refund.refund_id,
            "decision_id": last.decision_id,
            "resolution": last.resolution,
            "status": refund.status,
            "gateway_refund_id": refund.gateway_refund_id,
        },
    )


def _is_answered(update: PaymentUpdate) -> bool:
    """Return whether no caller needs the response any more.

    A success is answered once a caller received it; anything else charged nothing.
    """
    return update.status != "pending" and not update.is_success


def _responding(payment: Payment, update: PaymentUpdate, core_id: str | None) -> str | None:
    """Return the core that sends the response of a success to a request without a key."""
    return core_id if update.is_success and payment.idempotency_key is None else None


def _outcome_of(events: Sequence[RecordedEvent], payment: Payment) -> ChargeOutcome | None:
    """Return the outcome of a pending payment, or None if the events do not decide it.

    One that is captured already was authorized first, and its key's answer says so.

    A required authentication does not: its response needs the client secret, which is not stored,
    so the gateway is asked for it.
    """
    event = event_rules.outcome_event(events)
    match event:
        case RecordedEvent(fact=fact) if payment.authorized_minor is not None and (
            fact.kind in (FactKind.AUTHORIZED, FactKind.SUCCEEDED)
        ):
            return Authorized(event.transaction_id)
        case RecordedEvent(fact=fact) if fact.kind is FactKind.SUCCEEDED:
            return Succeeded(event.transaction_id)
        case RecordedEvent(fact=fact) if fact.kind is FactKind.HELD:
            return HeldForReview(event.transaction_id)
        case RecordedEvent(fact=fact) if fact.kind in (FactKind.FAILED, FactKind.CANCELED):
            code = fact.decline_code or "card_declined"
            return Declined(event.transaction_id, code, fact.message or "The card was declined.")
        case _:
            return None
