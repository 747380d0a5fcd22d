"""Wire in, wire out for RecurringService, OccurrencesService and TestClockService."""

from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from core.caller import current_caller
from core.errors import InvalidFields
from core.messages import (
    env_value,
    env_word,
    page_request,
    timestamp,
)
from core.money import Amount, money_message
from core.recurring import calendar
from core.recurring.claims import Claims, Lease
from core.recurring.execution import Execution
from core.recurring.log_store import Log, LogFilter
from core.recurring.service import Changes, JobRequest, RecurringService
from core.recurring.store import Job, JobFilter
from core.recurring.test_clock import TestClockAdvance
from nivisco.internal.v1 import (
    occurrences_pb2,
    occurrences_pb2_grpc,
    test_clock_pb2,
    test_clock_pb2_grpc,
)
from nivisco.payments.v1 import recurring_pb2 as pb
from nivisco.payments.v1 import recurring_pb2_grpc

_LEASE_SECONDS_MAX = 3600


def _word(enum: Any, number: int, prefix: str) -> str | None:
    """Return an enum's value as it is stored, or None where it is unspecified."""
    return str(enum.Name(number)).removeprefix(prefix).lower() if number else None


def _interval_word(number: "pb.IntervalType.ValueType") -> str | None:
    return _word(pb.IntervalType, number, "INTERVAL_TYPE_")


def _source_word(number: "pb.RecurringSource.ValueType") -> str | None:
    return _word(pb.RecurringSource, number, "RECURRING_SOURCE_")


def _catch_up_word(number: "pb.CatchUp.ValueType") -> str | None:
    return _word(pb.CatchUp, number, "CATCH_UP_")


class RecurringServicer(recurring_pb2_grpc.RecurringServiceServicer):
    """Serves nivisco.payments.v1.RecurringService."""

    def __init__(self, service: RecurringService) -> None:
        """Serve with `service`."""
        self._service = service

    async def CreateRecurring(
        self, request: pb.CreateRecurringRequest, context: object
    ) -> pb.CreateRecurringResponse:
        """Create a job."""
        caller = current_caller()
        job = await self._service.create(
            caller,
            JobRequest(
                user_id=request.user_id,
                env=env_word(request.env) or caller.default_env,
                money=request.amount,
                interval_type=_interval_word(request.interval_type) or "",
                interval_value=request.interval_value or 1,
                source=_source_word(request.source),
                description=request.description or None,
                start_at=request.start_at or None,
                timezone=request.timezone or None,
                end_at=request.end_at or None,
                max_cycles=request.max_cycles or None,
                catch_up=_catch_up_word(request.catch_up) or "latest",
            ),
        )
        return pb.CreateRecurringResponse(
            message="Recurring job created successfully",
            recurring_id=job.recurring_id,
            next_run=_optional(job.next_run),
            timezone=job.timezone,
            upcoming=_upcoming(job, request.preview),
        )

    async def UpdateRecurring(
        self, request: pb.UpdateRecurringRequest, context: object
    ) -> pb.UpdateRecurringResponse:
        """Change a job."""
        if not _is_change(request):
            raise InvalidFields.of("recurring_id", "is all that is given; say what to change")
        if request.status == pb.RECURRING_STATUS_COMPLETED:
            raise InvalidFields.of("status", "must be active, paused or cancelled")
        columns = {
            "interval_type": _interval_word(request.interval_type),
            "interval_value": request.interval_value or None,
            "source": _source_word(request.source),
            "description": request.description if request.HasField("description") else None,
            "max_cycles": request.max_cycles or None,
            "catch_up": _catch_up_word(request.catch_up),
        }
        await self._service.update(
            current_caller(),
            request.recurring_id,
            Changes(
                columns={name: value for name, value in columns.items() if value is not None},
                money=request.amount if request.HasField("amount") else None,
                start_at=request.start_at or None,
                timezone=request.timezone or None,
                end_at=request.end_at or None,
                status=_word(pb.RecurringStatus, request.status, "RECURRING_STATUS_"),
            ),
        )
        return pb.UpdateRecurringResponse(message="Recurring job updated")

    async def PauseRecurring(
        self, request: pb.PauseRecurringRequest, context: object
    ) -> pb.PauseRecurringResponse:
        """Pause a job."""
        note = await self._service.pause(current_caller(), request.recurring_id)
        return pb.PauseRecurringResponse(message=f"Recurring job set to paused{note}")

    async def ResumeRecurring(
        self, request: pb.ResumeRecurringRequest, context: object
    ) -> pb.ResumeRecurringResponse:
        """Resume a job."""
        await self._service.resume(current_caller(), request.recurring_id)
        return pb.ResumeRecurringResponse(message="Recurring job set to active")

    async def CancelRecurring(
        self, request: pb.CancelRecurringRequest, context: object
    ) -> pb.CancelRecurringResponse:
        """Cancel a job."""
        note = await self._service.cancel(current_caller(), request.recurring_id)
        return pb.CancelRecurringResponse(message=f"Recurring job set to cancelled{note}")

    async def ListRecurring(
        self, request: pb.ListRecurringRequest, context: object
    ) -> pb.ListRecurringResponse:
        """Return a page of jobs."""
        caller = current_caller()
        which = JobFilter(
            env=env_word(request.env) or caller.default_env,
            user_id=request.user_id or None,
            status=_word(pb.RecurringStatus, request.status, "RECURRING_STATUS_"),
        )
        jobs, total = await self._service.list_jobs(caller, which, page_request(request))
        return pb.ListRecurringResponse(
            count=len(jobs),
            total=total,
            recurring=[_recurring(job, request.preview) for job in jobs],
        )

    async def GetRecurringLogs(
        self, request: pb.GetRecurringLogsRequest, context: object
    ) -> pb.GetRecurringLogsResponse:
        """Return a page of what jobs did."""
        which = LogFilter(
            recurring_id=request.recurring_id or None,
            user_id=request.user_id or None,
            status=_word(pb.RecurringLogStatus, request.status, "RECURRING_LOG_STATUS_"),
        )
        logs, total = await self._service.list_logs(current_caller(), which, page_request(request))
        return pb.GetRecurringLogsResponse(
            count=len(logs), total=total, logs=[_log(log) for log in logs]
        )


class OccurrencesServicer(occurrences_pb2_grpc.OccurrencesServiceServicer):
    """Serves nivisco.internal.v1.OccurrencesService."""

    def __init__(self, claims: Claims, execution: Execution) -> None:
        """Lease with `claims` and charge with `execution`."""
        self._claims = claims
        self._execution = execution

    async def ClaimDueOccurrences(
        self, request: occurrences_pb2.ClaimDueOccurrencesRequest, context: object
    ) -> occurrences_pb2.ClaimDueOccurrencesResponse:
        """Lease due occurrences."""
        leases = await self._claims.claim(
            request.owner,
            limit=request.limit,
            limit_per_business=request.limit_per_business or request.limit,
            busy=[each.business_id for each in request.excluded_businesses],
            lease=_lease_time(request),
        )
        return occurrences_pb2.ClaimDueOccurrencesResponse(
            leases=[_lease_message(lease) for lease in leases]
        )

    async def RenewLeases(
        self, request: occurrences_pb2.RenewLeasesRequest, context: object
    ) -> occurrences_pb2.RenewLeasesResponse:
        """Renew leases."""
        leases = await self._claims.renew(
            [_lease(lease) for lease in request.leases], _lease_time(request)
        )
        return occurrences_pb2.RenewLeasesResponse(
            leases=[_lease_message(lease) for lease in leases]
        )

    async def ExecuteOccurrence(
        self, request: occurrences_pb2.ExecuteOccurrenceRequest, context: object
    ) -> occurrences_pb2.ExecuteOccurrenceResponse:
        """Execute a leased occurrence."""
        executed = await self._execution.execute(_lease(request.lease))
        status = executed.status.value.upper() if executed.status else "UNSPECIFIED"
        return occurrences_pb2.ExecuteOccurrenceResponse(
            log_id=executed.log_id,
            status=pb.RecurringLogStatus.Value(f"RECURRING_LOG_STATUS_{status}"),
            next_attempt_at=_optional(executed.due_again_at),
        )


class TestClockServicer(test_clock_pb2_grpc.TestClockServiceServicer):
    """Serves nivisco.internal.v1.TestClockService."""

    __test__ = False  # it is no test, whatever pytest thinks of its name

    def __init__(self, advancing: TestClockAdvance) -> None:
        """Serve with `advancing`."""
        self._advancing = advancing

    async def AdvanceTestClock(
        self, request: test_clock_pb2.AdvanceTestClockRequest, context: object
    ) -> test_clock_pb2.AdvanceTestClockResponse:
        """Let time pass for a business's TEST jobs."""
        if env_word(request.env) == "LIVE":
            raise InvalidFields.of("env", "must be TEST: LIVE has the real time only")
        advanced = await self._advancing.advance(request.business_id, _moment(request.advance_to))
        return test_clock_pb2.AdvanceTestClockResponse(
            current_time=timestamp(advanced.now),
            attempt_count=advanced.executed,
            done=advanced.done,
            waiting_for_recurring_id=advanced.waits_for,
        )


def _is_change(request: pb.UpdateRecurringRequest) -> bool:
    names = {field.name for field, _ in request.ListFields()}
    return bool(names - {"recurring_id", "idempotency_key"})


def _lease_time(
    request: occurrences_pb2.ClaimDueOccurrencesRequest | occurrences_pb2.RenewLeasesRequest,
) -> timedelta:
    if not 1 <= request.lease_duration.seconds <= _LEASE_SECONDS_MAX:
        raise InvalidFields.of("lease_duration", f"must be 1 to {_LEASE_SECONDS_MAX} seconds")
    return timedelta(
        seconds=request.lease_duration.seconds, microseconds=request.lease_duration.nanos // 1000
    )


def _lease(message: occurrences_pb2.OccurrenceLease) -> Lease:
    return Lease(
        business_id=message.business_id,
        recurring_id=message.recurring_id,
        occurrence=_moment(message.occurrence_at),
        fencing_token=message.fencing_token,
        expires_at=_moment(message.expires_at),
    )


def _lease_message(lease: Lease) -> occurrences_pb2.OccurrenceLease:
    return occurrences_pb2.OccurrenceLease(
        business_id=lease.business_id,
        recurring_id=lease.recurring_id,
        occurrence_at=timestamp(lease.occurrence),
        fencing_token=lease.fencing_token,
        expires_at=timestamp(lease.expires_at),
    )


def _recurring(job: Job, preview: int) -> pb.RecurringJob:
    source = (job.source or "unspecified").upper()
    return pb.RecurringJob(
        recurring_id=job.recurring_id,
        amount=money_message(Amount(job.amount_minor, job.currency)),
        interval_type=pb.IntervalType.Value(f"INTERVAL_TYPE_{job.interval_type.upper()}"),
        interval_value=job.interval_value,
        status=pb.RecurringStatus.Value(f"RECURRING_STATUS_{job.status.upper()}"),
        next_run=_optional(job.next_run),
        last_run=_optional(job.last_run),
        executed_cycles=job.executed_cycles,
        description=job.description,
        user_id=job.user_id,
        source=pb.RecurringSource.Value(f"RECURRING_SOURCE_{source}"),
        timezone=job.timezone,
        end_at=_optional(job.end_at),
        max_cycles=job.max_cycles,
        catch_up=pb.CatchUp.Value(f"CATCH_UP_{job.catch_up.upper()}"),
        env=env_value(job.env),
        upcoming=_upcoming(job, preview),
    )


def _upcoming(job: Job, preview: int) -> list[Timestamp]:
    """The next dates of the calendar; of a job that is not active there are none."""
    if job.status != "active" or not preview:
        return []
    after = max(job.counts_from, job.open_occurrence or job.counts_from)
    left = job.max_cycles - job.executed_cycles if job.max_cycles else preview
    dates = calendar.upcoming(job.calendar, after, min(preview, left))
    return [timestamp(at) for at in dates]


def _log(log: Log) -> pb.RecurringLog:
    return pb.RecurringLog(
        log_id=log.log_id,
        status=pb.RecurringLogStatus.Value(f"RECURRING_LOG_STATUS_{log.status.upper()}"),
        message=log.message,
        attempted_at=timestamp(log.attempted_at),
        transaction_id=log.transaction_id,
        recurring_id=log.recurring_id,
        occurrence=timestamp(log.occurrence),
    )


def _moment(value: Timestamp) -> datetime:
    return value.ToDatetime(tzinfo=UTC)


def _optional(moment: datetime | None) -> Timestamp | None:
    return timestamp(moment) if moment else None
