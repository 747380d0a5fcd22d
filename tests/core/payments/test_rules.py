"""Rules of outcomes, resends and retries."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.caller import Presence
from core.errors import Reason
from core.gateways.gateway import HeldForReview, Unknown
from core.payments import rules
from core.payments.in_flight import Attempt
from core.payments.retries import RetryStep, retry_step
from core.payments.rules import ResumeStep
from core.payments.store import Payment


def test_a_held_charge_is_conclusive_and_must_not_be_charged_again() -> None:
    outcome = HeldForReview("60000000001")
    update = rules.payment_update(outcome)
    assert (update.status, update.transaction_id) == ("held_for_review", "60000000001")
    assert not update.is_success
    assert rules.is_conclusive(outcome)
    assert rules.resumed_outcome(outcome) == outcome
    refusal = rules.refusal_of(outcome, "PAY-1")
    assert refusal.reason == Reason.ERROR_REASON_PENDING_REVIEW
    assert refusal.metadata == {
        "decline_code": "held_for_review",
        "transaction_id": "60000000001",
    }
    assert "do not charge again" in refusal.message


MADE = datetime(2030, 1, 1, tzinfo=UTC)
SECONDS = st.integers(0, 40 * 3600).map(lambda seconds: timedelta(seconds=seconds))


@given(age=SECONDS, sent_after=SECONDS, settle=st.integers(21, 3599))
def test_a_charge_is_resent_only_while_the_gateway_recognizes_it(
    age: timedelta, sent_after: timedelta, settle: int
) -> None:
    policies = rules.resume_policies(timedelta(seconds=settle))
    sent_at = MADE + min(sent_after, age)
    steps = {
        gateway: rules.resume_step(policy, created_at=MADE, sent_at=sent_at, now=MADE + age)
        for gateway, policy in policies.items()
    }
    assert (steps["stripe"] is ResumeStep.SEND) == (age <= timedelta(hours=23))
    assert steps["authorize"] is not ResumeStep.SEND
    if steps["authorize"] is ResumeStep.LOOK_UP_AND_SEND:
        assert MADE + age - sent_at >= timedelta(seconds=settle)
        # A resend arrives while the gateway still refuses a duplicate.
        assert age + timedelta(seconds=settle) <= timedelta(hours=8)


def test_a_charge_that_needs_review_is_too_old_to_send() -> None:
    for policy in rules.resume_policies().values():
        assert policy.resend_life < policy.review_after
    nothing = Unknown("", shows_nothing=True)
    assert rules.payment_update(nothing, is_last_check=True).status == "needs_review"
    for outcome, is_last_check in ((nothing, False), (Unknown(""), True)):
        update = rules.payment_update(outcome, is_last_check=is_last_check)
        assert (update.status, update.attempt) == ("pending", "unknown")


PENDING = "pending"
PAYMENT = Payment(
    business_id="B",
    payment_id="PAY-1",
    user_id="USR-1",
    env="TEST",
    gateway="stripe",
    kind="charge",
    amount_minor=100,
    currency="usd",
    description=None,
    idempotency_key=None,
    customer_id="cus_1",
    gateway_card_id="pm_1",
    gateway_key="B/PAY-1",
    status=PENDING,
    attempt="unknown",
    lease=None,
    joinable=False,
    checks=0,
    transaction_id=None,
    decline_code=None,
    answered=False,
    created_at=MADE,
    updated_at=MADE,
)
RETRIES: list[tuple[str, dict[str, Any], RetryStep, RetryStep]] = [
    # Status of the earlier payment, what is known of it, the step without a key and with one.
    (PENDING, {"attempt_here": "joinable"}, RetryStep.JOIN, RetryStep.JOIN),
    (PENDING, {"attempt_here": "awaited"}, RetryStep.NEW_CHARGE, RetryStep.JOIN),
    ("succeeded", {"attempt_here": "awaited"}, RetryStep.NEW_CHARGE, RetryStep.JOIN),
    ("succeeded", {"is_response_in_flight": True}, RetryStep.WAIT, RetryStep.RETURN_SUCCESS),
    ("succeeded", {}, RetryStep.RETURN_SUCCESS, RetryStep.RETURN_SUCCESS),
    ("refunded", {}, RetryStep.RETURN_SUCCESS, RetryStep.RETURN_SUCCESS),
    ("needs_review", {}, RetryStep.REFUSE, RetryStep.REFUSE),
    (PENDING, {"elsewhere": True, "joinable": True}, RetryStep.WAIT, RetryStep.WAIT),
    (PENDING, {"elsewhere": True}, RetryStep.WAIT, RetryStep.WAIT),
    (PENDING, {"elsewhere": True, "renewed": True}, RetryStep.NEW_CHARGE, RetryStep.WAIT),
    (
        PENDING,
        {"elsewhere": True, "renewed": True, "joinable": True},
        RetryStep.WAIT,
        RetryStep.WAIT,
    ),
    (PENDING, {}, RetryStep.RESUME, RetryStep.RESUME),
]


@pytest.mark.parametrize(("status", "known", "without_key", "with_key"), RETRIES)
async def test_each_state_of_the_earlier_payment_has_its_retry_step(
    status: str, known: dict[str, Any], without_key: RetryStep, with_key: RetryStep
) -> None:
    presence = Presence(left=known.get("attempt_here") == "joinable")
    attempt = Attempt(False, asyncio.get_running_loop().create_future(), [presence])
    for is_keyed, expected in ((False, without_key), (True, with_key)):
        step = retry_step(
            replace(PAYMENT, status=status, joinable=known.get("joinable", False)),
            is_keyed=is_keyed,
            attempt_here=attempt if "attempt_here" in known else None,
            is_leased_elsewhere=known.get("elsewhere", False),
            is_lease_renewed=known.get("renewed", False),
            is_response_in_flight=known.get("is_response_in_flight", False),
        )
        assert step is expected
