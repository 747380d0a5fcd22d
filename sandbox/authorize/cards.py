"""Authorize.Net's published test cards, and what makes a charge fail there.

Cards and postal codes are those of https://developer.authorize.net/hello_world/testing_guide/. The
card 4222222222222 is of the older AIM guide: a charge of N.00 with it is answered with reason code
N, so that every reason can be had. Numbers stand only here, as published; a number that is not in
this table is refused, so that no real card is ever taken.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

REASON_BY_AMOUNT: Final = "4222222222222"
DECLINED_POSTAL_CODE: Final = "46282"
REASON_MAX: Final = 351

_BRANDS: Final = {
    "370000000000002": "AmericanExpress",
    "6011000000000012": "Discover",
    "3088000000000017": "JCB",
    "38000000000006": "DinersClub",
    "4007000000027": "Visa",
    "4012888818888": "Visa",
    "4111111111111111": "Visa",
    "5424000000000015": "MasterCard",
    "2223000010309703": "MasterCard",
    "2223000010309711": "MasterCard",
    "6221499053360818": "ChinaUnionPay",
    REASON_BY_AMOUNT: "Visa",
}

_DECLINES: Final = frozenset(
    (2, 3, 4, 27, 41, 44, 45, 65, 141, 145, 165, 191, *range(200, 225), 250, 251, 254)
)
_HELD: Final = frozenset((193, 252, 253))
_TEXTS: Final = {
    1: "This transaction has been approved.",
    5: "A valid amount is required.",
    6: "The credit card number is invalid.",
    7: "Credit card expiration date is invalid.",
    8: "The credit card has expired.",
    11: "A duplicate transaction has been submitted.",
    13: "The merchant login ID or password is invalid or the account is inactive.",
    16: "The transaction cannot be found.",
    17: "The merchant does not accept this type of credit card.",
    252: "Your order has been received. Thank you for your business!",
    253: "Your order has been received. Thank you for your business!",
    310: "This transaction has already been voided.",
}


@dataclass(frozen=True)
class Verdict:
    """What the processor says: response code 1 to 4, reason code and its text."""

    response_code: str
    reason_code: str
    text: str


def verdict_of(reason: int) -> Verdict:
    """The verdict that a reason code belongs to."""
    if reason == 1:
        return Verdict("1", "1", _TEXTS[1])
    if reason in _HELD:
        return Verdict("4", str(reason), _TEXTS.get(reason, "The transaction is under review."))
    if reason in _DECLINES:
        return Verdict("2", str(reason), "This transaction has been declined.")
    text = _TEXTS.get(reason, "An error occurred during processing. Please try again.")
    return Verdict("3", str(reason), text)


def brand_of(number: str) -> str | None:
    """The brand of a published card, or None where it is none."""
    return _BRANDS.get(number)


def fingerprint_of(number: str) -> str:
    """The same for every profile of a card; of published cards only, so it gives nothing away."""
    return hashlib.sha256(f"sandbox card {number}".encode()).hexdigest()[:16]


_REASON_BY_AMOUNT_FINGERPRINT: Final = fingerprint_of(REASON_BY_AMOUNT)


def judged(fingerprint: str, postal_code: str, amount: Decimal) -> Verdict:
    """What comes of charging a card; of checking it, where the amount is zero."""
    if postal_code == DECLINED_POSTAL_CODE:
        return verdict_of(2)
    by_amount = fingerprint == _REASON_BY_AMOUNT_FINGERPRINT
    if by_amount and amount == amount.to_integral_value() and 1 <= amount <= REASON_MAX:
        return verdict_of(int(amount))
    return verdict_of(1)
