"""Messages of payments and responses to charges, for the servicer and for stored answers."""

from google.type.money_pb2 import Money

from core.cards.servicer import card_message
from core.errors import is_outcome
from core.gateways.events import FactKind
from core.gateways.gateway import ChargeOutcome
from core.idempotency.call import Answer
from core.messages import enum_value, env_value, gateway_value, timestamp
from core.metadata import metadata_of
from core.money import Amount, money_message, stored_exponent
from core.payments import rules
from core.payments.event_rules import CHARGED, RecordedEvent
from core.payments.history_rules import Change, ObjectHistory
from core.payments.in_flight import ChargeResult
from core.payments.lookup import PaymentDetails
from core.payments.store import Payment
from core.refunds.messages import refund_message
from core.wallet.messages import wallet_message
from nivisco.payments.v1 import payments_pb2 as pb


def payment_message(payment: Payment) -> pb.Payment:
    """Return the message of a payment."""
    refunded = Amount(payment.amount_refunded_minor, payment.currency)
    void_reason = payment.void_reason if payment.status == "voided" else None
    return pb.Payment(
        payment_id=payment.payment_id,
        kind=enum_value(pb.PaymentKind, payment.kind),
        user_id=payment.user_id,
        env=env_value(payment.env),
        gateway=gateway_value(payment.gateway),
        transaction_id=payment.transaction_id,
        amount=money_message(Amount(payment.requested_minor, payment.currency)),
        amount_captured=(
            money_message(Amount(payment.amount_minor, payment.currency))
            if payment.status in CHARGED
            else None
        ),
        status=enum_value(pb.PaymentStatus, payment.status),
        decline_code=payment.decline_code,
        amount_refunded=money_message(refunded) if refunded.minor else None,
        description=payment.description,
        created_at=timestamp(payment.created_at),
        updated_at=timestamp(payment.updated_at),
        metadata=metadata_of(payment.metadata),
        void_reason=enum_value(pb.VoidReason, void_reason or "unspecified"),
    )


def charge_response(charged: ChargeResult) -> pb.ChargeCustomerResponse:
    """Return the response to a charge that succeeded: the amount was charged, or authorized."""
    payment = charged.payment
    is_charged = payment.authorized_minor is None
    return pb.ChargeCustomerResponse(
        transaction_id=charged.transaction_id,
        amount=money_message(Amount(payment.requested_minor, payment.currency)),
        status=pb.PAYMENT_STATUS_SUCCEEDED if is_charged else pb.PAYMENT_STATUS_AUTHORIZED,
        payment_id=payment.payment_id,
        env=env_value(payment.env),
        gateway=gateway_value(payment.gateway),
    )


def fund_response(charged: ChargeResult) -> pb.FundCustomerResponse:
    """Return the response to a funding that succeeded."""
    assert charged.wallet is not None, "a funding has a wallet"
    payment = charged.payment
    return pb.FundCustomerResponse(
        transaction_id=charged.transaction_id,
        wallet=wallet_message(charged.wallet),
        payment_id=payment.payment_id,
        env=env_value(payment.env),
        gateway=gateway_value(payment.gateway),
        amount=money_message(Amount(payment.amount_minor, payment.currency)),
        status=pb.PAYMENT_STATUS_SUCCEEDED,
    )


def capture_response(payment: Payment) -> pb.CapturePaymentResponse:
    """Return the response to the capture of a payment."""
    return pb.CapturePaymentResponse(payment=payment_message(payment))


def void_response(payment: Payment) -> pb.VoidPaymentResponse:
    """Return the response to the void of a payment."""
    return pb.VoidPaymentResponse(payment=payment_message(payment))


def closed_answer(payment: Payment) -> Answer:
    """Return the answer to store for a payment that was captured or voided as requested."""
    if payment.closing == "capture":
        return Answer.response(capture_response(payment))
    return Answer.response(void_response(payment))


def success_answer(charged: ChargeResult) -> Answer:
    """Return the answer to store for a charge that succeeded."""
    if charged.payment.kind == "fund":
        return Answer.response(fund_response(charged))
    return Answer.response(charge_response(charged))


def refusal_answer(outcome: ChargeOutcome) -> Answer | None:
    """Return the answer to store for a charge without success; None if it may be tried again."""
    refusal = rules.refusal_of(outcome, "")
    return Answer.refusal(refusal) if is_outcome(refusal) else None


def payment_details_response(found: PaymentDetails) -> pb.GetPaymentResponse:
    """Return the response with all that is known about a payment."""
    currency = found.payment.currency
    return pb.GetPaymentResponse(
        payment=payment_message(found.payment),
        card=card_message(found.card) if found.card else None,
        gateway_refunds=[_gateway_refund(each, currency) for each in found.gateway_refunds],
        disputes=[_dispute(each, currency) for each in found.disputes],
        history=[_change(each, currency) for each in found.history],
        refunds=[refund_message(each) for each in found.refunds],
    )


def _gateway_refund(refund: ObjectHistory, currency: str) -> pb.GatewayRefund:
    has_failed = refund.present.fact.kind is FactKind.REFUND_FAILED
    return pb.GatewayRefund(
        gateway_refund_id=refund.present.fact.object_id,
        amount=_amount_told(refund.present, currency),
        status=pb.GATEWAY_REFUND_STATUS_FAILED if has_failed else pb.GATEWAY_REFUND_STATUS_ACCEPTED,
        created_at=timestamp(refund.first.occurred_at),
        updated_at=timestamp(refund.present.occurred_at),
    )


def _dispute(dispute: ObjectHistory, currency: str) -> pb.Dispute:
    fact = dispute.present.fact
    if fact.kind is FactKind.DISPUTED:
        status = pb.DISPUTE_STATUS_OPEN
    else:
        status = pb.DISPUTE_STATUS_LOST if fact.is_lost else pb.DISPUTE_STATUS_WON
    return pb.Dispute(
        dispute_id=fact.object_id,
        amount=_amount_told(dispute.present, currency),
        status=status,
        created_at=timestamp(dispute.first.occurred_at),
        updated_at=timestamp(dispute.present.occurred_at),
    )


def _amount_told(event: RecordedEvent, currency: str) -> Money | None:
    """Return the amount of an event, in the payment's currency unless it names another."""
    minor, told_currency = event.fact.amount_minor, event.fact.currency or currency
    if minor is None or stored_exponent(told_currency) is None:
        return None
    return money_message(Amount(minor, told_currency))


def _change(change: Change, currency: str) -> pb.PaymentChange:
    event = change.event
    is_sent = event is not None and not event.is_read
    return pb.PaymentChange(
        status=enum_value(pb.PaymentStatus, change.status),
        amount_refunded=money_message(Amount(change.amount_refunded_minor, currency)),
        since=timestamp(change.since),
        source=enum_value(pb.PaymentSource, change.source.value),
        event_id=event.event_id if event and is_sent else None,
        occurred_at=timestamp(event.occurred_at) if event and is_sent else None,
    )
