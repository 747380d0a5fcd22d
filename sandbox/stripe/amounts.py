"""Validates amounts and currencies (https://docs.stripe.com/currencies).

Amounts are whole minor units. Minimums are those of the charge currency: nothing is converted into
a settlement currency.
"""

from __future__ import annotations

from typing import Final

from sandbox.stripe import errors

AMOUNT_MAX: Final = 999_999_999_999
"""Twelve digits for cards (docs.stripe.com/currencies, maximum charge amounts): 1,500,000 IDR are
150,000,000 minor units. The nine digits of American Express are not modelled."""

_ZERO_DECIMAL_LIST: Final = "bif clp djf gnf jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf"
ZERO_DECIMAL: Final = frozenset(_ZERO_DECIMAL_LIST.split())
THREE_DECIMAL: Final = frozenset(("bhd", "jod", "kwd", "omr", "tnd"))

_CURRENCY_LIST: Final = """
    usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd bwp byn
    bzd cad cdf chf clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gnf
    gtq gyd hkd hnl hrk htg huf idr ils inr isk jmd jod jpy kes kgs khr kmf krw kwd kyd kzt lak lbp
    lkr lrd lsl mad mdl mga mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd omr pab
    pen pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr sek sgd shp sle sos srd std szl thb tjs
    tnd top try ttd twd tzs uah ugx uyu uzs vnd vuv wst xaf xcd xcg xof xpf yer zar zmw usdc btn ghs
    eek lvl svc vef ltl sll mro
"""
CURRENCIES: Final = tuple(_CURRENCY_LIST.split())

DEFAULT_MINIMUM: Final = 50
MINIMUMS: Final = {
    "aed": 200,
    "bgn": 100,
    "czk": 1500,
    "dkk": 250,
    "gbp": 30,
    "hkd": 400,
    "huf": 17500,
    "mxn": 1000,
    "myr": 200,
    "nok": 300,
    "pln": 200,
    "ron": 200,
    "sek": 300,
    "thb": 1000,
}


def check_amount(amount: int, currency: str) -> None:
    """Raise Stripe's 400 for an unknown currency or an amount outside its limits."""
    if currency not in CURRENCIES:
        raise errors.invalid_request(
            f"Invalid currency: {currency}. Stripe currently supports these currencies: "
            f"{', '.join(CURRENCIES)}",
            param="currency",
        )
    if amount > AMOUNT_MAX:
        raise errors.invalid_request(
            f"Amount must be no more than {format_amount(AMOUNT_MAX, currency)}",
            code="amount_too_large",
            param="amount",
        )
    minimum = MINIMUMS.get(currency, DEFAULT_MINIMUM)
    if amount < minimum:
        raise errors.invalid_request(
            f"Amount must be at least {format_amount(minimum, currency)}",
            code="amount_too_small",
            param="amount",
        )


def format_amount(amount: int, currency: str) -> str:
    """Return an amount as Stripe's messages show it."""
    if currency in ZERO_DECIMAL:
        text = f"{amount:,}"
    else:
        decimals = 3 if currency in THREE_DECIMAL else 2
        unit: int = 10**decimals
        text = f"{amount // unit:,}.{amount % unit:0{decimals}d}"
    return f"${text} usd" if currency == "usd" else f"{text} {currency}"
