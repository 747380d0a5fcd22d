"""Rules of operators' decisions about refunds: when one is allowed, and what speaks against. Pure.

A refund may be resolved as

    attempt                            succeeded                    failed
    running, its lease live            no: a core makes it          no: a core makes it
    running otherwise, unknown,        with proof, or forced        unless the gateway shows it,
    unsettled                                                       or not yet; or forced
    none: it has an outcome            no                           no

Proof is a refund of the payment, of the refund's amount and currency, that the gateway shows as
made; or that it shows the payment as voided, if the refund is of all of it.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from core.gateways.events import Fact, FactKind
from core.payments.decision_rules import Decision, Resolution, words_of
from core.payments.evidence import Finding
from core.refunds.store import Refund

_MADE = (FactKind.REFUND, FactKind.VOIDED)


def is_repeated(
    refund: Refund, last: Decision | None, resolution: Resolution, transaction_id: str | None
) -> bool:
    """Return whether the last resolution of a refund was the same, and still holds."""
    if last is None or (last.resolution, last.transaction_id) != (resolution, transaction_id):
        return False
    return refund.attempt is None and refund.is_counted == (resolution is Resolution.SUCCEEDED)


def state_problem(refund: Refund, last: Decision | None, now: datetime) -> str | None:
    """Return why the refund's state forbids a decision, or None. No force helps.

    `last` is the last resolution of the refund.
    """
    if running := lease_problem(refund, now):
        return running
    if refund.attempt is not None:
        return None
    by = f" It was resolved as {words_of(last)}." if last else ""
    if refund.status == "pending":
        return f"The gateway has the refund as {refund.gateway_refund_id} and has not finished it."
    return (
        f"The refund is {refund.status}: there is nothing to decide. What the gateway says later "
        f"counts all the same, also after `nivisco refunds retry`.{by}"
    )


def lease_problem(refund: Refund, now: datetime) -> str | None:
    """Return why nothing can be decided now, as a core makes the refund; or None."""
    if refund.leased_until is None or refund.leased_until <= now:
        return None
    return "A core is making the refund at this moment. Repeat the command in a few seconds."


def evidence_problem(
    refund: Refund,
    resolution: Resolution,
    transaction_id: str | None,
    findings: Sequence[Finding],
    *,
    now: datetime,
    settle_time: timedelta,
) -> str | None:
    """Return why what the gateway says speaks against the decision, or None.

    `settle_time` is how long after sending a refund may not be in the gateway's lists yet.
    """
    if resolution is Resolution.SUCCEEDED:
        return _proof_problem(transaction_id, findings)
    for each in findings:
        if each.fact is not None and each.fact.kind in _MADE:
            return f"The gateway shows that the money was given back: {each.answer}"
        if each.is_unclear:
            return f"The refund may still be made: {each.answer}"
    is_over = any(each.fact is not None for each in findings)
    is_sent = refund.attempt != "unsettled"
    if is_sent and not is_over and now - refund.sent_at < settle_time:
        return (
            f"The refund was sent less than {settle_time.total_seconds():.0f} seconds ago, and the "
            "gateway may not show it yet."
        )
    return None


def amount_problem(refund: Refund, findings: Sequence[Finding]) -> str | None:
    """Return why a refund that the gateway shows cannot be this one, or None. No force helps.

    Counted as this one, more or less than its amount would be refunded of the payment.
    """
    for fact in (each.fact for each in findings if each.fact and each.fact.kind in _MADE):
        if not _is_whole(fact, refund):
            return (
                f"The gateway shows {fact.object_id or 'a void'} with {fact.amount_minor} "
                f"{fact.currency or refund.currency}, the refund has {refund.amount_minor} "
                f"{refund.currency} (in minor units)."
            )
    return None


def is_voided_by_another(
    refund: Refund, transaction_id: str | None, refunds: Sequence[Refund]
) -> bool:
    """Return whether the void of the payment, whose transaction this is, is another refund.

    The gateway's void names no refund, so one that was not made must not adopt it.
    """
    return transaction_id is not None and any(
        each.gateway_refund_id == transaction_id and each.refund_id != refund.refund_id
        for each in refunds
    )


def proof_of(findings: Sequence[Finding]) -> Fact | None:
    """Return the state that the gateway shows of the refund, or None if it shows none.

    What it shows for our id counts before what it shows for the one that is named.
    """
    return next((each.fact for each in findings if each.fact is not None), None)


def _proof_problem(transaction_id: str | None, findings: Sequence[Finding]) -> str | None:
    """Return why the findings do not prove that the refund was made, as `transaction_id`."""
    fact = proof_of(findings)
    answers = " ".join(each.answer for each in findings)
    if fact is None:
        return f"The gateway does not show the refund. {answers}"
    if fact.kind not in _MADE:
        return f"The gateway does not show the refund as made. {answers}"
    if transaction_id is not None and fact.object_id != transaction_id:
        return f"The gateway shows the refund as {fact.object_id or 'the void of its payment'}."
    return None


def _is_whole(fact: Fact, refund: Refund) -> bool:
    """Return whether a fact is of the refund's amount and currency."""
    if fact.kind is FactKind.VOIDED:
        return refund.is_whole
    return fact.amount_minor == refund.amount_minor and fact.currency in (None, refund.currency)
