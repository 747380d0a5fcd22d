"""What the doctor asks about payments that are open: each query gives the rows that are wrong."""

from datetime import timedelta
from typing import Any

from sqlalchemy import Select, select

from core.database.schema import payments
from core.doctor.store import Scope, problem

PENDING_FOR = timedelta(hours=1)
LEASE_OVER_FOR = timedelta(minutes=1)
CHECK_OVERDUE_FOR = timedelta(minutes=10)


def payments_long_pending(scope: Scope) -> Select[Any]:
    """Payments whose outcome has not been known for an hour."""
    return select(
        payments.c.business_id,
        payments.c.payment_id,
        payments.c.attempt,
        payments.c.created_at,
        problem((payments.c.created_at < scope.now - PENDING_FOR, "is pending for over an hour")),
    ).where(payments.c.status == "pending")


def payments_for_review(scope: Scope) -> Select[Any]:
    """Payments that wait for a person."""
    return select(
        payments.c.business_id,
        payments.c.payment_id,
        payments.c.gateway,
        payments.c.created_at,
        problem((payments.c.status == "needs_review", "nobody knows whether the card was charged")),
    ).where(scope.holds(payments.c.business_id, payments.c.payment_id))


def leases_long_over(scope: Scope) -> Select[Any]:
    """Running attempts whose core gave no sign of life, and that no other core took over."""
    return select(
        payments.c.business_id,
        payments.c.payment_id,
        payments.c.lease_owner,
        payments.c.leased_until,
        problem((payments.c.leased_until < scope.now - LEASE_OVER_FOR, "its lease ran out")),
    ).where(payments.c.status == "pending")


def checks_long_due(scope: Scope) -> Select[Any]:
    """Open attempts that the sweep should have looked at."""
    return select(
        payments.c.business_id,
        payments.c.payment_id,
        payments.c.check_at,
        problem((payments.c.check_at < scope.now - CHECK_OVERDUE_FOR, "nobody looked at it")),
    ).where(payments.c.status == "pending")
