"""The table of decisions, and what a gateway's words do to them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.gateways.events import Fact, FactKind
from core.gateways.gateway import Declined, HeldForReview, Refused, Succeeded
from core.payments.decision_rules import (
    Action,
    Decision,
    Resolution,
    Subject,
    conclusive_outcome,
    evidence_problem,
    is_repeated,
    may_force,
    outcome_of,
    state_problem,
)
from core.payments.evidence import CHARGE, Finding
from core.payments.store import Lease, Payment

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
SETTLE = timedelta(seconds=180)
SUCCEEDED, DECLINED, FAILED = Resolution
PAYMENT = Payment(
    business_id="B",
    payment_id="PAY-1",
    user_id="U",
    env="TEST",
    gateway="stripe",
    kind="fund",
    amount_minor=5000,
    currency="usd",
    description=None,
    idempotency_key=None,
    customer_id="cus_1",
    gateway_card_id="pm_1",
    gateway_key="B/PAY-1",
    status="pending",
    attempt="unknown",
    lease=None,
    joinable=True,
    checks=3,
    transaction_id=None,
    decline_code=None,
    answered=False,
    created_at=NOW - timedelta(hours=1),
    updated_at=NOW,
)
MADE = Decision("B", "DEC-1", Subject.PAYMENT, "PAY-1", Action.RESOLVE, "ana", "r", NOW, FAILED)
FINAL = ("succeeded", "partially_refunded", "refunded", "disputed", "voided")
OPEN = ("pending", "needs_review", "requires_action", "held_for_review")
WHOLE = Fact(FactKind.SUCCEEDED, 5000, "usd")
NOTHING = Finding(CHARGE, None, None, "The gateway shows no charge of this payment.")
NO_ANSWER = Finding(CHARGE, None, None, "Stripe cannot be reached.", is_answered=False)
UNCLEAR = Finding(CHARGE, None, None, "Stripe has not finished it.", is_unclear=True)


def of(status: str, **changes: Any) -> Payment:
    return replace(PAYMENT, status=status, **changes)


def state(payment: Payment, resolution: Resolution, **more: Any) -> str | None:
    last, named = more.pop("last", None), more.pop("named", None)
    return state_problem(payment, last, resolution, named, **({"known": None, "now": NOW} | more))


def evidence(resolution: Resolution, *findings: Finding, named: str | None = None) -> str | None:
    return evidence_problem(PAYMENT, resolution, named, findings, now=NOW, settle_time=SETTLE)


def found(kind: FactKind, object_id: str = "pi_1", **fact: Any) -> Finding:
    return Finding(CHARGE, object_id, Fact(kind, **fact), "It says so.")


@pytest.mark.parametrize("resolution", Resolution)
@pytest.mark.parametrize("status", OPEN)
def test_an_open_payment_may_be_resolved(status: str, resolution: Resolution) -> None:
    assert state(of(status), resolution) is None


@pytest.mark.parametrize("resolution", Resolution)
@pytest.mark.parametrize("status", FINAL)
def test_a_charged_payment_may_not(status: str, resolution: Resolution) -> None:
    assert f"The payment is {status}" in str(state(of(status), resolution))


@pytest.mark.parametrize(
    ("status", "resolution", "allowed"),
    [
        ("declined", SUCCEEDED, True),
        ("failed", SUCCEEDED, True),
        ("declined", FAILED, False),
        ("declined", DECLINED, False),
        ("failed", FAILED, False),
        ("failed", DECLINED, False),
    ],
)
def test_only_a_success_replaces_an_outcome(
    status: str, resolution: Resolution, allowed: bool
) -> None:
    assert (state(of(status), resolution) is None) == allowed
    assert may_force(of(status), None) is False
    assert may_force(of(status), MADE) is True
    assert (state(of(status), resolution, last=MADE) is None) == allowed


def test_who_decided_before_is_told() -> None:
    told = str(state(of("failed"), DECLINED, last=MADE))
    assert told.endswith("It was resolved as failed by ana at 2026-11-27 12:00:00 UTC.")


@pytest.mark.parametrize("resolution", Resolution)
def test_a_live_lease_forbids_every_decision(resolution: Resolution) -> None:
    running = of("pending", attempt="running", lease=Lease("core", NOW + timedelta(seconds=1)))
    assert "A core is charging" in str(state(running, resolution))
    expired = replace(running, lease=Lease("core", NOW))
    assert state(expired, resolution) is None


def test_a_payment_that_the_gateway_has_is_declined_and_has_one_transaction() -> None:
    assert "resolve it as declined" in str(state(of("pending"), FAILED, known="pi_1"))
    assert state(of("pending"), DECLINED, known="pi_1") is None
    assert "transaction is pi_1" in str(state(of("pending"), SUCCEEDED, known="pi_1", named="pi_2"))
    assert state(of("pending"), SUCCEEDED, known="pi_1", named="pi_1") is None


@pytest.mark.parametrize("resolution", [DECLINED, FAILED])
@pytest.mark.parametrize(
    ("findings", "problem"),
    [
        ([NOTHING], None),
        ([NO_ANSWER], None),
        ([], None),
        ([UNCLEAR], "may still be charged"),
        ([found(FactKind.FAILED)], None),
        ([found(FactKind.CANCELED)], None),
        ([found(FactKind.VOIDED)], None),
        ([found(FactKind.SUCCEEDED, amount_minor=5000)], "the card was charged: pi_1"),
        ([found(FactKind.SUCCEEDED, amount_minor=1)], "the card was charged: pi_1"),
        ([found(FactKind.HELD)], "may still be charged"),
        ([found(FactKind.REQUIRES_ACTION)], "may still be charged"),
        ([NO_ANSWER, found(FactKind.SUCCEEDED)], "the card was charged"),
        ([Finding("refund", "re_1", Fact(FactKind.REFUND, 1), "")], None),
    ],
)
def test_what_the_gateway_says_against_an_uncharged_payment(
    resolution: Resolution, findings: list[Finding], problem: str | None
) -> None:
    told = evidence(resolution, *findings)
    assert (told is None) if problem is None else problem in str(told)


@pytest.mark.parametrize(
    ("findings", "problem"),
    [
        ([Finding("payment", "pi_1", WHOLE, "")], None),
        ([Finding(CHARGE, "pi_1", WHOLE, "")], None),
        ([Finding("payment", "pi_1", replace(WHOLE, currency=None), "")], None),
        ([NOTHING, Finding("payment", "pi_1", WHOLE, "")], None),
        ([], "does not show the charge pi_1"),
        ([NOTHING], "does not show the charge pi_1. The gateway shows no charge"),
        ([NO_ANSWER], "does not show the charge pi_1. Stripe cannot be reached."),
        ([found(FactKind.FAILED)], "does not show pi_1 as charged"),
        ([found(FactKind.REFUND, amount_minor=5000)], "does not show pi_1 as charged"),
        ([found(FactKind.SUCCEEDED, amount_minor=4999, currency="usd")], "with 4999 usd"),
        ([found(FactKind.SUCCEEDED, amount_minor=5000, currency="eur")], "with 5000 eur"),
        ([found(FactKind.SUCCEEDED)], "with None None"),
        ([found(FactKind.SUCCEEDED, "pi_2")], "another transaction of this payment: pi_2"),
        (
            [Finding("payment", "pi_1", WHOLE, ""), found(FactKind.SUCCEEDED, "pi_2")],
            "another transaction of this payment: pi_2",
        ),
    ],
)
def test_what_proves_a_success(findings: list[Finding], problem: str | None) -> None:
    told = evidence(SUCCEEDED, *findings, named="pi_1")
    assert (told is None) if problem is None else problem in str(told)


@pytest.mark.parametrize(
    ("seconds", "findings", "allowed"),
    [
        (179, [NOTHING], False),
        (179, [NO_ANSWER], False),
        (180, [NOTHING], True),
        (1, [found(FactKind.FAILED)], True),
    ],
)
def test_a_charge_that_was_just_sent_may_not_be_shown_yet(
    seconds: int, findings: list[Finding], allowed: bool
) -> None:
    sent = replace(PAYMENT, sent_at=NOW - timedelta(seconds=seconds))
    told = evidence_problem(sent, FAILED, None, findings, now=NOW, settle_time=SETTLE)
    assert (told is None) == allowed


@given(
    st.lists(
        st.builds(
            Finding,
            st.sampled_from([CHARGE, "payment", "refund", "dispute"]),
            st.sampled_from(["pi_1", "pi_2", None]),
            st.none() | st.builds(Fact, st.sampled_from(FactKind), st.sampled_from([1, 5000])),
            st.just("It says so."),
            st.booleans(),
            st.booleans(),
        ),
        max_size=4,
    )
)
def test_the_gateway_never_allows_both_a_success_and_a_failure(findings: list[Finding]) -> None:
    charged = evidence(SUCCEEDED, *findings, named="pi_1") is None
    uncharged = evidence(FAILED, *findings) is None
    is_object = {each.object for each in findings} <= {CHARGE, "payment"}
    assert not (charged and uncharged and is_object)


def test_a_decision_gives_its_outcome() -> None:
    assert outcome_of(SUCCEEDED, "pi_1", []) == Succeeded("pi_1")
    assert isinstance(outcome_of(FAILED, None, []), Refused)
    plain = outcome_of(DECLINED, "pi_1", [NOTHING])
    assert plain == Declined("pi_1", "generic_decline", "The card was declined.")
    shown = found(FactKind.FAILED, decline_code="lost_card", message="Your card was lost.")
    told = outcome_of(DECLINED, "pi_1", [NOTHING, shown])
    assert told == Declined("pi_1", "lost_card", "Your card was lost.")


@pytest.mark.parametrize(
    ("status", "finding", "outcome"),
    [
        ("needs_review", found(FactKind.SUCCEEDED), Succeeded("pi_1")),
        ("failed", found(FactKind.SUCCEEDED), Succeeded("pi_1")),
        ("needs_review", found(FactKind.HELD), HeldForReview("pi_1")),
        ("failed", found(FactKind.HELD), None),
        ("failed", found(FactKind.FAILED), None),
        ("needs_review", found(FactKind.REQUIRES_ACTION), None),
        ("needs_review", NOTHING, None),
        ("needs_review", Finding("payment", "pi_1", WHOLE, ""), None),
        (
            "needs_review",
            found(FactKind.FAILED, decline_code="lost_card"),
            Declined("pi_1", "lost_card", "The card was declined."),
        ),
    ],
)
def test_what_a_look_up_proves(status: str, finding: Finding, outcome: Any) -> None:
    assert conclusive_outcome(of(status), [finding]) == outcome


@pytest.mark.parametrize(
    ("status", "resolution", "transaction_id", "repeated"),
    [
        ("failed", FAILED, None, True),
        ("declined", FAILED, None, True),  # by the gateway's events, since
        ("succeeded", FAILED, None, False),
        ("failed", DECLINED, None, False),
        ("failed", FAILED, "pi_1", False),
    ],
)
def test_a_repeated_decision_is_recognized_while_it_holds(
    status: str, resolution: Resolution, transaction_id: str | None, repeated: bool
) -> None:
    assert is_repeated(of(status), MADE, resolution, transaction_id) is repeated
    assert not is_repeated(of(status), None, resolution, transaction_id)


@pytest.mark.parametrize(
    ("status", "repeated"), [(each, True) for each in FINAL] + [("failed", False)]
)
def test_a_success_is_repeated_whatever_came_after(status: str, repeated: bool) -> None:
    made = replace(MADE, resolution=SUCCEEDED, transaction_id="pi_1")
    assert is_repeated(of(status), made, SUCCEEDED, "pi_1") is repeated
