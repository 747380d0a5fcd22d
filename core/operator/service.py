"""Use cases of operators beside the decisions about payments and refunds: look, list, release."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.database.transactions import Database, Transaction
from core.due_work import store as due_store
from core.due_work.store import TABLES, DueTable, SetAside
from core.errors import InvalidFields
from core.idempotency.service import has_payment_answer
from core.idempotency.store import count_expired
from core.ids import new_decision_id
from core.operator import store
from core.operator.store import Cycle, StoredEvent, Work
from core.payments import decision_store, event_store
from core.payments import store as payments_store
from core.payments.decision_rules import Action, Decision, Subject, only_business
from core.payments.decisions import Decisions, Operator
from core.payments.evidence import Finding
from core.payments.store import Payment
from core.refunds.decisions import RefundDecisions
from core.refunds.store import Refund
from core.wallet.store import Wallet, WalletTransaction

logger = logging.getLogger("core")


@dataclass(frozen=True, slots=True)
class ShownRefund:
    """A refund with what is stored about it and its payment, and what its gateway says now."""

    refund: Refund
    payment: Payment
    aside: SetAside | None
    """Since when it is set aside, and why, if it is."""
    events: Sequence[StoredEvent]
    wallet: Wallet | None
    """The wallet that the payment moved."""
    movements: Sequence[WalletTransaction]
    is_answer_stored: bool | None
    """None without an idempotency key."""
    decisions: Sequence[Decision]
    findings: Sequence[Finding]
    asked_at: datetime


@dataclass(frozen=True, slots=True)
class Shown:
    """A payment with what is stored about it, and what its gateway says now."""

    payment: Payment
    work: Work
    events: Sequence[StoredEvent]
    wallet: Wallet | None
    """The wallet that the payment moved."""
    movements: Sequence[WalletTransaction]
    cycle: Cycle | None
    is_answer_stored: bool | None
    """None without an idempotency key."""
    decisions: Sequence[Decision]
    findings: Sequence[Finding]
    asked_at: datetime


@dataclass(frozen=True, slots=True)
class Retention:
    """How long what may be deleted is kept."""

    answers_days: int
    ignored_events_days: int


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept for some time, and how much of it the cores delete next."""

    kind: str
    days: int
    due_count: int
    oldest: datetime | None
    """When the oldest of it was stored; None: nothing is due."""


class OperatorService:
    """The use cases."""

    def __init__(
        self,
        database: Database,
        decisions: Decisions,
        refund_decisions: RefundDecisions,
        retention: Retention,
    ) -> None:
        """Read from `database`, and ask gateways with the decisions' use cases."""
        self._retention = retention
        self._database = database
        self._decisions = decisions
        self._refund_decisions = refund_decisions

    async def show(self, payment_id: str, business_id: str | None) -> Shown:
        """Return a payment with everything about it. The gateway is asked first.

        Raises:
            Refusal: PAYMENT_NOT_FOUND.
            InvalidFields: several businesses have a payment of this id.
        """
        found = await self._decisions.find(payment_id, business_id)
        findings = await self._decisions.ask(found)
        async with self._database.read() as transaction:
            payment = await payments_store.payment_by_id(
                transaction,
                business_id=found.business_id,
                payment_id=found.payment_id,
                lock=False,
            )
            wallet, movements = await store.movements_of(transaction, payment)
            return Shown(
                payment=payment,
                work=await store.work_of(transaction, payment),
                events=await store.events_about(transaction, payment),
                wallet=wallet,
                movements=movements,
                cycle=await store.cycle_of(transaction, payment),
                is_answer_stored=await _is_answer_stored(
                    transaction,
                    payment.business_id,
                    payment.idempotency_key,
                    payment.payment_id,
                ),
                decisions=await self._decisions.history(transaction, payment),
                findings=findings,
                asked_at=transaction.now,
            )

    async def show_refund(self, refund_id: str, business_id: str | None) -> ShownRefund:
        """Return a refund with everything about it. The gateway is asked first.

        Raises:
            InvalidFields: no such refund, or several businesses have a refund of this id.
        """
        findings = await self._refund_decisions.ask(
            *await self._refund_decisions.find(refund_id, business_id)
        )
        refund, payment = await self._refund_decisions.find(refund_id, business_id)
        async with self._database.read() as transaction:
            wallet, movements = await store.movements_of(transaction, payment)
            return ShownRefund(
                refund=refund,
                payment=payment,
                aside=await due_store.set_aside(
                    transaction, due_store.REFUNDS, (refund.business_id, refund.refund_id)
                ),
                events=await store.events_about(transaction, payment),
                wallet=wallet,
                movements=movements,
                is_answer_stored=await _is_answer_stored(
                    transaction, refund.business_id, refund.idempotency_key, refund.refund_id
                ),
                decisions=await self._refund_decisions.history(transaction, refund),
                findings=findings,
                asked_at=transaction.now,
            )

    async def set_aside(self, limit: int) -> list[SetAside]:
        """Return rows that are set aside, the first one first."""
        async with self._database.read() as transaction:
            return await due_store.all_set_aside(transaction, limit)

    async def kept(self) -> list[Kept]:
        """Return what the cores delete once it is old; nothing is deleted for this."""
        days = self._retention
        async with self._database.listing() as transaction:
            answers = await count_expired(transaction)
            before = transaction.now - timedelta(days=days.ignored_events_days)
            events = await event_store.count_ignored(transaction, before)
        return [
            Kept("idempotency_records", days.answers_days, *answers),
            Kept("ignored_events", days.ignored_events_days, *events),
        ]

    async def release(
        self, kind: str, row_id: str, business_id: str | None, operator: Operator
    ) -> Decision:
        """Have a row looked at again that is set aside, and record who released it.

        Raises:
            InvalidFields: no such row is set aside, or the business is needed.
        """
        due = TABLES[kind]
        async with self._database.transaction("operator.release") as transaction:
            owner = await _owner(transaction, due, row_id, business_id)
            if not await due_store.release(transaction, due, (owner, row_id)):
                raise _none_set_aside(due)  # another operator was faster
            decision = Decision(
                business_id=owner,
                decision_id=new_decision_id(),
                subject=Subject(due.kind),
                subject_id=row_id,
                action=Action.RELEASE,
                decided_by=operator.name,
                reason=operator.reason,
                decided_at=transaction.now,
            )
            await decision_store.insert_decision(transaction, decision)
        logger.info(
            "released by an operator",
            extra={"kind": due.kind, "id": row_id, "decision_id": decision.decision_id},
        )
        return decision


async def _is_answer_stored(
    transaction: Transaction, business_id: str, idempotency_key: str | None, payment_id: str
) -> bool | None:
    """Return whether the key of a payment or refund has its answer, None without a key."""
    if idempotency_key is None:
        return None
    return await has_payment_answer(
        transaction,
        business_id=business_id,
        idempotency_key=idempotency_key,
        payment_id=payment_id,
    )


async def _owner(
    transaction: Transaction, due: DueTable, row_id: str, business_id: str | None
) -> str:
    """Return the business of a row that is set aside.

    Raises:
        InvalidFields: there is none, or several and none is named.
    """
    owners = await store.businesses_of_set_aside(transaction, due, row_id)
    owner = only_business(owners, business_id, "id")
    if owner is None:
        raise _none_set_aside(due)
    return owner


def _none_set_aside(due: DueTable) -> InvalidFields:
    return InvalidFields.of("id", f"names no {due.kind} that is set aside")
