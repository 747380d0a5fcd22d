"""Serves RecurringService: requests in, responses out."""

from typing import Any

from core.caller import current_caller
from core.errors import InvalidFields
from core.idempotency.call import current_call
from core.messages import enum_word, env_word, page_request, timestamp
from core.metadata import Kind, listed_digest, stored_metadata
from core.recurring.log_store import LogFilter
from core.recurring.messages import (
    job_message,
    log_message,
    open_cycle_message,
    optional_timestamp,
    retry_response,
    upcoming,
)
from core.recurring.retries import Retries
from core.recurring.service import JobRequest, JobUpdate, RecurringService, StoppedJob
from core.recurring.store import JobFilter
from core.update_mask import update_of
from nivisco.payments.v1 import recurring_pb2 as pb
from nivisco.payments.v1 import recurring_pb2_grpc


class RecurringServicer(recurring_pb2_grpc.RecurringServiceServicer):
    """Serves nivisco.payments.v1.RecurringService."""

    def __init__(self, service: RecurringService, retries: Retries) -> None:
        """Serve with `service` and `retries`."""
        self._service = service
        self._retries = retries

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
                interval_type=enum_word(pb.IntervalType, request.interval_type) or "",
                interval_value=request.interval_value or 1,
                source=enum_word(pb.RecurringSource, request.source),
                description=request.description or None,
                start_at=request.start_at or None,
                timezone=request.timezone or None,
                end_at=request.end_at or None,
                max_cycles=request.max_cycles or None,
                catch_up=enum_word(pb.CatchUp, request.catch_up) or "latest",
                charge_now=request.charge_now,
                retry_days=request.retry_days,
                max_failed_cycles=request.max_failed_cycles or None,
                metadata=stored_metadata(request.metadata),
            ),
        )
        return pb.CreateRecurringResponse(
            message="Recurring job created successfully",
            recurring_id=job.recurring_id,
            next_run=optional_timestamp(job.next_run),
            timezone=job.timezone,
            upcoming=upcoming(job, request.preview),
            recurring=job_message(job, caller.dunning, request.preview),
        )

    async def UpdateRecurring(
        self, request: pb.UpdateRecurringRequest, context: object
    ) -> pb.UpdateRecurringResponse:
        """Update a job."""
        caller = current_caller()
        job = await self._service.update(caller, request.recurring_id, _job_update(request))
        return pb.UpdateRecurringResponse(
            message="Recurring job updated", recurring=job_message(job, caller.dunning)
        )

    async def PauseRecurring(
        self, request: pb.PauseRecurringRequest, context: object
    ) -> pb.PauseRecurringResponse:
        """Pause a job."""
        caller = current_caller()
        stopped = await self._service.pause(caller, request.recurring_id)
        return pb.PauseRecurringResponse(
            message=f"Recurring job set to paused{_in_flight_note(stopped)}",
            recurring=job_message(stopped.job, caller.dunning),
        )

    async def ResumeRecurring(
        self, request: pb.ResumeRecurringRequest, context: object
    ) -> pb.ResumeRecurringResponse:
        """Resume a job."""
        caller = current_caller()
        job = await self._service.resume(caller, request.recurring_id)
        return pb.ResumeRecurringResponse(
            message="Recurring job set to active", recurring=job_message(job, caller.dunning)
        )

    async def CancelRecurring(
        self, request: pb.CancelRecurringRequest, context: object
    ) -> pb.CancelRecurringResponse:
        """Cancel a job."""
        caller = current_caller()
        stopped = await self._service.cancel(caller, request.recurring_id)
        return pb.CancelRecurringResponse(
            message=f"Recurring job set to cancelled{_in_flight_note(stopped)}",
            recurring=job_message(stopped.job, caller.dunning),
        )

    async def ListRecurring(
        self, request: pb.ListRecurringRequest, context: object
    ) -> pb.ListRecurringResponse:
        """Return a page of jobs."""
        caller = current_caller()
        env = env_word(request.env) or caller.default_env
        which = JobFilter(
            env=env,
            user_id=request.user_id or None,
            status=enum_word(pb.RecurringStatus, request.status),
            digest=listed_digest(
                Kind.JOB, env, request.metadata, user_id=request.user_id, status=request.status
            ),
        )
        page = await self._service.list_jobs(caller, which, page_request(request))
        return pb.ListRecurringResponse(
            count=len(page.rows),
            total=page.total,
            recurring=[job_message(job, caller.dunning, request.preview) for job in page.rows],
            total_is_estimate=page.total_is_estimate,
            next_cursor=page.next_cursor,
        )

    async def GetRecurring(
        self, request: pb.GetRecurringRequest, context: object
    ) -> pb.GetRecurringResponse:
        """Return a job with its open cycle and its last log entries."""
        caller = current_caller()
        shown = await self._service.get(caller, request.recurring_id)
        return pb.GetRecurringResponse(
            recurring=job_message(shown.job, caller.dunning, request.preview),
            failed_cycles=shown.job.failed_cycles,
            open_cycle=open_cycle_message(shown.cycle) if shown.cycle else None,
            logs=[log_message(log) for log in shown.logs],
        )

    async def RetryRecurring(
        self, request: pb.RetryRecurringRequest, context: object
    ) -> pb.RetryRecurringResponse:
        """Charge the open or last failed cycle now."""
        collected = await self._retries.retry(
            current_caller(), request.recurring_id, current_call()
        )
        return retry_response(collected.job, collected.log, collected.of_business)

    async def SkipNext(self, request: pb.SkipNextRequest, context: object) -> pb.SkipNextResponse:
        """Skip the next occurrence of a job."""
        caller = current_caller()
        done = await self._service.skip_next(caller, request.recurring_id)
        return pb.SkipNextResponse(
            message="Next occurrence skipped",
            skipped=timestamp(done.skipped),
            recurring=job_message(done.job, caller.dunning),
        )

    async def GetRecurringLogs(
        self, request: pb.GetRecurringLogsRequest, context: object
    ) -> pb.GetRecurringLogsResponse:
        """Return a page of log entries."""
        which = LogFilter(
            recurring_id=request.recurring_id or None,
            user_id=request.user_id or None,
            status=enum_word(pb.RecurringLogStatus, request.status),
        )
        page = await self._service.list_logs(current_caller(), which, page_request(request))
        return pb.GetRecurringLogsResponse(
            count=len(page.rows),
            total=page.total,
            logs=[log_message(log) for log in page.rows],
            total_is_estimate=page.total_is_estimate,
            next_cursor=page.next_cursor,
        )


def _job_update(request: pb.UpdateRecurringRequest) -> JobUpdate:
    update = update_of(request)
    if not update.paths:
        raise InvalidFields.of("recurring_id", "is all that is given; say what to change")
    values: dict[str, Any] = {
        "amount": request.amount,
        "interval_type": enum_word(pb.IntervalType, request.interval_type),
        "interval_value": request.interval_value,
        "source": enum_word(pb.RecurringSource, request.source),
        "description": request.description,
        "start_at": request.start_at,
        "timezone": request.timezone,
        "end_at": request.end_at,
        "max_cycles": request.max_cycles,
        "catch_up": enum_word(pb.CatchUp, request.catch_up),
        "status": enum_word(pb.RecurringStatus, request.status),
        "retry_days": request.retry_days,
        "max_failed_cycles": request.max_failed_cycles,
        "metadata": stored_metadata(request.metadata),
    }
    given = {path: values.pop(path) for path in update.set_paths}
    if given.get("status") == "completed":
        raise InvalidFields.of("status", "must be active, paused or cancelled")
    return JobUpdate(
        money=given.pop("amount", None),
        start_at=given.pop("start_at", None),
        timezone=given.pop("timezone", None),
        end_at=given.pop("end_at", None),
        status=given.pop("status", None),
        columns=given | dict.fromkeys(update.cleared_paths),
    )


def _in_flight_note(stopped: StoppedJob) -> str:
    if not stopped.has_charge_in_flight:
        return ""
    return "; a charge that was already submitted is still under way and will be in the logs"
