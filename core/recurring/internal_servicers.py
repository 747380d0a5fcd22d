"""Serves the internal services of recurring jobs: OccurrencesService and TestClockService."""

from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from core.errors import InvalidFields
from core.messages import enum_value, env_word, timestamp
from core.recurring.claims import Claims, Lease
from core.recurring.clock_service import TestClockService
from core.recurring.execution import Execution
from core.recurring.messages import optional_timestamp
from nivisco.internal.v1 import (
    occurrences_pb2,
    occurrences_pb2_grpc,
    test_clock_pb2,
    test_clock_pb2_grpc,
)
from nivisco.payments.v1.recurring_pb2 import RecurringLogStatus

_LEASE_SECONDS_MAX = 3600


class OccurrencesServicer(occurrences_pb2_grpc.OccurrencesServiceServicer):
    """Serves nivisco.internal.v1.OccurrencesService."""

    def __init__(self, claims: Claims, execution: Execution) -> None:
        """Serve with `claims` and `execution`."""
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
            excluded_business_ids=[each.business_id for each in request.excluded_businesses],
            lease_duration=_lease_duration(request),
        )
        return occurrences_pb2.ClaimDueOccurrencesResponse(
            leases=[_lease_message(lease) for lease in leases]
        )

    async def RenewLeases(
        self, request: occurrences_pb2.RenewLeasesRequest, context: object
    ) -> occurrences_pb2.RenewLeasesResponse:
        """Renew leases."""
        leases = await self._claims.renew(
            [_lease(lease) for lease in request.leases], _lease_duration(request)
        )
        return occurrences_pb2.RenewLeasesResponse(
            leases=[_lease_message(lease) for lease in leases]
        )

    async def ExecuteOccurrence(
        self, request: occurrences_pb2.ExecuteOccurrenceRequest, context: object
    ) -> occurrences_pb2.ExecuteOccurrenceResponse:
        """Execute a leased occurrence."""
        result = await self._execution.execute(_lease(request.lease))
        status = result.status.value if result.status else "unspecified"
        return occurrences_pb2.ExecuteOccurrenceResponse(
            log_id=result.log_id,
            status=enum_value(RecurringLogStatus, status),
            next_attempt_at=optional_timestamp(result.next_attempt_at),
        )


class TestClockServicer(test_clock_pb2_grpc.TestClockServiceServicer):
    """Serves nivisco.internal.v1.TestClockService."""

    def __init__(self, service: TestClockService) -> None:
        """Serve with `service`."""
        self._service = service

    async def AdvanceTestClock(
        self, request: test_clock_pb2.AdvanceTestClockRequest, context: object
    ) -> test_clock_pb2.AdvanceTestClockResponse:
        """Advance the test clock of a business."""
        if env_word(request.env) == "LIVE":
            raise InvalidFields.of("env", "must be TEST: LIVE has the real time only")
        progress = await self._service.advance(request.business_id, _moment(request.advance_to))
        return test_clock_pb2.AdvanceTestClockResponse(
            current_time=timestamp(progress.current_time),
            attempt_count=progress.attempt_count,
            done=progress.done,
            waiting_for_recurring_id=progress.waiting_for_recurring_id,
        )


def _lease_duration(
    request: occurrences_pb2.ClaimDueOccurrencesRequest | occurrences_pb2.RenewLeasesRequest,
) -> timedelta:
    duration = request.lease_duration
    if not 1 <= duration.seconds <= _LEASE_SECONDS_MAX:
        raise InvalidFields.of("lease_duration", f"must be 1 to {_LEASE_SECONDS_MAX} seconds")
    return timedelta(seconds=duration.seconds, microseconds=duration.nanos // 1000)


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


def _moment(value: Timestamp) -> datetime:
    return value.ToDatetime(tzinfo=UTC)
