"""Amounts are integers of minor units and convert exactly from and to messages."""

from decimal import Decimal

import pytest
from google.type.money_pb2 import Money
from hypothesis import given
from hypothesis import strategies as st
from iso4217 import Currency

from core.errors import InvalidFields
from core.money import (
    MAX_UNITS,
    Amount,
    amount_from_message,
    amount_problem,
    amount_text,
    currency_problem,
    decimals_problem,
    exponent,
    money_message,
    stored_exponent,
)

SIGNS = "is not a valid amount: units and nanos must have the same sign"
CURRENCIES = ["usd", "jpy", "bhd", "eur", "clf", "isk"]
STORED = {
    0: """bif byr clp djf gnf isk jpy kmf krw pyg rwf ugx uyi vnd vuv xaf xof xpf""",
    2: """
        aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bmd bnd bob bov brl bsd btn bwp byn
        bzd cad cdf che chf chw cny cop cou crc cuc cup cve czk dkk dop dzd eek egp ern etb eur fjd
        fkp gbp gel ghs gip gmd gtq gyd hkd hnl hrk htg huf idr ils inr irr jmd kes kgs khr kpw kyd
        kzt lak lbp lkr lrd lsl ltl lvl mad mdl mga mkd mmk mnt mop mro mru mur mvr mwk mxn mxv myr
        mzn nad ngn nio nok npr nzd pab pen pgk php pkr pln qar ron rsd rub sar sbd scr sdg sek sgd
        shp sle sll sos srd ssp std stn svc syp szl thb tjs tmt top try ttd twd tzs uah usd usn uyu
        uzs ved vef ves wst xad xcd xcg yer zar zmk zmw zwg zwl
    """,
    3: """bhd iqd jod kwd lyd omr tnd""",
    4: """clf uyw""",
}
"""Decimals of every currency that stored amounts may be in. None ever changes or is removed."""


@pytest.mark.parametrize(
    ("currency", "decimals"),
    [("usd", 2), ("USD", 2), ("jpy", 0), ("bhd", 3), ("clf", 4), ("xau", None), ("zzz", None),
     ("stn", 2), ("std", 2), ("STD", 2)],
)  # fmt: skip
def test_a_currency_has_the_decimals_of_iso_4217(currency: str, decimals: int | None) -> None:
    assert exponent(currency) == decimals


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (1250, "usd", "12.50 usd"),
        (5, "usd", "0.05 usd"),
        (100, "usd", "1.00 usd"),
        (12, "jpy", "12 jpy"),
        (1, "bhd", "0.001 bhd"),
    ],
)
def test_a_message_has_an_amount_with_all_its_decimals(
    minor: int, currency: str, text: str
) -> None:
    assert amount_text(Amount(minor, currency)) == text


@pytest.mark.parametrize(
    ("currency", "minor", "message"),
    [
        ("bgn", 2550, Money(currency_code="BGN", units=25, nanos=500_000_000)),
        ("hrk", 100, Money(currency_code="HRK", units=1)),
        ("ang", 1, Money(currency_code="ANG", nanos=10_000_000)),
        ("byr", 7, Money(currency_code="BYR", units=7)),
    ],
)
def test_a_stored_amount_in_a_withdrawn_currency_is_readable(
    currency: str, minor: int, message: Money
) -> None:
    assert money_message(Amount(minor, currency)) == message
    without_currency = Money(units=message.units, nanos=message.nanos)
    assert amount_from_message(without_currency, currency) == Amount(minor, currency)
    assert currency_problem(currency) is not None
    with pytest.raises(InvalidFields):
        amount_from_message(Money(nanos=1_000_000), currency)


def test_every_currency_of_a_stored_amount_keeps_its_decimals() -> None:
    stored = {code: digits for digits, codes in STORED.items() for code in codes.split()}
    assert {code: stored_exponent(code) for code in stored} == stored
    requested = {each.code.lower() for each in Currency if exponent(each.code) is not None}
    assert requested <= stored.keys(), "new in ISO 4217: add them, they will be stored"


@pytest.mark.parametrize(
    ("money", "currency", "minor"),
    [
        (Money(units=25, nanos=500_000_000), "usd", 2550),
        (Money(units=0, nanos=10_000_000), "usd", 1),
        (Money(units=1), "jpy", 1),
        (Money(units=1, nanos=1_000_000), "bhd", 1001),
        (Money(units=MAX_UNITS, nanos=990_000_000), "usd", 99999999999999),
        (Money(currency_code="EUR", units=2), "usd", 200),
    ],
)
def test_a_message_is_read_as_minor_units(money: Money, currency: str, minor: int) -> None:
    assert amount_from_message(money, currency).minor == minor


@pytest.mark.parametrize(
    ("money", "problem"),
    [
        (Money(), "must be greater than zero"),
        (Money(units=-1), "must not be negative"),
        (Money(nanos=-1), "must not be negative"),
        (Money(units=1, nanos=-1),SIGNS),
        (Money(units=1, nanos=1_000_000_000), SIGNS),
        (Money(units=MAX_UNITS + 1), "has more than 12 digits before the decimal point"),
        (Money(units=MAX_UNITS), None),
        (Money(nanos=1), None),
    ],
)  # fmt: skip
def test_an_invalid_amount_has_a_problem(money: Money, problem: str | None) -> None:
    assert amount_problem(money) == problem


@pytest.mark.parametrize(
    ("nanos", "currency", "refused"),
    [
        (505_000_000, "usd", True),
        (500_000_000, "usd", False),
        (500_000_000, "jpy", True),
        (1_000_000, "bhd", False),
        (100_000, "bhd", True),
    ],
)
def test_too_many_decimals_are_refused(nanos: int, currency: str, refused: bool) -> None:
    money = Money(units=1, nanos=nanos)
    assert (decimals_problem(money, currency) is not None) == refused
    if refused:
        with pytest.raises(InvalidFields, match=r"^Invalid field amount: has more decimals"):
            amount_from_message(money, currency)


def test_metals_and_unknown_codes_are_not_currencies() -> None:
    assert [currency_problem(code) is None for code in ("usd", "xau", "xxx", "u$d")] == [
        True, False, False, False,
    ]  # fmt: skip


@given(st.integers(1, 10**15), st.sampled_from(CURRENCIES))
def test_minor_units_convert_exactly_both_ways(minor: int, currency: str) -> None:
    money = money_message(Amount(minor, currency))
    digits = exponent(currency)
    assert digits is not None
    assert Decimal(money.units) + Decimal(money.nanos).scaleb(-9) == Decimal(minor).scaleb(-digits)
    assert amount_from_message(money, "usd") == Amount(minor, currency)
