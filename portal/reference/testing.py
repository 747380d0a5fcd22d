"""The cards and control calls of the sandbox, from its own tables."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from sandbox.authorize import cards as authorize
from sandbox.stripe.cards import PUBLISHED, SCENARIOS, Authentication, Scenario, TestCard

SUCCEEDS = "Succeed"
_AUTHENTICATIONS = {
    Authentication.NEVER: "",
    Authentication.ON_SESSION: "asks for 3-D Secure only while the cardholder is there",
    Authentication.UNLESS_SET_UP: "asks for 3-D Secure unless it was set up",
    Authentication.ALWAYS: "asks for 3-D Secure at every charge",
}


@dataclass(frozen=True, slots=True)
class Card:
    """A test card of a gateway (https://docs.stripe.com/testing)."""

    number: str
    token: str | None
    """What `payment_method_token` takes. None: Stripe has no token for the card."""
    brand: str
    behaviour: str
    group: str
    """What the cards of its kind do."""


@dataclass(frozen=True, slots=True)
class ControlCall:
    """A call that makes the sandbox do what gateways, banks and cardholders do."""

    method: str
    path: str
    description: str


@cache
def stripe_cards() -> tuple[Card, ...]:
    """Return Stripe's test cards, by group."""
    cards = [_card(each) for each in PUBLISHED]
    groups = list(dict.fromkeys([SUCCEEDS, *(card.group for card in cards)]))
    return tuple(sorted(cards, key=lambda card: groups.index(card.group)))


def _card(card: TestCard) -> Card:
    scenario = SCENARIOS[card.scenario]
    token = f"pm_card_{card.names[0]}" if card.names else None
    behaviour, group = _behaviour(scenario)
    if group == SUCCEEDS and card.country != "US":
        behaviour, group = f"succeeds, issued in {card.country}", "Succeed, from other countries"
    return Card(card.number, token, card.brand, behaviour, group)


def _behaviour(scenario: Scenario) -> tuple[str, str]:
    """Return what a card does, and the group that it belongs to."""
    if scenario.on_attach is not None:
        code = scenario.on_attach.decline_code or scenario.on_attach.code
        return f"cannot be saved: {code}", "Declined when saved"
    said = [_AUTHENTICATIONS[scenario.authentication]]
    if scenario.on_charge is not None:
        said.append(f"charges are declined: {scenario.on_charge.decline_code}")
    if scenario.cvc_check != "pass":
        said.append("the check of its security code fails")
    text = ", then ".join(filter(None, said)) or "succeeds"
    if scenario.authentication is not Authentication.NEVER:
        return text, "Ask for 3-D Secure"
    return text, "Declined when charged" if scenario.on_charge else SUCCEEDS


@cache
def authorize_cards() -> tuple[Card, ...]:
    """Return Authorize.Net's test cards (developer.authorize.net/hello_world/testing_guide)."""
    by_amount = "a charge of N.00 gets reason code N, such as 2.00 for a decline"
    return tuple(
        Card(
            number,
            None,
            brand,
            by_amount if number == authorize.REASON_BY_AMOUNT else "succeeds",
            "Reason by amount" if number == authorize.REASON_BY_AMOUNT else SUCCEEDS,
        )
        for number, brand in authorize.PUBLISHED.items()
    )


@cache
def control_calls() -> tuple[ControlCall, ...]:
    """Return the sandbox's control calls, from its sources: importing them takes a second."""
    found: list[ControlCall] = []
    for file in sorted(files("sandbox.control").iterdir(), key=lambda each: each.name):
        if file.name.endswith(".py"):
            found += _calls_in(ast.parse(file.read_text(encoding="utf-8")))
    return tuple(sorted(found, key=lambda call: call.path))


def _calls_in(module: ast.Module) -> Iterator[ControlCall]:
    """Yield each `("METHOD", "/path", self.handler)` with what the handler's docstring says."""
    nodes = list(ast.walk(module))
    said = {
        node.name: (ast.get_docstring(node) or "").partition(": ")[2].partition("\n")[0]
        for node in nodes
        if isinstance(node, ast.AsyncFunctionDef)
    }
    for node in nodes:
        match node:
            case ast.Tuple(
                elts=[
                    ast.Constant(value=str(method)),
                    ast.Constant(value=str(path)),
                    ast.Attribute(attr=handler),
                ]
            ):
                yield ControlCall(method, path, f"{said[handler][0].upper()}{said[handler][1:]}")
