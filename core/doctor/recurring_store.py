"""What the doctor asks about recurring jobs: each query gives the rows that are wrong."""

from datetime import timedelta
from typing import Any

from sqlalchemy import Select, and_, case, exists, func, select

from core.database.schema import recurring_jobs as jobs
from core.database.schema import recurring_logs as logs
from core.database.schema import recurring_occurrences as occurrences
from core.doctor.store import Scope, problem

OVERDUE_FOR = timedelta(minutes=10)


def jobs_overdue(scope: Scope) -> Select[Any]:
    """Jobs that a scheduler should have claimed, or whose scheduler renews no lease."""
    late = scope.now - OVERDUE_FOR
    return select(
        jobs.c.business_id,
        jobs.c.recurring_id,
        jobs.c.due_at,
        jobs.c.lease_owner,
        jobs.c.leased_until,
        problem(
            (and_(jobs.c.due_at < late, jobs.c.leased_until.is_(None)), "nobody claimed it"),
            (and_(jobs.c.due_at < late, jobs.c.leased_until < late), "its lease ran out"),
        ),
    ).where(jobs.c.due_at.is_not(None))


def jobs_without_their_occurrence(scope: Scope) -> Select[Any]:
    """Jobs that point at an occurrence that is not open, or that count what no log tells."""
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
                "its open occurrence is none",
            ),
            (jobs.c.executed_cycles != charged, "its logs tell of another number of charges"),
        ),
    ).where(scope.holds(jobs.c.business_id, jobs.c.recurring_id))


def occurrences_nobody_ends(scope: Scope) -> Select[Any]:
    """Open occurrences that their job does not point at, so that nobody executes them."""
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
                "is open, and its job is not at it",
            )
        ),
    ).where(scope.holds(occurrences.c.business_id, occurrences.c.recurring_id))
