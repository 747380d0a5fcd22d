"""Messages of refunds, for the servicer and for stored answers."""

from core.idempotency.call import Answer
from core.messages import enum_value, env_value, gateway_value, timestamp
from core.metadata import metadata_of
from core.money import Amount, money_message
from core.refunds import rules
from core.refunds.store import Refund
from nivisco.payments.v1 import refunds_pb2 as pb


def refund_message(refund: Refund) -> pb.Refund:
    """Return the message of a refund."""
    message = pb.Refund(
        refund_id=refund.refund_id,
        payment_id=refund.payment_id,
        user_id=refund.user_id,
        env=env_value(refund.env),
        gateway=gateway_value(refund.gateway),
        amount=money_message(Amount(refund.amount_minor, refund.currency)),
        status=enum_value(pb.RefundStatus, refund.status),
        description=refund.description,
        gateway_refund_id=refund.gateway_refund_id,
        failure_code=refund.failure_code,
        created_at=timestamp(refund.created_at),
        updated_at=timestamp(refund.updated_at),
        metadata=metadata_of(refund.metadata),
    )
    if refund.reason is not None:
        message.reason = enum_value(pb.RefundReason, refund.reason)
    return message


def refund_response(refund: Refund) -> pb.RefundPaymentResponse:
    """Return the response to a request whose refund is made, or pending."""
    return pb.RefundPaymentResponse(refund=refund_message(refund))


def answer_of(refund: Refund) -> Answer:
    """Return the answer to store for a refund that its gateway made, or refused."""
    if refund.is_counted:
        return Answer.response(refund_response(refund))
    code = refund.failure_code or "unknown"
    message = "The gateway did not make the refund, or could not deliver it."
    return Answer.refusal(rules.refused(refund.refund_id, code, message))
