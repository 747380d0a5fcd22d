"""Asks a gateway what it says of a payment or refund now, without changing either.

No transaction is open meanwhile. A gateway that does not answer is a finding, too.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from typing import Final, assert_never

from core.gateways.events import Fact, FactKind
from core.gateways.gateway import (
    Account,
    Authorized,
    ChargeOutcome,
    Declined,
    Gateway,
    GatewayCharge,
    GatewayError,
    GatewayRefund,
    HeldForReview,
    NotSent,
    ObjectKind,
    RefundOutcome,
    RefundRefused,
    Refused,
    RequiresAction,
    Succeeded,
    Unknown,
    Unsettled,
)
from core.money import Amount
from core.payments.event_rules import GatewayObject, RecordedEvent, events_of_payment
from core.payments.store import Payment

CHARGE: Final = "charge"
"""Object of a look-up by the payment's id, as the gateway's own id is not known."""
OBJECTS_MAX: Final = 20
"""Number of a payment's objects that are read."""
ASK_SECONDS: Final = 30.0
"""How long the gateway may take for all of them."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a gateway says of one of a payment's objects."""

    object: str
    """CHARGE, or a kind of ObjectKind; a refund is found by our id or by the gateway's."""
    object_id: str | None
    """The gateway's id, if it is known."""
    fact: Fact | None
    """State of the object; None if there is none, or the gateway did not say."""
    answer: str
    """The answer as a sentence."""
    is_answered: bool = True
    is_unclear: bool = False
    """Whether the gateway has the object, in a state that decides nothing."""


async def ask_gateway(
    gateway: Gateway,
    account: Account,
    charge: GatewayCharge,
    objects: Sequence[GatewayObject],
    *,
    is_looked_up: bool,
) -> tuple[Finding, ...]:
    """Return what the gateway says of a payment's objects, and of the charge by its payment's id.

    The look-up is the one that the core resolves payments with: at Authorize.Net it voids a second
    transaction of the payment.
    """
    asked = [
        _asked(each.kind.value, each.object_id, _read(gateway, account, each))
        for each in objects[:OBJECTS_MAX]
    ]
    if is_looked_up:
        asked.insert(0, _asked(CHARGE, None, _look_up(gateway, account, charge)))
    return tuple(await asyncio.gather(*asked))


async def ask_about_refund(
    gateway: Gateway, account: Account, refund: GatewayRefund, named: str | None
) -> tuple[Finding, ...]:
    """Return what the gateway says of a refund by our id, and of the one that is named, if any."""
    asked = [_asked(ObjectKind.REFUND, None, _look_up_refund(gateway, account, refund))]
    if named is not None:
        by_name = replace(refund, known_id=named)
        asked.append(_asked(ObjectKind.REFUND, named, _look_up_refund(gateway, account, by_name)))
    return tuple(await asyncio.gather(*asked))


def not_asked(reason: str, name: str = CHARGE) -> tuple[Finding, ...]:
    """Return the finding of a gateway that could not be asked about an object."""
    return (Finding(name, None, None, reason, is_answered=False),)


async def _asked(name: str, object_id: str | None, answer: Awaitable[Finding]) -> Finding:
    """Return an answer, or the finding that there was none."""
    try:
        async with asyncio.timeout(ASK_SECONDS):
            return await answer
    except GatewayError as error:
        reason = error.message
    except TimeoutError:
        reason = f"The gateway did not answer within {ASK_SECONDS:.0f} seconds."
    return Finding(name, object_id, None, reason, is_answered=False)


async def _read(gateway: Gateway, account: Account, which: GatewayObject) -> Finding:
    fact = await gateway.read_state(account, which.kind, which.object_id)
    sentence = f"The gateway has no such {which.kind}." if fact is None else _sentence(fact)
    return Finding(which.kind.value, which.object_id, fact, sentence)


async def _look_up(gateway: Gateway, account: Account, charge: GatewayCharge) -> Finding:
    outcome = await gateway.look_up_charge(account, charge)
    if outcome is None:
        return Finding(CHARGE, None, None, "The gateway shows no charge of this payment.")
    return _finding_of(outcome, charge.amount)


async def _look_up_refund(gateway: Gateway, account: Account, refund: GatewayRefund) -> Finding:
    outcome = await gateway.look_up_refund(account, refund)
    return _finding_of_refund(outcome, refund.known_id)


def _finding_of_refund(outcome: RefundOutcome | None, named: str | None) -> Finding:
    match outcome:
        case None:
            fact, answer = None, f"The gateway shows no refund {named or 'with our id'}."
        case Fact():
            fact, answer = outcome, _sentence(outcome)
        case Unsettled():
            fact, answer = None, "The payment is not settled, so that it was not refunded."
        case RefundRefused():
            fact, answer = None, outcome.message
        case Refused() | NotSent() | Unknown():
            is_unclear = isinstance(outcome, Unknown)
            return Finding(
                ObjectKind.REFUND, named, None, outcome.message, is_unclear, is_unclear=is_unclear
            )
        case _:
            assert_never(outcome)
    return Finding(ObjectKind.REFUND, (fact and fact.object_id) or named, fact, answer)


def _finding_of(outcome: ChargeOutcome, amount: Amount) -> Finding:
    """Return what a look-up found: an outcome is of the payment's own amount and currency."""
    match outcome:
        case Succeeded():
            fact = Fact(FactKind.SUCCEEDED, amount.minor, amount.currency)
        case Declined():
            fact = Fact(FactKind.FAILED, decline_code=outcome.decline_code, message=outcome.message)
        case RequiresAction():
            fact = Fact(FactKind.REQUIRES_ACTION)
        case HeldForReview():
            fact = Fact(FactKind.HELD)
        case Authorized():
            fact = Fact(FactKind.AUTHORIZED, amount.minor, amount.currency)
        case Unknown(shows_nothing=False):
            return Finding(CHARGE, None, None, outcome.message, is_unclear=True)
        case Refused() | NotSent() | Unknown():
            return Finding(CHARGE, None, None, outcome.message, is_answered=False)
        case _:
            assert_never(outcome)
    return Finding(CHARGE, outcome.transaction_id, fact, _sentence(fact))


_SENTENCES: Final = {
    FactKind.SUCCEEDED: "The card was charged.",
    FactKind.FAILED: "The card was declined.",
    FactKind.CANCELED: "The charge was canceled.",
    FactKind.REQUIRES_ACTION: "The customer must authenticate; until then nothing is charged.",
    FactKind.HELD: "The charge is held for review; it may still be made.",
    FactKind.AUTHORIZED: "The amount is authorized; it may still be captured.",
    FactKind.VOIDED: "The charge was voided.",
    FactKind.REFUNDED: "Money was refunded.",
    FactKind.REFUND: "Money was refunded.",
    FactKind.REFUND_FAILED: "The refund failed or was canceled.",
    FactKind.DISPUTED: "The dispute is open.",
    FactKind.DISPUTE_CLOSED: "The dispute was won.",
}
_LOST: Final = "The dispute was lost."
_KINDS: Final = {
    FactKind.REFUND: ObjectKind.REFUND,
    FactKind.REFUND_FAILED: ObjectKind.REFUND,
    FactKind.DISPUTED: ObjectKind.DISPUTE,
    FactKind.DISPUTE_CLOSED: ObjectKind.DISPUTE,
}


def _sentence(fact: Fact) -> str:
    return _LOST if fact.is_lost else _SENTENCES[fact.kind]


def known_to_gateway(
    payment: Payment, events: Sequence[RecordedEvent]
) -> tuple[str | None, list[RecordedEvent]]:
    """Return the gateway's id of a payment, if the gateway has told it, and the events about it."""
    transaction_id, agreeing, _ = events_of_payment(
        events,
        transaction_id=payment.transaction_id,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        authorized_minor=payment.authorized_minor,
    )
    return (transaction_id if agreeing else payment.transaction_id), agreeing


def objects_of(transaction_ids: Sequence[str], facts: Sequence[Fact]) -> list[GatewayObject]:
    """Return a payment's objects at the gateway: its transactions, and the refunds and disputes."""
    found = [GatewayObject(ObjectKind.PAYMENT, each) for each in transaction_ids]
    found += [
        GatewayObject(_KINDS[each.kind], each.object_id)
        for each in facts
        if each.object_id and each.kind in _KINDS
    ]
    return list(dict.fromkeys(found))
