"""Authorize.Net's published test cards, and the results of charging them.

Cards and postal codes are those of https://developer.authorize.net/hello_world/testing_guide/. The
card 4222222222222 is from the older AIM guide: a charge of N.00 returns reason code N, so that
every reason can be tested. A number outside this table is refused, so that no real card is ever
accepted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Final

REASON_BY_AMOUNT: Final = "4222222222222"
DECLINED_POSTAL_CODE: Final = "46282"
WRONG_CARD_CODE: Final = "901"
"""The guide's card code that does not match, as if the account declines such cards."""
REASON_MAX: Final = 351
ECHECK: Final = "eCheck"
"""The account type of a bank account, in place of a card's brand."""

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

PUBLISHED: Final[Mapping[str, str]] = MappingProxyType(_BRANDS)
"""Brands by the number of the card."""

_DECLINES: Final = frozenset(
    (2, 3, 4, 27, 41, 44, 45, 65, 141, 145, 165, 191, *range(200, 225), 250, 251, 254)
)
_HELD_FOR_REVIEW: Final = frozenset((193, 252, 253))
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
    47: "The amount to settle is above the amount that was authorized.",
    54: "The referenced transaction does not meet the criteria for issuing a credit.",
    55: "The sum of credits against the referenced transaction would exceed the original debit.",
    252: "Your order has been received. Thank you for your business!",
    253: "Your order has been received. Thank you for your business!",
    310: "This transaction has already been voided.",
    311: "This transaction has already been captured.",
}


@dataclass(frozen=True)
class ChargeResult:
    """The processor's result: response code 1 to 4, reason code and its text."""

    response_code: str
    reason_code: str
    text: str


def get_result(reason: int) -> ChargeResult:
    """Return the result with this reason code."""
    if reason == 1:
        return ChargeResult("1", "1", _TEXTS[1])
    if reason in _HELD_FOR_REVIEW:
        return ChargeResult(
            "4", str(reason), _TEXTS.get(reason, "The transaction is under review.")
        )
    if reason in _DECLINES:
        return ChargeResult("2", str(reason), "This transaction has been declined.")
    text = _TEXTS.get(reason, "An error occurred during processing. Please try again.")
    return ChargeResult("3", str(reason), text)


def find_brand(number: str) -> str | None:
    """Return the brand of a test card, or None for any other number."""
    return _BRANDS.get(number)


def fingerprint_card(number: str) -> str:
    """Return the fingerprint that all profiles of a test card share."""
    return hashlib.sha256(f"sandbox card {number}".encode()).hexdigest()[:16]


_REASON_BY_AMOUNT_FINGERPRINT: Final = fingerprint_card(REASON_BY_AMOUNT)


def charge_card(
    card_fingerprint: str, postal_code: str, amount: Decimal, card_code: str = ""
) -> ChargeResult:
    """Return the result of charging a card, or of validating it for an amount of zero."""
    if card_code == WRONG_CARD_CODE:
        return get_result(44)
    if postal_code == DECLINED_POSTAL_CODE:
        return get_result(2)
    by_amount = card_fingerprint == _REASON_BY_AMOUNT_FINGERPRINT
    if by_amount and amount == amount.to_integral_value() and 1 <= amount <= REASON_MAX:
        return get_result(int(amount))
    return get_result(1)
