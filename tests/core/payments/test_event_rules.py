"""The state of a payment depends on the set of its events only."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from core.gateways.events import Fact, FactKind
from core.payments.event_rules import PaymentState, RecordedEvent, next_state

AMOUNT = 1000
START = datetime(2026, 1, 31, tzinfo=UTC)
NEW = PaymentState("requires_action", "pi_1", None, 0)

FACTS = st.one_of(
    st.just(Fact(FactKind.SUCCEEDED, AMOUNT)),
    st.builds(Fact, st.just(FactKind.FAILED), decline_code=st.sampled_from(["a", "b"])),
    st.just(Fact(FactKind.REQUIRES_ACTION)),
    st.just(Fact(FactKind.HELD)),
    st.just(Fact(FactKind.VOIDED)),
    st.builds(Fact, st.just(FactKind.REFUNDED), st.integers(0, 1200)),
    st.builds(
        Fact, st.just(FactKind.REFUND), st.integers(1, 600), object_id=st.sampled_from("xyz")
    ),
    st.builds(Fact, st.just(FactKind.DISPUTED), st.just(AMOUNT), object_id=st.sampled_from("de")),
    st.builds(
        Fact,
        st.just(FactKind.DISPUTE_CLOSED),
        st.integers(1, AMOUNT),
        object_id=st.sampled_from("de"),
        is_lost=st.booleans(),
    ),
)


def recorded(facts: list[Fact]) -> list[RecordedEvent]:
    return [
        RecordedEvent(f"evt_{number}", START + timedelta(seconds=number), "pi_1", None, fact)
        for number, fact in enumerate(facts)
    ]


def delivered(state: PaymentState, events: list[RecordedEvent]) -> PaymentState:
    """Apply the events one by one."""
    known: dict[str, RecordedEvent] = {}
    for each in events:
        known[each.event_id] = each
        after = next_state(state, list(known.values()), amount_minor=AMOUNT)
        assert after.taken_back_minor >= state.taken_back_minor
        assert 0 <= after.amount_refunded_minor <= AMOUNT
        state = after
    return state


@given(st.lists(FACTS, max_size=8), st.sampled_from(["requires_action", "succeeded"]), st.data())
def test_order_and_repetition_do_not_matter(
    facts: list[Fact], status: str, data: st.DataObject
) -> None:
    start = PaymentState(status, "pi_1", None, 0, is_charged=status == "succeeded")
    events = recorded(facts)
    again = data.draw(st.lists(st.sampled_from(events), max_size=4)) if events else []
    shuffled = data.draw(st.permutations(events + again))
    assert delivered(start, shuffled) == delivered(start, events)


def state_after(*facts: Fact, status: str = "succeeded") -> tuple[str, int, int]:
    after = next_state(
        PaymentState(status, "pi_1", None, 0, is_charged=status == "succeeded"),
        recorded(list(facts)),
        amount_minor=AMOUNT,
    )
    return after.status, after.amount_refunded_minor, after.taken_back_minor


DISPUTED = Fact(FactKind.DISPUTED, AMOUNT, object_id="d")
WON = Fact(FactKind.DISPUTE_CLOSED, AMOUNT, object_id="d")
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
