"""Stripe's published test cards and their behaviour (https://docs.stripe.com/testing).

A number, a token `tok_<name>` and a PaymentMethod `pm_card_<name>` name the same card. Only the
scenario's name is stored, never the number. A number outside this table is refused, so that no real
card is ever accepted.
"""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass
from typing import Final


class Authentication(enum.Enum):
    """When the card's issuer requires 3D Secure."""

    NEVER = "never"
    ON_SESSION = "on_session"  # off-session charges pass, as if set up before
    UNLESS_SET_UP = "unless_set_up"
    ALWAYS = "always"


@dataclass(frozen=True)
class Decline:
    """A decline as the API words it; not every code has a decline_code."""

    code: str
    message: str
    decline_code: str | None = None
    param: str | None = None
    blocked_by_radar: bool = False


@dataclass(frozen=True)
class Scenario:
    """How a card behaves when it is attached, authenticated and charged."""

    on_attach: Decline | None = None
    on_charge: Decline | None = None
    authentication: Authentication = Authentication.NEVER
    cvc_check: str = "pass"


@dataclass(frozen=True)
class TestCard:
    """A published test card."""

    number: str
    scenario: str
    names: tuple[str, ...] = ()
    brand: str = "visa"
    funding: str = "credit"
    country: str = "US"

    @property
    def last4(self) -> str:
        """The last four digits, which may be shown and stored."""
        return self.number[-4:]

    @property
    def fingerprint(self) -> str:
        """The fingerprint that all PaymentMethods of this card share."""
        return hashlib.sha256(f"sandbox card {self.number}".encode()).hexdigest()[:16]


def _declined(decline_code: str, message: str = "Your card was declined.") -> Decline:
    return Decline("card_declined", message, decline_code)


GENERIC: Final = _declined("generic_decline")
INSUFFICIENT_FUNDS: Final = _declined("insufficient_funds", "Your card has insufficient funds.")
AUTHENTICATION_REQUIRED: Final = Decline(
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
    "authentication_required",
)
NOT_A_TEST_CARD: Final = _declined(
    "test_mode_live_card",
    "Your card was declined. Your request was in test mode, but used a non test card. For a list "
    "of valid test cards, visit: https://stripe.com/docs/testing.",
)
INCORRECT_NUMBER: Final = Decline(
    "incorrect_number", "Your card number is incorrect.", param="number"
)
INVALID_CVC: Final = Decline("invalid_cvc", "Your card's security code is invalid.", param="cvc")
INVALID_MONTH: Final = Decline(
    "invalid_expiry_month", "Your card's expiration month is invalid.", param="exp_month"
)
INVALID_YEAR: Final = Decline(
    "invalid_expiry_year", "Your card's expiration year is invalid.", param="exp_year"
)
_FRAUDULENT: Final = _declined("fraudulent")
_BLOCKED: Final = Decline(
    "card_declined", "Your card was declined.", "fraudulent", blocked_by_radar=True
)
_EXPIRED: Final = Decline("expired_card", "Your card has expired.", param="exp_month")
_WRONG_CVC: Final = Decline("incorrect_cvc", "Your card's security code is incorrect.", param="cvc")
_PROCESSING: Final = Decline(
    "processing_error", "An error occurred while processing your card. Try again in a little bit."
)
_LOST: Final = _declined("lost_card")
_STOLEN: Final = _declined("stolen_card")
_VELOCITY: Final = _declined(
    "card_velocity_exceeded",
    "Your card was declined for making repeated attempts too frequently or exceeding its amount "
    "limit.",
)

SCENARIOS: Final[dict[str, Scenario]] = {
    "succeeds": Scenario(),
    "cvc_check_fails": Scenario(cvc_check="fail"),
    "declines": Scenario(on_attach=GENERIC, on_charge=GENERIC),
    "insufficient_funds": Scenario(INSUFFICIENT_FUNDS, INSUFFICIENT_FUNDS),
    "lost_card": Scenario(_LOST, _LOST),
    "stolen_card": Scenario(_STOLEN, _STOLEN),
    "expired_card": Scenario(_EXPIRED, _EXPIRED),
    "incorrect_cvc": Scenario(_WRONG_CVC, _WRONG_CVC, cvc_check="fail"),
    "processing_error": Scenario(_PROCESSING, _PROCESSING),
    "velocity_exceeded": Scenario(_VELOCITY, _VELOCITY),
    "fraudulent": Scenario(_FRAUDULENT, _FRAUDULENT),
    "declines_after_attaching": Scenario(on_charge=GENERIC),
    "blocked_by_radar": Scenario(on_charge=_BLOCKED),
    "authenticates_unless_set_up": Scenario(authentication=Authentication.UNLESS_SET_UP),
    "authenticates_always": Scenario(authentication=Authentication.ALWAYS),
    "authenticates_on_session": Scenario(authentication=Authentication.ON_SESSION),
    "authenticates_then_insufficient_funds": Scenario(
        on_charge=INSUFFICIENT_FUNDS, authentication=Authentication.ON_SESSION
    ),
    "authenticates_then_declines": Scenario(
        on_charge=GENERIC, authentication=Authentication.ALWAYS
    ),
    "authentication_lookup_fails": Scenario(on_charge=GENERIC),
}

_BRANDS: Final = (
    TestCard("4242424242424242", "succeeds", ("visa", "us")),
    TestCard("4000056655665556", "succeeds", ("visa_debit",), funding="debit"),
    TestCard("5555555555554444", "succeeds", ("mastercard",), "mastercard"),
    TestCard("2223003122003222", "succeeds", (), "mastercard"),
    TestCard("5200828282828210", "succeeds", ("mastercard_debit",), "mastercard", "debit"),
    TestCard("5105105105105100", "succeeds", ("mastercard_prepaid",), "mastercard", "prepaid"),
    TestCard("378282246310005", "succeeds", ("amex", "amex_threeDSecureNotSupported"), "amex"),
    TestCard("371449635398431", "succeeds", (), "amex"),
    TestCard("6011111111111117", "succeeds", ("discover",), "discover"),
    TestCard("6011000990139424", "succeeds", (), "discover"),
    TestCard("6011981111111113", "succeeds", ("discover_debit",), "discover", "debit"),
    TestCard("3056930009020004", "succeeds", ("diners",), "diners"),
    TestCard("36227206271667", "succeeds", ("diners_14digits",), "diners"),
    TestCard("3566002020360505", "succeeds", ("jcb",), "jcb", country="JP"),
    TestCard("6200000000000005", "succeeds", ("unionpay",), "unionpay", country="CN"),
    TestCard("6200000000000047", "succeeds", ("unionpay_debit",), "unionpay", "debit", "CN"),
    TestCard("6205500000000000004", "succeeds", (), "unionpay", country="CN"),
)

_COUNTRIES: Final = tuple(
    TestCard(number, "succeeds", (country.lower(),), country=country)
    for country, number in (
        ("AT", "4000000400000008"),
        ("AU", "4000000360000006"),
        ("BE", "4000000560000004"),
        ("BG", "4000001000000000"),
        ("BR", "4000000760000002"),
        ("CA", "4000001240000000"),
        ("CH", "4000007560000009"),
        ("CN", "4000001560000002"),
        ("CY", "4000001960000008"),
        ("CZ", "4000002030000002"),
        ("DE", "4000002760000016"),
        ("DK", "4000002080000001"),
        ("EE", "4000002330000009"),
        ("ES", "4000007240000007"),
        ("FI", "4000002460000001"),
        ("FR", "4000002500000003"),
        ("GB", "4000008260000000"),
        ("GR", "4000003000000030"),
        ("HK", "4000003440000004"),
        ("HU", "4000003480000005"),
        ("IE", "4000003720000005"),
        ("IN", "4000003560000008"),
        ("IT", "4000003800000008"),
        ("JP", "4000003920000003"),
        ("LT", "4000004400000000"),
        ("LU", "4000004420000006"),
        ("LV", "4000004280000005"),
        ("MT", "4000004700000007"),
        ("MX", "4000004840008001"),
        ("MY", "4000004580000002"),
        ("NL", "4000005280000002"),
        ("NO", "4000005780000007"),
        ("NZ", "4000005540000008"),
        ("PL", "4000006160000005"),
        ("PT", "4000006200000007"),
        ("RO", "4000006420000001"),
        ("SE", "4000007520000008"),
        ("SG", "4000007020000003"),
        ("SI", "4000007050000006"),
        ("SK", "4000007030000001"),
    )
)

_BEHAVIOURS: Final = (
    TestCard("4000000000000002", "declines", ("visa_chargeDeclined", "chargeDeclined")),
    TestCard(
        "4000000000009995",
        "insufficient_funds",
        ("visa_chargeDeclinedInsufficientFunds", "chargeDeclinedInsufficientFunds"),
    ),
    TestCard(
        "4000000000009987", "lost_card", ("visa_chargeDeclinedLostCard", "chargeDeclinedLostCard")
    ),
    TestCard(
        "4000000000009979",
        "stolen_card",
        ("visa_chargeDeclinedStolenCard", "chargeDeclinedStolenCard"),
    ),
    TestCard(
        "4000000000000069",
        "expired_card",
        ("chargeDeclinedExpiredCard", "visa_chargeDeclinedExpiredCard"),
    ),
    TestCard(
        "4000000000000127",
        "incorrect_cvc",
        ("chargeDeclinedIncorrectCvc", "visa_chargeDeclinedIncorrectCvc"),
    ),
    TestCard(
        "4000000000000119",
        "processing_error",
        ("chargeDeclinedProcessingError", "visa_chargeDeclinedProcessingError"),
    ),
    TestCard(
        "4000000000006975",
        "velocity_exceeded",
        ("visa_chargeDeclinedVelocityLimitExceeded", "chargeDeclinedVelocityLimitExceeded"),
    ),
    TestCard("4000000000000341", "declines_after_attaching", ("chargeCustomerFail",)),
    TestCard("4100000000000019", "blocked_by_radar", ("radarBlock", "chargeDeclinedFraudulent")),
    TestCard("4000000000000101", "cvc_check_fails", ("cvcCheckFail",)),
    TestCard("4000000000009235", "succeeds", ("riskLevelElevated",)),
    TestCard("4000000000004954", "succeeds", ("riskLevelHighest",)),
    TestCard(
        "4000002500003155",
        "authenticates_unless_set_up",
        ("authenticationRequiredOnSetup",),
        country="FR",
    ),
    TestCard("4000002760003184", "authenticates_always", ("authenticationRequired",), country="DE"),
    TestCard(
        "4000003800000446",
        "authenticates_on_session",
        ("authenticationRequiredSetupForOffSession",),
        country="IT",
    ),
    TestCard(
        "4000008260003178",
        "authenticates_then_insufficient_funds",
        ("authenticationRequiredChargeDeclinedInsufficientFunds",),
        country="GB",
    ),
    TestCard(
        "4000000000003220",
        "authenticates_always",
        ("threeDSecure2Required", "threeDSecureRequired"),
        country="IE",
    ),
    TestCard("4000008400000027", "authenticates_always"),
    TestCard(
        "4000008400001629", "authenticates_then_declines", ("threeDSecureRequiredChargeDeclined",)
    ),
    TestCard(
        "4000008400001280", "authentication_lookup_fails", ("threeDSecureRequiredProcessingError",)
    ),
    TestCard("4000000000003055", "succeeds", ("threeDSecureOptional",)),
    TestCard("4000000000003097", "succeeds", ("threeDSecureOptionalProcessingError",)),
)

PUBLISHED: Final = (*_BRANDS, *_COUNTRIES, *_BEHAVIOURS)
_BY_NUMBER: Final = {card.number: card for card in PUBLISHED}
_BY_NAME: Final = {name: card for card in PUBLISHED for name in card.names}


def find_card_by_number(number: str) -> TestCard | None:
    """Return the test card with this number, written without spaces."""
    return _BY_NUMBER.get(number)


def find_card_by_token(token: str) -> TestCard | None:
    """Return the test card of a token such as `tok_visa`."""
    return _BY_NAME.get(token.removeprefix("tok_")) if token.startswith("tok_") else None


def find_card_by_payment_method(identifier: str) -> TestCard | None:
    """Return the test card of a PaymentMethod id such as `pm_card_visa`."""
    if not identifier.startswith("pm_card_"):
        return None
    return _BY_NAME.get(identifier.removeprefix("pm_card_"))


def passes_luhn(number: str) -> bool:
    """Return whether the check digit is right (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(reversed(number)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
