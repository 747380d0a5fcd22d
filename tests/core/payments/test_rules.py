"""Proves what a charge's outcome makes of its payment where no gateway is needed to see it."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from core.errors import Reason
from core.gateways.gateway import HeldForReview, Unknown
from core.payments import rules
from core.payments.rules import ResumeStep


def test_a_held_charge_is_settled_as_held_and_its_caller_told_not_to_charge_again() -> None:
    outcome = HeldForReview("60000000001")
    settled = rules.payment_update(outcome)
    assert (settled.status, settled.transaction_id) == ("held_for_review", "60000000001")
    assert not settled.is_success
    assert rules.is_conclusive(outcome)
    assert rules.resumed_outcome(outcome) == outcome
    refusal = rules.refusal_of(outcome, "PAY-1")
    assert refusal.reason == Reason.ERROR_REASON_CARD_DECLINED
    assert refusal.metadata == {
        "decline_code": "held_for_review",
        "transaction_id": "60000000001",
    }
    assert "do not charge again" in refusal.message


MADE = datetime(2030, 1, 1, tzinfo=UTC)
SECONDS = st.integers(0, 40 * 3600).map(lambda seconds: timedelta(seconds=seconds))


@given(age=SECONDS, sent_after=SECONDS, settle=st.integers(21, 3599))
def test_a_charge_is_sent_again_only_into_silence_and_while_it_is_known_again(
    age: timedelta, sent_after: timedelta, settle: int
) -> None:
    by_gateway = rules.resume_policies(timedelta(seconds=settle))
    sent_at = MADE + min(sent_after, age)
    ways = {
        gateway: rules.resume_step(resuming, created_at=MADE, sent_at=sent_at, now=MADE + age)
        for gateway, resuming in by_gateway.items()
    }
    assert (ways["stripe"] is ResumeStep.SEND) == (age <= timedelta(hours=23))
    assert ways["authorize"] is not ResumeStep.SEND
    if ways["authorize"] is ResumeStep.LOOK_UP_AND_SEND:
        assert MADE + age - sent_at >= timedelta(seconds=settle)
        # What is sent now arrives, at the latest, while the gateway still knows the first one.
        assert age + timedelta(seconds=settle) <= timedelta(hours=8)


def test_nothing_is_sent_any_more_when_a_person_must_look() -> None:
    for resuming in rules.resume_policies().values():
        assert resuming.resend_life < resuming.review_after
    nothing = Unknown("", shows_nothing=True)
    assert rules.payment_update(nothing, is_last_check=True).status == "needs_review"
    for outcome, is_last_check in ((nothing, False), (Unknown(""), True)):
        settled = rules.payment_update(outcome, is_last_check=is_last_check)
        assert (settled.status, settled.attempt) == ("pending", "unknown")
