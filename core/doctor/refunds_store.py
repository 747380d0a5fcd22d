"""Queries of the doctor on refunds that were requested here."""

from typing import Any

from sqlalchemy import Select, and_, func, select
from sqlalchemy.sql.functions import coalesce

from core.database.schema import payments, refunds
from core.doctor.payments_store import LEASE_EXPIRED_AFTER, OVERDUE_AFTER, PENDING_AFTER
from core.doctor.store import Scope, command, problem


def payments_not_matching_refunds(scope: Scope) -> Select[Any]:
    """Payments of which less is refunded than their own refunds reserve or gave back.

    The void of a payment is its status, not a refunded amount.
    """
    counted = (
        select(coalesce(func.sum(refunds.c.amount_minor), 0))
        .where(
            refunds.c.business_id == payments.c.business_id,
            refunds.c.payment_id == payments.c.payment_id,
            refunds.c.status.in_(("pending", "succeeded")),
            refunds.c.gateway_refund_id.is_distinct_from(payments.c.transaction_id),
        )
        .correlate(payments)
        .scalar_subquery()
    )
    one = (
        select(
            payments.c.business_id,
            payments.c.payment_id,
            payments.c.status,
            payments.c.amount_refunded_minor,
            counted.label("counted_minor"),
        )
        .where(scope.contains(payments.c.business_id, payments.c.payment_id))
        .subquery()
    )
    return select(
        *one.c,
        problem(
            (
                one.c.counted_minor > one.c.amount_refunded_minor,
                "its refunds are more than what is refunded of it",
            ),
        ),
    )


def refunds_unknown_too_long(scope: Scope) -> Select[Any]:
    """Refunds whose outcome has been unknown for an hour."""
    too_long = and_(
        refunds.c.attempt.in_(("running", "unknown")),
        refunds.c.first_sent_at < scope.now - PENDING_AFTER,
    )
    return select(
        refunds.c.business_id,
        refunds.c.refund_id,
        refunds.c.payment_id,
        refunds.c.attempt,
        refunds.c.first_sent_at,
        command("refunds show", refunds.c.refund_id),
        problem((too_long, "its outcome is unknown for over an hour")),
    ).where(scope.contains(refunds.c.business_id, refunds.c.refund_id))


def expired_leases(scope: Scope) -> Select[Any]:
    """Running attempts of refunds whose lease expired, and that no core resumed."""
    late = scope.now - LEASE_EXPIRED_AFTER
    return select(
        refunds.c.business_id,
        refunds.c.refund_id,
        refunds.c.lease_owner,
        refunds.c.leased_until,
        problem((refunds.c.leased_until < late, "its lease expired")),
    ).where(refunds.c.look_at < late, refunds.c.set_aside_at.is_(None))


def overdue_refunds(scope: Scope) -> Select[Any]:
    """Refunds that a core should have looked at."""
    return select(
        refunds.c.business_id,
        refunds.c.refund_id,
        refunds.c.attempt,
        refunds.c.look_at,
        problem((refunds.c.attempt.is_distinct_from("running"), "was not looked at")),
    ).where(refunds.c.look_at < scope.now - OVERDUE_AFTER, refunds.c.set_aside_at.is_(None))


def refunds_set_aside(scope: Scope) -> Select[Any]:
    """Refunds at which no core looks until they are released."""
    return select(
        refunds.c.business_id,
        refunds.c.refund_id,
        refunds.c.set_aside_at,
        refunds.c.set_aside_error,
        command("refunds show", refunds.c.refund_id),
        problem((refunds.c.set_aside_at.is_not(None), "is set aside")),
    ).where(refunds.c.set_aside_at <= scope.now)
