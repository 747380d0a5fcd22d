"""Maps Authorize.Net's responses about transactions to outcomes and errors. No I/O.

The gateway's messages quote keys, ids and settings: none of them leaves this file.
"""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Final, assert_never

from core.gateways.authorize.codes import (
    REFUND_REFUSALS,
    STATUSES,
    UNCLEAR,
    Meaning,
    Reading,
    reading_of_call,
    reading_of_transaction,
)
from core.gateways.authorize.requests import AUTHORIZATION, decimal_of, transaction_type
from core.gateways.authorize.xml import (
    Answer,
    Failure,
    code_of,
    id_of,
)
from core.gateways.events import Fact, FactKind
from core.gateways.gateway import (
    Account,
    Authorized,
    CardDeclined,
    ChargeOutcome,
    CustomerMissing,
    Declined,
    GatewayCharge,
    GatewayError,
    GatewayRefund,
    GatewayRefused,
    GatewayUnavailable,
    GatewayUnknown,
    HeldForReview,
    NotSent,
    RefundOutcome,
    RefundRefused,
    Refused,
    Succeeded,
    Unknown,
)

_log = logging.getLogger(__name__)

UNCLEAR_CHARGE: Final = (
    "Authorize.Net gave no clear answer. The charge may or may not have been made."
)
UNCLEAR_REFUND: Final = (
    "Authorize.Net gave no clear answer. The refund may or may not have been made."
)
NO_CLEAR_ANSWER: Final = "Authorize.Net gave no clear answer."


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The transaction exists already; `transaction_id` is its id, if the answer has it."""

    transaction_id: str | None


def outcome_of_charge(
    answer: Answer | Failure, account: Account, charge: GatewayCharge
) -> ChargeOutcome | Duplicate:
    """Return the outcome of a charge; an answer counts only if it is clearly of this charge."""
    if isinstance(answer, Failure):
        return _outcome_of_failure(answer)
    for response in answer.all("transactionResponse"):
        if not response.text("responseCode"):
            break
        return _outcome_of_response(answer, response, account, charge)
    if answer.is_ok:
        return Unknown(UNCLEAR_CHARGE)
    return _outcome_of_reading(reading_of_call(answer.code), answer.code, account, None)


def _outcome_of_response(
    answer: Answer, response: Answer, account: Account, charge: GatewayCharge
) -> ChargeOutcome | Duplicate:
    if differing := _disagreements(answer, response, charge):
        _log.error(
            "answer differs from the charge, outcome stays unknown: look for the invoice in the "
            "merchant interface",
            extra={"payment_id": charge.payment_id, "differences": differing},
        )
        return Unknown("Authorize.Net's answer differs from the charge.")
    reason = code_of(response.text("errors/error/errorCode"))
    reason = reason or code_of(response.text("messages/message/code"))
    reading = reading_of_transaction(response.text("responseCode"), reason)
    transaction_id = id_of(response.text("transId"))
    if reading.meaning is Meaning.DUPLICATE:
        return Duplicate(transaction_id or id_of(response.text("refTransID")))
    is_real = response.text("testRequest") in ("", "0")
    if response.text("testRequest") == "1" and transaction_id is None:
        reading = reading_of_call("E00009")  # in Test Mode nothing is stored
    elif not is_real or (reading.meaning is Meaning.APPROVED and not answer.is_ok):
        reading = UNCLEAR
    if reading.meaning is Meaning.APPROVED and not charge.is_captured:
        reading = Reading(Meaning.AUTHORIZED)
    return _outcome_of_reading(reading, reason, account, transaction_id)


def outcome_of_refund(
    answer: Answer | Failure, account: Account, refund: GatewayRefund
) -> RefundOutcome | Duplicate:
    """Return the outcome of a refund; an answer counts only if it is clearly of this refund."""
    match answer:
        case Failure.NOT_CONNECTED | Failure.THROTTLED:
            return NotSent("Authorize.Net cannot be reached. Nothing was refunded.")
        case Failure.LOST:
            return Unknown(UNCLEAR_REFUND)
    for response in answer.all("transactionResponse"):
        reason = code_of(response.text("errors/error/errorCode"))
        reading = reading_of_transaction(response.text("responseCode"), reason)
        transaction_id = id_of(response.text("transId"))
        if reading.meaning is Meaning.DUPLICATE:
            return Duplicate(transaction_id)
        is_ours = answer.text("refId") == refund.refund_id
        is_real = response.text("testRequest") in ("", "0")
        if reading.meaning is not Meaning.APPROVED:
            return _refused_refund(reading, reason, account)
        if not (answer.is_ok and is_ours and is_real and transaction_id):
            return Unknown(UNCLEAR_REFUND)
        return Fact(FactKind.REFUND, refund.amount.minor, object_id=transaction_id)
    if answer.is_ok:
        return Unknown(UNCLEAR_REFUND)
    return _refused_refund(reading_of_call(answer.code), answer.code, account)


def _refused_refund(reading: Reading, code: str, account: Account) -> RefundOutcome:
    if code in REFUND_REFUSALS:
        word, why = REFUND_REFUSALS[code]
        return RefundRefused(word, f"Authorize.Net refused the refund. {why}")
    match reading.meaning:
        case Meaning.DECLINED:
            return RefundRefused(reading.decline_code, "Authorize.Net declined the refund.")
        case Meaning.REFUSED:
            return Refused(reading.message.format(env=account.env, code=code))
        case Meaning.MISSING:
            return RefundRefused("not_refundable", "Authorize.Net has no such payment.")
        case Meaning.BUSY:
            return NotSent("Authorize.Net is too busy or in maintenance. Nothing was refunded.")
        case (
            Meaning.APPROVED
            | Meaning.AUTHORIZED
            | Meaning.HELD
            | Meaning.DUPLICATE
            | Meaning.UNCLEAR
        ):
            return Unknown(UNCLEAR_REFUND)
        case _:
            assert_never(reading.meaning)


def _disagreements(answer: Answer, response: Answer, charge: GatewayCharge) -> list[str]:
    """Return the names of the fields in which an answer differs from the charge."""
    shown = {
        "refId": answer.text("refId"),
        "customer": response.text("profile/customerProfileId") or charge.customer_id,
        "card": response.text("profile/customerPaymentProfileId") or charge.gateway_card_id,
    }
    expected = {
        "refId": charge.payment_id,
        "customer": charge.customer_id,
        "card": charge.gateway_card_id,
    }
    differing = [name for name, value in expected.items() if shown[name] != value]
    approved = response.text("prePaidCard/approvedAmount")
    if approved and _decimal(approved) != decimal_of(charge.amount):
        differing.append("amount")
    return differing


def _decimal(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def _outcome_of_reading(
    reading: Reading, code: str, account: Account, transaction_id: str | None
) -> ChargeOutcome:
    message = reading.message.format(env=account.env, code=code)
    match reading.meaning:
        case Meaning.APPROVED if transaction_id:
            return Succeeded(transaction_id)
        case Meaning.AUTHORIZED if transaction_id:
            return Authorized(transaction_id)
        case Meaning.HELD if transaction_id:
            return HeldForReview(transaction_id)
        case Meaning.DECLINED:
            return Declined(transaction_id, reading.decline_code, message)
        case Meaning.REFUSED:
            return Refused(message, reading.field)
        case Meaning.MISSING:
            return Refused("Authorize.Net has no such card under these keys. Save the card again.")
        case Meaning.BUSY:
            return NotSent("Authorize.Net is too busy or in maintenance. Nothing was charged.")
        case (
            Meaning.APPROVED
            | Meaning.AUTHORIZED
            | Meaning.HELD
            | Meaning.DUPLICATE
            | Meaning.UNCLEAR
        ):
            return Unknown(UNCLEAR_CHARGE)
        case _:
            assert_never(reading.meaning)


def _outcome_of_failure(failure: Failure) -> ChargeOutcome:
    match failure:
        case Failure.NOT_CONNECTED:
            return NotSent("Authorize.Net cannot be reached. Nothing was charged.")
        case Failure.THROTTLED:
            return NotSent("Authorize.Net is too busy for this account. Nothing was charged.")
        case Failure.LOST:
            return Unknown(UNCLEAR_CHARGE)
        case _:
            assert_never(failure)


@dataclass(frozen=True, slots=True)
class Transaction:
    """Details of a transaction. `status` is of the schema's transactionStatusEnum."""

    transaction_id: str
    type: str
    status: str
    submitted_at: datetime
    invoice_number: str
    customer_id: str
    """Empty if the gateway shows no profile."""
    authorized: Decimal | None
    settling: Decimal | None
    response_code: str
    reason_code: str
    reference_id: str = ""
    """Of a refund: the transaction that it refunds."""
    card_number: str = ""
    """The card's number, masked but for the last four digits."""


def transaction_of(answer: Answer | Failure, account: Account) -> Transaction:
    """Return the details of a transaction.

    Raises:
        GatewayError: GatewayRefused, GatewayUnavailable or GatewayUnknown.
    """
    for details in ok_answer(answer, account).all("transaction"):
        transaction_id = id_of(details.text("transId"))
        submitted_at = _moment(details.text("submitTimeUTC"))
        if transaction_id is None or submitted_at is None:
            break
        return Transaction(
            transaction_id=transaction_id,
            type=details.text("transactionType"),
            status=details.text("transactionStatus"),
            submitted_at=submitted_at,
            invoice_number=details.text("order/invoiceNumber"),
            customer_id=details.text("profile/customerProfileId"),
            authorized=_decimal(details.text("authAmount")),
            settling=_decimal(details.text("settleAmount")),
            response_code=details.text("responseCode"),
            reason_code=details.text("responseReasonCode"),
            reference_id=details.text("refTransId"),
            card_number=details.text("payment/creditCard/cardNumber"),
        )
    raise GatewayUnknown(NO_CLEAR_ANSWER)


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def outcome_of_transaction(
    transaction: Transaction, account: Account, charge: GatewayCharge
) -> ChargeOutcome:
    """Return the outcome that a transaction shows, if it is of this charge."""
    reading = reading_of_status(transaction)
    amount = decimal_of(charge.amount)
    shown = {
        "type": transaction.type,
        "invoice number": transaction.invoice_number,
        "customer": transaction.customer_id or charge.customer_id,
        "amount": transaction.authorized,
    }
    expected = {
        "type": transaction_type(charge),
        "invoice number": charge.payment_id,
        "customer": charge.customer_id,
        "amount": amount,
    }
    differing = [name for name, value in expected.items() if shown[name] != value]
    if reading.meaning is Meaning.APPROVED:
        if not charge.is_captured:  # captured since: the next look at it shows that
            reading = Reading(Meaning.AUTHORIZED)
        elif transaction.settling != amount:
            differing.append("settled amount")
    if differing:
        _log.error(
            "transaction differs from the charge, outcome stays unknown: compare them in the "
            "merchant interface",
            extra={
                "payment_id": charge.payment_id,
                "transaction_id": transaction.transaction_id,
                "differences": differing,
            },
        )
        return Unknown("Authorize.Net's transaction differs from the charge.")
    return _outcome_of_reading(reading, "", account, transaction.transaction_id)


def reading_of_status(transaction: Transaction) -> Reading:
    """Return the meaning of a charge's status; the reason of a decline is that of its codes."""
    reading = STATUSES.get(transaction.status, UNCLEAR)
    if transaction.status == "declined":
        decline = reading_of_transaction(transaction.response_code, transaction.reason_code)
        return decline if decline.meaning is Meaning.DECLINED else reading
    if reading.meaning is Meaning.AUTHORIZED and transaction.type != AUTHORIZATION:
        return UNCLEAR  # it is to be captured without us
    return reading


@dataclass(frozen=True, slots=True)
class Listed:
    """A transaction in a list. `submitted_at` is None if the list does not show it."""

    transaction_id: str
    invoice_number: str
    submitted_at: datetime | None


def listed_transactions(answer: Answer | Failure, account: Account) -> list[Listed]:
    """Return the transactions of a page.

    Raises:
        GatewayError: GatewayRefused, CustomerMissing, GatewayUnavailable or GatewayUnknown.
    """
    page = ok_answer(answer, account)
    return [
        Listed(
            shown.text("transId"), shown.text("invoiceNumber"), _moment(shown.text("submitTimeUTC"))
        )
        for shown in page.all("transactions/transaction")
    ]


def ok_answer(answer: Answer | Failure, account: Account) -> Answer:
    """Return the answer of a call that succeeded.

    Raises:
        GatewayError: it failed, or may have failed.
    """
    match answer:
        case Failure.NOT_CONNECTED:
            raise GatewayUnavailable("Authorize.Net cannot be reached. Nothing was done.")
        case Failure.THROTTLED:
            raise GatewayUnavailable(
                "Authorize.Net is too busy for this account. Nothing was done."
            )
        case Failure.LOST:
            raise GatewayUnknown(NO_CLEAR_ANSWER)
        case Answer(is_ok=True):
            return answer
        case _:
            raise error_of(reading_of_call(answer.code), answer.code, account)


def error_of(reading: Reading, code: str, account: Account) -> GatewayError:
    """Return the error of a call other than a charge."""
    message = reading.message.format(env=account.env, code=code)
    match reading.meaning:
        case Meaning.DECLINED:
            return CardDeclined(message, reading.decline_code)
        case Meaning.REFUSED:
            return GatewayRefused(message, reading.field)
        case Meaning.MISSING:
            return CustomerMissing("Authorize.Net has no such record under these keys.")
        case Meaning.BUSY:
            return GatewayUnavailable("Authorize.Net is too busy or in maintenance.")
        case (
            Meaning.APPROVED
            | Meaning.AUTHORIZED
            | Meaning.HELD
            | Meaning.DUPLICATE
            | Meaning.UNCLEAR
        ):
            return GatewayUnknown(NO_CLEAR_ANSWER)
        case _:
            assert_never(reading.meaning)


def check_captured(answer: Answer | Failure, account: Account) -> None:
    """Check the answer to a capture, which captured the amount that was sent.

    Raises:
        GatewayError: GatewayRefused if it captured nothing, also if the transaction was captured
            before, whatever the amount; or any other.
    """
    if isinstance(answer, Failure):
        ok_answer(answer, account)
        return
    for response in answer.all("transactionResponse"):
        reason = code_of(response.text("errors/error/errorCode"))
        reason = reason or code_of(response.text("messages/message/code"))
        meaning = reading_of_transaction(response.text("responseCode"), reason).meaning
        if meaning is Meaning.BUSY:
            raise GatewayUnavailable("Authorize.Net is too busy or in maintenance.")
        is_real = answer.is_ok and response.text("testRequest") in ("", "0")
        if meaning is Meaning.APPROVED and is_real and reason != _CAPTURED_BEFORE:
            return
        if meaning is Meaning.UNCLEAR or (meaning is Meaning.APPROVED and not is_real):
            raise GatewayUnknown(NO_CLEAR_ANSWER)
        raise GatewayRefused(f"Authorize.Net does not capture the transaction (reason {reason}).")
    ok_answer(answer, account)
    raise GatewayUnknown(NO_CLEAR_ANSWER)


_CAPTURED_BEFORE: Final = "311"
"""Reason of an approved answer: https://developer.authorize.net/api/reference/responseCodes.html"""


def check_voided(answer: Answer | Failure, account: Account) -> None:
    """Check the answer to a void; the transaction may have been voided before.

    Raises:
        GatewayError: GatewayRefused if it cannot be voided any more, or any other.
    """
    if isinstance(answer, Failure):
        ok_answer(answer, account)
        return
    for response in answer.all("transactionResponse"):
        reason = code_of(response.text("errors/error/errorCode"))
        meaning = reading_of_transaction(response.text("responseCode"), reason).meaning
        if reason == "310" or (meaning is Meaning.APPROVED and answer.is_ok):
            return  # 310: voided before
        if meaning in (Meaning.APPROVED, Meaning.UNCLEAR, Meaning.BUSY):
            raise GatewayUnknown(NO_CLEAR_ANSWER)
        raise GatewayRefused(
            f"Authorize.Net does not void the transaction (reason {reason}): it is settled, or "
            "not known under these keys. A settled one can be refunded."
        )
    ok_answer(answer, account)
    raise GatewayUnknown(NO_CLEAR_ANSWER)
