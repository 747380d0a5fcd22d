"""What a gateway says of a payment's objects, in findings; no answer is one, too."""

import asyncio
from typing import Any

import pytest

from core.gateways.events import Fact, FactKind
from core.gateways.gateway import (
    Account,
    ChargeOutcome,
    Declined,
    GatewayCharge,
    GatewayError,
    GatewayRefused,
    GatewayUnavailable,
    GatewayUnknown,
    HeldForReview,
    NotSent,
    ObjectKind,
    Refused,
    RequiresAction,
    Succeeded,
    Unknown,
)
from core.money import Amount
from core.payments import evidence
from core.payments.event_rules import GatewayObject
from core.payments.evidence import CHARGE, OBJECTS_MAX, Finding, ask_gateway, objects_of

SHOP = Account("TEST", "sk_test_obviously_fake")
ORDER = GatewayCharge("PAY-1", "B/PAY-1", Amount(5000, "usd"), "cus_1", "pm_1", None)
INTENT = GatewayObject(ObjectKind.PAYMENT, "pi_1")


class Told:
    """A gateway that says what it is given, or raises it; it has no other method."""

    def __init__(self, look_up: Any = None, state: Any = None) -> None:
        self._look_up = look_up
        self._state = state
        self.read: list[str] = []

    async def look_up_charge(self, *_: object) -> Any:
        return self._say(self._look_up)

    async def read_state(self, _account: Account, _kind: ObjectKind, object_id: str) -> Any:
        self.read.append(object_id)
        return self._say(self._state)

    def _say(self, answer: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer


async def ask(gateway: Any, *objects: GatewayObject, is_looked_up: bool = False) -> list[Finding]:
    return list(await ask_gateway(gateway, SHOP, ORDER, objects, is_looked_up=is_looked_up))


@pytest.mark.parametrize(
    ("outcome", "object_id", "fact"),
    [
        (Succeeded("pi_1"), "pi_1", Fact(FactKind.SUCCEEDED, 5000, "usd")),
        (
            Declined("pi_1", "lost_card", "Lost."),
            "pi_1",
            Fact(FactKind.FAILED, decline_code="lost_card", message="Lost."),
        ),
        (
            Declined(None, "lost_card", "L"),
            None,
            Fact(FactKind.FAILED, decline_code="lost_card", message="L"),
        ),
        (RequiresAction("pi_1", "a secret"), "pi_1", Fact(FactKind.REQUIRES_ACTION)),
        (HeldForReview("pi_1"), "pi_1", Fact(FactKind.HELD)),
    ],
)
async def test_a_look_up_that_finds_the_charge(
    outcome: ChargeOutcome, object_id: str | None, fact: Fact
) -> None:
    (finding,) = await ask(Told(outcome), is_looked_up=True)
    assert (finding.object, finding.object_id, finding.fact) == (CHARGE, object_id, fact)
    assert finding.is_answered
    assert not finding.is_unclear
    assert "a secret" not in repr(finding)


async def test_a_look_up_that_finds_nothing_or_something_unclear() -> None:
    (nothing,) = await ask(Told(None), is_looked_up=True)
    assert (nothing.is_answered, nothing.fact) == (True, None)
    (unclear,) = await ask(Told(Unknown("Stripe has not finished it.")), is_looked_up=True)
    assert (unclear.is_unclear, unclear.is_answered) == (True, True)
    for outcome in (NotSent("away"), Refused("no"), Unknown("nothing", shows_nothing=True)):
        (silent,) = await ask(Told(outcome), is_looked_up=True)
        assert (silent.is_answered, silent.is_unclear) == (False, False)


@pytest.mark.parametrize(
    "error", [GatewayRefused("no key"), GatewayUnavailable("away"), GatewayUnknown("unclear")]
)
async def test_no_answer_is_a_finding_and_stops_no_other(error: GatewayError) -> None:
    gateway = Told(error, Fact(FactKind.SUCCEEDED, 5000))
    silent, told = await ask(gateway, INTENT, is_looked_up=True)
    assert (silent.is_answered, silent.answer) == (False, error.message)
    assert (told.object, told.object_id, told.answer) == (
        "payment",
        "pi_1",
        "The card was charged.",
    )


async def test_a_gateway_that_hangs_is_waited_for_so_long_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Hanging(Told):
        async def read_state(self, *_: object) -> Any:
            await asyncio.Event().wait()

    monkeypatch.setattr(evidence, "ASK_SECONDS", 0.01)
    (silent,) = await ask(Hanging(), INTENT)
    assert not silent.is_answered
    assert "did not answer within" in silent.answer


async def test_an_object_that_the_account_does_not_have() -> None:
    (missing,) = await ask(Told(), GatewayObject(ObjectKind.REFUND, "re_1"))
    assert (missing.is_answered, missing.fact) == (True, None)
    assert missing.answer == "The gateway has no such refund."


async def test_so_many_objects_are_read_only() -> None:
    gateway = Told(state=Fact(FactKind.REFUND, 1))
    refunds = [GatewayObject(ObjectKind.REFUND, f"re_{n}") for n in range(OBJECTS_MAX + 5)]
    assert len(await ask(gateway, *refunds)) == OBJECTS_MAX
    assert len(gateway.read) == OBJECTS_MAX


@pytest.mark.parametrize("kind", [kind for kind in FactKind if not kind.startswith("card_")])
async def test_every_state_has_a_sentence(kind: FactKind) -> None:
    (told,) = await ask(Told(state=Fact(kind)), INTENT)
    assert told.answer.endswith(".")


def test_a_payments_objects_are_its_transactions_refunds_and_disputes_each_once() -> None:
    facts = [
        Fact(FactKind.SUCCEEDED, 5000),
        Fact(FactKind.REFUND, 1, object_id="re_1"),
        Fact(FactKind.REFUND_FAILED, 1, object_id="re_1"),
        Fact(FactKind.DISPUTED, 1, object_id="dp_1"),
        Fact(FactKind.REFUNDED, 1),
    ]
    assert objects_of(["pi_1", "pi_1"], facts) == [
        INTENT,
        GatewayObject(ObjectKind.REFUND, "re_1"),
        GatewayObject(ObjectKind.DISPUTE, "dp_1"),
    ]
