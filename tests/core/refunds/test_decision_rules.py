"""What the gateway says decides which decision about a refund needs force."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.gateways.events import Fact, FactKind
from core.payments.decision_rules import Resolution
from core.payments.evidence import Finding
from core.refunds.decision_rules import (
    amount_problem,
    evidence_problem,
    is_repeated,
    state_problem,
)
from core.refunds.store import Refund

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SETTLE = timedelta(minutes=3)
LOST = Refund(
    refund_id="REF-1", amount_minor=2000, status="pending", gateway_refund_id=None, reason=None,
    description=None, metadata=None, idempotency_key=None, created_at=NOW, business_id="b",
    payment_id="PAY-1", user_id="USR-1", env="TEST", gateway="authorize", currency="usd",
    is_whole=False, gateway_key="b/REF-1", attempt="unknown", lease_owner=None, leased_until=None,
    look_at=NOW, checks=3, first_sent_at=NOW, sent_at=NOW, failure_code=None, updated_at=NOW,
)  # fmt: skip


def found(kind: FactKind, object_id: str = "60", amount: int = 2000) -> Finding:
    return Finding("refund", object_id, Fact(kind, amount, object_id=object_id), "Shown.")


MADE, CAME_BACK = found(FactKind.REFUND), found(FactKind.REFUND_FAILED)
NOTHING = Finding("refund", None, None, "Nothing.")
SILENT = Finding("refund", None, None, "No answer.", is_answered=False)
UNCLEAR = Finding("refund", None, None, "Not finished.", is_unclear=True)
VOIDED = Finding("refund", None, Fact(FactKind.VOIDED), "The charge was voided.")


@pytest.mark.parametrize(
    ("resolution", "named", "findings", "problem"),
    [
        ("succeeded", None, [MADE], None),
        ("succeeded", "60", [NOTHING, MADE], None),
        ("succeeded", "60", [MADE, MADE], None),
        ("succeeded", "61", [MADE, found(FactKind.REFUND, "61")], "shows the refund as 60"),
        ("succeeded", None, [VOIDED], None),
        ("succeeded", "60", [VOIDED], "shows the refund as the void of its payment"),
        ("succeeded", None, [NOTHING], "does not show the refund"),
        ("succeeded", "60", [NOTHING, NOTHING], "does not show the refund"),
        ("succeeded", None, [SILENT], "does not show the refund"),
        ("succeeded", None, [UNCLEAR], "does not show the refund"),
        ("succeeded", None, [CAME_BACK], "does not show the refund as made"),
        ("failed", None, [NOTHING], None),
        ("failed", None, [SILENT], None),
        ("failed", None, [CAME_BACK], None),
        ("failed", None, [MADE], "the money was given back"),
        ("failed", None, [VOIDED], "the money was given back"),
        ("failed", None, [UNCLEAR], "may still be made"),
    ],
)
def test_what_the_gateway_says_allows_or_forbids_a_decision(
    resolution: str, named: str | None, findings: list[Finding], problem: str | None
) -> None:
    said = evidence_problem(
        LOST, Resolution(resolution), named, findings, now=NOW + SETTLE, settle_time=SETTLE
    )
    assert said is None if problem is None else said is not None and problem in said


@pytest.mark.parametrize(
    ("attempt", "seconds", "findings", "is_refused"),
    [
        ("unknown", 179, [NOTHING], True),
        ("unknown", 180, [NOTHING], False),
        ("unknown", 0, [CAME_BACK], False),
        ("unsettled", 0, [NOTHING], False),
    ],
)
def test_a_refund_that_may_not_be_shown_yet_has_not_failed(
    attempt: str, seconds: int, findings: list[Finding], *, is_refused: bool
) -> None:
    problem = evidence_problem(
        replace(LOST, attempt=attempt),
        Resolution.FAILED,
        None,
        findings,
        now=NOW + timedelta(seconds=seconds),
        settle_time=SETTLE,
    )
    assert (problem is not None) == is_refused


@pytest.mark.parametrize(
    ("changes", "finding", "is_same"),
    [
        ({}, MADE, True),
        ({}, NOTHING, True),
        ({}, found(FactKind.REFUND_FAILED, amount=0), True),
        ({}, found(FactKind.REFUND, amount=1999), False),
        ({"currency": "eur"}, replace(MADE, fact=Fact(FactKind.REFUND, 2000, "usd", "60")), False),
        ({}, VOIDED, False),
        ({"is_whole": True}, VOIDED, True),
    ],
)
def test_a_refund_of_another_amount_is_another_one(
    changes: dict[str, Any], finding: Finding, *, is_same: bool
) -> None:
    assert (amount_problem(replace(LOST, **changes), [NOTHING, finding]) is None) == is_same


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, None),
        ({"attempt": "unsettled"}, None),
        ({"attempt": "running", "leased_until": NOW}, None),
        ({"attempt": "running", "leased_until": NOW + SETTLE}, "at this moment"),
        ({"attempt": None, "gateway_refund_id": "re_1"}, "has the refund as re_1"),
        ({"attempt": None, "status": "failed"}, "is failed: there is nothing to decide"),
        ({"attempt": None, "status": "canceled"}, "is canceled"),
        ({"attempt": None, "status": "succeeded"}, "is succeeded"),
    ],
)
def test_a_refund_with_an_outcome_or_a_core_is_not_decided(
    changes: dict[str, Any], problem: str | None
) -> None:
    said = state_problem(replace(LOST, **changes), None, NOW)
    assert said is None if problem is None else said is not None and problem in said


def test_nothing_repeats_a_decision_that_was_never_made() -> None:
    assert not is_repeated(replace(LOST, attempt=None), None, Resolution.SUCCEEDED, None)
