"""Resource messages of recurring jobs and their log entries."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from core.dunning import Dunning
from core.messages import enum_value, env_value, timestamp
from core.metadata import metadata_of
from core.money import Amount, money_message
from core.recurring import calendar
from core.recurring.cycles import calendar_problem
from core.recurring.log_store import Log
from core.recurring.occurrence_states import Attempt
from core.recurring.store import Job
from nivisco.payments.v1 import recurring_pb2 as pb
from nivisco.payments.v1.payments_pb2 import PaymentStatus


def job_message(job: Job, of_business: Dunning, preview: int = 0) -> pb.RecurringJob:
    """Return a job with at most `preview` upcoming occurrences, and its dunning in force."""
    dunning = job.dunning(of_business)
    is_paused = job.status == "paused"
    paused_reason = (is_paused and job.paused_reason) or "unspecified"
    return pb.RecurringJob(
        recurring_id=job.recurring_id,
        amount=money_message(Amount(job.amount_minor, job.currency)),
        interval_type=enum_value(pb.IntervalType, job.interval_type),
        interval_value=job.interval_value,
        status=enum_value(pb.RecurringStatus, job.status),
        next_run=optional_timestamp(job.next_run),
        last_run=optional_timestamp(job.last_run),
        executed_cycles=job.executed_cycles,
        description=job.description,
        user_id=job.user_id,
        source=enum_value(pb.RecurringSource, job.source or "unspecified"),
        timezone=job.timezone,
        end_at=optional_timestamp(job.end_at),
        max_cycles=job.max_cycles,
        catch_up=enum_value(pb.CatchUp, job.catch_up),
        env=env_value(job.env),
        upcoming=upcoming(job, preview),
        created_at=timestamp(job.created_at),
        updated_at=timestamp(job.updated_at),
        start_at=timestamp(_start_of(job)),
        paused_reason=enum_value(pb.PausedReason, paused_reason),
        paused_at=optional_timestamp(job.paused_at) if is_paused else None,
        retry_days=dunning.retry_days,
        max_failed_cycles=dunning.max_failed_cycles,
        metadata=metadata_of(job.metadata),
    )


def open_cycle_message(attempt: Attempt) -> pb.OpenCycle:
    """Return the open cycle of a job, by its current attempt."""
    job, occurrence, payment = attempt.job, attempt.occurrence, attempt.payment
    return pb.OpenCycle(
        occurrence=timestamp(occurrence.occurrence),
        amount=money_message(Amount(occurrence.amount_minor, occurrence.currency)),
        source=enum_value(pb.RecurringSource, occurrence.source or "unspecified"),
        attempt=occurrence.attempt,
        next_attempt_at=None if attempt.is_submitted else optional_timestamp(job.due_at),
        payment_id=occurrence.payment_id,
        payment_status=enum_value(PaymentStatus, payment.status if payment else "unspecified"),
    )


def _start_of(job: Job) -> datetime:
    """Return the start of a job's calendar; if the zone is unknown, as if it were UTC."""
    if calendar_problem(job):
        return datetime.fromisoformat(job.starts_local).replace(tzinfo=UTC)
    return calendar.occurrence(job.calendar, 0)


def upcoming(job: Job, preview: int) -> list[Timestamp]:
    """Return the next occurrences of an active job, at most `preview`."""
    if job.status != "active" or not preview or calendar_problem(job):
        return []
    after = max(job.counts_from, job.open_occurrence or job.counts_from)
    left = job.max_cycles - job.executed_cycles if job.max_cycles else preview
    return [timestamp(at) for at in calendar.upcoming(job.calendar, after, min(preview, left))]


def log_message(log: Log) -> pb.RecurringLog:
    """Return a log entry."""
    return pb.RecurringLog(
        log_id=log.log_id,
        status=enum_value(pb.RecurringLogStatus, log.status),
        message=log.message,
        attempted_at=timestamp(log.attempted_at),
        transaction_id=log.transaction_id,
        recurring_id=log.recurring_id,
        occurrence=timestamp(log.occurrence),
        user_id=log.user_id,
        payment_id=log.payment_id,
        attempt=log.attempt,
    )


def retry_response(job: Job, log: Log, of_business: Dunning) -> pb.RetryRecurringResponse:
    """Return the response to a retry that charged the cycle."""
    return pb.RetryRecurringResponse(
        message="Recurring cycle charged",
        log=log_message(log),
        recurring=job_message(job, of_business),
    )


def optional_timestamp(moment: datetime | None) -> Timestamp | None:
    """Return the message of a time, or None."""
    return timestamp(moment) if moment else None
