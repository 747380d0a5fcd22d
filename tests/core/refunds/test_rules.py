"""Rules of refunds: retries, outcomes, and each refund counted once, whatever tells of it first."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Refusal
from core.gateways.events import Fact, FactKind
from core.gateways.gateway import NotSent, RefundRefused, Refused, Unknown, Unsettled
from core.payments.event_rules import PaymentState, RecordedEvent, next_state, told_refunds
from core.refunds.rules import (
    Earlier,
    OwnRefund,
    Requested,
    check_refundable,
    find_earlier,
    refund_update,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
AMOUNT = 10_000


def told(object_id: str, amount: int, second: int, **more: Any) -> RecordedEvent:
    """Return an event about a refund."""
    kind, message = more.pop("kind", FactKind.REFUND), more.pop("message", None)
    fact = Fact(kind, amount, "usd", object_id, message=message)
    at = NOW + timedelta(seconds=second)
    return RecordedEvent(f"evt_{object_id}_{second}", at, at, "pi_1", None, fact, **more)


def state_after(events: list[RecordedEvent], refunds: list[OwnRefund]) -> PaymentState:
    before = PaymentState("succeeded", "pi_1", None, 0, is_charged=True)
    return next_state(before, events, amount_minor=AMOUNT, currency="usd", refunds=refunds)


def own(number: int, amount: int, **more: Any) -> OwnRefund:
    refund = OwnRefund(f"REF-{number}", amount, "pending", None)
    return replace(refund, **more)


@given(
    st.lists(st.integers(1, 500), max_size=6),
    st.lists(st.integers(1, 500), max_size=4),
    st.sets(st.integers(0, 5)),
    st.sets(st.integers(0, 5)),
    st.randoms(use_true_random=False),
)
def test_each_refund_counts_once_whatever_tells_of_it_first(
    ours: list[int], theirs: list[int], has_event: set[int], is_answered: set[int], rng: Any
) -> None:
    """Own refunds that are reserved, answered or told by an event, and those of the dashboard."""
    refunds = [
        own(n, amount, gateway_refund_id=f"re_{n}" if n in is_answered else None)
        for n, amount in enumerate(ours)
    ]
    events = [
        told(f"re_{n}", amount, n, refund_id=f"REF-{n}")
        for n, amount in enumerate(ours)
        if n in has_event
    ]
    events += [told(f"re_d{n}", amount, n) for n, amount in enumerate(theirs)]
    rng.shuffle(events)
    after = state_after(events, refunds)
    assert after.amount_refunded_minor == after.taken_back_minor == sum(ours) + sum(theirs)
    assert set(told_refunds(events, refunds, "pi_1")) == {
        f"REF-{n}" for n in has_event if n < len(ours)
    }


@given(st.lists(st.integers(1, AMOUNT), max_size=8), st.integers(0, AMOUNT))
def test_the_gateways_sum_contains_the_reserved_refunds(ours: list[int], total: int) -> None:
    fact = Fact(FactKind.REFUNDED, total, "usd")
    events = [RecordedEvent("evt_1", NOW, NOW, "pi_1", None, fact)]
    after = state_after(events, [own(n, amount) for n, amount in enumerate(ours)])
    assert after.amount_refunded_minor == min(AMOUNT, max(total, sum(ours)))


COUNTED = {
    "reserved": (own(1, 500), [], 500),
    "failed before it was made": (own(1, 500, status="failed"), [], 0),
    "failed, and then told": (own(1, 500, status="failed"), [told("re_1", 500, 1)], 500),
    "failed at the gateway": (
        own(1, 500, gateway_refund_id="re_1"),
        [told("re_1", 500, 1, kind=FactKind.REFUND_FAILED)],
        0,
    ),
}


@pytest.mark.parametrize("case", COUNTED)
def test_a_refund_counts_from_its_reservation_until_it_fails(case: str) -> None:
    refund, events, refunded = COUNTED[case]
    assert state_after(events, [refund]).amount_refunded_minor == refunded


def test_the_void_of_the_whole_payment_is_its_refund() -> None:
    refund = own(1, AMOUNT, gateway_refund_id="pi_1")
    voided = RecordedEvent("read", NOW, NOW, "pi_1", None, Fact(FactKind.VOIDED), is_read=True)
    after = state_after([voided], [refund])
    assert (after.status, after.amount_refunded_minor, after.taken_back_minor) == (
        "voided",
        0,
        AMOUNT,
    )
    assert told_refunds([voided], [refund], "pi_1")["REF-1"].status == "succeeded"


TOLD = {
    (FactKind.REFUND, None): ("succeeded", None),
    (FactKind.REFUND, "pending"): ("pending", None),
    (FactKind.REFUND, "requires_action"): ("pending", None),
    (FactKind.REFUND_FAILED, "canceled"): ("canceled", "canceled"),
    (FactKind.REFUND_FAILED, "expired_or_canceled_card"): ("failed", "expired_or_canceled_card"),
    (FactKind.REFUND_FAILED, None): ("failed", "unknown"),
}


@pytest.mark.parametrize("fact", TOLD)
def test_a_refund_has_the_state_that_its_gateway_tells(fact: tuple[FactKind, str | None]) -> None:
    event = told("re_1", 500, 1, kind=fact[0], message=fact[1], refund_id="REF-1")
    shown = told_refunds([event], [own(1, 500)], "pi_1")["REF-1"]
    assert (shown.status, shown.failure_code) == TOLD[fact]


FAILED, WAITS, OPEN = ("failed", None), ("pending", "unsettled"), ("pending", "unknown")
UPDATES: list[tuple[Any, tuple[tuple[str, str | None], ...]]] = [
    # Of a first attempt, a resumed one, and one that waited for the payment to settle.
    (RefundRefused("charge_disputed", ""), (FAILED, FAILED, FAILED)),
    (Unsettled(), (WAITS, WAITS, WAITS)),
    (Refused(""), (FAILED, OPEN, WAITS)),
    (NotSent(""), (FAILED, OPEN, WAITS)),
    (Unknown(""), (OPEN, OPEN, OPEN)),
]


@pytest.mark.parametrize(("outcome", "expected"), UPDATES)
def test_an_outcome_that_is_not_certain_keeps_the_reservation(
    outcome: Any, expected: tuple[tuple[str, str | None], ...]
) -> None:
    found = [
        refund_update(outcome, checks=0, is_resumed=is_resumed, was_unsettled=was_unsettled)
        for is_resumed, was_unsettled in ((False, False), (True, False), (True, True))
    ]
    assert tuple((each.status, each.attempt) for each in found) == expected


REFUNDABLE = [
    ("succeeded", 100, 100, None),
    ("partially_refunded", 40, 40, None),
    ("partially_refunded", 40, 41, "At most 0.40 usd can be refunded"),
    ("refunded", 0, 0, "Nothing is left of the payment"),
    *(
        (status, 100, 100, f"The payment is {status}")
        for status in (
            "pending",
            "declined",
            "requires_action",
            "failed",
            "needs_review",
            "held_for_review",
            "voided",
            "disputed",
        )
    ),
]


@pytest.mark.parametrize(("status", "left", "amount", "message"), REFUNDABLE)
def test_only_what_is_left_of_a_charged_payment_is_refundable(
    status: str, left: int, amount: int, message: str | None
) -> None:
    if message is None:
        check_refundable(status, left_minor=left, amount_minor=amount, currency="usd")
        return
    with pytest.raises(Refusal, match=message):
        check_refundable(status, left_minor=left, amount_minor=amount, currency="usd")


EARLIER = Earlier("REF-1", 500, "succeeded", None, "duplicate", None, None, None, NOW)
EQUAL = Requested(500, "duplicate", None)
REPEATED = [
    ("equal", EARLIER, EQUAL, 100, True),
    ("of another amount", EARLIER, replace(EQUAL, amount_minor=400), 100, False),
    ("with another reason", EARLIER, replace(EQUAL, reason=None), 100, False),
    ("with another description", EARLIER, replace(EQUAL, description="x"), 100, False),
    ("of one with a key", replace(EARLIER, idempotency_key="k"), EQUAL, 100, False),
    ("of one that failed", replace(EARLIER, status="failed"), EQUAL, 100, False),
    ("30 minutes later", replace(EARLIER, created_at=NOW - timedelta(hours=1)), EQUAL, 9, False),
    (
        "30 minutes later, still pending",
        replace(EARLIER, created_at=NOW - timedelta(hours=1), status="pending"),
        EQUAL,
        9,
        True,
    ),
    ("of the rest, which is nothing", EARLIER, replace(EQUAL, amount_minor=None), 0, True),
    ("of the rest", EARLIER, replace(EQUAL, amount_minor=None), 100, False),
]


@pytest.mark.parametrize(
    ("earlier", "requested", "left", "is_repeated"),
    [case[1:] for case in REPEATED],
    ids=[case[0] for case in REPEATED],
)
def test_a_request_without_a_key_repeats_an_equal_one(
    earlier: Earlier, requested: Requested, left: int, is_repeated: bool
) -> None:
    found = find_earlier([earlier], requested, key=None, claimed=None, left_minor=left, now=NOW)
    assert found == ("REF-1" if is_repeated else None)


@pytest.mark.parametrize(
    ("status", "claimed", "is_repeated"),
    [
        ("pending", "REF-1", True),
        ("succeeded", "REF-1", True),
        ("failed", "REF-1", False),  # without an answer, or it would have been replayed
        ("pending", None, True),  # the record expired
        ("succeeded", None, False),
    ],
)
def test_a_request_with_a_key_repeats_the_refund_of_its_record(
    status: str, claimed: str | None, is_repeated: bool
) -> None:
    earlier = replace(EARLIER, status=status, idempotency_key="k")
    found = find_earlier([earlier], EQUAL, key="k", claimed=claimed, left_minor=9, now=NOW)
    assert found == ("REF-1" if is_repeated else None)


def test_a_key_that_expired_repeats_no_refund_of_another_amount() -> None:
    earlier = replace(EARLIER, status="pending", idempotency_key="k", amount_minor=1)
    assert find_earlier([earlier], EQUAL, key="k", claimed=None, left_minor=9, now=NOW) is None
