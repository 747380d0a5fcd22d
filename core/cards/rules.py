"""Validates card data and changes before they go to a gateway. Pure. No message quotes a value."""

from datetime import datetime, timedelta

from stdnum import luhn

from core.errors import FieldProblem, InvalidFields
from core.gateways.gateway import CardChange, CardData, CardNonce, network_of

NUMBER_DIGITS_MAX = 16
"""Authorize.Net's schema allows no more (creditCardSimpleType)."""
_LAST_ZONE_BEHIND = timedelta(hours=12)
"""A month ends last at UTC-12."""
_PROFILE = "payment_profile"


def check_card(card: CardData, now: datetime) -> None:
    """Check that Authorize.Net can accept the card and that it has not expired.

    Raises:
        InvalidFields: with every invalid field.
    """
    problems = [
        FieldProblem(f"{_PROFILE}.{field}", problem)
        for field, problem in (
            ("card_number", _number_problem(card.number.reveal())),
            *_expiry_problems(card.exp_month, card.exp_year, now),
            ("cvv", _cvv_problem(card)),
            ("postal_code", _postal_code_problem(card.postal_code)),
        )
        if problem
    ]
    if problems:
        raise InvalidFields(problems)


def check_change(change: CardChange, now: datetime) -> None:
    """Check that a change of a card sets something, and no date that is over or half a date.

    Raises:
        InvalidFields: with every invalid field.
    """
    problems: list[FieldProblem] = []
    if change == CardChange():
        problem = "must be set, or a field of the billing address"
        problems = [FieldProblem("exp_month", problem)]
    elif (change.exp_month is None) != (change.exp_year is None):
        missing = "exp_month" if change.exp_month is None else "exp_year"
        problems = [FieldProblem(missing, "must be set with the other part of the date")]
    elif change.exp_month is not None and change.exp_year is not None:
        found = _expiry_problems(change.exp_month, change.exp_year, now)
        problems = [FieldProblem(field, problem) for field, problem in found]
    for field in ("address", "city", "state", "postal_code"):
        if not (getattr(change, field) or "").isprintable():
            problems.append(FieldProblem(field, "must be printable"))
    if problems:
        raise InvalidFields(problems)


def check_nonce(nonce: CardNonce) -> None:
    """Check what comes with a nonce.

    Raises:
        InvalidFields: the postal code is not printable.
    """
    if problem := _postal_code_problem(nonce.postal_code):
        raise InvalidFields.of("opaque_data.postal_code", problem)


def check_customer_id(gateway: str, customer_id: str) -> None:
    """Check that a customer's id is one of the gateway.

    Raises:
        InvalidFields: it is one of the other gateway.
    """
    if customer_id.startswith("cus_") != (gateway == "stripe"):
        raise InvalidFields.of("customer_id", f"must be the id of a customer at {gateway}")


def _number_problem(number: str) -> str:
    if len(number) > NUMBER_DIGITS_MAX:
        return f"has more than the {NUMBER_DIGITS_MAX} digits that Authorize.Net takes"
    network = network_of(number)
    if network is None:
        return "is of no card network that Authorize.Net takes"
    if len(number) not in network.lengths:
        return "has not as many digits as its card network's numbers have"
    if not luhn.is_valid(number):
        return "is no card number: its check digit does not fit (Luhn)"
    return ""


def _expiry_problems(month: int, year: int, now: datetime) -> list[tuple[str, str]]:
    earliest = now - _LAST_ZONE_BEHIND
    if year < earliest.year:
        return [("exp_year", "is over: the card has expired")]
    if (year, month) < (earliest.year, earliest.month):
        return [("exp_month", "is over: the card has expired")]
    return []


def _cvv_problem(card: CardData) -> str:
    network = network_of(card.number.reveal())
    if card.cvv is None or network is None or len(card.cvv.reveal()) == network.cvv_digits:
        return ""
    return f"must have {network.cvv_digits} digits for a card of this network"


def _postal_code_problem(postal_code: str | None) -> str:
    return "" if postal_code is None or postal_code.isprintable() else "must be printable"
