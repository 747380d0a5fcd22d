"""Amounts of money as integers of a currency's minor unit, converted from and to Money messages.

Pure, and never a float. Exponents are those of ISO 4217: list one for requests, and std; stored
amounts may be in a currency that was withdrawn since.
"""

from dataclasses import dataclass
from functools import cache

from google.type import money_pb2
from iso4217 import Currency

from core.errors import InvalidFields

NANOS_PER_UNIT = 1_000_000_000
NANO_DIGITS = 9
MAX_UNITS = 10**12 - 1
"""Requests have amounts of at most 12 digits before the decimal point."""
MAX_BALANCE_MINOR = 10**17
"""Limit of a wallet's balance: far above any amount, far below a signed 64-bit integer."""
DEFAULT_CURRENCY = "usd"
_CHARGED_UNDER_OLD_CODE = {"std": 2}
"""Decimals of currencies that left list one, and that Stripe still charges under the old code.

The dobra is stn since 2018, but Stripe lists std only (docs.stripe.com/currencies). One stn is 1000
std, so neither is ever taken for the other.
"""
_WITHDRAWN = {
    "ang": 2, "bgn": 2, "byr": 0, "cuc": 2, "eek": 2, "hrk": 2, "ltl": 2, "lvl": 2, "mro": 2,
    "sll": 2, "vef": 2, "zmk": 2, "zwl": 2,
}  # fmt: skip
"""Decimals of currencies that left list one since 2011 (ISO 4217, list three)."""


@dataclass(frozen=True, slots=True)
class Amount:
    """An amount in minor units (cents for usd) of a currency (ISO 4217, lower case)."""

    minor: int
    currency: str


@cache
def exponent(currency: str) -> int | None:
    """Return the number of decimals of a currency; None if it is unknown.

    Funds, metals and test codes (XAU, XTS …) have no minor unit and count as unknown.
    """
    try:
        known = Currency(currency.upper())
    except ValueError:
        return _CHARGED_UNDER_OLD_CODE.get(currency.lower())
    digits = known.exponent
    return digits if isinstance(digits, int) and digits <= NANO_DIGITS else None


@cache
def stored_exponent(currency: str) -> int | None:
    """Return the number of decimals of a currency that stored amounts may be in, or None."""
    digits = exponent(currency)
    return _WITHDRAWN.get(currency.lower()) if digits is None else digits


def currency_problem(currency: str) -> str | None:
    """Return what is wrong with a currency code, or None."""
    if exponent(currency) is None:
        return "is not an ISO 4217 currency, for example usd"
    return None


def amount_problem(money: money_pb2.Money) -> str | None:
    """Return what is wrong with an amount whatever its currency, or None."""
    if not -NANOS_PER_UNIT < money.nanos < NANOS_PER_UNIT or money.units * money.nanos < 0:
        return "is not a valid amount: units and nanos must have the same sign"
    if money.units < 0 or money.nanos < 0:
        return "must not be negative"
    if money.units == 0 and money.nanos == 0:
        return "must be greater than zero"
    if money.units > MAX_UNITS:
        return "has more than 12 digits before the decimal point"
    return None


def decimals_problem(money: money_pb2.Money, currency: str) -> str | None:
    """Return what is wrong with the decimals of an amount in a currency, or None."""
    digits = stored_exponent(currency)
    if digits is not None and money.nanos % 10 ** (NANO_DIGITS - digits):
        return f"has more decimals than {currency.lower()} allows ({digits})"
    return None


def amount_from_message(
    money: money_pb2.Money, default_currency: str, *, field: str = "amount"
) -> Amount:
    """Convert a valid message to minor units. Its currency defaults to `default_currency`.

    The default is a stored currency, which may have been withdrawn.

    Raises:
        InvalidFields: the amount has more decimals than the currency.
    """
    currency = money.currency_code.lower() or default_currency
    digits = stored_exponent(currency)
    assert digits is not None, "validation accepts known currencies only"
    if problem := decimals_problem(money, currency):
        raise InvalidFields.of(field, problem)
    minor = money.units * 10**digits + money.nanos // 10 ** (NANO_DIGITS - digits)
    assert minor > 0, "validation accepts amounts above zero only"
    return Amount(minor, currency)


def amount_text(amount: Amount) -> str:
    """Return an amount as messages have it, for example `12.50 usd`."""
    digits = stored_exponent(amount.currency)
    assert digits is not None, "amounts have known currencies"
    units, rest = divmod(amount.minor, 10**digits)
    return f"{units}.{rest:0{digits}} {amount.currency}" if digits else f"{units} {amount.currency}"


def money_message(amount: Amount) -> money_pb2.Money:
    """Convert minor units to a message. Exact both ways."""
    digits = stored_exponent(amount.currency)
    assert digits is not None, "amounts have known currencies"
    sign = -1 if amount.minor < 0 else 1
    units, rest = divmod(abs(amount.minor), 10**digits)
    return money_pb2.Money(
        currency_code=amount.currency.upper(),
        units=sign * units,
        nanos=sign * rest * 10 ** (NANO_DIGITS - digits),
    )
