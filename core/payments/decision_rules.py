"""Rules of operators' decisions about payments: when one is allowed, and what it does. Pure.

Those about refunds are in core.refunds.decision_rules.

A payment may be resolved as

    status                              succeeded                   declined or failed
    pending, its lease live             no: a core charges it       no: a core charges it
    pending otherwise, needs_review,    with proof, or forced       unless the gateway shows a
    requires_action, held_for_review                                charge, or forced
    declined, failed                    with proof                  no: it has an outcome
    declined, failed by a decision      with proof, or forced       no: it has an outcome
    authorized, charged or voided       no: it has an outcome       no: it has an outcome

Proof is a transaction of the payment's amount and currency that the gateway shows as charged. A
payment of which the gateway has told is not failed but declined, as its answer is stored.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

from core.errors import InvalidFields
from core.gateways.events import Fact, FactKind
from core.gateways.gateway import (
    Authorized,
    ChargeOutcome,
    Declined,
    HeldForReview,
    ObjectKind,
    Refused,
    Succeeded,
)
from core.payments.event_rules import CHARGED, HELD_OR_CHARGED
from core.payments.evidence import CHARGE, Finding
from core.payments.rules import may_still_succeed
from core.payments.store import Payment


class Action(StrEnum):
    """What an operator decided."""

    RESOLVE = "resolve"
    RETRY = "retry"
    RELEASE = "release"
    ERASE = "erase"


class Resolution(StrEnum):
    """Outcome of a payment or refund that an operator decided; no refund is declined."""

    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    FAILED = "failed"


class Subject(StrEnum):
    """What a decision is about."""

    PAYMENT = "payment"
    RECURRING_JOB = "recurring_job"
    WEBHOOK_EVENT = "webhook_event"
    REFUND = "refund"
    WALLET_HOLD = "wallet_hold"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision of an operator, as stored."""

    business_id: str
    decision_id: str
    subject: Subject
    subject_id: str
    action: Action
    decided_by: str
    reason: str
    decided_at: datetime
    resolution: Resolution | None = None
    transaction_id: str | None = None
    """The gateway's id of the payment or refund, as the operator named it."""
    previous_status: str | None = None
    is_forced: bool = False
    findings: Sequence[Finding] = field(default=())
    """What the gateway said then."""


def only_business(owners: Sequence[str], business_id: str | None, id_name: str) -> str | None:
    """Return the business that has an id: the one that is named, or else the only one.

    None if there is none.

    Raises:
        InvalidFields: several have it, and none is named.
    """
    found = [each for each in owners if business_id in (None, each)]
    if len(found) > 1:
        named = ", ".join(found[:20])
        raise InvalidFields.of("business_id", f"is needed: {named} have this {id_name}")
    return found[0] if found else None


def last_resolution(made: Sequence[Decision]) -> Decision | None:
    """Return the last of some decisions that resolved what they are about, or None."""
    return next((each for each in reversed(made) if each.action is Action.RESOLVE), None)


def is_repeated(
    payment: Payment, last: Decision | None, resolution: Resolution, transaction_id: str | None
) -> bool:
    """Return whether the last resolution of a payment was the same, and still holds."""
    if last is None or (last.resolution, last.transaction_id) != (resolution, transaction_id):
        return False
    if resolution is Resolution.SUCCEEDED:
        return payment.status in CHARGED or payment.status == "voided"
    return payment.status in ("declined", "failed")


def state_problem(
    payment: Payment,
    last: Decision | None,
    resolution: Resolution,
    transaction_id: str | None,
    *,
    known: str | None,
    now: datetime,
) -> str | None:
    """Return why the payment's state forbids the decision, or None. No force helps.

    `last` is the last resolution of the payment, `known` the gateway's id that it has told.
    """
    if running := lease_problem(payment, now):
        return running
    by = ""
    if last is not None:
        by = f" It was resolved as {words_of(last)}."
    if payment.status in HELD_OR_CHARGED or payment.status == "voided":
        return f"The payment is {payment.status}: there is nothing to decide.{by}"
    if payment.status in ("declined", "failed") and resolution is not Resolution.SUCCEEDED:
        return f"The payment has the outcome {payment.status}; only a success can replace it.{by}"
    if known is not None and resolution is Resolution.FAILED:
        return f"The gateway has the payment as {known}: resolve it as declined."
    if known is not None and transaction_id not in (None, known):
        return f"The payment's transaction is {known}."
    return None


def lease_problem(payment: Payment, now: datetime) -> str | None:
    """Return why nothing can be decided now, as a core works on the payment; or None."""
    if payment.lease is None or payment.lease.until <= now:
        return None
    return "A core is charging the payment at this moment. Repeat the command in a few seconds."


def evidence_problem(
    payment: Payment,
    resolution: Resolution,
    transaction_id: str | None,
    findings: Sequence[Finding],
    *,
    now: datetime,
    settle_time: timedelta,
) -> str | None:
    """Return why what the gateway says speaks against the decision, or None.

    `settle_time` is how long after sending a charge may not be in the gateway's lists yet.
    """
    if resolution is Resolution.SUCCEEDED:
        return _proof_problem(payment, transaction_id, findings)
    charges = [each for each in findings if each.object in (CHARGE, ObjectKind.PAYMENT)]
    for each in charges:
        kind = each.fact.kind if each.fact else None
        if kind is FactKind.SUCCEEDED:
            return f"The gateway shows that the card was charged: {each.object_id}."
        is_open = kind in (FactKind.REQUIRES_ACTION, FactKind.HELD, FactKind.AUTHORIZED)
        if is_open or each.is_unclear:
            return f"The card may still be charged: {each.answer} Cancel it at the gateway first."
    is_over = any(each.fact is not None for each in charges)
    sent_at = payment.sent_at or payment.created_at
    if not is_over and now - sent_at < settle_time:
        return (
            f"The charge was sent less than {settle_time.total_seconds():.0f} seconds ago, and the "
            "gateway may not show it yet."
        )
    return None


def _proof_problem(
    payment: Payment, transaction_id: str | None, findings: Sequence[Finding]
) -> str | None:
    """Return why the findings do not prove that the payment is charged as `transaction_id`."""
    named = [each for each in findings if each.object_id == transaction_id]
    for each in findings:
        is_success = each.fact is not None and each.fact.kind is FactKind.SUCCEEDED
        if is_success and each.object_id != transaction_id:
            return f"The gateway shows another transaction of this payment: {each.object_id}."
    facts = [each.fact for each in named if each.fact is not None]
    if any(_is_whole(fact, payment) for fact in facts):
        return None
    if not facts:
        answers = " ".join(each.answer for each in named or findings)
        return f"The gateway does not show the charge {transaction_id}. {answers}"
    if facts[0].kind is not FactKind.SUCCEEDED:
        return f"The gateway does not show {transaction_id} as charged. {named[0].answer}"
    return (
        f"The gateway shows {transaction_id} with {facts[0].amount_minor} {facts[0].currency}, "
        f"the payment has {payment.amount_minor} {payment.currency} (in minor units)."
    )


def _is_whole(fact: Fact, payment: Payment) -> bool:
    """Return whether a fact is a charge of the payment's amount and currency."""
    return (
        fact.kind is FactKind.SUCCEEDED
        and fact.amount_minor == payment.amount_minor
        and fact.currency in (None, payment.currency)
    )


def may_force(payment: Payment, last: Decision | None) -> bool:
    """Return whether an operator may decide against what the gateway says.

    Not where the gateway itself gave the payment its outcome.
    """
    return payment.status not in ("declined", "failed") or last is not None


def outcome_of(
    resolution: Resolution, transaction_id: str | None, findings: Sequence[Finding]
) -> ChargeOutcome:
    """Return the outcome that the decision gives a payment with this id at the gateway."""
    match resolution:
        case Resolution.SUCCEEDED:
            assert transaction_id is not None, "a success has a transaction"
            return Succeeded(transaction_id)
        case Resolution.DECLINED:
            shown = [each.fact for each in findings if each.fact and each.fact.decline_code]
            code = (shown[0].decline_code if shown else None) or "generic_decline"
            message = (shown[0].message if shown else None) or "The card was declined."
            return Declined(transaction_id, code, message)
        case Resolution.FAILED:
            return Refused("Nothing was charged.")
        case _:
            assert_never(resolution)


def conclusive_outcome(payment: Payment, findings: Sequence[Finding]) -> ChargeOutcome | None:
    """Return the outcome that a look-up proves of a payment without the gateway's id, or None.

    A required authentication is none: its answer needs the client secret, which is not kept.
    """
    for each in findings:
        if each.object != CHARGE or each.fact is None or each.object_id is None:
            continue
        if each.fact.kind is FactKind.SUCCEEDED and may_still_succeed(payment.status):
            return Succeeded(each.object_id)
        if payment.status != "needs_review":
            continue
        if each.fact.kind is FactKind.HELD:
            return HeldForReview(each.object_id)
        if each.fact.kind is FactKind.AUTHORIZED:
            return Authorized(each.object_id)
        if each.fact.kind is FactKind.FAILED:
            code, message = each.fact.decline_code, each.fact.message
            return Declined(
                each.object_id, code or "card_declined", message or "The card was declined."
            )
    return None


def words_of(last: Decision) -> str:
    """Return what was resolved, by whom and when."""
    return f"{last.resolution} by {last.decided_by} at {last.decided_at:%Y-%m-%d %H:%M:%S} UTC"
