"""What an attempt's payment, refusal or movement of a wallet says of the attempt."""

from core.database.transactions import Transaction
from core.errors import Reason, Refusal
from core.ids import new_wallet_transaction_id
from core.payments.store import Payment
from core.recurring.rules import Outcome, Status
from core.recurring.store import Job, Occurrence
from core.users.service import active_user
from core.wallet import ledger
from core.wallet import store as wallet_store
from core.wallet.batch import refusal_of
from core.wallet.rules import Direction, Movement, MovementRefusal

CHARGED = "Charge completed"
_SUCCESSES = frozenset(
    {"succeeded", "voided", "partially_refunded", "refunded", "disputed"}  # what came after is not
)
_OPEN = frozenset({Reason.ERROR_REASON_GATEWAY_UNAVAILABLE, Reason.ERROR_REASON_OUTCOME_UNKNOWN})


def of_payment(payment: Payment | None, refusal: Refusal | None = None) -> Outcome | None:
    """Return the outcome that a payment's row tells, or None where it tells none yet.

    `refusal` is what the charge was just answered, which has the better words.
    """
    if payment is None:
        return None
    said = refusal.message if refusal else ""
    ids = {"transaction_id": payment.transaction_id, "payment_id": payment.payment_id}
    match payment.status:
        case status if status in _SUCCESSES:
            return Outcome(Status.SUCCEEDED, CHARGED, **ids)
        case "declined" | "held_for_review":
            code = payment.decline_code or payment.status
            message = said or f"The card was declined ({code})."
            return Outcome(Status.DECLINED, message, **ids, decline_code=code)
        case "requires_action":
            message = said or "The customer must authenticate this payment with their bank"
            return Outcome(Status.REQUIRES_ACTION, message, **ids)
        case "needs_review":
            return Outcome(
                Status.FAILED,
                "The gateway never told the outcome of this charge. Look for "
                f"{payment.payment_id} in its dashboard; it is not charged again.",
                **ids,
            )
        case _:
            return None


def is_open(refusal: Refusal | None) -> bool:
    """Tell whether a refusal means that the same charge is to be gone on with later."""
    return refusal is not None and refusal.reason in _OPEN


def of_refusal(refusal: Refusal, payment_id: str | None = None) -> Outcome:
    """Return the outcome of a charge that nothing was sent of, or that the gateway refused."""
    assert not is_open(refusal), "that is no outcome"
    return Outcome(Status.FAILED, refusal.message, payment_id=payment_id)


async def of_wallet(transaction: Transaction, job: Job, occurrence: Occurrence) -> Outcome:
    """Debit the user's wallet and return the outcome, both in the one transaction."""
    try:
        user = await active_user(transaction, job.business_id, job.user_id)
    except Refusal as refusal:
        return of_refusal(refusal)
    wallet = await wallet_store.wallet_of_user(
        transaction,
        business_id=job.business_id,
        user_id=job.user_id,
        env=job.env,
        currency=user.currency,
    )
    if wallet.currency != occurrence.currency:
        message = f"The wallet is in {wallet.currency}, the job in {occurrence.currency}"
        return Outcome(Status.FAILED, message)
    movement = Movement(
        business_id=job.business_id,
        wallet_id=wallet.wallet_id,
        transaction_id=new_wallet_transaction_id(),
        direction=Direction.DEBIT,
        amount_minor=occurrence.amount_minor,
        source="recurring",
        reason="recurring_charge",
        description=occurrence.description,
    )
    (result,) = await ledger.move(transaction, [movement])
    if isinstance(result, MovementRefusal):
        return Outcome(Status.DECLINED, refusal_of(result).message)
    return Outcome(Status.SUCCEEDED, CHARGED, transaction_id=movement.transaction_id)
