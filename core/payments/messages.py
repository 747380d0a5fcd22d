"""Messages of payments and responses to charges, for the servicer and for stored answers."""

from core.errors import is_outcome
from core.gateways.gateway import ChargeOutcome
from core.idempotency.call import Answer
from core.messages import enum_value, env_value, gateway_value, timestamp
from core.money import Amount, money_message
from core.payments import rules
from core.payments.in_flight import ChargeResult
from core.payments.store import Payment
from core.wallet.messages import wallet_message
from nivisco.payments.v1 import payments_pb2 as pb


def payment_message(payment: Payment) -> pb.Payment:
    """Return the message of a payment."""
    refunded = Amount(payment.amount_refunded_minor, payment.currency)
    return pb.Payment(
        payment_id=payment.payment_id,
        kind=enum_value(pb.PaymentKind, payment.kind),
        user_id=payment.user_id,
        env=env_value(payment.env),
        gateway=gateway_value(payment.gateway),
        transaction_id=payment.transaction_id,
        amount=money_message(Amount(payment.amount_minor, payment.currency)),
        status=enum_value(pb.PaymentStatus, payment.status),
        decline_code=payment.decline_code,
        amount_refunded=money_message(refunded) if refunded.minor else None,
        description=payment.description,
        created_at=timestamp(payment.created_at),
        updated_at=timestamp(payment.updated_at),
    )


def charge_response(charged: ChargeResult) -> pb.ChargeCustomerResponse:
    """Return the response to a charge that succeeded."""
    payment = charged.payment
    return pb.ChargeCustomerResponse(
        transaction_id=charged.transaction_id,
        amount=money_message(Amount(payment.amount_minor, payment.currency)),
        status=pb.PAYMENT_STATUS_SUCCEEDED,
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


def success_answer(charged: ChargeResult) -> Answer:
    """Return the answer to store for a charge that succeeded."""
    if charged.payment.kind == "fund":
        return Answer.response(fund_response(charged))
    return Answer.response(charge_response(charged))


def refusal_answer(outcome: ChargeOutcome) -> Answer | None:
    """Return the answer to store for a charge without success; None if it may be tried again."""
    refusal = rules.refusal_of(outcome, "")
    return Answer.refusal(refusal) if is_outcome(refusal) else None
