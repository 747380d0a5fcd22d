"""Begins, moves and skips the cycles of a job. Pure: from a job's row to its change.

A cycle is a date of the job's calendar that was begun (it is the open occurrence, or was) or logged
as skipped. While a job is active, each of its dates becomes one cycle, in order:

| event                    | dates that are due and not begun     | next date                      |
|--------------------------|--------------------------------------|--------------------------------|
| creation to charge now   | none: the time of creation begins    | the first after now            |
| claim                    | begun or skipped, by `catch_up`      | the one after them             |
| end of a cycle           | stay due                             | the one after it               |
| skip_next                | stay due, but the first, or the next | the one after the skipped one  |
|                          | date if none is due, is skipped      |                                |
| pause, cancel            | skipped                              | none                           |
| resume                   | none: those of a pause are no cycles | the first after now            |
| change of the calendar   | as at a claim, by the old calendar   | `rules.ordinal_after_change`   |
| ... which is past by now | the next date begins at once         | the one after it               |

The next date is the first one after `counts_from`. A change of the calendar sets `counts_from` to
just before it, forward or back. All that is skipped is logged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from core.errors import InvalidFields, Reason, Refusal
from core.ids import new_recurring_log_id
from core.recurring import calendar, rules
from core.recurring.calendar import Calendar
from core.recurring.log_store import Log
from core.recurring.rules import Outcome, Status
from core.recurring.store import Job, Occurrence

MESSAGE_CHARACTERS = 500
_SECOND = timedelta(seconds=1)
_NEVER = datetime.max.replace(tzinfo=UTC)
_MISSED = Outcome(Status.SKIPPED, "Missed while no scheduler ran; skipped by the catch_up rule")
_ASKED = Outcome(Status.SKIPPED, "Skipped by skip_next")
_MOVED = Outcome(Status.SKIPPED, "A change of the schedule moved this date before the next one")


@dataclass(frozen=True, slots=True)
class Change:
    """A job after an event, with the occurrence that was opened and the log entries of skipped."""

    job: Job
    opened: Sequence[Occurrence] = ()
    skipped: Sequence[Log] = ()


def calendar_problem(job: Job) -> str | None:
    """Return why a job's calendar cannot be read, for example an unknown zone, or None."""
    try:
        calendar.occurrence(job.calendar, 0)
    except ValueError as error:
        return f"timezone {job.timezone}, start {job.starts_local}: {error}"
    return None


def begin_due(job: Job, now: datetime) -> Change:
    """Return a due job with the occurrence to charge opened, if there is one."""
    assert job.status == "active", "a due job without an open occurrence is active"
    assert job.next_run is not None, "an active job has a next occurrence"
    plan = rules.catch_up_plan(job.calendar, job.catch_up, job.next_run, now)
    skipped = [log_of(job, at, 0, _MISSED, now) for at in plan.skipped]
    if plan.skipped:
        job = _done(job, plan.skipped[-1])
    if plan.charge is None:
        status = "active" if plan.next_run else "completed"
        job = replace(job, status=status, next_run=plan.next_run, due_at=plan.next_run)
        return Change(job, skipped=skipped)
    wall = calendar.wall_clock(plan.charge, job.timezone)
    return _opened(job, plan.charge, wall, now, skipped)


def begin_now(job: Job, now: datetime) -> Change:
    """Return a new job whose first cycle begins now, whatever its calendar says.

    No date of the calendar is at its time, because those up to now are no cycles.
    """
    at = now.replace(microsecond=0)
    return _opened(job, at, calendar.wall_clock(at, job.timezone), now, [])


def skip_due(job: Job, now: datetime, reason: str) -> Change:
    """Return a job whose due occurrences are skipped, except an open one."""
    if calendar_problem(job):
        return Change(job)
    due: list[datetime] = []
    at = rules.next_after(job.calendar, _begun_until(job))
    while at is not None and at <= now:
        due.append(at)
        at = rules.next_after(job.calendar, at)
    if not due:
        return Change(job)
    outcome = Outcome(Status.SKIPPED, reason)
    return Change(_done(job, due[-1]), skipped=[log_of(job, at, 1, outcome, now) for at in due])


def skip_next(job: Job, now: datetime) -> Change:
    """Return an active job without its next date that has not begun, due or not.

    A job that has no date after it, and no open occurrence, is completed.

    Raises:
        Refusal: RECURRING_STATE if the job is not active, or has no such date.
    """
    problem = calendar_problem(job)
    if problem or job.status != "active":
        reason = f"Update the job first: {problem}" if problem else f"The job is {job.status}"
        raise Refusal(Reason.ERROR_REASON_RECURRING_STATE, f"{reason}; nothing was skipped")
    at = rules.next_after(job.calendar, _begun_until(job))
    if at is None:
        raise Refusal(
            Reason.ERROR_REASON_RECURRING_STATE, "The recurring job has no further date to skip"
        )
    skipped = [log_of(job, at, 1, _ASKED, now)]
    following = rules.next_after(job.calendar, at)
    if job.open_occurrence is not None:  # it is looked at as before
        next_run = following if job.next_run == at else job.next_run
        return Change(replace(_done(job, at), next_run=next_run), skipped=skipped)
    status = "active" if following else "completed"
    job = replace(_done(job, at), status=status, next_run=following, due_at=following)
    return Change(job, skipped=skipped)


def scheduled(job: Job) -> Job:
    """Return an active job with its next occurrence.

    Raises:
        InvalidFields: no occurrence is left.
    """
    at = rules.next_after(job.calendar, job.counts_from)
    if at is None:
        raise _nothing_left(job)
    return replace(job, next_run=at, due_at=at)


def resumed(job: Job, now: datetime) -> Job:
    """Return a paused job as active, from its next occurrence after now.

    A charge that is still in flight is resolved first.

    Raises:
        Refusal: RECURRING_STATE if no occurrence is left, or the calendar cannot be read.
    """
    if problem := calendar_problem(job):
        raise Refusal(Reason.ERROR_REASON_RECURRING_STATE, f"Update the job first: {problem}")
    job = replace(
        job,
        status="active",
        paused_at=None,
        paused_reason=None,
        failed_cycles=0,
        counts_from=max(now, job.counts_from),
    )
    at = rules.next_after(job.calendar, job.counts_from)
    if at is None:
        raise Refusal(
            Reason.ERROR_REASON_RECURRING_STATE,
            "No date is left until the recurring job's end; give it a later end_at first",
        )
    return replace(job, next_run=at, due_at=job.due_at if job.open_occurrence else at)


def rescheduled(job: Job, changed: Job, now: datetime) -> Change:
    """Return a job with new values and another calendar, both those of `changed`.

    Raises:
        InvalidFields: no occurrence is left.
        Refusal: RECURRING_STATE if more occurrences are due than can begin.
    """
    is_active = job.status == "active"
    change = Change(replace(changed, **_calendar_columns(job)))
    if is_active and job.open_occurrence is None:
        change = _begin_all_due(change.job, now)
    job = change.job
    old, new = replace(job.calendar, end_at=None), changed.calendar
    after = _begun_until(job)
    found = calendar.first_after(old, after if is_active else max(now, after))
    if found is None:
        raise _nothing_left(changed)
    n, next_at = found
    if is_active and next_at <= now:
        raise _several_due()
    last = _last_cycle(job, old, n)
    m = rules.ordinal_after_change(old, new, n, last=last, now=now)
    if m is None:
        raise _nothing_left(changed)
    if last and old.start != new.start:
        last = max(calendar.wall_clocks(last, old.zone, new.zone))
    first = calendar.occurrence(new, m)
    job = replace(
        job,
        **_calendar_columns(changed),
        status=changed.status,
        counts_from=calendar.occurrence(new, m - 1) if m else first - _SECOND,
        last_cycle_local=last.isoformat() if last else None,
    )
    if not is_active:
        return replace(change, job=replace(job, counts_from=max(now, job.counts_from)))
    if job.open_occurrence is not None:
        if first <= job.open_occurrence:
            raise _several_due()
        assert job.due_at is not None, "an open occurrence is looked at"
        # It ends when the next one is due.
        return replace(change, job=replace(job, due_at=min(job.due_at, first)))
    if first > now:
        job = scheduled(replace(job, counts_from=max(now, job.counts_from)))
        return replace(change, job=job)
    moved = _begin_past(job, m, now)
    return replace(moved, skipped=[*change.skipped, *moved.skipped])


def _begin_all_due(job: Job, now: datetime) -> Change:
    """Return a job after the claims that it takes to open an occurrence, or to skip all due ones.

    A claim skips a limited number only.
    """
    change, skipped = Change(job), list[Log]()
    while change.job.open_occurrence is None and (change.job.next_run or _NEVER) <= now:
        change = begin_due(change.job, now)
        skipped += change.skipped
    return replace(change, skipped=skipped)


def _begin_past(job: Job, n: int, now: datetime) -> Change:
    """Return a job whose next occurrence, number n, is past because of a change, as begun.

    It begins at the next second, which is later than every other occurrence. Where it moved by more
    than an interval, only the last of several is charged.
    """
    at = (now + _SECOND).replace(microsecond=0)
    if job.end_at is not None and at > job.end_at:
        raise _nothing_left(job)
    skipped = []
    while calendar.occurrence(job.calendar, n + 1) <= at:
        skipped.append(log_of(job, calendar.occurrence(job.calendar, n), 0, _MOVED, now))
        n += 1
    wall = calendar.wall_time(job.calendar, n)
    return _opened(job, at, wall, now, skipped)


def _opened(
    job: Job, at: datetime, wall: datetime, now: datetime, skipped: Sequence[Log]
) -> Change:
    """Return a job with the occurrence at `at` opened; `wall` is its local time."""
    opened = Occurrence(
        business_id=job.business_id,
        recurring_id=job.recurring_id,
        occurrence=at,
        amount_minor=job.amount_minor,
        currency=job.currency,
        source=job.source,
        description=job.description,
        attempt=1,
        payment_id=None,
        checks=0,
        status="open",
        created_at=now,
    )
    job = replace(
        job, open_occurrence=at, next_run=at, due_at=at, last_cycle_local=wall.isoformat()
    )
    return Change(job, [opened], skipped)


def _done(job: Job, at: datetime) -> Job:
    """Return a job whose occurrences until `at` are cycles."""
    wall = calendar.wall_clock(at, job.timezone)
    counts_from = max(job.counts_from, at)
    return replace(job, counts_from=counts_from, last_cycle_local=wall.isoformat())


def _begun_until(job: Job) -> datetime:
    return max(job.counts_from, job.open_occurrence or job.counts_from)


def _last_cycle(job: Job, old: Calendar, n: int) -> datetime | None:
    """Return the local time of the last cycle, or None before the first one."""
    if job.last_cycle_local is not None:
        return datetime.fromisoformat(job.last_cycle_local)
    if n and (job.open_occurrence or job.executed_cycles or job.failed_cycles):
        return calendar.wall_time(old, n - 1)  # of a version that did not store it
    return None


def _calendar_columns(job: Job) -> Mapping[str, Any]:
    return {
        "starts_local": job.starts_local,
        "timezone": job.timezone,
        "interval_type": job.interval_type,
        "interval_value": job.interval_value,
        "end_at": job.end_at,
    }


def _nothing_left(job: Job) -> InvalidFields:
    field = "start_at" if job.end_at is None else "end_at"
    return InvalidFields.of(field, "leaves no date on which the job would charge")


def not_found() -> Refusal:
    """Return the refusal of a job that the caller does not have."""
    return Refusal(Reason.ERROR_REASON_RECURRING_NOT_FOUND, "Recurring job not found")


def _several_due() -> Refusal:
    return Refusal(
        Reason.ERROR_REASON_RECURRING_STATE,
        "More than one charge of the recurring job is due; change its schedule when they are done",
    )


def log_of(
    job: Job, occurrence: datetime, attempt: int, outcome: Outcome, now: datetime, note: str = ""
) -> Log:
    """Return the log entry of an outcome."""
    message = f"{outcome.message.rstrip('.')}. {note}" if note else outcome.message
    return Log(
        business_id=job.business_id,
        log_id=new_recurring_log_id(),
        recurring_id=job.recurring_id,
        user_id=job.user_id,
        occurrence=occurrence,
        attempt=attempt,
        status=outcome.status.value,
        message=message[:MESSAGE_CHARACTERS],
        transaction_id=outcome.transaction_id,
        payment_id=outcome.payment_id,
        attempted_at=now,
    )
