"""Rules of captures and voids: which requests a payment takes, and when a call proves nothing."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.database.schema import PAYMENT_STATUSES
from core.errors import InvalidFields, Reason, Refusal
from core.gateways.gateway import (
    CardDeclined,
    GatewayError,
    GatewayRefused,
    GatewayUnavailable,
    GatewayUnknown,
)
from core.payments.closing_rules import (
    ClosingStep,
    Requested,
    closing_step,
    is_certain,
    problem_of_ended,
    refusal_of,
)
from core.payments.event_rules import CHARGED
from core.payments.store import Payment

NOW = datetime(2026, 1, 31, tzinfo=UTC)
PAYMENT = Payment(
    business_id="B", payment_id="PAY-1", user_id="U", env="TEST", gateway="stripe", kind="charge",
    amount_minor=5000, currency="usd", description=None, idempotency_key=None, customer_id="cus_1",
    gateway_card_id="pm_1", gateway_key="B/PAY-1", status="authorized", attempt=None, lease=None,
    joinable=False, checks=0, transaction_id="pi_1", decline_code=None, answered=True,
    created_at=NOW, updated_at=NOW, authorized_minor=5000,
)  # fmt: skip
CAPTURE = Requested("capture", 2000, "k")
VOID = Requested("void", None, "k")
OPEN: dict[str, Any] = {"closing": "capture", "closing_minor": 2000, "closing_key": "k"}
CAPTURED = OPEN | {"status": "succeeded", "amount_minor": 2000}
VOIDED: dict[str, Any] = {"closing": "void", "closing_key": "k", "status": "voided"}
IN_PROGRESS = Reason.ERROR_REASON_CAPTURE_IN_PROGRESS
STATE = Reason.ERROR_REASON_PAYMENT_STATE
EXPIRED = Reason.ERROR_REASON_AUTHORIZATION_EXPIRED
TOO_HIGH = Reason.ERROR_REASON_CAPTURE_TOO_HIGH
STEPS: list[tuple[dict[str, Any], Requested, Any]] = [
    ({}, CAPTURE, ClosingStep.BEGIN),
    ({}, VOID, ClosingStep.BEGIN),
    ({}, replace(CAPTURE, amount_minor=5000), ClosingStep.BEGIN),
    ({}, replace(CAPTURE, amount_minor=5001), TOO_HIGH),
    (OPEN, CAPTURE, ClosingStep.CONTINUE),
    (OPEN, VOID, IN_PROGRESS),
    (OPEN, replace(CAPTURE, amount_minor=2001), IN_PROGRESS),
    (OPEN, replace(CAPTURE, key=None), IN_PROGRESS),
    (OPEN, replace(CAPTURE, amount_minor=5001), IN_PROGRESS),
    (CAPTURED, CAPTURE, ClosingStep.RETURN),
    (CAPTURED | {"status": "refunded"}, CAPTURE, ClosingStep.RETURN),
    (OPEN | {"void_reason": "abandoned"}, CAPTURE, ClosingStep.CONTINUE),
    (CAPTURED | {"void_reason": "abandoned"}, CAPTURE, ClosingStep.RETURN),
    (CAPTURED | {"status": "voided"}, CAPTURE, STATE),
    (CAPTURED, replace(CAPTURE, key="other"), STATE),
    (CAPTURED, VOID, STATE),
    (CAPTURED | {"amount_minor": 1000}, CAPTURE, STATE),
    (VOIDED, VOID, ClosingStep.RETURN),
    (VOIDED, CAPTURE, STATE),
    (VOIDED, replace(VOID, void_reason="abandoned"), STATE),
    (VOIDED | {"void_reason": "abandoned"}, VOID, STATE),
    (
        VOIDED | {"void_reason": "abandoned"},
        replace(VOID, void_reason="abandoned"),
        ClosingStep.RETURN,
    ),
    (
        VOIDED | {"status": "authorized", "void_reason": "abandoned"},
        replace(VOID, void_reason="fraudulent"),
        IN_PROGRESS,
    ),
    ({"status": "voided", "decline_code": "expired"}, CAPTURE, EXPIRED),
    ({"status": "voided", "decline_code": "expired"}, VOID, EXPIRED),
    ({"status": "voided"}, VOID, STATE),
    ({"status": "pending", "attempt": "unknown"}, CAPTURE, STATE),
    ({"status": "succeeded", "authorized_minor": None}, CAPTURE, STATE),
]


@pytest.mark.parametrize(("changes", "requested", "expected"), STEPS)
def test_a_payment_takes_what_its_state_allows(
    changes: dict[str, Any], requested: Requested, expected: Any
) -> None:
    payment = replace(PAYMENT, **changes)
    if isinstance(expected, ClosingStep):
        assert closing_step(payment, requested) is expected
        return
    with pytest.raises(Refusal) as refused:
        closing_step(payment, requested)
    assert refused.value.reason == expected
    if expected == TOO_HIGH:
        assert "At most 50.00 usd can be captured" in refused.value.message


@given(
    st.sampled_from(PAYMENT_STATUSES),
    st.sampled_from([None, "capture", "void"]),
    st.integers(1, 5000),
    st.sampled_from(["capture", "void"]),
    st.integers(1, 6000),
)
def test_only_an_authorized_payment_takes_a_new_request(
    status: str, closing: str | None, known_minor: int, wanted: str, minor: int
) -> None:
    payment = replace(
        PAYMENT,
        status=status,
        closing=closing,
        closing_minor=known_minor if closing == "capture" else None,
    )
    requested = Requested(wanted, minor if wanted == "capture" else None, "new")
    try:
        step = closing_step(payment, requested)
    except Refusal:
        step = None
    is_free = status == "authorized" and closing is None
    may_begin = is_free and (wanted == "void" or minor <= 5000)
    assert step is (ClosingStep.BEGIN if may_begin else None)


@pytest.mark.parametrize("status", sorted(CHARGED))
def test_a_charged_payment_cannot_be_voided_but_refunded(status: str) -> None:
    problem = problem_of_ended(replace(PAYMENT, **(VOIDED | {"status": status})))
    assert problem is not None
    assert "refund_payment" in problem.message
    assert problem.metadata == {"payment_status": status}


REFUSED, AWAY, UNKNOWN = GatewayRefused("no"), GatewayUnavailable("away"), GatewayUnknown("?")
DECLINED = CardDeclined("no", "expired_card")


@pytest.mark.parametrize(
    ("error", "first", "again"),
    [
        (REFUSED, True, {(True, True)}),
        (DECLINED, True, {(True, True)}),
        (AWAY, True, set()),
        (UNKNOWN, False, set()),
    ],
)
def test_a_failed_call_proves_that_nothing_happened_only_if_no_other_can(
    error: GatewayError, first: bool, again: set[tuple[bool, bool]]
) -> None:
    for shows in (False, True):
        for settled in (False, True):
            facts = {"shows_authorized": shows, "is_settled": settled}
            assert is_certain(error, is_resumed=False, **facts) is first
            assert is_certain(error, is_resumed=True, **facts) is ((shows, settled) in again)


def test_a_refusal_says_what_is_wrong() -> None:
    assert refusal_of(REFUSED).reason == Reason.ERROR_REASON_GATEWAY_REFUSED
    assert refusal_of(DECLINED).reason == Reason.ERROR_REASON_GATEWAY_REFUSED
    assert refusal_of(AWAY).reason == Reason.ERROR_REASON_GATEWAY_UNAVAILABLE
    assert isinstance(refusal_of(GatewayRefused("no", "amount")), InvalidFields)
