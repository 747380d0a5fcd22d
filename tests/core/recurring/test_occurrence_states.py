"""The decisions of an occurrence's state machine, row by row of its table."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from core.errors import InvalidFields, Reason, Refusal
from core.recurring.occurrence_states import (
    Attempt,
    CheckLater,
    End,
    Skip,
    Transition,
    Wait,
    after_charge,
    before_charge,
)
from core.recurring.store import Job, Occurrence
from core.stops import payments_stopped

NOW = datetime(2024, 3, 1, 8, tzinfo=UTC)
OCCURRENCE = Occurrence(
    business_id="B",
    recurring_id="REC-1",
    occurrence=NOW,
    amount_minor=100,
    currency="usd",
    source="stripe",
    description=None,
    attempt=1,
    payment_id=None,
    checks=0,
    status="open",
    created_at=NOW,
)
JOB = Job(
    business_id="B",
    recurring_id="REC-1",
    user_id="USR-1",
    env="TEST",
    amount_minor=100,
    currency="usd",
    source="stripe",
    description=None,
    interval_type="day",
    interval_value=1,
    starts_local="2024-03-01T08:00:00",
    timezone="UTC",
    counts_from=NOW - timedelta(days=1),
    end_at=None,
    max_cycles=None,
    catch_up="latest",
    next_run=NOW,
    open_occurrence=NOW,
    due_at=NOW,
    lease_owner="test",
    leased_until=NOW + timedelta(minutes=1),
    fencing_token=1,
    created_at=NOW,
    updated_at=NOW,
)
UNKNOWN = Refusal(Reason.ERROR_REASON_OUTCOME_UNKNOWN, "unknown")
UNAVAILABLE = Refusal(Reason.ERROR_REASON_GATEWAY_UNAVAILABLE, "unavailable")
BUSY = Refusal(Reason.ERROR_REASON_SERVICE_UNAVAILABLE, "busy")
WRONG_AMOUNT = InvalidFields.of("amount", "too many decimals")
NO_CARD = Refusal(Reason.ERROR_REASON_CARD_NOT_FOUND, "no card")
NO_KEYS = Refusal(Reason.ERROR_REASON_CREDENTIALS_MISSING, "no keys")
EARLY, LATE = timedelta(hours=23), timedelta(days=1)


def payment(status: str, attempt: str | None = None) -> Any:
    return SimpleNamespace(
        payment_id="PAY-1",
        status=status,
        attempt=attempt,
        transaction_id="pi_1",
        decline_code="generic_decline",
    )


SUBMITTED = payment("pending", "unknown")
NOT_SENT = payment("pending", "not_sent")


def attempt(
    row: Any,
    *,
    job: str = "active",
    number: int = 1,
    after: timedelta = EARLY,
    catch_up: str = "latest",
) -> Attempt:
    occurrence = replace(OCCURRENCE, attempt=number)
    return Attempt(replace(JOB, status=job, catch_up=catch_up), occurrence, row, NOW + after)


def word(transition: Transition | None) -> str:
    match transition:
        case None:
            return "charge"
        case End(outcome):
            return outcome.status.value
        case Wait():
            return "wait"
        case CheckLater():
            return "check later"
        case Skip():
            return "skip"


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (attempt(None), "charge"),
        (attempt(NOT_SENT), "charge"),
        (attempt(SUBMITTED), "charge"),
        (attempt(None, after=LATE), "charge"),
        (attempt(None, number=2), "charge"),
        (attempt(None, number=2, after=LATE), "skipped"),
        (attempt(NOT_SENT, number=2, after=LATE), "skipped"),
        (attempt(SUBMITTED, number=2, after=LATE), "charge"),
        (attempt(payment("succeeded"), job="cancelled"), "succeeded"),
        (attempt(payment("refunded")), "succeeded"),
        (attempt(payment("declined")), "declined"),
        (attempt(payment("voided")), "declined"),
        (attempt(payment("held_for_review")), "wait"),
        (attempt(payment("requires_action")), "wait"),
        (attempt(payment("requires_action"), job="paused"), "wait"),
        (attempt(payment("requires_action"), after=LATE), "requires_action"),
        (attempt(payment("held_for_review"), after=LATE), "requires_action"),
        (attempt(payment("needs_review")), "failed"),
        (attempt(None, job="paused"), "skip"),
        (attempt(payment("failed"), job="cancelled"), "skip"),
        (attempt(SUBMITTED, job="paused"), "check later"),
        (replace(attempt(None), suspended="user"), "skipped"),
        (replace(attempt(NOT_SENT), suspended="business"), "skipped"),
        (replace(attempt(SUBMITTED), suspended="user"), "check later"),
        (replace(attempt(payment("succeeded")), suspended="user"), "succeeded"),
        (replace(attempt(None, job="paused"), suspended="user"), "skip"),
        (replace(attempt(None), is_stopped=True), "check later"),
        (replace(attempt(NOT_SENT), is_stopped=True), "check later"),
        (replace(attempt(None, after=LATE), is_stopped=True), "skipped"),
        (replace(attempt(None, after=LATE, catch_up="all"), is_stopped=True), "check later"),
        (replace(attempt(SUBMITTED), is_stopped=True), "charge"),
        (replace(attempt(payment("succeeded")), is_stopped=True), "succeeded"),
        (replace(attempt(None, job="paused"), is_stopped=True), "skip"),
        (replace(attempt(None), is_stopped=True, suspended="user"), "skipped"),
    ],
)
def test_before_a_charge_the_state_decides(state: Attempt, expected: str) -> None:
    assert word(before_charge(state)) == expected


@pytest.mark.parametrize("catch_up", ["latest", "all"])
def test_a_retry_that_a_stop_kept_until_the_next_cycle_does_not_count(catch_up: str) -> None:
    late = attempt(None, number=2, after=LATE, catch_up=catch_up)
    failures = []
    for state in (late, replace(late, is_stopped=True)):
        transition = before_charge(state)
        assert isinstance(transition, End)
        failures.append(transition.outcome.is_failure)
    assert failures == [True, False]


@pytest.mark.parametrize(
    ("waited_minutes", "pause_minutes"), [(0, 1), (1, 1), (4, 4), (10, 10), (600, 10)]
)
def test_a_stopped_cycle_is_looked_at_less_often_the_longer_it_waits(
    waited_minutes: int, pause_minutes: int
) -> None:
    state = replace(attempt(None, after=timedelta(minutes=waited_minutes)), is_stopped=True)
    assert before_charge(state) == CheckLater(timedelta(minutes=pause_minutes))


@pytest.mark.parametrize(
    ("state", "refusal", "expected"),
    [
        (attempt(payment("succeeded")), None, "succeeded"),
        (attempt(payment("declined")), NO_CARD, "declined"),
        (attempt(SUBMITTED), UNKNOWN, "check later"),
        (attempt(SUBMITTED), NO_CARD, "check later"),
        (attempt(SUBMITTED, job="cancelled", after=LATE), UNKNOWN, "check later"),
        (attempt(None, job="cancelled"), NO_CARD, "skip"),
        (attempt(NOT_SENT, job="paused"), UNAVAILABLE, "skip"),
        (attempt(None), NO_CARD, "failed"),
        (attempt(None), BUSY, "check later"),
        (attempt(NOT_SENT), UNAVAILABLE, "check later"),
        (attempt(NOT_SENT, after=LATE), UNAVAILABLE, "failed"),
        (attempt(None), None, "check later"),
        (attempt(None), payments_stopped(), "check later"),
        (attempt(SUBMITTED), payments_stopped(), "check later"),
        (attempt(None, after=LATE), payments_stopped(), "skipped"),
        (attempt(None, after=LATE, catch_up="all"), payments_stopped(), "check later"),
        (attempt(None, job="paused"), payments_stopped(), "skip"),
        (replace(attempt(None), is_stopped=True), NO_KEYS, "check later"),
        (replace(attempt(SUBMITTED), is_stopped=True), NO_KEYS, "check later"),
        (replace(attempt(None, after=LATE), is_stopped=True), UNAVAILABLE, "skipped"),
    ],
)
def test_after_a_charge_the_state_and_the_response_decide(
    state: Attempt, refusal: Refusal | None, expected: str
) -> None:
    assert word(after_charge(state, refusal)) == expected


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (NO_CARD, True),
        (NO_KEYS, True),
        (Refusal(Reason.ERROR_REASON_USER_INACTIVE, "inactive"), True),
        (Refusal(Reason.ERROR_REASON_GATEWAY_REFUSED, "key revoked"), True),
        (Refusal(Reason.ERROR_REASON_USER_NOT_FOUND, "no user"), False),
        (WRONG_AMOUNT, False),
    ],
)
def test_a_failure_is_retryable_if_it_can_be_corrected(refusal: Refusal, expected: bool) -> None:
    transition = after_charge(attempt(None), refusal)
    assert isinstance(transition, End)
    assert transition.outcome.is_retryable is expected
