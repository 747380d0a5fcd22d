"""What the caller of a charge is answered, as messages; for the servicer and for the record."""

from google.protobuf.message import Message

from core.gateways.gateway import ChargeOutcome, Succeeded
from core.idempotency.call import Answer, is_kept
from core.money import Amount, money_message
from core.payments import rules
from core.payments.in_flight import ChargeResult
from nivisco.payments.v1 import payments_pb2 as pb
from nivisco.payments.v1 import wallet_pb2


def charge_response(charged: ChargeResult) -> pb.ChargeCustomerResponse:
    """Return the response to a charge that succeeded."""
    return pb.ChargeCustomerResponse(
        transaction_id=charged.transaction_id,
        amount=money_message(Amount(charged.amount_minor, charged.currency)),
        status=pb.PAYMENT_STATUS_SUCCEEDED,
    )


def fund_response(charged: ChargeResult) -> pb.FundCustomerResponse:
    """Return the response to a funding that succeeded."""
    assert charged.wallet_id is not None, "a funding has a wallet"
    assert charged.wallet_balance_minor is not None, "a funding has a wallet"
    balance = Amount(charged.wallet_balance_minor, charged.currency)
    return pb.FundCustomerResponse(
        transaction_id=charged.transaction_id,
        wallet=wallet_pb2.Wallet(wallet_id=charged.wallet_id, balance=money_message(balance)),
    )


def kept_answer(kind: str, outcome: ChargeOutcome, charged: ChargeResult | None) -> Answer | None:
    """Return the answer to keep for a payment's outcome, or None where it may be tried again."""
    if isinstance(outcome, Succeeded):
        assert charged is not None, "what succeeded can be told"
        response: Message = charge_response(charged) if kind == "charge" else fund_response(charged)
        return Answer.response(response)
    refusal = rules.refusal_of(outcome, "")
    return Answer.refusal(refusal) if is_kept(refusal) else None
