"""The meaning of Authorize.Net's codes: one table to our outcomes. No I/O.

A transaction has a response code (1 approved, 2 declined, 3 error, 4 held) and a
reason code; a call without a transaction has an API code (E…):
https://developer.authorize.net/api/reference/responseCodes.html. Decline codes are Stripe's
(https://docs.stripe.com/declines/codes), so that merchants see one vocabulary.
"""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from core.gateways.gateway import NONCE_FIELD


class Meaning(enum.Enum):
    """Meaning of a code."""

    APPROVED = "approved"
    AUTHORIZED = "authorized"
    HELD = "held for review"
    DECLINED = "declined"
    DUPLICATE = "duplicate"
    REFUSED = "refused"
    MISSING = "no such record"
    BUSY = "busy"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Reading:
    """A code's meaning, with the decline code of a decline and the field at fault of a refusal."""

    meaning: Meaning
    message: str = ""
    decline_code: str = ""
    field: str | None = None


UNCLEAR: Final = Reading(Meaning.UNCLEAR)
_DECLINED: Final = "The card was declined."


def _declined(decline_code: str, message: str = _DECLINED) -> Reading:
    return Reading(Meaning.DECLINED, message, decline_code)


def _refused(message: str, field: str | None = None) -> Reading:
    return Reading(Meaning.REFUSED, message, field=field)


_WRONG_KEYS: Final = _refused(
    "Authorize.Net does not know the {env} keys: store a valid api_login_id and transaction_key."
)
_NOT_PERMITTED: Final = _refused(
    "Authorize.Net's {env} keys may not do this: check that the account is active and has Customer "
    "Information Manager and the Transaction Details API enabled."
)
_NOT_SET_UP: Final = _refused("Authorize.Net's {env} account is not set up at its processor.")
_WRONG_CVC: Final = _declined("incorrect_cvc", "The card's security code is incorrect.")
_WRONG_ADDRESS: Final = _declined("incorrect_zip", "The card's postal code does not match.")
_WRONG_NUMBER: Final = _declined("incorrect_number", "The card number is incorrect.")
_WRONG_DATE: Final = _declined("invalid_expiry_year", "The card's expiration date is invalid.")
_EXPIRED: Final = _declined("expired_card", "The card has expired.")
_FRAUD: Final = _declined("fraudulent")
_UNSUPPORTED: Final = _declined("card_not_supported", "This type of card is not accepted.")
_NO_NONCE: Final = _refused(
    "Authorize.Net does not take the nonce: it was used, has expired after 15 minutes, or is of "
    "another account. Get another one with Accept.js.",
    NONCE_FIELD,
)
_PROCESSING: Final = _declined(
    "processing_error", "An error occurred while processing the card. Try again in a little bit."
)


def _each(codes: Iterable[int], reading: Reading) -> dict[str, Reading]:
    return {str(code): reading for code in codes}


_DECLINES: Final[Mapping[str, Reading]] = {
    "3": _declined("call_issuer"),
    "4": _declined("pickup_card"),
    **_each((27, 127), _WRONG_ADDRESS),
    **_each((44, 45, 65, 165), _WRONG_CVC),
    **_each((41, 141, 145, 250, 251, 254), _FRAUD),
    "315": _WRONG_NUMBER,
    "316": _WRONG_DATE,
    "317": _EXPIRED,
}
_ERRORS: Final[Mapping[str, Reading]] = {
    **_each((5, 49), _refused("Authorize.Net does not charge this amount.", "amount")),
    "39": _refused("Authorize.Net does not charge this currency.", "currency"),
    **_each((6, 37, 315), _WRONG_NUMBER),
    **_each((7, 316), _WRONG_DATE),
    **_each((8, 317), _EXPIRED),
    "78": _WRONG_CVC,
    **_each((17, 28), _UNSUPPORTED),
    **_each((11, 318), Reading(Meaning.DUPLICATE)),
    "13": _WRONG_KEYS,
    **_each((103, 123), _NOT_PERMITTED),
    **_each((24, 29, 30, 31, 34, 35, 38, 43, 56, 114, 115, 130), _NOT_SET_UP),
    **_each((15, 16, 319), Reading(Meaning.MISSING)),
    # The processor failed or was not reached: not captured. 36, 52 and 152: authorized only.
    **_each((*range(19, 24), 25, 26, *range(57, 64)), _PROCESSING),
    **_each((36, 52, 152, 153, 170, 171, 172, 173, 180, 181, 192, 261, 328), _PROCESSING),
    # A system-generated void of a transaction that timed out or failed did not work.
    **_each((120, 121, 122), UNCLEAR),
    "901": Reading(Meaning.BUSY),
}
_API_CODES: Final[Mapping[str, Reading]] = {
    **dict.fromkeys(("E00005", "E00006", "E00007", "E00008", "E00059"), _WRONG_KEYS),
    **dict.fromkeys(("E00010", "E00011", "E00044"), _NOT_PERMITTED),
    "E00009": _refused("Authorize.Net's {env} account is in Test Mode: switch it to Live Mode."),
    "E00027": _declined("generic_decline"),
    "E00039": Reading(Meaning.DUPLICATE),
    "E00040": Reading(Meaning.MISSING),
    **dict.fromkeys(
        ("E00002", "E00003", "E00004", "E00045", *(f"E000{number}" for number in range(13, 20))),
        _refused("Authorize.Net refused the request ({code})."),
    ),
    **dict.fromkeys(("E00113", "E00114", "E00115", "E00116"), _NO_NONCE),
    "E00042": _refused("Authorize.Net keeps no more cards of this customer."),
    **dict.fromkeys(("E00053", "E00104"), Reading(Meaning.BUSY)),
}

_REASONS: Final[Mapping[str, tuple[Reading, Mapping[str, Reading]]]] = {
    # By response code: its meaning, and the reason codes with another one.
    "1": (Reading(Meaning.APPROVED), {}),
    "2": (_declined("generic_decline"), _DECLINES),
    "3": (_refused("Authorize.Net could not process the transaction (reason {code})."), _ERRORS),
    "4": (Reading(Meaning.HELD), {"295": UNCLEAR}),  # 295: a part of the amount was approved
}


def reading_of_transaction(response_code: str, reason_code: str) -> Reading:
    """Return the meaning of a transaction's codes, UNCLEAR if the response code is unknown."""
    usual, others = _REASONS.get(response_code, (UNCLEAR, {}))
    return others.get(reason_code, usual)


def reading_of_call(api_code: str) -> Reading:
    """Return the meaning of the code of a call without a transaction, UNCLEAR if unknown."""
    return _API_CODES.get(api_code, UNCLEAR)


STATUSES: Final[Mapping[str, Reading]] = {
    # transactionStatusEnum of the schema, for a charge.
    **dict.fromkeys(
        (
            "capturedPendingSettlement",
            "pendingSettlement",
            "pendingFinalSettlement",
            "updatingSettlement",
            "settledSuccessfully",
            "chargeback",  # disputes are tracked by events
            "chargebackReversal",
            "returnedItem",
        ),
        Reading(Meaning.APPROVED),
    ),
    **dict.fromkeys(
        ("FDSPendingReview", "FDSAuthorizedPendingReview", "underReview"), Reading(Meaning.HELD)
    ),
    "authorizedPendingCapture": Reading(Meaning.AUTHORIZED),
    "declined": _declined("generic_decline"),
    "failedReview": _FRAUD,
    "expired": _declined("canceled", "The payment expired at Authorize.Net."),
    "voided": _declined("canceled", "The payment was voided at Authorize.Net."),
    "generalError": _PROCESSING,
    "communicationError": _PROCESSING,
    # authorizedPendingRelease, approvedReview, couldNotVoid,
    # settlementError and unknown ones: unclear.
}
REFUND_REFUSALS: Final[Mapping[str, tuple[str, str]]] = {
    # Reasons of refused refunds, with our code: responseCodes.html?code=54 and 55.
    "54": ("not_refundable", "It settled too long ago, or cannot be refunded."),
    "55": ("amount_too_large", "The amount is above what is left of the payment."),
}
VOIDABLE: Final = "capturedPendingSettlement"
UNSETTLED: Final = frozenset(
    (
        VOIDABLE,
        "pendingSettlement",
        "pendingFinalSettlement",
        "updatingSettlement",
        "settlementError",  # the batch is submitted again
    )
)
"""Statuses of a charge whose refund the gateway refuses (reason 54), until it settles."""
SETTLED: Final = "settledSuccessfully"
EFFECTIVE_REFUNDS: Final = frozenset(
    (
        "refundPendingSettlement",
        "refundSettledSuccessfully",
        "pendingSettlement",
        "pendingFinalSettlement",
        "updatingSettlement",
        "settledSuccessfully",
    )
)
"""Statuses of a refund that moves money."""
FAILED_REFUNDS: Final = frozenset(
    ("voided", "declined", "generalError", "communicationError", "expired", "failedReview")
)
"""Statuses of a refund that moves none. Others, such as reviews, are unclear."""
