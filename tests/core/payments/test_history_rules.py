"""A payment's history follows from its row, its events and the decisions about it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.gateways.events import EXPIRED, Fact, FactKind
from core.payments.event_rules import CHARGED, PaymentState, RecordedEvent, next_state
from core.payments.history_rules import (
    PaymentRecord,
    Resolved,
    Source,
    disputes_of,
    history_of,
    refunds_of,
    replay,
)
from tests.core.payments.test_event_rules import AMOUNT, FACTS

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
SUCCEEDED = Fact(FactKind.SUCCEEDED, AMOUNT)
AUTHORIZED = Fact(FactKind.AUTHORIZED, AMOUNT)
CAPTURED = Fact(FactKind.SUCCEEDED, 400)
ASKED = Fact(FactKind.REQUIRES_ACTION)


def at(second: int) -> datetime:
    return START + timedelta(seconds=second)


def event(second: int, fact: Fact, *, is_read: bool = False, occurred: int = -9) -> RecordedEvent:
    occurred_at = at(second if is_read else occurred)
    return RecordedEvent(f"evt_{second}", occurred_at, at(second), "pi_1", None, fact, is_read)


def record(status: str, **more: Any) -> PaymentRecord:
    values: dict[str, Any] = {
        "origin": Source.REQUEST,
        "is_funding": False,
        "amount_minor": AMOUNT,
        "currency": "usd",
        "transaction_id": "pi_1",
        "created_at": at(0),
        "first_outcome": None,
        "first_outcome_at": None,
        "succeeded_at": None,
        "status": status,
        "amount_refunded_minor": 0,
        "updated_at": at(99),
    }
    return PaymentRecord(**values | more)


def first(outcome: str, second: int = 1) -> dict[str, Any]:
    return {"first_outcome": outcome, "first_outcome_at": at(second)}


def told(
    of: PaymentRecord, events: Sequence[RecordedEvent] = (), decided: Sequence[Resolved] = ()
) -> list[tuple[str, int, int, str]]:
    """Return status, refunded amount, second and source of each change."""
    return [
        (
            each.status,
            each.amount_refunded_minor,
            int((each.since - START).total_seconds()),
            each.event.event_id if each.event and not each.event.is_read else each.source.value,
        )
        for each in history_of(of, events, decided)
    ]


CREATED = ("pending", 0, 0, "request")
REFUND = Fact(FactKind.REFUND, 300, object_id="re_1")
LOST = Fact(FactKind.DISPUTE_CLOSED, AMOUNT, object_id="dp_1", is_lost=True)


@pytest.mark.parametrize(
    ("of", "events", "decided", "expected"),
    [
        pytest.param(record("pending"), [], [], [], id="open"),
        pytest.param(record("pending"), [event(1, SUCCEEDED)], [], [], id="not applied yet"),
        pytest.param(
            record("declined", **first("declined")),
            [],
            [],
            [("declined", 0, 1, "request")],
            id="declined by the answer",
        ),
        pytest.param(
            record("succeeded", **first("succeeded"), succeeded_at=at(1)),
            [event(2, SUCCEEDED)],
            [],
            [("succeeded", 0, 1, "request")],
            id="an event that only confirms",
        ),
        pytest.param(
            record("succeeded", **first("succeeded", 3), succeeded_at=at(3)),
            [event(2, SUCCEEDED)],
            [],
            [("succeeded", 0, 3, "request")],
            id="an event that overtook the answer",
        ),
        pytest.param(
            record("succeeded", **first("succeeded", 3), succeeded_at=at(3)),
            [event(3, SUCCEEDED)],
            [],
            [("succeeded", 0, 3, "evt_3")],
            id="an event that decided an open attempt",
        ),
        pytest.param(
            record("succeeded", **first("requires_action"), succeeded_at=at(5)),
            [event(5, SUCCEEDED, is_read=True)],
            [],
            [("requires_action", 0, 1, "request"), ("succeeded", 0, 5, "gateway_read")],
            id="authenticated, without a webhook",
        ),
        pytest.param(
            record("succeeded", **first("requires_action"), succeeded_at=at(5)),
            [event(2, ASKED), event(5, SUCCEEDED)],
            [],
            [("requires_action", 0, 1, "request"), ("succeeded", 0, 5, "evt_5")],
            id="authenticated",
        ),
        pytest.param(
            record("succeeded", **first("authorized"), succeeded_at=at(5), amount_minor=400),
            [event(2, AUTHORIZED), event(5, CAPTURED, is_read=True), event(6, CAPTURED)],
            [],
            [("authorized", 0, 1, "request"), ("succeeded", 0, 5, "gateway_read")],
            id="authorized, and a part captured",
        ),
        pytest.param(
            record("voided", **first("authorized"), is_authorization=True),
            [event(5, Fact(FactKind.CANCELED, decline_code=EXPIRED))],
            [],
            [("authorized", 0, 1, "request"), ("voided", 0, 5, "evt_5")],
            id="authorized, and expired",
        ),
        pytest.param(
            record("partially_refunded", **first("succeeded"), amount_refunded_minor=500),
            [event(2, REFUND), event(3, replace(REFUND, amount_minor=200, object_id="re_2"))],
            [],
            [
                ("succeeded", 0, 1, "request"),
                ("partially_refunded", 300, 2, "evt_2"),
                ("partially_refunded", 500, 3, "evt_3"),
            ],
            id="refunded twice",
        ),
        pytest.param(
            record("succeeded", **first("succeeded")),
            [event(2, REFUND), event(3, replace(REFUND, kind=FactKind.REFUND_FAILED), occurred=1)],
            [],
            [
                ("succeeded", 0, 1, "request"),
                ("partially_refunded", 300, 2, "evt_2"),
                ("succeeded", 0, 3, "evt_3"),
            ],
            id="a refund that failed",
        ),
        pytest.param(
            record("disputed", **first("succeeded"), is_funding=True),
            [event(2, replace(LOST, kind=FactKind.DISPUTED, is_lost=False)), event(3, LOST)],
            [],
            [("succeeded", 0, 1, "request"), ("disputed", 0, 2, "evt_2")],
            id="disputed, then lost",
        ),
        pytest.param(
            record("voided", **first("succeeded")),
            [event(2, Fact(FactKind.VOIDED))],
            [],
            [("succeeded", 0, 1, "request"), ("voided", 0, 2, "evt_2")],
            id="voided",
        ),
        pytest.param(
            record("declined", **first("succeeded"), succeeded_at=at(1)),
            [event(2, Fact(FactKind.VOIDED)), event(3, Fact(FactKind.FAILED), is_read=True)],
            [],
            [
                ("succeeded", 0, 1, "request"),
                ("voided", 0, 2, "evt_2"),
                ("declined", 0, 3, "gateway_read"),
            ],
            id="voided, then read as declined",
        ),
        pytest.param(
            record("succeeded", **first("succeeded"), succeeded_at=at(1), is_funding=True),
            [event(2, Fact(FactKind.VOIDED)), event(3, Fact(FactKind.FAILED), is_read=True)],
            [],
            [
                ("succeeded", 0, 1, "request"),
                ("voided", 0, 2, "evt_2"),
                ("succeeded", 0, 3, "gateway_read"),
            ],
            id="the same of a funding, which its wallet shows",
        ),
        pytest.param(
            record("failed", **first("needs_review")),
            [],
            [Resolved("failed", at(7))],
            [("needs_review", 0, 1, "request"), ("failed", 0, 7, "operator")],
            id="decided after a review",
        ),
        pytest.param(
            record("declined", **first("declined", 7)),
            [event(7, Fact(FactKind.FAILED), is_read=True)],
            [Resolved("declined", at(7))],
            [("declined", 0, 7, "operator")],
            id="decided while open, and stored beside the events",
        ),
        pytest.param(
            record("declined", **first("requires_action")),
            [event(2, ASKED), event(7, Fact(FactKind.FAILED), is_read=True)],
            [Resolved("declined", at(7))],
            [("requires_action", 0, 1, "request"), ("declined", 0, 7, "operator")],
            id="decided against earlier events",
        ),
        pytest.param(
            record("succeeded", **first("needs_review"), succeeded_at=at(8)),
            [],
            [],
            [("needs_review", 0, 1, "request"), ("succeeded", 0, 8, "request")],
            id="a late answer",
        ),
        pytest.param(
            record("succeeded", succeeded_at=at(4)),
            [],
            [],
            [("succeeded", 0, 4, "request")],
            id="success from before first outcomes were recorded",
        ),
        pytest.param(
            record("declined"),
            [],
            [],
            [("declined", 0, 99, "request")],
            id="decline from before first outcomes were recorded",
        ),
        pytest.param(
            record("succeeded", succeeded_at=at(5)),
            [event(2, ASKED), event(5, SUCCEEDED)],
            [],
            [("requires_action", 0, 2, "evt_2"), ("succeeded", 0, 5, "evt_5")],
            id="events from before first outcomes were recorded",
        ),
    ],
)
def test_history_of(
    of: PaymentRecord,
    events: list[RecordedEvent],
    decided: list[Resolved],
    expected: list[tuple[str, int, int, str]],
) -> None:
    assert told(of, events, decided) == [CREATED, *expected]


def test_a_recurring_job_is_the_source_of_its_creation_and_first_outcome() -> None:
    of = record("succeeded", **first("succeeded"), origin=Source.RECURRING)
    assert {source for *_, source in told(of)} == {"recurring"}


def test_refunds_and_disputes_have_their_present_state() -> None:
    failed = replace(REFUND, kind=FactKind.REFUND_FAILED)
    events = [event(4, failed, occurred=4), event(3, REFUND, occurred=3), event(5, LOST)]
    (refund,), (dispute,) = refunds_of(events), disputes_of(events)
    assert (refund.first.event_id, refund.present.event_id) == ("evt_3", "evt_4")
    assert dispute.first is dispute.present is events[2]


@dataclass
class _Row:
    """A payment as core.payments.transitions writes it, by outcomes, events and decisions."""

    is_funding: bool
    status: str = "pending"
    refunded_minor: int = 0
    is_credited: bool = False
    first_outcome: str | None = None
    first_outcome_at: datetime | None = None
    succeeded_at: datetime | None = None
    events: list[RecordedEvent] = field(default_factory=list)
    decided: list[Resolved] = field(default_factory=list)

    def write(self, status: str, now: datetime) -> None:
        self.status = status
        self.first_outcome = self.first_outcome or status
        self.first_outcome_at = self.first_outcome_at or now
        if status == "succeeded":
            self.succeeded_at = self.succeeded_at or now
        self.is_credited |= status == "succeeded" and self.is_funding

    def apply(self, now: datetime) -> None:
        if self.status == "pending" or not self.events:
            return
        is_charged = self.is_credited or self.status in CHARGED
        before = PaymentState(self.status, "pi_1", None, self.refunded_minor, 0, is_charged)
        after = next_state(before, self.events, amount_minor=AMOUNT, currency="usd")
        self.status, self.refunded_minor = after.status, after.amount_refunded_minor
        self.is_credited |= after.is_charged and self.is_funding
        if after.status == "succeeded":
            self.succeeded_at = self.succeeded_at or now

    def record(self) -> PaymentRecord:
        return record(
            self.status,
            is_funding=self.is_funding,
            amount_refunded_minor=self.refunded_minor,
            first_outcome=self.first_outcome,
            first_outcome_at=self.first_outcome_at,
            succeeded_at=self.succeeded_at,
        )


OUTCOMES = ("succeeded", "declined", "requires_action", "held_for_review", "needs_review")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("event"), FACTS, st.integers(-3, 3)),
        st.tuples(st.just("read"), FACTS, st.just(0)),
        st.tuples(st.just("outcome"), st.sampled_from(OUTCOMES), st.just(0)),
        st.tuples(st.just("decision"), st.sampled_from(("declined", "failed")), st.just(0)),
        st.tuples(st.just("late success"), st.just("succeeded"), st.just(0)),
    ),
    max_size=9,
)


def _take(row: _Row, number: int, kind: str, thing: Any, skew: int) -> None:
    """Carry a step out if it is possible now; each is in a second of its own."""
    now, status = at(number), row.status
    is_uncharged = status not in CHARGED and status != "voided"
    match kind:
        case "event":
            row.events.append(event(number, thing, occurred=number + skew))
        case "read" if status != "pending":
            row.events.append(event(number, thing, is_read=True))
        case "outcome" if status == "pending":
            row.write(thing, now)
        case "decision" if status in ("pending", "needs_review", "requires_action"):
            row.decided.append(Resolved(thing, now))
            fact = Fact(FactKind.FAILED, decline_code="card_declined")
            row.events.append(event(number, fact, is_read=True))
            row.write(thing, now)
        case "late success" if is_uncharged and status != "pending" and not row.succeeded_at:
            row.write("succeeded", now)
    row.apply(now)


@given(STEPS, st.booleans())
@example(
    # A core does not write its late success over what the gateway told after an earlier one.
    steps=[
        ("outcome", "succeeded", 0),
        ("event", Fact(FactKind.VOIDED), 0),
        ("read", Fact(FactKind.REQUIRES_ACTION), 0),
        ("late success", "succeeded", 0),
    ],
    is_funding=False,
)
def test_each_change_was_the_status_from_then_on_and_the_last_is_the_present(
    steps: list[tuple[str, Any, int]], is_funding: bool
) -> None:
    row = _Row(is_funding)
    shown = [(at(0), "pending", 0)]
    for number, (kind, thing, skew) in enumerate(steps, start=1):
        _take(row, number, kind, thing, skew)
        if shown[-1][1:] != (row.status, row.refunded_minor):
            shown.append((at(number), row.status, row.refunded_minor))
    changes = history_of(row.record(), row.events, row.decided)
    assert changes == replay(row.record(), row.events, row.decided), "nothing had to be guessed"
    # Events that came before the first outcome are applied with it, one after the other.
    last_of_each_time = {each.since: each for each in changes}
    told_of = [
        (each.since, each.status, each.amount_refunded_minor) for each in last_of_each_time.values()
    ]
    assert told_of == shown
    assert [each.since for each in changes] == sorted(each.since for each in changes)
