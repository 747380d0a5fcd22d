"""Messages of payments and refunds as operators see them, and of their decisions."""

from collections.abc import Sequence
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from core.business.stop_store import Scope, Stop
from core.due_work.store import SetAside
from core.gateways.events import Fact
from core.messages import enum_value, enum_word, env_value, gateway_value, gateway_word, timestamp
from core.money import Amount, money_message, stored_exponent
from core.operator.erasure import Erased
from core.operator.service import Kept, Shown, ShownRefund
from core.operator.store import Cycle, StoredEvent, Work
from core.payments.decision_rules import Decision, Subject
from core.payments.evidence import Finding
from core.payments.messages import payment_message
from core.payments.store import Payment
from core.refunds.messages import refund_message
from core.sealing.service import KeyUse
from core.stops import ALL
from core.users.messages import user_message
from core.wallet.messages import wallet_transaction_message
from nivisco.internal.v1 import operator_pb2 as pb
from nivisco.payments.v1 import payments_pb2, refunds_pb2


def shown_message(shown: Shown) -> pb.ShowPaymentResponse:
    """Return the message of a payment with everything about it."""
    payment = shown.payment
    return pb.ShowPaymentResponse(
        business_id=payment.business_id,
        payment=payment_message(payment),
        work=_work(payment, shown.work),
        events=[_event(each, payment.currency) for each in shown.events],
        wallet_transactions=[
            wallet_transaction_message(each, shown.wallet)
            for each in shown.movements
            if shown.wallet is not None
        ],
        cycle=_cycle(shown.cycle) if shown.cycle else None,
        is_answer_stored=shown.is_answer_stored,
        decisions=[decision_message(each, payment.currency) for each in shown.decisions],
        gateway_findings=_findings(shown.findings, payment.currency),
        asked_at=timestamp(shown.asked_at),
    )


def shown_refund_message(shown: ShownRefund) -> pb.ShowRefundResponse:
    """Return the message of a refund with everything about it."""
    refund, aside, currency = shown.refund, shown.aside, shown.refund.currency
    return pb.ShowRefundResponse(
        business_id=refund.business_id,
        refund=refund_message(refund),
        payment=payment_message(shown.payment),
        work=pb.RefundWork(
            attempt=refund.attempt,
            leased_until=_moment(refund.leased_until),
            look_at=_moment(refund.look_at),
            looks=refund.checks,
            sent_at=timestamp(refund.sent_at),
            set_aside_at=_moment(aside.since) if aside else None,
            set_aside_error=aside.error if aside else None,
            idempotency_key=refund.idempotency_key,
            gateway_key=refund.gateway_key,
        ),
        events=[_event(each, currency) for each in shown.events],
        wallet_transactions=[
            wallet_transaction_message(each, shown.wallet)
            for each in shown.movements
            if shown.wallet is not None
        ],
        is_answer_stored=shown.is_answer_stored,
        decisions=[decision_message(each, currency) for each in shown.decisions],
        gateway_findings=_findings(shown.findings, currency),
        asked_at=timestamp(shown.asked_at),
    )


def decision_message(decision: Decision, currency: str) -> pb.Decision:
    """Return the message of a decision; amounts without a currency are in the payment's."""
    message = pb.Decision(
        decision_id=decision.decision_id,
        action=decision.action.value,
        transaction_id=decision.transaction_id,
        is_forced=decision.is_forced,
        decided_by=decision.decided_by,
        reason=decision.reason,
        decided_at=timestamp(decision.decided_at),
        gateway_findings=_findings(decision.findings, currency),
    )
    resolution, status = decision.resolution, decision.previous_status
    if decision.subject is Subject.REFUND:
        if resolution is not None:
            message.refund_resolution = enum_value(pb.RefundResolution, resolution.value)
        if status is not None:
            message.previous_refund_status = enum_value(refunds_pb2.RefundStatus, status)
        return message
    if resolution is not None:
        message.resolution = enum_value(pb.PaymentResolution, resolution.value)
    if status is not None:
        message.previous_status = enum_value(payments_pb2.PaymentStatus, status)
    return message


def set_aside_message(row: SetAside) -> pb.SetAside:
    """Return the message of a row that is set aside."""
    return pb.SetAside(
        kind=enum_value(pb.DueKind, row.kind),
        business_id=row.business_id,
        id=row.id,
        error=row.error,
        set_aside_at=timestamp(row.since),
    )


def kept_message(kept: Kept) -> pb.Kept:
    """Return the message of what is kept for some time."""
    return pb.Kept(
        kind=kept.kind,
        days=kept.days,
        due_count=kept.due_count,
        oldest=timestamp(kept.oldest) if kept.oldest else None,
    )


def erased_message(erased: Erased) -> pb.EraseUserResponse:
    """Return the message of a user after the erasure."""
    return pb.EraseUserResponse(
        user=user_message(erased.user),
        decision=decision_message(erased.decision, erased.user.currency),
        cleared=erased.cleared,
        gateway_customers=[
            pb.GatewayCustomer(
                gateway=gateway_value(each.gateway),
                env=env_value(each.env),
                customer_id=each.customer_id,
            )
            for each in erased.customers
        ],
    )


def _work(payment: Payment, work: Work) -> pb.PaymentWork:
    return pb.PaymentWork(
        attempt=work.attempt,
        leased_until=_moment(work.leased_until),
        look_at=_moment(work.look_at),
        looks=work.checks,
        sent_at=timestamp(work.sent_at or payment.created_at),
        set_aside_at=_moment(work.set_aside_at),
        set_aside_error=work.set_aside_error,
        answered=payment.answered,
        idempotency_key=payment.idempotency_key,
        gateway_key=payment.gateway_key,
        customer_id=payment.customer_id,
    )


def _cycle(cycle: Cycle) -> pb.PaymentCycle:
    return pb.PaymentCycle(
        recurring_id=cycle.recurring_id,
        occurrence_at=timestamp(cycle.occurrence_at),
        attempt=cycle.attempt,
        status=cycle.status,
        job_status=cycle.job_status,
        executed_cycles=cycle.executed_cycles,
    )


def _event(event: StoredEvent, currency: str) -> pb.PaymentEvent:
    return pb.PaymentEvent(
        event_id=event.event_id,
        type=event.type,
        fact=_fact(event.fact, currency) if event.fact else None,
        state=event.state,
        transaction_id=event.transaction_id,
        occurred_at=timestamp(event.occurred_at),
        received_at=timestamp(event.received_at),
    )


def _findings(findings: Sequence[Finding], currency: str) -> list[pb.GatewayFinding]:
    return [
        pb.GatewayFinding(
            object=each.object,
            object_id=each.object_id,
            fact=_fact(each.fact, currency) if each.fact else None,
            answer=each.answer,
            is_answered=each.is_answered,
        )
        for each in findings
    ]


def _fact(fact: Fact, currency: str) -> pb.GatewayFact:
    """Return the message of a fact; the gateway's message to the cardholder is left out."""
    amount = None
    code = fact.currency or currency
    if fact.amount_minor is not None and stored_exponent(code) is not None:
        amount = money_message(Amount(fact.amount_minor, code))
    return pb.GatewayFact(
        kind=fact.kind.value,
        amount=amount,
        object_id=fact.object_id or None,
        decline_code=fact.decline_code,
        is_lost=fact.is_lost,
    )


def _moment(moment: datetime | None) -> Timestamp | None:
    return timestamp(moment) if moment else None


def key_use_message(key_id: str, needed_by: str, use: KeyUse) -> pb.KeyUse:
    """Return the message of what needs a key."""
    return pb.KeyUse(
        key_id=key_id,
        needed_by=needed_by,
        rows=use.rows,
        open_rows=use.open_rows,
        until=_moment(use.until),
        last_at=_moment(use.last_at),
    )


def stop_scope(message: pb.StopScope) -> Scope:
    """Return what a request stops or starts."""
    what = enum_word(pb.Stoppable, message.what)
    assert what is not None, "validation requires it"
    return Scope(message.business_id or ALL, gateway_word(message.gateway) or ALL, what)


def stop_message(stop: Stop) -> pb.Stop:
    """Return the message of a stop."""
    return pb.Stop(
        scope=pb.StopScope(
            what=enum_value(pb.Stoppable, stop.what),
            business_id=None if stop.business_id == ALL else stop.business_id,
            gateway=None if stop.gateway == ALL else gateway_value(stop.gateway),
        ),
        stopped_at=timestamp(stop.stopped_at),
        stopped_by=stop.stopped_by,
        reason=stop.reason,
        ended_at=_moment(stop.ended_at),
    )
