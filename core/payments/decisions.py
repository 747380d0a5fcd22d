"""Use cases of operators: they decide a payment that its gateway does not, or have it asked again.

The gateway is asked before the transaction that writes. That transaction locks the payment and
checks everything again, so two operators at once decide once.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from core.credentials.service import CredentialsService
from core.database.transactions import Database, Transaction
from core.due_work.store import PAYMENTS
from core.errors import InvalidFields, Reason, Refusal
from core.gateways.events import Fact, FactKind
from core.gateways.gateway import ChargeOutcome, Declined, Gateway, ObjectKind
from core.ids import new_decision_id
from core.payments import decision_store, event_store, rules, store
from core.payments.charge_request import gateway_charge
from core.payments.decision_rules import (
    Action,
    Decision,
    Resolution,
    Subject,
    conclusive_outcome,
    evidence_problem,
    is_repeated,
    last_resolution,
    lease_problem,
    may_force,
    only_business,
    outcome_of,
    state_problem,
)
from core.payments.event_rules import RecordedEvent
from core.payments.event_store import Source
from core.payments.evidence import (
    Finding,
    ask_gateway,
    known_to_gateway,
    not_asked,
    objects_of,
)
from core.payments.store import Payment
from core.payments.transitions import Transitions
from core.security.keyring import SealBrokenError

logger = logging.getLogger("core.payments")


@dataclass(frozen=True, slots=True)
class Operator:
    """Who decides, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Request:
    """How a payment or refund is to be resolved."""

    resolution: Resolution
    transaction_id: str | None = None
    """The gateway's id of a success; of a refund it may be left out."""
    force: bool = False
    """Whether what the gateway says does not count."""


@dataclass(frozen=True, slots=True)
class Decided:
    """A payment after a decision about it."""

    payment: Payment
    decision: Decision
    is_repeated: bool = False
    """Whether the decision was made before, so that nothing changed."""


class Decisions:
    """The use cases."""

    def __init__(
        self,
        database: Database,
        credentials: CredentialsService,
        gateways: Mapping[str, Gateway],
        transitions: Transitions,
        settle_time: timedelta = rules.SETTLE_TIME,
    ) -> None:
        """Ask `gateways`, by their names, and write states with `transitions`.

        `settle_time` is how long after sending a charge may not be in a gateway's lists yet.
        """
        self._database = database
        self._credentials = credentials
        self._gateways = gateways
        self._transitions = transitions
        self._settle_time = settle_time

    async def find(self, payment_id: str, business_id: str | None) -> Payment:
        """Return a payment; without a business, that of the only one that has it.

        Raises:
            Refusal: PAYMENT_NOT_FOUND.
            InvalidFields: several businesses have a payment of this id.
        """
        async with self._database.read() as transaction:
            owners = await decision_store.businesses_of(transaction, PAYMENTS, payment_id)
            owner = only_business(owners, business_id, "payment id")
            if owner is None:
                raise Refusal(
                    Reason.ERROR_REASON_PAYMENT_NOT_FOUND, f"No payment has the id {payment_id}"
                )
            return await store.payment_by_id(
                transaction, business_id=owner, payment_id=payment_id, lock=False
            )

    async def ask(self, payment: Payment, transaction_id: str | None = None) -> tuple[Finding, ...]:
        """Return what the gateway says of a payment now, also of a transaction that is named."""
        try:
            async with self._database.read() as transaction:
                events = await _events_of(transaction, payment)
                account = await self._credentials.account(
                    transaction, payment.business_id, payment.gateway, payment.env
                )
        except Refusal as refusal:
            return not_asked(f"{refusal.message}.")
        except SealBrokenError:
            return not_asked("The stored keys of the gateway cannot be opened with this keyring.")
        known, agreeing = known_to_gateway(payment, events)
        objects = objects_of(
            [each for each in (known, transaction_id) if each], [each.fact for each in agreeing]
        )
        return await ask_gateway(
            self._gateways[payment.gateway],
            account,
            gateway_charge(payment),
            objects,
            is_looked_up=payment.transaction_id is None,
        )

    async def resolve(
        self, payment_id: str, business_id: str | None, operator: Operator, request: Request
    ) -> Decided:
        """Give a payment the outcome that an operator decides, with all that follows from it.

        Raises:
            Refusal: PAYMENT_NOT_FOUND, or PAYMENT_STATE: see core.payments.decision_rules.
            InvalidFields: a success without a transaction, or the business is needed.
        """
        if request.resolution is Resolution.SUCCEEDED and request.transaction_id is None:
            raise InvalidFields.of("transaction_id", "is required for a success")
        payment = await self.find(payment_id, business_id)
        async with self._database.read() as transaction:
            if earlier := await self._check(transaction, payment, request):
                return Decided(payment, earlier, is_repeated=True)
        findings = await self.ask(payment, request.transaction_id)
        async with self._database.transaction("payments.resolve") as transaction:
            payment = await self._transitions.lock(transaction, payment)
            if earlier := await self._check(transaction, payment, request):
                return Decided(payment, earlier, is_repeated=True)
            return await self._resolve(transaction, payment, operator, request, findings)

    async def retry(self, payment_id: str, business_id: str | None, operator: Operator) -> Decided:
        """Have the gateway asked about a payment now, also one that was set aside.

        An open payment is made due, and the next look resolves it. Of any other one the gateway is
        asked here, and what it says is applied.

        Raises:
            Refusal: PAYMENT_NOT_FOUND, or PAYMENT_STATE while a core charges it.
            InvalidFields: the business is needed.
        """
        payment = await self.find(payment_id, business_id)
        began_at = await self._now()
        findings = () if payment.status == "pending" else await self.ask(payment)
        async with self._database.transaction("payments.retry") as transaction:
            payment = await self._transitions.lock(transaction, payment)
            if problem := lease_problem(payment, transaction.now):
                raise not_allowed(problem)
            decision = _decision(transaction, payment, operator, Action.RETRY, findings)
            await decision_store.insert_decision(transaction, decision)
            key = (payment.business_id, payment.payment_id)
            await decision_store.look_now(transaction, PAYMENTS, key)
            await self._apply(transaction, payment, findings, began_at)
            return Decided(await _reread(transaction, payment), decision)

    async def history(self, transaction: Transaction, payment: Payment) -> list[Decision]:
        """Return the decisions about a payment, oldest first."""
        return await decision_store.decisions_about(
            transaction,
            business_id=payment.business_id,
            subject=Subject.PAYMENT,
            subject_id=payment.payment_id,
        )

    async def _check(
        self, transaction: Transaction, payment: Payment, request: Request
    ) -> Decision | None:
        """Return the decision that this one repeats, or None if it may be made.

        Raises:
            Refusal: PAYMENT_STATE.
        """
        last = last_resolution(await self.history(transaction, payment))
        if is_repeated(payment, last, request.resolution, request.transaction_id):
            return last
        problem = state_problem(
            payment,
            last,
            request.resolution,
            request.transaction_id,
            known=known_to_gateway(payment, await _events_of(transaction, payment))[0],
            now=transaction.now,
        )
        if problem:
            raise not_allowed(problem)
        return None

    async def _resolve(
        self,
        transaction: Transaction,
        payment: Payment,
        operator: Operator,
        request: Request,
        findings: tuple[Finding, ...],
    ) -> Decided:
        """Record the decision and write the outcome of a locked payment.

        Raises:
            Refusal: PAYMENT_STATE.
        """
        is_forced = await self._check_evidence(transaction, payment, request, findings)
        await _check_unused(transaction, payment, request.transaction_id)
        known, _ = known_to_gateway(payment, await _events_of(transaction, payment))
        outcome = outcome_of(request.resolution, request.transaction_id or known, findings)
        decision = replace(
            _decision(transaction, payment, operator, Action.RESOLVE, findings),
            resolution=request.resolution,
            transaction_id=request.transaction_id,
            is_forced=is_forced,
        )
        await decision_store.insert_decision(transaction, decision)
        if isinstance(outcome, Declined) and known is not None:
            # The gateway's events so far say otherwise; from now on only later ones count.
            fact = Fact(FactKind.FAILED, decline_code=outcome.decline_code, message=outcome.message)
            await event_store.insert_read(
                transaction,
                replace(payment, transaction_id=known),
                fact,
                began_at=transaction.now,
                kind=event_store.DECISION,
            )
        await self._write(transaction, payment, outcome)
        _log_resolution(payment, decision)
        return Decided(await _reread(transaction, payment), decision)

    async def _check_evidence(
        self,
        transaction: Transaction,
        payment: Payment,
        request: Request,
        findings: tuple[Finding, ...],
    ) -> bool:
        """Return whether the decision is forced: made against what the gateway says.

        Raises:
            Refusal: PAYMENT_STATE if it is not forced, or may not be.
        """
        problem = evidence_problem(
            payment,
            request.resolution,
            request.transaction_id,
            findings,
            now=transaction.now,
            settle_time=self._settle_time,
        )
        if problem is None:
            return False
        can_force = may_force(payment, last_resolution(await self.history(transaction, payment)))
        if not (request.force and can_force):
            raise not_allowed(problem, can_force=can_force)
        return True

    async def _apply(
        self,
        transaction: Transaction,
        payment: Payment,
        findings: tuple[Finding, ...],
        began_at: datetime,
    ) -> None:
        """Apply what the gateway says of a locked payment; of a pending one it was not asked."""
        if payment.transaction_id is not None:
            facts = [
                each.fact
                for each in findings
                if each.fact is not None
                and (each.object != ObjectKind.PAYMENT or each.object_id == payment.transaction_id)
            ]
            await self._transitions.apply_reads(transaction, payment, facts, began_at=began_at)
            return
        outcome = conclusive_outcome(payment, findings)
        if outcome is not None:
            await self._write(transaction, payment, outcome)

    async def _write(
        self, transaction: Transaction, payment: Payment, outcome: ChargeOutcome
    ) -> None:
        """Write an outcome, and then what the events since say."""
        update = rules.payment_update(outcome)
        assert update.transaction_id or not payment.transaction_id, (
            "a payment keeps its transaction"
        )
        written, _ = await self._transitions.write_outcome(transaction, payment, outcome, update)
        await self._transitions.apply_events(transaction, written)

    async def _now(self) -> datetime:
        async with self._database.read() as transaction:
            return transaction.now


async def _events_of(transaction: Transaction, payment: Payment) -> list[RecordedEvent]:
    return await event_store.events_of(
        transaction,
        Source(payment.business_id, payment.gateway, payment.env),
        payment_id=payment.payment_id,
        transaction_id=payment.transaction_id,
    )


async def _check_unused(
    transaction: Transaction, payment: Payment, transaction_id: str | None
) -> None:
    """Check that no other payment has this transaction; it would be counted twice.

    Raises:
        Refusal: PAYMENT_STATE.
    """
    other = await store.find_payment(
        transaction,
        business_id=payment.business_id,
        gateway=payment.gateway,
        env=payment.env,
        payment_id=None,
        transaction_id=transaction_id,
    )
    if other is not None and other.payment_id != payment.payment_id:
        raise not_allowed(f"{transaction_id} is the transaction of {other.payment_id}.")


def _decision(
    transaction: Transaction,
    payment: Payment,
    operator: Operator,
    action: Action,
    findings: Sequence[Finding],
) -> Decision:
    """Return a new decision about a locked payment."""
    return Decision(
        business_id=payment.business_id,
        decision_id=new_decision_id(),
        subject=Subject.PAYMENT,
        subject_id=payment.payment_id,
        action=action,
        decided_by=operator.name,
        reason=operator.reason,
        decided_at=transaction.now,
        previous_status=payment.status,
        findings=findings,
    )


def _log_resolution(payment: Payment, decision: Decision) -> None:
    extra = {
        "payment_id": payment.payment_id,
        "previous_status": payment.status,
        "status": decision.resolution,
        "decision_id": decision.decision_id,
    }
    if decision.is_forced:
        logger.warning("payment resolved against what its gateway says", extra=extra)
    else:
        logger.info("payment resolved by an operator", extra=extra)


async def _reread(transaction: Transaction, payment: Payment) -> Payment:
    return await store.payment_by_id(
        transaction, business_id=payment.business_id, payment_id=payment.payment_id
    )


def not_allowed(problem: str, *, can_force: bool = False) -> Refusal:
    """Return the refusal of a decision; one for the evidence only may be forced."""
    metadata = {"can_force": "true"} if can_force else {}
    return Refusal(Reason.ERROR_REASON_PAYMENT_STATE, problem, metadata=metadata)
