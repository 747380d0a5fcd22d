"""Reading and writing amounts exactly."""

from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from iso4217 import Currency

from transcoding.field_problems import InvalidValue
from transcoding.money import (
    MAX_NUMBER_DECIMALS,
    NANOS,
    read_amount,
    read_currency,
    write_amount,
)

NOT_AN_AMOUNT = "must be a number such as 25.50"
NOT_POSITIVE = "must be greater than zero"
TOO_LARGE = "must have at most 12 digits before the decimal point"
TOO_FINE = "must have at most 9 decimals"
NUMBER_TOO_FINE = 'must have at most 4 decimals as a number: send it as a string such as "25.55"'


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Decimal("25.50"), (25, 500_000_000)),
        ("25.50", (25, 500_000_000)),
        (Decimal(40), (40, 0)),
        (Decimal("1e2"), (100, 0)),
        (Decimal("2550e-2"), (25, 500_000_000)),
        ("007.5", (7, 500_000_000)),
        (Decimal("0.0001"), (0, 100_000)),
        (Decimal("1E-4"), (0, 100_000)),
        (Decimal("999999999999.9999"), (999_999_999_999, 999_900_000)),
        ("0.000000001", (0, 1)),
        ("999999999999.999999999", (999_999_999_999, 999_999_999)),
        ("999999999999", (999_999_999_999, 0)),
        ("1." + "0" * 60_000, (1, 0)),
        (Decimal("1." + "0" * 60_000), (1, 0)),
    ],
)
def test_an_amount_is_read_exactly(value: object, expected: tuple[int, int]) -> None:
    assert read_amount(value) == expected


@pytest.mark.parametrize(
    ("value", "description"),
    [
        (Decimal(0), NOT_POSITIVE),
        (Decimal("-0"), NOT_POSITIVE),
        (Decimal("-0.01"), NOT_POSITIVE),
        (Decimal("0e999999"), NOT_POSITIVE),
        (Decimal("-1e999999"), NOT_POSITIVE),
        ("0", NOT_POSITIVE),
        ("0.000", NOT_POSITIVE),
        ("-5", NOT_POSITIVE),
        (Decimal("1e12"), TOO_LARGE),
        (Decimal("1e999999"), TOO_LARGE),
        (Decimal("1" * 60_000), TOO_LARGE),
        ("1000000000000", TOO_LARGE),
        (Decimal("1e-10"), NUMBER_TOO_FINE),
        (Decimal("1e-999999"), NUMBER_TOO_FINE),
        (Decimal("25.550000000000001"), NUMBER_TOO_FINE),
        (Decimal("10000000.550000001"), NUMBER_TOO_FINE),
        (Decimal("12345678.900000001"), NUMBER_TOO_FINE),
        (Decimal("999999999999.10999"), NUMBER_TOO_FINE),
        (Decimal("0.00001"), NUMBER_TOO_FINE),
        ("0.0000000001", TOO_FINE),
        ("1.0000000001", TOO_FINE),
        ("", NOT_AN_AMOUNT),
        ("1e2", NOT_AN_AMOUNT),
        (" 1", NOT_AN_AMOUNT),
        ("1\n", NOT_AN_AMOUNT),
        ("+1", NOT_AN_AMOUNT),
        (".5", NOT_AN_AMOUNT),
        ("5.", NOT_AN_AMOUNT),
        ("1,50", NOT_AN_AMOUNT),
        ("1_000", NOT_AN_AMOUNT),
        ("٣", NOT_AN_AMOUNT),
        ("$5", NOT_AN_AMOUNT),
        ("NaN", NOT_AN_AMOUNT),
        (True, NOT_AN_AMOUNT),
        ([], NOT_AN_AMOUNT),
        ({}, NOT_AN_AMOUNT),
    ],
)
def test_an_invalid_amount_is_rejected(value: object, description: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        read_amount(value)
    assert str(refused.value) == description


amounts = st.decimals("0.0001", "999999999999.9999", places=4)
short_decimals = st.builds(
    lambda minor, places: Decimal(minor).scaleb(-places),
    st.integers(1, 10**15 - 1),
    st.integers(0, MAX_NUMBER_DECIMALS),
)
floats = st.floats(0.00001, 999_999_999_999, allow_nan=False) | short_decimals.map(float)


@given(floats)
def test_a_float_of_17_digits_that_is_no_short_decimal_is_advised_to_be_a_string(
    amount: float,
) -> None:
    """PHP's serialize_precision 17 and C's %.17g write 25.55 as 25.550000000000001."""
    for number in (Decimal(f"{amount:.17g}"), Decimal(repr(amount))):
        assume(number < 10**12)
        if number == number.quantize(Decimal(10) ** -MAX_NUMBER_DECIMALS):
            units, nanos = read_amount(number)
            assert units + Decimal(nanos).scaleb(-9) == number
        else:
            with pytest.raises(InvalidValue, match=r'send it as a string such as "25\.55"'):
                read_amount(number)


def test_no_currency_has_more_decimals_than_a_number() -> None:
    decimals = {each.exponent for each in Currency if each.exponent is not None}
    assert max(decimals) == MAX_NUMBER_DECIMALS


@given(amounts)
def test_an_amount_round_trips_to_the_shortest_number(amount: Decimal) -> None:
    text = write_amount(*read_amount(amount))
    assert Decimal(text) == amount
    assert "e" not in text.lower()
    assert not ("." in text and text.endswith(("0", ".")))


@given(amounts)
def test_an_amount_is_the_same_as_number_and_as_string(amount: Decimal) -> None:
    assert read_amount(amount) == read_amount(format(amount, "f"))


@given(st.integers(-(2**63) + 1, 2**63 - 1), st.integers(0, NANOS - 1))
def test_every_money_is_written_exactly(units: int, nanos: int) -> None:
    signed = -nanos if units < 0 else nanos
    text = write_amount(units, signed)
    whole, _, decimals = text.lstrip("-").partition(".")
    written = int(whole) * NANOS + int(decimals.ljust(9, "0"))
    assert (-written if text.startswith("-") else written) == units * NANOS + signed


@pytest.mark.parametrize(
    ("units", "nanos", "text"),
    [
        (25, 500_000_000, "25.5"),
        (40, 0, "40"),
        (0, 0, "0"),
        (0, 1, "0.000000001"),
        (0, -5, "-0.000000005"),
    ],
)
def test_money_is_written_as_the_shortest_number(units: int, nanos: int, text: str) -> None:
    assert write_amount(units, nanos) == text


@pytest.mark.parametrize("value", ["usd", "USD", "Usd"])
def test_a_currency_is_read_in_any_case(value: str) -> None:
    assert read_currency(value) == "USD"


@pytest.mark.parametrize("value", ["", "us", "usdd", "us1", "u\u017fd", "usd\n", 5, None, []])
def test_a_currency_has_three_letters(value: object) -> None:
    with pytest.raises(InvalidValue, match="must be three letters"):
        read_currency(value)
