"""Queries of the doctor on open payments."""

from datetime import timedelta
from typing import Any

from sqlalchemy import Select, select

from core.database.schema import payments
from core.doctor.store import Scope, problem

PENDING_AFTER = timedelta(hours=1)
LEASE_EXPIRED_AFTER = timedelta(minutes=1)
CHECK_OVERDUE_AFTER = timedelta(minutes=10)


def payments_pending_too_long(scope: Scope) -> Select[Any]:
    """Payments that have been pending for an hour."""
    return select(
        payments.c.business_id,
        payments.c.payment_id,
        payments.c.attempt,
        payments.c.created_at,
        problem((payments.c.created_at < scope.now - PENDING_AFTER, "is pending for over an hour")),
    ).where(payments.c.status == "pending")


def payments_for_review(scope: Scope) -> Select[Any]:
    """Payments that need a manual review."""
    return select(
        payments.c.business_id,
        payments.c.payment_id,
        payments.c.gateway,
        payments.c.created_at,
        problem((payments.c.status == "needs_review", "the outcome is unknown")),
    ).where(scope.contains(payments.c.business_id, payments.c.payment_id))


def expired_leases(scope: Scope) -> Select[Any]:
    """Running attempts whose lease expired, and that no core resumed."""
    return select(
        payments.c.business_id,
        payments.c.payment_id,
        payments.c.lease_owner,
        payments.c.leased_until,
        problem((payments.c.leased_until < scope.now - LEASE_EXPIRED_AFTER, "its lease expired")),
    ).where(payments.c.status == "pending")


def overdue_checks(scope: Scope) -> Select[Any]:
    """Open attempts that the sweep should have checked."""
    return select(
        payments.c.business_id,
        payments.c.payment_id,
        payments.c.look_at,
        problem((payments.c.look_at < scope.now - CHECK_OVERDUE_AFTER, "was not checked")),
    ).where(payments.c.status == "pending")
