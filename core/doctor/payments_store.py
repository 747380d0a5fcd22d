"""Queries of the doctor on payments and gateway events that a core is to look at."""

from datetime import timedelta
from typing import Any

from sqlalchemy import Select, and_, select

from core.database.schema import payments
from core.database.schema import webhook_events as events
from core.doctor.store import RELEASE_END, Scope, command, problem

PENDING_AFTER = timedelta(hours=1)
AUTHORIZED_AFTER = timedelta(days=31)
"""Older than any authorization: Authorize.Net's and Stripe's longest expire after 30 days."""
LEASE_EXPIRED_AFTER = timedelta(minutes=1)
OVERDUE_AFTER = timedelta(minutes=10)


def payments_pending_too_long(scope: Scope) -> Select[Any]:
    """Payments that have been pending for an hour."""
    too_long = and_(
        payments.c.status == "pending", payments.c.created_at < scope.now - PENDING_AFTER
    )
    return select(
        payments.c.business_id,
        payments.c.payment_id,
        payments.c.attempt,
        payments.c.created_at,
        command("payments show", payments.c.payment_id),
        problem((too_long, "is pending for over an hour")),
    ).where(scope.contains(payments.c.business_id, payments.c.payment_id))


def payments_for_review(scope: Scope) -> Select[Any]:
    """Payments that need a manual review."""
    return select(
        payments.c.business_id,
        payments.c.payment_id,
        payments.c.gateway,
        payments.c.created_at,
        command("payments show", payments.c.payment_id),
        problem((payments.c.status == "needs_review", "the outcome is unknown")),
    ).where(scope.contains(payments.c.business_id, payments.c.payment_id))


def payments_authorized_too_long(scope: Scope) -> Select[Any]:
    """Payments that are authorized, though the gateway must have released them."""
    too_long = and_(
        payments.c.status == "authorized", payments.c.created_at < scope.now - AUTHORIZED_AFTER
    )
    return select(
        payments.c.business_id,
        payments.c.payment_id,
        payments.c.closing,
        payments.c.created_at,
        command("payments show", payments.c.payment_id),
        problem((too_long, "is authorized for over 31 days")),
    ).where(scope.contains(payments.c.business_id, payments.c.payment_id))


def expired_leases(scope: Scope) -> Select[Any]:
    """Running attempts whose lease expired, and that no core resumed."""
    late = scope.now - LEASE_EXPIRED_AFTER
    return select(
        payments.c.business_id,
        payments.c.payment_id,
        payments.c.lease_owner,
        payments.c.leased_until,
        problem((payments.c.leased_until < late, "its lease expired")),
    ).where(payments.c.look_at < late, payments.c.set_aside_at.is_(None))


def overdue_payments(scope: Scope) -> Select[Any]:
    """Payments that a core should have looked at."""
    return select(
        payments.c.business_id,
        payments.c.payment_id,
        payments.c.status,
        payments.c.look_at,
        problem((payments.c.attempt.is_distinct_from("running"), "was not looked at")),
    ).where(payments.c.look_at < scope.now - OVERDUE_AFTER, payments.c.set_aside_at.is_(None))


def overdue_events(scope: Scope) -> Select[Any]:
    """Gateway events that a core should have looked at."""
    return select(
        events.c.business_id,
        events.c.event_id,
        events.c.gateway,
        events.c.look_at,
        problem((events.c.look_at.is_not(None), "was not looked at")),
    ).where(events.c.look_at < scope.now - OVERDUE_AFTER, events.c.set_aside_at.is_(None))


def payments_set_aside(scope: Scope) -> Select[Any]:
    """Payments at which no core looks until they are released."""
    return select(
        payments.c.business_id,
        payments.c.payment_id,
        payments.c.set_aside_at,
        payments.c.set_aside_error,
        command("queue release payment", payments.c.payment_id, RELEASE_END),
        problem((payments.c.set_aside_at.is_not(None), "is set aside")),
    ).where(payments.c.set_aside_at <= scope.now)


def events_set_aside(scope: Scope) -> Select[Any]:
    """Gateway events at which no core looks until they are released."""
    return select(
        events.c.business_id,
        events.c.event_id,
        events.c.set_aside_at,
        events.c.set_aside_error,
        command("queue release webhook_event", events.c.event_id, RELEASE_END),
        problem((events.c.set_aside_at.is_not(None), "is set aside")),
    ).where(events.c.set_aside_at <= scope.now)
