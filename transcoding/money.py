"""Reads and writes amounts of money exactly, never as a float.

The core checks how many decimals a currency has.
"""

import re
from decimal import Decimal

from transcoding.field_problems import InvalidValue

MAX_INTEGER_DIGITS = 12
"""Most digits before the decimal point."""
MAX_DECIMALS = 9
"""Most decimals of google.type.Money: `nanos` counts billionths."""
NANOS = 10**MAX_DECIMALS
MAX_NUMBER_DECIMALS = 4
"""Most decimals of a JSON number. No currency of ISO 4217 has more, so more are a float's."""

AMOUNT_PATTERN = r"^[0-9]{1,12}(?:\.[0-9]+)?$"
"""An amount as a string, in the syntax of JSON Schema and of Python."""
CURRENCY_PATTERN = r"^[A-Za-z]{3}$"
_AMOUNT = re.compile(AMOUNT_PATTERN)
_CURRENCY = re.compile(CURRENCY_PATTERN)
_NOT_AN_AMOUNT = "must be a number such as 25.50"
_TOO_LARGE = f"must have at most {MAX_INTEGER_DIGITS} digits before the decimal point"
_TOO_FINE = f"must have at most {MAX_DECIMALS} decimals"
_NUMBER_TOO_FINE = (
    f"must have at most {MAX_NUMBER_DECIMALS} decimals as a number: "
    'send it as a string such as "25.55"'
)
"""A float may have turned 25.55 into 25.550000000000001, and 12345678.9 into 12345678.900000001."""
_NOT_POSITIVE = "must be greater than zero"


def read_amount(value: object) -> tuple[int, int]:
    """Return the units and nanos of a JSON number (as Decimal) or of a decimal string.

    Raises:
        InvalidValue: the value is neither, is not above zero, or has too many digits.
    """
    if isinstance(value, Decimal):
        text = _plain(value)
    elif isinstance(value, str):
        if _AMOUNT.fullmatch(value) is None:
            raise InvalidValue(_problem_with(value))
        text = value
    else:
        raise InvalidValue(_NOT_AN_AMOUNT)
    whole, _, decimals = text.partition(".")
    decimals = decimals.rstrip("0")
    if isinstance(value, Decimal) and len(decimals) > MAX_NUMBER_DECIMALS:
        raise InvalidValue(_NUMBER_TOO_FINE)
    if len(decimals) > MAX_DECIMALS:
        raise InvalidValue(_TOO_FINE)
    units, nanos = int(whole), int(decimals.ljust(MAX_DECIMALS, "0"))
    if not units and not nanos:
        raise InvalidValue(_NOT_POSITIVE)
    return units, nanos


def _plain(number: Decimal) -> str:
    """Return the number without an exponent; the checks before bound its length."""
    if number.is_signed() or not number:
        raise InvalidValue(_NOT_POSITIVE)
    if number.adjusted() >= MAX_INTEGER_DIGITS:
        raise InvalidValue(_TOO_LARGE)
    if number.adjusted() < -MAX_NUMBER_DECIMALS:
        raise InvalidValue(_NUMBER_TOO_FINE)
    return format(number, "f")


def _problem_with(text: str) -> str:
    if re.fullmatch(r"-[0-9]+(?:\.[0-9]+)?", text):
        return _NOT_POSITIVE
    if re.fullmatch(r"[0-9]+(?:\.[0-9]+)?", text):
        return _TOO_LARGE
    return _NOT_AN_AMOUNT


def read_currency(value: object) -> str:
    """Return the upper-case ISO 4217 code of a currency given in any case.

    Raises:
        InvalidValue: the value is not three letters.
    """
    if isinstance(value, str) and _CURRENCY.fullmatch(value):
        return value.upper()
    raise InvalidValue("must be three letters such as `usd`")


def write_amount(units: int, nanos: int) -> str:
    """Return the shortest JSON number that is exactly this amount, never with an exponent.

    >>> write_amount(25, 500_000_000), write_amount(40, 0)
    ('25.5', '40')
    """
    if not nanos:
        return str(units)
    total = units * NANOS + nanos
    sign = "-" if total < 0 else ""
    whole, decimals = divmod(abs(total), NANOS)
    return f"{sign}{whole}.{decimals:09d}".rstrip("0").rstrip(".")
