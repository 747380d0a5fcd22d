"""Rules of gateway events: the state of a payment by the events about it. Pure.

The state is a function of the *set* of facts, so neither their order nor a repeated delivery
matters. Of each object at the gateway (the payment itself, each refund, each dispute) the latest
state counts, and nothing only grows:

    events about one object                                 its state
    a read of the object at the gateway, none received      what was read
    since it began
    charged, and not voided                                 charged: a proven success outranks
    authorized, and none that can only follow               authorized: so does it, until a read
    otherwise                                               the latest; of several in one second,
                                                            the one that can only follow the others

Where the events leave that open, the object is to be read at the gateway; until then the state
above counts. They do so where two states differ in one second, where an earlier state is one that
nothing can follow, and where an event differs from what was read before it came.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from core.gateways.events import APPROVED, EXPIRED, Fact, FactKind
from core.gateways.gateway import ObjectKind
from core.payments.rules import CANCELABLE
from core.refunds.rules import OwnRefund, ToldRefund

CHARGED: Final = frozenset(("succeeded", "partially_refunded", "refunded", "disputed"))
"""Statuses of a payment whose card was charged, whatever came after."""
HELD_OR_CHARGED: Final = CHARGED | {"authorized"}
"""Statuses of a payment whose charge did what was requested, whatever came after."""
UNDECIDED: Final = frozenset((FactKind.REQUIRES_ACTION, FactKind.HELD, FactKind.AUTHORIZED))
"""States of a payment that was neither charged nor released, and still may be."""
EVENT_LIFE: Final = timedelta(days=3)
"""How long an event waits for its payment; the gateways repeat deliveries for as long."""
SETTLED_AFTER: Final = timedelta(days=3)
"""Time after which a refund at Authorize.Net has settled or failed."""
_STATUSES: Final = {
    FactKind.REQUIRES_ACTION: "requires_action",
    FactKind.HELD: "held_for_review",
    FactKind.AUTHORIZED: "authorized",
    FactKind.FAILED: "declined",
    FactKind.CANCELED: "declined",
    FactKind.SUCCEEDED: "succeeded",
    FactKind.VOIDED: "voided",
}
_STAGES: Final = {
    # Of two states of one object, the one of the higher stage can only follow the other.
    FactKind.REQUIRES_ACTION: 0,
    FactKind.HELD: 0,
    FactKind.FAILED: 0,
    FactKind.AUTHORIZED: 1,
    FactKind.CANCELED: 2,
    FactKind.SUCCEEDED: 3,
    FactKind.VOIDED: 4,
    FactKind.REFUND: 0,
    FactKind.REFUND_FAILED: 1,
    FactKind.DISPUTED: 0,
    FactKind.DISPUTE_CLOSED: 1,
}
_FINAL: Final = frozenset((FactKind.CANCELED, FactKind.SUCCEEDED, FactKind.VOIDED))
_OBJECT_KINDS: Final = {
    FactKind.REFUND: ObjectKind.REFUND,
    FactKind.REFUND_FAILED: ObjectKind.REFUND,
    FactKind.DISPUTED: ObjectKind.DISPUTE,
    FactKind.DISPUTE_CLOSED: ObjectKind.DISPUTE,
}
_REFUND_KINDS: Final = (FactKind.REFUND, FactKind.REFUND_FAILED)
_DISPUTE_KINDS: Final = (FactKind.DISPUTED, FactKind.DISPUTE_CLOSED)


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """A stored fact, with the columns that order facts."""

    event_id: str
    occurred_at: datetime
    """The gateway's time of an event; of a read the database's, when it began."""
    received_at: datetime
    transaction_id: str
    payment_id: str | None
    fact: Fact
    is_read: bool = False
    """Whether it was read at the gateway or decided by an operator; else the gateway sent it."""
    refund_id: str | None = None
    """Our id of the refund that it is about, if the gateway has it."""
    is_applied: bool = False
    """Whether its payment has followed it before."""


@dataclass(frozen=True, slots=True)
class GatewayObject:
    """An object at the gateway that is about a payment."""

    kind: ObjectKind
    object_id: str


@dataclass(frozen=True, slots=True)
class PaymentState:
    """The part of a payment that gateway events change. Amounts are in minor units."""

    status: str
    transaction_id: str | None
    decline_code: str | None
    amount_refunded_minor: int
    taken_back_minor: int = 0
    """Amount of a funding that its wallet does not have any more."""
    is_charged: bool = False
    """Whether the card was charged, so that a funding credits its wallet."""
    captured_minor: int | None = None
    """What was captured of an authorized payment, if that is not the payment's amount so far."""
    is_authorization: bool = False
    """Whether the payment was to be authorized first."""


def events_of_payment(
    events: Sequence[RecordedEvent],
    *,
    transaction_id: str | None,
    amount_minor: int,
    currency: str,
    authorized_minor: int | None = None,
) -> tuple[str | None, list[RecordedEvent], list[RecordedEvent]]:
    """Return a payment's transaction id, the events about it, and those that contradict it.

    A payment has one transaction: its own, or else that of the event with its outcome. One that is
    authorized first (`authorized_minor`) may be captured in part.
    """
    if transaction_id is None:
        best = min(
            (each for each in events if each.payment_id is not None),
            key=lambda each: (-_STAGES.get(each.fact.kind, 0), each.occurred_at, each.event_id),
            default=None,
        )
        transaction_id = best.transaction_id if best else None
    agreeing: list[RecordedEvent] = []
    contradicting: list[RecordedEvent] = []
    if authorized_minor is not None:
        events = _without_releases([_approved(each) for each in events], authorized_minor)
    for each in events:
        # A dispute is in the cardholder's currency.
        currencies = (None, currency, each.fact.currency if _is_dispute(each) else currency)
        is_same = each.transaction_id == transaction_id and each.fact.currency in currencies
        is_possible = _is_possible(each.fact, amount_minor, authorized_minor)
        (agreeing if is_same and is_possible else contradicting).append(each)
    return transaction_id, agreeing, contradicting


def _approved(event: RecordedEvent) -> RecordedEvent:
    """Return an event about an authorization, which the end of a review does not capture."""
    if event.fact.kind is not FactKind.SUCCEEDED or event.fact.message != APPROVED:
        return event
    return replace(event, fact=replace(event.fact, kind=FactKind.AUTHORIZED, message=None))


RELEASE_TIME: Final = timedelta(minutes=1)
"""How far the events of a capture and of the release of the rest are apart at most."""


def _without_releases(
    events: Sequence[RecordedEvent], authorized_minor: int
) -> Sequence[RecordedEvent]:
    """Return the events about an authorization; one about the release of the rest is its capture.

    Stripe shows what a partial capture releases as a refund, which gives nothing back
    (https://docs.stripe.com/payments/place-a-hold-on-a-payment-method, Capture the funds).
    """
    captures = [each for each in events if each.fact.kind is FactKind.SUCCEEDED]
    if not captures:
        return events
    capture = _present(captures)
    released_minor = authorized_minor - (capture.fact.amount_minor or 0)
    ours = {each.fact.object_id for each in events if each.refund_id is not None}

    def is_release(each: RecordedEvent) -> bool:
        is_refund = each.fact.kind is FactKind.REFUND and each.fact.object_id not in ours
        is_then = any(abs(each.occurred_at - one.occurred_at) <= RELEASE_TIME for one in captures)
        return is_refund and each.fact.amount_minor == released_minor and is_then

    return [replace(each, fact=capture.fact) if is_release(each) else each for each in events]


def _is_possible(fact: Fact, amount_minor: int, authorized_minor: int | None) -> bool:
    """Return whether a payment can have been charged or authorized with a fact's amount."""
    match fact.kind:
        case FactKind.AUTHORIZED:
            return fact.amount_minor == authorized_minor is not None
        case FactKind.SUCCEEDED if authorized_minor is not None:
            return 0 < (fact.amount_minor or 0) <= authorized_minor
        case FactKind.SUCCEEDED:
            return fact.amount_minor == amount_minor
        case _:
            return True


def outcome_event(events: Sequence[RecordedEvent]) -> RecordedEvent | None:
    """Return the event with the present outcome of the payment itself, or None without one."""
    outcomes = [each for each in events if each.fact.kind in _STATUSES]
    return _present(outcomes) if outcomes else None


def is_cancelable(
    events: Sequence[RecordedEvent], *, status: str, gateway: str, transaction_id: str | None
) -> bool:
    """Return whether a payment can still be charged at its gateway, and so be canceled there.

    Authorize.Net's declines are final.
    """
    present = outcome_event(events)
    is_canceled = present is not None and present.fact.kind is FactKind.CANCELED
    is_final = is_canceled or (status == "declined" and gateway == "authorize")
    return transaction_id is not None and status in CANCELABLE and not is_final


def unclear_objects(
    events: Sequence[RecordedEvent], *, transaction_id: str | None, is_charged: bool
) -> frozenset[GatewayObject]:
    """Return the objects to read at the gateway, as the events leave their state open."""
    unclear: set[GatewayObject] = set()
    outcomes = [each for each in events if each.fact.kind in _STATUSES]
    if outcomes and transaction_id:
        present = _present(outcomes)
        # A core saw the charge's success, and the events tell of none.
        differs = is_charged and present.fact.kind not in (
            FactKind.SUCCEEDED,
            FactKind.VOIDED,
        )
        if _is_unclear(outcomes) or (differs and not present.is_read):
            unclear.add(GatewayObject(ObjectKind.PAYMENT, transaction_id))
    for states in _by_object(events, (*_REFUND_KINDS, *_DISPUTE_KINDS)):
        if _is_unclear(states) and states[0].fact.object_id:
            kind = _OBJECT_KINDS[states[0].fact.kind]
            unclear.add(GatewayObject(kind, states[0].fact.object_id))
    return frozenset(unclear)


def unsettled_refunds(
    events: Sequence[RecordedEvent], gateway: str
) -> dict[GatewayObject, datetime]:
    """Return the refunds that may fail without an event, and when to read each.

    Authorize.Net sends none for a refund that fails at its settlement, which takes up to two days.
    """
    found: dict[GatewayObject, datetime] = {}
    for states in _by_object(events, _REFUND_KINDS) if gateway == "authorize" else ():
        settled_at = min(each.occurred_at for each in states) + SETTLED_AFTER
        is_read = any(each.is_read and each.received_at >= settled_at for each in states)
        if not is_read and not _has_failed(_present(states)) and states[0].fact.object_id:
            found[GatewayObject(ObjectKind.REFUND, states[0].fact.object_id)] = settled_at
    return found


def next_state(
    state: PaymentState,
    events: Sequence[RecordedEvent],
    *,
    amount_minor: int,
    currency: str,
    refunds: Sequence[OwnRefund] = (),
) -> PaymentState:
    """Return the state of a payment that is not pending after all events about it.

    `refunds` were requested here. One that the gateway has not told of counts from its reservation
    on, until it fails. What is captured of an authorized payment is its amount from then on.

    voided, or authorized and canceled  voided; its decline code says if it expired
    charged, a dispute open or lost     disputed
    charged, refunded                   refunded or partially_refunded
    charged                             succeeded
    otherwise                           its present outcome
    """
    present = outcome_event(events)
    kind = present.fact.kind if present else None
    was_charged = state.is_charged or state.status in CHARGED
    is_released = kind is FactKind.CANCELED and not was_charged and _was_authorized(state, events)
    is_voided = kind is FactKind.VOIDED or (kind is None and state.status == "voided")
    is_voided |= is_released
    is_charged = was_charged or kind is FactKind.SUCCEEDED
    if is_voided:
        is_charged |= any(each.fact.kind is FactKind.SUCCEEDED for each in events)
    captured_minor = _captured(events, amount_minor)
    amount_minor = captured_minor or amount_minor
    reserved = _reserved(events, refunds, state.transaction_id)
    # Before a capture, what Stripe shows as refunded of an authorization is its release.
    has_refunds = is_charged or (is_voided and not state.is_authorization)
    refunded = min(amount_minor, _refunded(events, reserved)) if has_refunds else 0
    lost, is_disputed = _disputes(events, amount_minor=amount_minor, currency=currency)
    decline_code = state.decline_code
    if is_voided:
        status, taken = "voided", amount_minor
    elif is_charged:
        status = "disputed" if is_disputed else _by_refunds(refunded, amount_minor)
        taken = min(amount_minor, refunded + lost)
    else:
        status, taken = state.status, 0
        if present is not None and _precedes_authorization(state, present, events):
            status, decline_code = "authorized", None
        elif present is not None:
            status, decline_code = _STATUSES[present.fact.kind], _decline_code(state, events)
    return PaymentState(
        status,
        state.transaction_id,
        _code_of_final(state, present, is_voided=is_voided)
        if is_charged or is_voided
        else decline_code,
        refunded,
        taken if is_charged else 0,
        is_charged,
        captured_minor,
        state.is_authorization,
    )


def _precedes_authorization(
    state: PaymentState, present: RecordedEvent, events: Sequence[RecordedEvent]
) -> bool:
    """Return whether a payment is authorized, and its present event is from before that."""
    kinds = {each.fact.kind for each in events}
    is_authorized = state.status == "authorized" or FactKind.AUTHORIZED in kinds
    is_earlier = _STAGES[present.fact.kind] < _STAGES[FactKind.AUTHORIZED]
    return is_authorized and is_earlier and not present.is_read


def _was_authorized(state: PaymentState, events: Sequence[RecordedEvent]) -> bool:
    """Return whether a payment that was canceled was authorized before."""
    is_told = any(each.fact.kind is FactKind.AUTHORIZED for each in events)
    return state.is_authorization and (state.status in ("authorized", "voided") or is_told)


def _captured(events: Sequence[RecordedEvent], amount_minor: int) -> int | None:
    """Return the amount that was captured, or None if it is the payment's."""
    captured = [each for each in events if each.fact.kind is FactKind.SUCCEEDED]
    minor = _present(captured).fact.amount_minor if captured else None
    return None if minor == amount_minor else minor


def _code_of_final(
    state: PaymentState, present: RecordedEvent | None, *, is_voided: bool
) -> str | None:
    """Return the decline code of a payment that is charged or voided: only that it expired."""
    code = present.fact.decline_code if present else state.decline_code
    return code if is_voided and code == EXPIRED else None


def _decline_code(state: PaymentState, events: Sequence[RecordedEvent]) -> str | None:
    """Return the decline code of a payment that was not charged.

    Why it was declined says more than that it was canceled afterwards.
    """
    present = outcome_event(events)
    if present is None or present.fact.kind is not FactKind.CANCELED:
        return present.fact.decline_code if present else state.decline_code
    failures = [each for each in events if each.fact.kind is FactKind.FAILED]
    if failures:
        return _present(failures).fact.decline_code
    return state.decline_code if state.status == "declined" else present.fact.decline_code


def states_of_objects(
    events: Sequence[RecordedEvent], kinds: Collection[FactKind]
) -> list[tuple[list[RecordedEvent], RecordedEvent]]:
    """Return the events of each refund or dispute, and the one of them with its present state."""
    return [(states, _present(states)) for states in _by_object(events, kinds)]


def tells_status(fact: Fact, status: str) -> bool:
    """Return whether a fact about a payment itself tells only the status that it has."""
    return _STATUSES.get(fact.kind) == status


def has_refund(events: Sequence[RecordedEvent]) -> bool:
    """Return whether an event is about a refund."""
    return any(each.fact.kind in _REFUND_KINDS for each in events)


def told_refunds(
    events: Sequence[RecordedEvent], refunds: Sequence[OwnRefund], transaction_id: str | None
) -> dict[str, ToldRefund]:
    """Return what the events about a payment tell of refunds that were requested here, by our id.

    Our id on any event about a refund, or the gateway's id that it answered us, tells which one it
    is. The void of the payment is the refund that has the payment's transaction id.
    """
    by_object = {states[0].fact.object_id: states for states in _by_object(events, _REFUND_KINDS)}
    ours = {
        each.refund_id: each.fact.object_id
        for each in events
        if each.refund_id and each.fact.kind in _REFUND_KINDS
    }
    outcome = outcome_event(events)
    is_voided = outcome is not None and outcome.fact.kind is FactKind.VOIDED
    told: dict[str, ToldRefund] = {}
    for refund in refunds:
        object_id = refund.gateway_refund_id or ours.get(refund.refund_id)
        if object_id is not None and object_id == transaction_id and is_voided:
            told[refund.refund_id] = ToldRefund("succeeded", object_id)
        elif object_id in by_object:
            present = _present(by_object[object_id])
            told[refund.refund_id] = _told(present.fact)
    return told


def _told(refund: Fact) -> ToldRefund:
    """Return the state of a refund.

    REFUND                         succeeded, or pending with a message
    REFUND_FAILED                  canceled if its message says so, else failed
    """
    if refund.kind is FactKind.REFUND:
        return ToldRefund("pending" if refund.message else "succeeded", refund.object_id)
    status = "canceled" if refund.message == "canceled" else "failed"
    return ToldRefund(status, refund.object_id, refund.message or "unknown")


def _reserved(
    events: Sequence[RecordedEvent], refunds: Sequence[OwnRefund], transaction_id: str | None
) -> int:
    """Return the amount of the refunds requested here that the gateway has not told of."""
    told = told_refunds(events, refunds, transaction_id)
    return sum(
        each.amount_minor
        for each in refunds
        if each.is_counted
        and each.refund_id not in told
        and each.gateway_refund_id != (transaction_id or "")
    )


def _refunded(events: Sequence[RecordedEvent], reserved_minor: int) -> int:
    """Return the amount of all refunds that have not failed, with those that are only reserved.

    The gateway's sum tells of refunds without events of their own. It is of the time of its event,
    so refunds that failed since are subtracted. It may contain the reserved ones already.
    """
    refunds = _by_object(events, _REFUND_KINDS)
    latest = [_present(states) for states in refunds]
    known = sum(each.fact.amount_minor or 0 for each in latest if not _has_failed(each))
    known += reserved_minor
    sums = [each for each in events if each.fact.kind is FactKind.REFUNDED]
    if not sums:
        return known
    last_sum = max(
        sums, key=lambda each: (each.occurred_at, each.fact.amount_minor or 0, each.event_id)
    )
    total = last_sum.fact.amount_minor or 0
    for states, last in zip(refunds, latest, strict=True):
        if _has_failed(last):
            failed_at = min(each.occurred_at for each in states if _has_failed(each))
            if failed_at >= last_sum.occurred_at:
                total -= last.fact.amount_minor or 0
    return max(known, total)


def _disputes(
    events: Sequence[RecordedEvent], *, amount_minor: int, currency: str
) -> tuple[int, bool]:
    """Return the amount lost in disputes, and whether one is open or lost.

    A dispute whose amount is not in the payment's currency counts as one of the whole payment.
    """
    lost, is_disputed = 0, False
    for states in _by_object(events, _DISPUTE_KINDS):
        fact = _present(states).fact
        is_open = fact.kind is FactKind.DISPUTED
        is_disputed |= is_open or fact.is_lost
        if not is_open and fact.is_lost:
            is_comparable = fact.amount_minor is not None and fact.currency in (None, currency)
            lost += (fact.amount_minor or 0) if is_comparable else amount_minor
    return lost, is_disputed


def _by_object(
    events: Sequence[RecordedEvent], kinds: Collection[FactKind]
) -> list[list[RecordedEvent]]:
    """Return the events of each refund or dispute."""
    grouped: dict[str, list[RecordedEvent]] = defaultdict(list)
    for each in events:
        if each.fact.kind in kinds:
            grouped[each.fact.object_id].append(each)
    return list(grouped.values())


def _since_read(states: Sequence[RecordedEvent]) -> list[RecordedEvent]:
    """Return the last read of an object and the events that came after it began; else all."""
    reads = [each for each in states if each.is_read]
    if not reads:
        return list(states)
    last = max(reads, key=lambda each: (each.received_at, each.event_id))
    later = [each for each in states if not each.is_read and each.received_at > last.received_at]
    return [last, *later]


def _present(states: Sequence[RecordedEvent]) -> RecordedEvent:
    """Return the event with the present state of one object."""
    if len(states) == 1:  # as of most objects
        return states[0]

    def order(each: RecordedEvent) -> tuple[int, datetime, int, bool, str]:
        fact = each.fact
        final = _STAGES[fact.kind] if fact.kind in _FINAL else 0
        is_won = fact.kind is FactKind.DISPUTE_CLOSED and not fact.is_lost
        is_finished = fact.kind is FactKind.REFUND and fact.message is None
        return final, each.occurred_at, _STAGES[fact.kind], is_won or is_finished, each.event_id

    return max(_since_read(states), key=order)


def _is_unclear(states: Sequence[RecordedEvent]) -> bool:
    """Return whether the events about one object leave its present state open."""
    if len(states) == 1:
        return False
    present = _present(states)
    return any(
        not _is_same_state(each.fact, present.fact) and not _precedes(each, present)
        for each in _since_read(states)
    )


def _precedes(event: RecordedEvent, present: RecordedEvent) -> bool:
    """Return whether an event is certainly of an earlier state than the present one.

    An event that came after a read is not, if it differs from what was read.
    """
    if present.is_read or event.fact.kind is FactKind.CANCELED:
        return False
    stage, present_stage = _STAGES[event.fact.kind], _STAGES[present.fact.kind]
    if event.is_read:
        return stage < present_stage
    is_final = present.fact.kind in _FINAL
    is_earlier = event.occurred_at < present.occurred_at
    is_tie = event.occurred_at == present.occurred_at
    return stage <= present_stage and (
        is_earlier or (is_tie and is_final and stage < present_stage)
    )


def _is_same_state(one: Fact, other: Fact) -> bool:
    """Return whether two facts tell the same state; a gateway's message may differ."""
    return replace(one, message=None) == replace(other, message=None)


def _has_failed(event: RecordedEvent) -> bool:
    return event.fact.kind is FactKind.REFUND_FAILED


def _is_dispute(event: RecordedEvent) -> bool:
    return event.fact.kind in _DISPUTE_KINDS


def _by_refunds(refunded_minor: int, amount_minor: int) -> str:
    if refunded_minor == 0:
        return "succeeded"
    return "refunded" if refunded_minor >= amount_minor else "partially_refunded"
