"""The state of a payment depends on the set of its events only."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.gateways.events import APPROVED, EXPIRED, Fact, FactKind
from core.gateways.gateway import ObjectKind
from core.payments.event_rules import (
    GatewayObject,
    PaymentState,
    RecordedEvent,
    events_of_payment,
    next_state,
    unclear_objects,
)

AMOUNT = 1000
START = datetime(2026, 1, 31, tzinfo=UTC)
NEW = PaymentState("requires_action", "pi_1", None, 0)


def fact_of_object(kind: FactKind, ids: str, **fields: Any) -> st.SearchStrategy[Fact]:
    return st.builds(
        Fact,
        st.just(kind),
        st.integers(1, 600),
        st.sampled_from(["usd", "eur", None]),
        st.sampled_from(ids),
        **fields,
    )


FACTS = st.one_of(
    st.just(Fact(FactKind.SUCCEEDED, AMOUNT)),
    st.builds(Fact, st.just(FactKind.FAILED), decline_code=st.sampled_from(["a", "b"])),
    st.just(Fact(FactKind.REQUIRES_ACTION)),
    st.just(Fact(FactKind.HELD)),
    st.just(Fact(FactKind.CANCELED, decline_code="canceled")),
    st.just(Fact(FactKind.VOIDED)),
    st.builds(Fact, st.just(FactKind.REFUNDED), st.integers(0, 1200)),
    fact_of_object(FactKind.REFUND, "xyz"),
    fact_of_object(FactKind.REFUND_FAILED, "xyz"),
    fact_of_object(FactKind.DISPUTED, "de"),
    fact_of_object(FactKind.DISPUTE_CLOSED, "de", is_lost=st.booleans()),
)
FACTS_OF_ANY = st.one_of(FACTS, st.just(Fact(FactKind.AUTHORIZED, AMOUNT)))
"""Also of payments that are authorized first."""
SECONDS = st.integers(0, 3)
"""Few, so that states of one object tie."""


def event_of(
    number: int, fact: Fact, second: int, *, received: int = 0, is_read: bool = False
) -> RecordedEvent:
    return RecordedEvent(
        f"evt_{number}",
        START + timedelta(seconds=second),
        START + timedelta(seconds=received),
        "pi_1",
        None,
        fact,
        is_read,
    )


def recorded(facts: Sequence[Fact], seconds: Sequence[int] = ()) -> list[RecordedEvent]:
    return [
        event_of(number, fact, second)
        for number, (fact, second) in enumerate(
            zip(facts, seconds or range(len(facts)), strict=True)
        )
    ]


def next_of(state: PaymentState, events: list[RecordedEvent]) -> PaymentState:
    return next_state(state, events, amount_minor=AMOUNT, currency="usd")


def delivered(state: PaymentState, events: list[RecordedEvent]) -> PaymentState:
    """Apply the events one by one."""
    known: dict[str, RecordedEvent] = {}
    for each in events:
        known[each.event_id] = each
        state = next_of(state, list(known.values()))
        assert 0 <= state.amount_refunded_minor <= AMOUNT
        assert 0 <= state.taken_back_minor <= AMOUNT
    return state


@given(
    st.lists(st.tuples(FACTS_OF_ANY, SECONDS), max_size=8),
    st.sampled_from(["requires_action", "authorized", "succeeded"]),
    st.data(),
)
def test_order_and_repetition_do_not_matter(
    dated: list[tuple[Fact, int]], status: str, data: st.DataObject
) -> None:
    start = PaymentState(
        status,
        "pi_1",
        None,
        0,
        is_charged=status == "succeeded",
        is_authorization=status == "authorized",
    )
    events = recorded([fact for fact, _ in dated], [second for _, second in dated])
    again = data.draw(st.lists(st.sampled_from(events), max_size=4)) if events else []
    shuffled = data.draw(st.permutations(events + again))
    assert delivered(start, shuffled) == delivered(start, events)


CHARGED_START = PaymentState("succeeded", "pi_1", None, 0, is_charged=True)


@given(
    st.lists(st.tuples(st.integers(1, 300), st.booleans(), SECONDS, SECONDS), max_size=3),
    st.lists(st.sampled_from(["open", "won", "lost", "lost, then won"]), max_size=2),
    st.data(),
)
def test_the_state_is_what_the_gateway_ends_with(
    refunds: list[tuple[int, bool, int, int]], disputes: list[str], data: st.DataObject
) -> None:
    """Stripe's story: a refund may fail, a lost dispute may be won; each sends its events."""
    facts: list[tuple[Fact, int]] = []
    for number, (amount, fails, second, later) in enumerate(refunds):
        identity = f"re_{number}"
        facts.append((Fact(FactKind.REFUND, amount, object_id=identity), second))
        if fails:
            failed = Fact(FactKind.REFUND_FAILED, amount, object_id=identity)
            facts.append((failed, second + later))
    for number, end in enumerate(disputes):
        identity = f"dp_{number}"
        facts.append((Fact(FactKind.DISPUTED, 200, object_id=identity), 0))
        if "lost" in end:
            lost = Fact(FactKind.DISPUTE_CLOSED, 200, object_id=identity, is_lost=True)
            facts.append((lost, 0))
        if "won" in end:
            facts.append((Fact(FactKind.DISPUTE_CLOSED, 200, object_id=identity), 0))
    refunded = sum(amount for amount, fails, _, _ in refunds if not fails)
    lost_minor = 200 * disputes.count("lost")
    events = recorded([fact for fact, _ in facts], [second for _, second in facts])
    after = delivered(CHARGED_START, data.draw(st.permutations(events + events)))
    assert after.amount_refunded_minor == refunded
    assert after.taken_back_minor == min(AMOUNT, refunded + lost_minor)
    assert (after.status == "disputed") == ("lost" in disputes or "open" in disputes)


def unclear_of(
    events: list[RecordedEvent], *, is_charged: bool = False
) -> frozenset[GatewayObject]:
    return unclear_objects(events, transaction_id="pi_1", is_charged=is_charged)


def state_after(*facts: Fact, status: str = "succeeded") -> tuple[str, int, int]:
    after = next_of(
        PaymentState(status, "pi_1", None, 0, is_charged=status == "succeeded"),
        recorded(facts),
    )
    return after.status, after.amount_refunded_minor, after.taken_back_minor


DISPUTED = Fact(FactKind.DISPUTED, AMOUNT, object_id="d")
WON = Fact(FactKind.DISPUTE_CLOSED, AMOUNT, object_id="d")
REFUND = Fact(FactKind.REFUND, 300, object_id="x")
REFUND_FAILED = Fact(FactKind.REFUND_FAILED, 300, object_id="x")
LOST = Fact(FactKind.DISPUTE_CLOSED, AMOUNT, object_id="d", is_lost=True)


def test_each_fact_has_its_effect() -> None:
    assert state_after(Fact(FactKind.REFUNDED, 300)) == ("partially_refunded", 300, 300)
    assert state_after(Fact(FactKind.REFUNDED, 1000)) == ("refunded", 1000, 1000)
    assert state_after(
        Fact(FactKind.REFUND, 300, object_id="x"), Fact(FactKind.REFUND, 300, object_id="y")
    ) == ("partially_refunded", 600, 600)
    assert state_after(DISPUTED) == ("disputed", 0, 0)
    assert state_after(Fact(FactKind.REFUNDED, 300), DISPUTED, WON) == (
        "partially_refunded",
        300,
        300,
    )
    assert state_after(DISPUTED, LOST) == ("disputed", 0, 1000)
    assert state_after(DISPUTED, LOST, WON) == ("succeeded", 0, 0)
    assert state_after(REFUND, REFUND_FAILED) == ("succeeded", 0, 0)
    assert state_after(REFUND, Fact(FactKind.REFUNDED, 300), REFUND_FAILED) == ("succeeded", 0, 0)
    assert state_after(Fact(FactKind.REFUNDED, 500), REFUND_FAILED) == (
        "partially_refunded",
        200,
        200,
    )
    assert state_after(REFUND_FAILED, Fact(FactKind.REFUNDED, 200)) == (
        "partially_refunded",
        200,
        200,
    )
    assert state_after(Fact(FactKind.VOIDED)) == ("voided", 0, 1000)
    assert state_after(Fact(FactKind.VOIDED), status="held_for_review") == ("voided", 0, 0)
    assert state_after(Fact(FactKind.REFUNDED, 300), status="requires_action") == (
        "requires_action",
        0,
        0,
    )
    assert state_after(Fact(FactKind.SUCCEEDED, 1000), status="held_for_review") == (
        "succeeded",
        0,
        0,
    )


SUCCEEDED = Fact(FactKind.SUCCEEDED, AMOUNT)
FAILED = Fact(FactKind.FAILED, decline_code="do_not_honor")
ACTION = Fact(FactKind.REQUIRES_ACTION)
CANCELED = Fact(FactKind.CANCELED, decline_code="canceled")
LAPSED = Fact(FactKind.CANCELED, decline_code=EXPIRED)
AUTHORIZED = Fact(FactKind.AUTHORIZED, AMOUNT)
A_PART = Fact(FactKind.SUCCEEDED, 400)
VOIDED = Fact(FactKind.VOIDED)
PAYMENT = GatewayObject(ObjectKind.PAYMENT, "pi_1")
THE_REFUND = GatewayObject(ObjectKind.REFUND, "x")
THE_DISPUTE = GatewayObject(ObjectKind.DISPUTE, "d")


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        ([(FAILED, 1), (ACTION, 2)], "requires_action"),
        ([(ACTION, 1), (FAILED, 2)], "declined"),
        ([(FAILED, 1), (ACTION, 2), (FAILED, 3)], "declined"),
        ([(SUCCEEDED, 1), (FAILED, 2)], "succeeded"),
        ([(CANCELED, 1), (SUCCEEDED, 2)], "succeeded"),
        ([(ACTION, 3), (CANCELED, 2)], "declined"),
        ([(SUCCEEDED, 1), (VOIDED, 1)], "voided"),
        ([(ACTION, 1), (AUTHORIZED, 2)], "authorized"),
        ([(AUTHORIZED, 1), (ACTION, 2)], "authorized"),
        ([(AUTHORIZED, 1), (SUCCEEDED, 1)], "succeeded"),
        ([(SUCCEEDED, 1), (AUTHORIZED, 2)], "succeeded"),
        ([(AUTHORIZED, 1), (CANCELED, 1)], "voided"),
        ([(CANCELED, 1), (AUTHORIZED, 2)], "voided"),
        ([(AUTHORIZED, 1), (LAPSED, 2)], "voided"),
        ([(ACTION, 1), (LAPSED, 2)], "declined"),
        ([(AUTHORIZED, 1), (VOIDED, 2)], "voided"),
    ],
)
def test_the_latest_state_of_the_payment_counts_and_a_success_outranks(
    facts: list[tuple[Fact, int]], status: str
) -> None:
    events = [event_of(number, *each) for number, each in enumerate(facts)]
    assert next_of(replace(NEW, is_authorization=True), events).status == status


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ([AUTHORIZED], ("authorized", None, 0, None)),
        ([CANCELED], ("voided", None, 0, None)),
        ([LAPSED], ("voided", EXPIRED, 0, None)),
        ([LAPSED, Fact(FactKind.REFUND, AMOUNT, object_id="x")], ("voided", EXPIRED, 0, None)),
        ([SUCCEEDED], ("succeeded", None, 0, None)),
        ([A_PART], ("succeeded", None, 0, 400)),
        ([A_PART, REFUND], ("partially_refunded", None, 300, 400)),
        ([A_PART, Fact(FactKind.REFUNDED, 400)], ("refunded", None, 400, 400)),
        ([A_PART, Fact(FactKind.REFUNDED, 900)], ("refunded", None, 400, 400)),
    ],
)
def test_what_is_captured_of_an_authorization_is_its_amount(
    facts: list[Fact], expected: tuple[Any, ...]
) -> None:
    authorized = PaymentState("authorized", "pi_1", None, 0, is_authorization=True)
    events = recorded(facts)
    after = next_of(authorized, events)
    shown = after.status, after.decline_code, after.amount_refunded_minor, after.captured_minor
    assert shown == expected
    again = next_state(after, events, amount_minor=after.captured_minor or AMOUNT, currency="usd")
    assert again == replace(after, captured_minor=None)


AGREEING = [
    (AUTHORIZED, AMOUNT, True),
    (AUTHORIZED, None, False),
    (Fact(FactKind.SUCCEEDED, AMOUNT, message=APPROVED), None, True),
    (Fact(FactKind.SUCCEEDED, AMOUNT, message=APPROVED), AMOUNT, True),
    (Fact(FactKind.SUCCEEDED, 400, message=APPROVED), AMOUNT, False),
    (Fact(FactKind.AUTHORIZED, 999), AMOUNT, False),
    (SUCCEEDED, None, True),
    (SUCCEEDED, AMOUNT, True),
    (A_PART, None, False),
    (A_PART, AMOUNT, True),
    (Fact(FactKind.SUCCEEDED, AMOUNT + 1), AMOUNT, False),
    (Fact(FactKind.SUCCEEDED, 0), AMOUNT, False),
    (Fact(FactKind.SUCCEEDED), AMOUNT, False),
]


@pytest.mark.parametrize(("fact", "authorized_minor", "agrees"), AGREEING)
def test_only_an_authorization_can_be_authorized_or_captured_in_part(
    fact: Fact, authorized_minor: int | None, *, agrees: bool
) -> None:
    _, agreeing, contradicting = events_of_payment(
        recorded([fact]),
        transaction_id="pi_1",
        amount_minor=AMOUNT,
        currency="usd",
        authorized_minor=authorized_minor,
    )
    assert (len(agreeing), len(contradicting)) == ((1, 0) if agrees else (0, 1))


RELEASE = Fact(FactKind.REFUND, 600, object_id="re_release")


@pytest.mark.parametrize(
    ("fact", "second", "refund_id", "refunded"),
    [
        (RELEASE, 5, None, 0),
        (replace(RELEASE, amount_minor=300), 5, None, 300),
        (RELEASE, 120, None, 400),  # as much as was captured, at most
        (RELEASE, 5, "REF-1", 400),
    ],
)
def test_what_a_capture_releases_is_no_refund(
    fact: Fact, second: int, refund_id: str | None, refunded: int
) -> None:
    events = [
        event_of(0, A_PART, 1),
        replace(event_of(1, fact, second), refund_id=refund_id),
    ]
    for told in (events, events[::-1]):
        _, agreeing, contradicting = events_of_payment(
            told,
            transaction_id="pi_1",
            amount_minor=AMOUNT,
            currency="usd",
            authorized_minor=AMOUNT,
        )
        start = PaymentState("authorized", "pi_1", None, 0, is_authorization=True)
        after = next_of(start, agreeing)
        assert (after.amount_refunded_minor, contradicting) == (refunded, [])


@pytest.mark.parametrize(
    ("authorized_minor", "status"), [(None, "succeeded"), (AMOUNT, "authorized")]
)
def test_an_authorization_is_not_captured_by_the_end_of_its_review(
    authorized_minor: int | None, status: str
) -> None:
    _, agreeing, _ = events_of_payment(
        recorded([Fact(FactKind.HELD), Fact(FactKind.SUCCEEDED, AMOUNT, message=APPROVED)]),
        transaction_id="pi_1",
        amount_minor=AMOUNT,
        currency="usd",
        authorized_minor=authorized_minor,
    )
    assert next_of(PaymentState("held_for_review", "pi_1", None, 0), agreeing).status == status


@pytest.mark.parametrize(
    ("facts", "unclear"),
    [
        # One state, or one that can only follow the others.
        ([(SUCCEEDED, 1)], set()),
        ([(ACTION, 1), (SUCCEEDED, 1)], set()),
        ([(ACTION, 1), (FAILED, 2), (CANCELED, 3)], set()),
        ([(SUCCEEDED, 1), (VOIDED, 2)], set()),
        ([(REFUND, 1), (REFUND, 1)], set()),
        ([(REFUND, 1), (REFUND_FAILED, 2)], set()),
        ([(DISPUTED, 1), (LOST, 2), (WON, 3)], set()),
        ([(ACTION, 1), (AUTHORIZED, 2), (A_PART, 2)], set()),
        ([(AUTHORIZED, 1), (CANCELED, 1)], set()),
        # Two states in one second.
        ([(ACTION, 1), (FAILED, 1)], {PAYMENT}),
        ([(ACTION, 1), (AUTHORIZED, 1)], {PAYMENT}),
        ([(REFUND, 1), (REFUND_FAILED, 1)], {THE_REFUND}),
        ([(DISPUTED, 1), (WON, 1)], {THE_DISPUTE}),
        # A state that nothing can follow, and another one after it.
        ([(SUCCEEDED, 1), (FAILED, 2)], {PAYMENT}),
        ([(AUTHORIZED, 1), (FAILED, 2)], {PAYMENT}),
        ([(CANCELED, 1), (SUCCEEDED, 2)], {PAYMENT}),
        ([(REFUND_FAILED, 1), (REFUND, 2)], {THE_REFUND}),
        ([(WON, 1), (DISPUTED, 2)], {THE_DISPUTE}),
    ],
)
def test_states_that_tie_or_contradict_each_other_are_read_at_the_gateway(
    facts: list[tuple[Fact, int]], unclear: set[GatewayObject]
) -> None:
    events = [event_of(number, *each) for number, each in enumerate(facts)]
    assert unclear_of(events) == unclear
    assert unclear_of(events[::-1]) == unclear


def test_a_success_of_which_the_events_tell_nothing_is_read_at_the_gateway() -> None:
    charged = PaymentState("succeeded", "pi_1", None, 0, is_charged=True)
    assert unclear_of([event_of(0, FAILED, 1)], is_charged=True) == {PAYMENT}
    read = event_of(1, FAILED, 2, received=2, is_read=True)
    assert unclear_of([event_of(0, FAILED, 1), read], is_charged=True) == set()
    assert next_of(charged, [event_of(0, FAILED, 1), read]).status == "succeeded"


@pytest.mark.parametrize(
    ("earlier", "read", "status"),
    [
        (REFUND, REFUND_FAILED, "succeeded"),
        (REFUND_FAILED, REFUND, "partially_refunded"),
        (LOST, WON, "succeeded"),
        (WON, LOST, "disputed"),
    ],
)
def test_what_was_read_counts_whatever_was_received_before(
    earlier: Fact, read: Fact, status: str
) -> None:
    charged = PaymentState("succeeded", "pi_1", None, 0, is_charged=True)
    events = [
        event_of(0, earlier, 900, received=10),
        event_of(1, read, 20, received=20, is_read=True),
    ]
    assert next_of(charged, events).status == status
    assert unclear_of(events) == set()


@pytest.mark.parametrize(
    ("read", "event", "is_unclear"),
    [
        (REFUND, REFUND, False),
        (REFUND, REFUND_FAILED, False),  # it can only follow
        (REFUND_FAILED, REFUND, True),  # delivered late, or new
        (WON, DISPUTED, True),
    ],
)
@pytest.mark.parametrize("second", [1, 100])
def test_an_event_after_a_read_that_differs_is_read_again(
    read: Fact, event: Fact, second: int, is_unclear: bool
) -> None:
    events = [
        event_of(0, read, 20, received=20, is_read=True),
        event_of(1, event, 21 if second > 20 else 20 + second, received=30),
    ]
    assert bool(unclear_of(events)) == is_unclear
