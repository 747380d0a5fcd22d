"""The state of a payment depends on the set of its events only."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from core.gateways.events import Fact, FactKind
from core.payments.event_rules import PaymentState, RecordedEvent, next_state

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
    st.just(Fact(FactKind.VOIDED)),
    st.builds(Fact, st.just(FactKind.REFUNDED), st.integers(0, 1200)),
    fact_of_object(FactKind.REFUND, "xyz"),
    fact_of_object(FactKind.REFUND_FAILED, "xyz"),
    fact_of_object(FactKind.DISPUTED, "de"),
    fact_of_object(FactKind.DISPUTE_CLOSED, "de", is_lost=st.booleans()),
)
SECONDS = st.integers(0, 3)
"""Few, so that states of one object tie."""


def recorded(facts: Sequence[Fact], seconds: Sequence[int] = ()) -> list[RecordedEvent]:
    return [
        RecordedEvent(f"evt_{number}", START + timedelta(seconds=second), "pi_1", None, fact)
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
    st.lists(st.tuples(FACTS, SECONDS), max_size=8),
    st.sampled_from(["requires_action", "succeeded"]),
    st.data(),
)
def test_order_and_repetition_do_not_matter(
    dated: list[tuple[Fact, int]], status: str, data: st.DataObject
) -> None:
    start = PaymentState(status, "pi_1", None, 0, is_charged=status == "succeeded")
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
