"""The cards and control calls of the testing guide are those of the sandbox."""

from typing import Any

import pytest

from portal.reference.testing import (
    SUCCEEDS,
    authorize_cards,
    control_calls,
    stripe_cards,
)
from sandbox.authorize.cards import find_brand
from sandbox.control.authorize import AuthorizeControl
from sandbox.control.endpoints import Control
from sandbox.control.stripe import StripeControl
from sandbox.control.webhooks import WebhookControl
from sandbox.stripe.cards import (
    PUBLISHED,
    SCENARIOS,
    Authentication,
    find_card_by_number,
    find_card_by_payment_method,
)


def test_every_control_call_of_the_sandbox_is_listed_with_what_it_does() -> None:
    controls: tuple[Any, ...] = (AuthorizeControl, Control, StripeControl, WebhookControl)
    routes = [
        (method, path)
        for control in controls
        for method, path, _ in control.__new__(control).routes()
    ]
    assert sorted((call.method, call.path) for call in control_calls()) == sorted(routes)
    assert all(call.description.endswith(".") for call in control_calls())


def test_every_card_of_the_sandbox_is_listed_with_a_token_that_is_its_own() -> None:
    assert {card.number for card in stripe_cards()} == {card.number for card in PUBLISHED}
    for card in stripe_cards():
        known = find_card_by_number(card.number)
        assert known is not None
        assert card.token is None or find_card_by_payment_method(card.token) == known
    for card in authorize_cards():
        assert find_brand(card.number) == card.brand


@pytest.mark.parametrize("card", stripe_cards(), ids=lambda card: card.number)
def test_a_card_is_in_the_group_of_what_it_does(card: Any) -> None:
    known = find_card_by_number(card.number)
    assert known is not None
    scenario = SCENARIOS[known.scenario]
    expected = SUCCEEDS
    if scenario.on_attach:
        expected = "Declined when saved"
    elif scenario.authentication is not Authentication.NEVER:
        expected = "Ask for 3-D Secure"
    elif scenario.on_charge:
        expected = "Declined when charged"
    assert card.group.startswith(expected)
    code = scenario.on_attach or scenario.on_charge
    assert code is None or (code.decline_code or code.code) in card.behaviour
