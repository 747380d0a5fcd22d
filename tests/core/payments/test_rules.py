"""Proves what a charge's outcome makes of its payment where no gateway is needed to see it."""

from core.errors import Reason
from core.gateways.gateway import HeldForReview
from core.payments import rules


def test_a_held_charge_is_settled_as_held_and_its_caller_told_not_to_charge_again() -> None:
    outcome = HeldForReview("60000000001")
    settled = rules.settle(outcome)
    assert (settled.status, settled.transaction_id) == ("held_for_review", "60000000001")
    assert not settled.is_success
    assert rules.is_proof(outcome)
    assert rules.of_resumed(outcome) == outcome
    refusal = rules.refusal_of(outcome, "PAY-1")
    assert refusal.reason == Reason.ERROR_REASON_CARD_DECLINED
    assert refusal.metadata == {
        "decline_code": "held_for_review",
        "transaction_id": "60000000001",
    }
    assert "do not charge again" in refusal.message
