"""Use cases of operators: they decide a refund that its gateway does not, or have it asked again.

As core.payments.decisions for payments: the gateway is asked before the transaction that writes,
which locks what a refund's outcome locks (core.refunds.attempts) and checks everything again. So of
two operators at once one decides.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from core.credentials.service import CredentialsService
from core.database.transactions import Database, Transaction
from core.due_work.store import REFUNDS
from core.errors import InvalidFields, Refusal
from core.gateways.events import Fact, FactKind
from core.gateways.gateway import Gateway, ObjectKind
from core.idempotency.service import Idempotency
from core.ids import new_decision_id
from core.payments import decision_store, event_store
from core.payments import rules as payment_rules
from core.payments import store as payments_store
from core.payments.decision_rules import (
    Action,
    Decision,
    Resolution,
    Subject,
    last_resolution,
    only_business,
)
from core.payments.decisions import Operator, Request, not_allowed
from core.payments.evidence import Finding, ask_about_refund, not_asked
from core.payments.store import Payment
from core.payments.transitions import Transitions
from core.refunds import decision_rules, rules, store
from core.refunds.attempts import gateway_refund
from core.refunds.messages import answer_of
from core.refunds.store import Refund
from core.security.keyring import SealBrokenError

logger = logging.getLogger("core.refunds")


@dataclass(frozen=True, slots=True)
class Decided:
    """A refund after a decision about it."""

    refund: Refund
    decision: Decision
    is_repeated: bool = False
    """Whether the decision was made before, so that nothing changed."""


class RefundDecisions:
    """The use cases."""

    def __init__(
        self,
        database: Database,
        credentials: CredentialsService,
        gateways: Mapping[str, Gateway],
        idempotency: Idempotency,
        transitions: Transitions,
        settle_time: timedelta = payment_rules.SETTLE_TIME,
    ) -> None:
        """Ask `gateways`, by their names; payments follow by `transitions`.

        `settle_time` is how long after sending a refund may not be in a gateway's lists yet.
        """
        self._database = database
        self._credentials = credentials
        self._gateways = gateways
        self._idempotency = idempotency
        self._transitions = transitions
        self._settle_time = settle_time

    async def find(self, refund_id: str, business_id: str | None) -> tuple[Refund, Payment]:
        """Return a refund and its payment; without a business, of the only one that has it.

        Raises:
            InvalidFields: there is none, or several businesses have a refund of this id.
        """
        async with self._database.read() as transaction:
            owners = await decision_store.businesses_of(transaction, REFUNDS, refund_id)
            owner = only_business(owners, business_id, "refund id")
            if owner is None:
                raise InvalidFields.of("refund_id", f"names no refund: {refund_id}")
            refund = await store.refund_by_id(transaction, owner, refund_id, lock=False)
            return refund, await _payment_of(transaction, refund)

    async def ask(
        self, refund: Refund, payment: Payment, transaction_id: str | None = None
    ) -> tuple[Finding, ...]:
        """Return what the gateway says of a refund now, also of one that is named."""
        try:
            async with self._database.read() as transaction:
                account = await self._credentials.account(
                    transaction, payment.business_id, payment.gateway, payment.env
                )
        except Refusal as refusal:
            return not_asked(f"{refusal.message}.", ObjectKind.REFUND)
        except SealBrokenError:
            reason = "The stored keys of the gateway cannot be opened with this keyring."
            return not_asked(reason, ObjectKind.REFUND)
        known = refund.gateway_refund_id
        named = transaction_id or (known if known != payment.transaction_id else None)
        # One that its gateway refused certainly did not void the payment.
        may_be_made = refund.failure_code in (None, rules.NOT_MADE)
        asked = gateway_refund(refund, payment, is_resumed=may_be_made)
        return await ask_about_refund(self._gateways[refund.gateway], account, asked, named)

    async def resolve(
        self, refund_id: str, business_id: str | None, operator: Operator, request: Request
    ) -> Decided:
        """Give a refund the outcome that an operator decides, with all that follows from it.

        Raises:
            Refusal: PAYMENT_STATE: see core.refunds.decision_rules.
            InvalidFields: no such refund, the business is needed, or a failure has a transaction.
        """
        if request.resolution is Resolution.FAILED and request.transaction_id is not None:
            raise InvalidFields.of("transaction_id", "is for a refund that succeeded")
        refund, payment = await self.find(refund_id, business_id)
        async with self._database.read() as transaction:
            if earlier := await self._check(transaction, refund, request):
                return Decided(refund, earlier, is_repeated=True)
            began_at = transaction.now
        findings = await self.ask(refund, payment, request.transaction_id)
        async with self._database.transaction("refunds.resolve") as transaction:
            refund, payment = await self._lock(transaction, refund, payment)
            if earlier := await self._check(transaction, refund, request):
                return Decided(refund, earlier, is_repeated=True)
            is_forced = await self._check_evidence(transaction, refund, payment, request, findings)
            decision = replace(
                _decision(transaction, refund, operator, Action.RESOLVE, findings),
                resolution=request.resolution,
                transaction_id=request.transaction_id,
                is_forced=is_forced,
            )
            await decision_store.insert_decision(transaction, decision)
            if is_forced or not await self._apply(transaction, refund, payment, findings, began_at):
                await self._write(transaction, refund, payment, request)
            _log_resolution(refund, decision)
            return Decided(await _reread(transaction, refund), decision)

    async def retry(self, refund_id: str, business_id: str | None, operator: Operator) -> Decided:
        """Have the gateway asked about a refund now, also one that was set aside.

        An open refund is made due, and the next look resolves it. Of any other one the gateway is
        asked here, and what it says is applied.

        Raises:
            Refusal: PAYMENT_STATE while a core makes it.
            InvalidFields: no such refund, or the business is needed.
        """
        refund, payment = await self.find(refund_id, business_id)
        async with self._database.read() as transaction:
            began_at = transaction.now
        findings = () if refund.attempt is not None else await self.ask(refund, payment)
        async with self._database.transaction("refunds.retry") as transaction:
            refund, payment = await self._lock(transaction, refund, payment)
            if problem := decision_rules.lease_problem(refund, transaction.now):
                raise not_allowed(problem)
            decision = _decision(transaction, refund, operator, Action.RETRY, findings)
            await decision_store.insert_decision(transaction, decision)
            key = (refund.business_id, refund.refund_id)
            await decision_store.look_now(transaction, REFUNDS, key)
            await self._apply(transaction, refund, payment, findings, began_at)
            return Decided(await _reread(transaction, refund), decision)

    async def history(self, transaction: Transaction, refund: Refund) -> list[Decision]:
        """Return the decisions about a refund, oldest first."""
        return await decision_store.decisions_about(
            transaction,
            business_id=refund.business_id,
            subject=Subject.REFUND,
            subject_id=refund.refund_id,
        )

    async def _lock(
        self, transaction: Transaction, refund: Refund, payment: Payment
    ) -> tuple[Refund, Payment]:
        """Lock a refund after its payment, and return both as they are now."""
        payment = await self._transitions.lock(transaction, payment)
        return await _reread(transaction, refund), payment

    async def _check(
        self, transaction: Transaction, refund: Refund, request: Request
    ) -> Decision | None:
        """Return the decision that this one repeats, or None if it may be made.

        Raises:
            Refusal: PAYMENT_STATE.
        """
        last = last_resolution(await self.history(transaction, refund))
        if decision_rules.is_repeated(refund, last, request.resolution, request.transaction_id):
            return last
        if problem := decision_rules.state_problem(refund, last, transaction.now):
            raise not_allowed(problem)
        return None

    async def _check_evidence(
        self,
        transaction: Transaction,
        refund: Refund,
        payment: Payment,
        request: Request,
        findings: Sequence[Finding],
    ) -> bool:
        """Return whether the decision is forced: made against what the gateway says.

        Raises:
            Refusal: PAYMENT_STATE if it is not forced, or may not be.
        """
        if request.resolution is Resolution.SUCCEEDED:
            if problem := decision_rules.amount_problem(refund, findings):
                raise not_allowed(problem)
            await _check_unused(transaction, refund, payment, request.transaction_id)
        problem = decision_rules.evidence_problem(
            refund,
            request.resolution,
            request.transaction_id,
            findings,
            now=transaction.now,
            settle_time=self._settle_time,
        )
        if problem and not request.force:
            raise not_allowed(problem, can_force=True)
        return problem is not None

    async def _apply(
        self,
        transaction: Transaction,
        refund: Refund,
        payment: Payment,
        findings: Sequence[Finding],
        began_at: datetime,
    ) -> bool:
        """Apply what the gateway shows of a locked refund, and return whether it shows it."""
        facts: list[Fact] = list(
            dict.fromkeys(each.fact for each in findings if each.fact is not None)
        )
        if any(fact.kind is FactKind.VOIDED for fact in facts):
            others = await store.refunds_of_payment(
                transaction, payment.business_id, payment.payment_id
            )
            if decision_rules.is_voided_by_another(refund, payment.transaction_id, others):
                facts = [fact for fact in facts if fact.kind is not FactKind.VOIDED]
        if not facts:
            return False
        object_id = refund.gateway_refund_id or facts[0].object_id or payment.transaction_id
        assert object_id is not None, "a refunded payment has a transaction"
        if refund.gateway_refund_id is None:
            await store.set_gateway_id(transaction, refund, object_id)
        for fact in facts:
            is_own = fact.object_id == object_id
            await event_store.insert_read(
                transaction,
                payment,
                fact,
                began_at=began_at,
                refund_id=refund.refund_id if is_own else None,
            )
        await self._transitions.apply_refunds(transaction, payment)
        return True

    async def _write(
        self, transaction: Transaction, refund: Refund, payment: Payment, request: Request
    ) -> None:
        """Write the outcome of a locked refund of which the gateway shows nothing.

        One that failed frees its key: a retry under it is a new refund.
        """
        await store.decide(transaction, refund, request.resolution.value, request.transaction_id)
        await self._transitions.apply_refunds(transaction, payment)
        refund = await _reread(transaction, refund)
        if refund.is_counted and refund.idempotency_key is not None:
            await self._idempotency.keep_for_payment(
                transaction,
                business_id=refund.business_id,
                idempotency_key=refund.idempotency_key,
                payment_id=refund.refund_id,
                answer=answer_of(refund),
            )


async def _check_unused(
    transaction: Transaction, refund: Refund, payment: Payment, transaction_id: str | None
) -> None:
    """Check that nothing else of the payment is counted as this transaction.

    Raises:
        Refusal: PAYMENT_STATE.
    """
    if transaction_id is None:
        return
    if transaction_id == payment.transaction_id:
        raise not_allowed(f"{transaction_id} is the payment itself, not a refund of it.")
    for other in await store.refunds_of_payment(
        transaction, payment.business_id, payment.payment_id
    ):
        if other.gateway_refund_id == transaction_id and other.refund_id != refund.refund_id:
            raise not_allowed(f"{transaction_id} is the refund {other.refund_id}.")


def _decision(
    transaction: Transaction,
    refund: Refund,
    operator: Operator,
    action: Action,
    findings: Sequence[Finding],
) -> Decision:
    """Return a new decision about a locked refund."""
    return Decision(
        business_id=refund.business_id,
        decision_id=new_decision_id(),
        subject=Subject.REFUND,
        subject_id=refund.refund_id,
        action=action,
        decided_by=operator.name,
        reason=operator.reason,
        decided_at=transaction.now,
        previous_status=refund.status,
        findings=findings,
    )


def _log_resolution(refund: Refund, decision: Decision) -> None:
    extra = {
        "refund_id": refund.refund_id,
        "status": decision.resolution,
        "decision_id": decision.decision_id,
    }
    if decision.is_forced:
        logger.warning("refund resolved against what its gateway says", extra=extra)
    else:
        logger.info("refund resolved by an operator", extra=extra)


async def _payment_of(transaction: Transaction, refund: Refund) -> Payment:
    return await payments_store.payment_by_id(
        transaction, business_id=refund.business_id, payment_id=refund.payment_id, lock=False
    )


async def _reread(transaction: Transaction, refund: Refund) -> Refund:
    return await store.refund_by_id(transaction, refund.business_id, refund.refund_id)
