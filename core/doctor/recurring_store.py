"""Queries of the doctor on recurring jobs."""

from datetime import timedelta
from typing import Any

from sqlalchemy import Select, and_, case, exists, func, select

from core.database.schema import recurring_jobs as jobs
from core.database.schema import recurring_logs as logs
from core.database.schema import recurring_occurrences as occurrences
from core.doctor.store import RELEASE_END, Scope, command, problem

OVERDUE_AFTER = timedelta(minutes=10)


def overdue_jobs(scope: Scope) -> Select[Any]:
    """Jobs that no scheduler claimed in time, or whose lease expired."""
    late = scope.now - OVERDUE_AFTER
    return select(
        jobs.c.business_id,
        jobs.c.recurring_id,
        jobs.c.due_at,
        jobs.c.lease_owner,
        jobs.c.leased_until,
        problem(
            (and_(jobs.c.due_at < late, jobs.c.leased_until.is_(None)), "was not claimed"),
            (and_(jobs.c.due_at < late, jobs.c.leased_until < late), "its lease expired"),
        ),
    ).where(jobs.c.due_at.is_not(None), jobs.c.set_aside_at.is_(None))


def jobs_set_aside(scope: Scope) -> Select[Any]:
    """Jobs that are not claimed until they are corrected or released."""
    return select(
        jobs.c.business_id,
        jobs.c.recurring_id,
        jobs.c.set_aside_at,
        jobs.c.set_aside_error,
        command("queue release recurring_job", jobs.c.recurring_id, RELEASE_END),
        problem((jobs.c.set_aside_at.is_not(None), "is set aside")),
    ).where(jobs.c.set_aside_at <= scope.now)


def jobs_not_matching_occurrences(scope: Scope) -> Select[Any]:
    """Jobs whose open occurrence is not open, or whose cycles do not match their logs."""
    is_open = exists().where(
        occurrences.c.business_id == jobs.c.business_id,
        occurrences.c.recurring_id == jobs.c.recurring_id,
        occurrences.c.occurrence == jobs.c.open_occurrence,
        occurrences.c.status == "open",
    )
    charged = (
        select(func.count(case((logs.c.status == "succeeded", 1))))
        .where(
            logs.c.business_id == jobs.c.business_id,
            logs.c.recurring_id == jobs.c.recurring_id,
        )
        .scalar_subquery()
    )
    return select(
        jobs.c.business_id,
        jobs.c.recurring_id,
        jobs.c.open_occurrence,
        jobs.c.executed_cycles,
        problem(
            (
                and_(jobs.c.open_occurrence.is_not(None), ~is_open),
                "its open occurrence is not open",
            ),
            (jobs.c.executed_cycles != charged, "its logs have another number of charges"),
        ),
    ).where(scope.contains(jobs.c.business_id, jobs.c.recurring_id))


def open_occurrences_without_job(scope: Scope) -> Select[Any]:
    """Open occurrences that are not their job's, so that no scheduler executes them."""
    is_its_jobs = exists().where(
        jobs.c.business_id == occurrences.c.business_id,
        jobs.c.recurring_id == occurrences.c.recurring_id,
        jobs.c.open_occurrence == occurrences.c.occurrence,
    )
    return select(
        occurrences.c.business_id,
        occurrences.c.recurring_id,
        occurrences.c.occurrence,
        problem(
            (
                and_(occurrences.c.status == "open", ~is_its_jobs),
                "is open, but not its job's open occurrence",
            )
        ),
    ).where(scope.contains(occurrences.c.business_id, occurrences.c.recurring_id))
