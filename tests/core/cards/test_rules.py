"""Rules for the data of a card to save at Authorize.Net."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.cards import rules
from core.errors import InvalidFields
from core.gateways.gateway import CardData, network_of
from core.security.secrets import Secret

NOW = datetime(2030, 3, 15, tzinfo=UTC)
CARD = CardData(Secret("4111111111111111"), 12, 2031, Secret("900"), "77001")
PUBLISHED = {
    # developer.authorize.net/hello_world/testing_guide, docs.stripe.com/testing
    "4111111111111111": "visa",
    "4222222222222": "visa",
    "5424000000000015": "mastercard",
    "2223000010309703": "mastercard",
    "370000000000002": "amex",
    "6011000000000012": "discover",
    "3088000000000017": "jcb",
    "3566002020360505": "jcb",
    "38000000000006": "diners",
    "6221499053360818": "unionpay",
}


def problems(card: CardData, now: datetime = NOW) -> list[str]:
    try:
        rules.check_card(card, now)
    except InvalidFields as refused:
        return [problem.field.removeprefix("payment_profile.") for problem in refused.problems]
    return []


@pytest.mark.parametrize(("number", "brand"), PUBLISHED.items())
def test_a_published_test_card_is_valid_and_of_its_network(number: str, brand: str) -> None:
    network = network_of(number)
    assert network is not None
    assert network.brand == brand
    cvv = Secret("9" * network.cvv_digits)
    assert problems(replace(CARD, number=Secret(number), cvv=cvv)) == []


@given(st.sampled_from(sorted(PUBLISHED)), st.integers(0, 15), st.integers(1, 9))
def test_a_card_number_with_a_wrong_digit_is_invalid(number: str, place: int, more: int) -> None:
    place %= len(number)
    wrong = number[:place] + str((int(number[place]) + more) % 10) + number[place + 1 :]
    assert problems(replace(CARD, number=Secret(wrong), cvv=None)) == ["card_number"]


@pytest.mark.parametrize(
    ("month", "year", "now", "found"),
    [
        (3, 2030, NOW, []),
        (2, 2030, NOW, ["exp_month"]),
        (12, 2029, NOW, ["exp_year"]),
        (2, 2030, datetime(2030, 3, 1, 11, 59, tzinfo=UTC), []),  # February still at UTC-12
        (2, 2030, datetime(2030, 3, 1, 12, 0, tzinfo=UTC), ["exp_month"]),
        (12, 2029, datetime(2030, 1, 1, 11, 59, tzinfo=UTC), []),
    ],
)
def test_a_card_expires_when_its_month_has_ended_everywhere(
    month: int, year: int, now: datetime, found: list[str]
) -> None:
    assert problems(replace(CARD, exp_month=month, exp_year=year), now) == found


def test_all_problems_are_reported_together_without_quoting_values() -> None:
    card = CardData(Secret("4111111111111112"), 1, 2020, Secret("9001"), "7\x07")
    with pytest.raises(InvalidFields) as refused:
        rules.check_card(card, NOW)
    assert len(refused.value.problems) == 4
    text = "".join(problem.description for problem in refused.value.problems)
    assert not any(value in text for value in ("4111111111111112", "2020", "9001", "\x07"))
