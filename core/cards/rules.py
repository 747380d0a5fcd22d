"""Rules of cards: which data Authorize.Net takes, and which stored card a saved one replaces.

Pure. No message quotes a value.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from stdnum import luhn

from core.cards.store import Card
from core.errors import FieldProblem, InvalidFields
from core.gateways.gateway import CardData, SavedCard, network_of

NUMBER_DIGITS_MAX = 16
"""Authorize.Net's schema allows no more (creditCardSimpleType)."""
_LAST_ZONE_BEHIND = timedelta(hours=12)
"""A month ends last at UTC-12."""
_PROFILE = "payment_profile"
CHECKED_MAX = 5
"""Stored cards that are looked for at the gateway when another one is saved."""


def check_card(card: CardData, now: datetime) -> None:
    """Check that Authorize.Net can accept the card and that it has not expired.

    Raises:
        InvalidFields: with every invalid field.
    """
    problems = [
        FieldProblem(f"{_PROFILE}.{field}", problem)
        for field, problem in (
            ("card_number", _number_problem(card.number.reveal())),
            *_expiry_problems(card, now),
            ("cvv", _cvv_problem(card)),
            ("postal_code", _postal_code_problem(card.postal_code)),
        )
        if problem
    ]
    if problems:
        raise InvalidFields(problems)


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


def _expiry_problems(card: CardData, now: datetime) -> list[tuple[str, str]]:
    earliest = now - _LAST_ZONE_BEHIND
    if card.exp_year < earliest.year:
        return [("exp_year", "is over: the card has expired")]
    if (card.exp_year, card.exp_month) < (earliest.year, earliest.month):
        return [("exp_month", "is over: the card has expired")]
    return []


def _cvv_problem(card: CardData) -> str:
    network = network_of(card.number.reveal())
    if card.cvv is None or network is None or len(card.cvv.reveal()) == network.cvv_digits:
        return ""
    return f"must have {network.cvv_digits} digits for a card of this network"


def _postal_code_problem(postal_code: str | None) -> str:
    return "" if postal_code is None or postal_code.isprintable() else "must be printable"


def perhaps_removed(cards: Sequence[Card], gateway: str, saved: SavedCard) -> list[Card]:
    """Return the user's cards to look for at the gateway now that another one is saved.

    These are the primary card and those that look like the saved one: if the gateway does not have
    them any more, the saved one takes their place.
    """
    others = (
        card
        for card in cards
        if card.gateway == gateway and card.gateway_card_id != saved.gateway_card_id
    )
    asked = [card for card in others if card.is_primary or _looks_like(card, saved)]
    return sorted(asked, key=lambda card: not card.is_primary)[:CHECKED_MAX]


def replaced_card(removed: Sequence[Card], saved: SavedCard) -> Card | None:
    """Return the removed card that the saved one replaces: the same card, the primary one first."""
    same = [card for card in removed if _looks_like(card, saved)]
    return min(same, key=lambda card: not card.is_primary, default=None)


def _looks_like(card: Card, saved: SavedCard) -> bool:
    """Return whether two cards may be the same one; its renewal has another date."""
    return (card.brand, card.last4) == (saved.brand, saved.last4)
