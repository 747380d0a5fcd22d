"""Reads Authorize.Net's answers about transactions into our outcomes. No I/O.

The gateway's own sentences quote keys, ids and settings: none of them leaves this file.
"""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Final, assert_never

from core.gateways.authorize.codes import (
    STATUSES,
    UNCLEAR,
    Meaning,
    Reading,
    reading_of_call,
    reading_of_transaction,
)
from core.gateways.authorize.requests import decimal_of
from core.gateways.authorize.xml import (
    Answer,
    Failure,
    code_of,
    id_of,
)
from core.gateways.gateway import (
    Account,
    CardDeclined,
    ChargeOrder,
    ChargeOutcome,
    CustomerMissing,
    Declined,
    GatewayError,
    GatewayRefused,
    GatewayUnavailable,
    GatewayUnknown,
    HeldForReview,
    NotSent,
    Refused,
    Succeeded,
    Unknown,
)

_log = logging.getLogger(__name__)

UNCLEAR_CHARGE: Final = (
    "Authorize.Net gave no clear answer. The charge may or may not have been made."
)
NO_CLEAR_ANSWER: Final = "Authorize.Net gave no clear answer."


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The transaction was made before; `transaction_id` is its own, where the answer says it."""

    transaction_id: str | None


def outcome_of_charge(
    answer: Answer | Failure, account: Account, order: ChargeOrder
) -> ChargeOutcome | Duplicate:
    """Read the answer to a charge. Only what says clearly that it is of this order counts."""
    if isinstance(answer, Failure):
        return _outcome_of_failure(answer)
    for response in answer.all("transactionResponse"):
        if not response.text("responseCode"):
            break
        return _outcome_of_response(answer, response, account, order)
    if answer.is_ok:
        return Unknown(UNCLEAR_CHARGE)
    return _outcome_of_reading(reading_of_call(answer.code), answer.code, account, None)


def _outcome_of_response(
    answer: Answer, response: Answer, account: Account, order: ChargeOrder
) -> ChargeOutcome | Duplicate:
    if differing := _disagreements(answer, response, order):
        _log.error(
            "Authorize.Net's answer is not of payment %s: it differs in %s. "
            "The outcome stays unknown; look for the invoice in the merchant interface.",
            order.payment_id,
            ", ".join(differing),
        )
        return Unknown("Authorize.Net's answer does not agree with the order.")
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
    return _outcome_of_reading(reading, reason, account, transaction_id)


def _disagreements(answer: Answer, response: Answer, order: ChargeOrder) -> list[str]:
    """Name what differs between a transaction's answer and the order, as far as it says."""
    told = {
        "refId": answer.text("refId"),
        "customer": response.text("profile/customerProfileId") or order.customer_id,
        "card": response.text("profile/customerPaymentProfileId") or order.gateway_card_id,
    }
    ordered = {
        "refId": order.payment_id,
        "customer": order.customer_id,
        "card": order.gateway_card_id,
    }
    differing = [name for name, value in ordered.items() if told[name] != value]
    approved = response.text("prePaidCard/approvedAmount")
    if approved and _decimal(approved) != decimal_of(order.amount):
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
        case Meaning.HELD if transaction_id:
            return HeldForReview(transaction_id)
        case Meaning.DECLINED:
            return Declined(transaction_id, reading.decline_code, message)
        case Meaning.REFUSED:
            return Refused(message, reading.field)
        case Meaning.MISSING:
            return Refused("Authorize.Net has no such customer or card under these keys.")
        case Meaning.BUSY:
            return NotSent("Authorize.Net is too busy or in maintenance. Nothing was charged.")
        case Meaning.APPROVED | Meaning.HELD | Meaning.DUPLICATE | Meaning.UNCLEAR:
            return Unknown(UNCLEAR_CHARGE)
        case _:
            assert_never(reading.meaning)


def _outcome_of_failure(failure: Failure) -> ChargeOutcome:
    match failure:
        case Failure.NOT_CONNECTED:
            return NotSent("Authorize.Net cannot be reached. Nothing was charged.")
        case Failure.TURNED_AWAY:
            return NotSent("Authorize.Net is too busy for this account. Nothing was charged.")
        case Failure.LOST:
            return Unknown(UNCLEAR_CHARGE)
        case _:
            assert_never(failure)


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction as its details show it. `status` is of the schema's transactionStatusEnum."""

    transaction_id: str
    type: str
    status: str
    submitted_at: datetime
    invoice_number: str
    customer_id: str
    """Nothing where the gateway shows no profile."""
    authorized: Decimal | None
    settling: Decimal | None
    response_code: str
    reason_code: str
    reference_id: str = ""
    """Of a refund: the transaction that it refunds."""


def transaction_of(answer: Answer | Failure, account: Account) -> Transaction:
    """Read the details of a transaction.

    Raises:
        GatewayError: GatewayRefused, GatewayUnavailable or GatewayUnknown.
    """
    for shown in answered(answer, account).all("transaction"):
        transaction_id = id_of(shown.text("transId"))
        submitted_at = _moment(shown.text("submitTimeUTC"))
        if transaction_id is None or submitted_at is None:
            break
        return Transaction(
            transaction_id=transaction_id,
            type=shown.text("transactionType"),
            status=shown.text("transactionStatus"),
            submitted_at=submitted_at,
            invoice_number=shown.text("order/invoiceNumber"),
            customer_id=shown.text("profile/customerProfileId"),
            authorized=_decimal(shown.text("authAmount")),
            settling=_decimal(shown.text("settleAmount")),
            response_code=shown.text("responseCode"),
            reason_code=shown.text("responseReasonCode"),
            reference_id=shown.text("refTransId"),
        )
    raise GatewayUnknown(NO_CLEAR_ANSWER)


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def outcome_of_transaction(
    transaction: Transaction, account: Account, order: ChargeOrder
) -> ChargeOutcome:
    """Read what became of a transaction that must be the order's: invoice, amount and customer."""
    reading = STATUSES.get(transaction.status, UNCLEAR)
    amount = decimal_of(order.amount)
    told = {
        "type": transaction.type,
        "invoice number": transaction.invoice_number,
        "customer": transaction.customer_id or order.customer_id,
        "amount": transaction.authorized,
    }
    ordered = {
        "type": "authCaptureTransaction",
        "invoice number": order.payment_id,
        "customer": order.customer_id,
        "amount": amount,
    }
    differing = [name for name, value in ordered.items() if told[name] != value]
    if reading.meaning is Meaning.APPROVED and transaction.settling != amount:
        differing.append("settled amount")
    if differing:
        _log.error(
            "Authorize.Net's transaction %s is not the order of payment %s: it differs in %s. "
            "The outcome stays unknown; compare them in the merchant interface.",
            transaction.transaction_id,
            order.payment_id,
            ", ".join(differing),
        )
        return Unknown("Authorize.Net's transaction does not agree with the order.")
    if transaction.status == "declined":
        said = reading_of_transaction(transaction.response_code, transaction.reason_code)
        reading = said if said.meaning is Meaning.DECLINED else reading
    return _outcome_of_reading(reading, "", account, transaction.transaction_id)


def listed(answer: Answer | Failure, account: Account) -> list[tuple[str, str]]:
    """Read a page of a list of transactions: the id and invoice number of each.

    Raises:
        GatewayError: GatewayRefused, CustomerMissing, GatewayUnavailable or GatewayUnknown.
    """
    page = answered(answer, account)
    return [
        (shown.text("transId"), shown.text("invoiceNumber"))
        for shown in page.all("transactions/transaction")
    ]


def answered(answer: Answer | Failure, account: Account) -> Answer:
    """Return the answer to a call that was carried out.

    Raises:
        GatewayError: it was not, or nobody knows.
    """
    match answer:
        case Failure.NOT_CONNECTED:
            raise GatewayUnavailable("Authorize.Net cannot be reached. Nothing was done.")
        case Failure.TURNED_AWAY:
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
    """Return what to raise for a verb that is no charge."""
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
        case Meaning.APPROVED | Meaning.HELD | Meaning.DUPLICATE | Meaning.UNCLEAR:
            return GatewayUnknown(NO_CLEAR_ANSWER)
        case _:
            assert_never(reading.meaning)


def check_voided(answer: Answer | Failure, account: Account) -> None:
    """Read the answer to a void: it is undone now, or was before.

    Raises:
        GatewayError: GatewayRefused where it cannot be voided any more, or any other.
    """
    if isinstance(answer, Failure):
        answered(answer, account)
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
    answered(answer, account)
    raise GatewayUnknown(NO_CLEAR_ANSWER)
