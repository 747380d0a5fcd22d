"""The client of OccurrencesService: claim, renew and execute.

Each method raises CoreError if the core refuses or does not respond in time.
"""

from collections.abc import Collection, Sequence
from typing import cast

from google.protobuf.duration_pb2 import Duration

from nivisco.internal.v1 import occurrences_pb2 as pb
from nivisco.payments.v1.recurring_pb2 import RecurringLogStatus
from rpc.client import CoreClient
from rpc.metadata import Credentials

_OUTCOMES = {
    number: name.removeprefix("RECURRING_LOG_STATUS_").lower()
    for name, number in RecurringLogStatus.items()
}
_METHODS = pb.DESCRIPTOR.services_by_name["OccurrencesService"].methods_by_name


class Occurrences:
    """The OccurrencesService of a core, for one scheduler."""

    def __init__(
        self, core: CoreClient, service_token: str, owner: str, *, timeout_seconds: float
    ) -> None:
        """Call `core` with the token; `owner` identifies the scheduler in the core's logs."""
        self._core = core
        self._credentials = Credentials(service_token=service_token)
        self._owner = owner
        self._timeout_seconds = timeout_seconds

    async def claim(
        self,
        limit: int,
        limit_per_business: int,
        lease_seconds: float,
        busy_business_ids: Collection[str],
    ) -> list[pb.OccurrenceLease]:
        """Claim up to `limit` due occurrences, none of the busy businesses."""
        request = pb.ClaimDueOccurrencesRequest(
            owner=self._owner,
            limit=limit,
            limit_per_business=min(limit, limit_per_business),
            lease_duration=_duration(lease_seconds),
            excluded_businesses=[
                pb.ExcludedBusiness(business_id=each) for each in busy_business_ids
            ],
        )
        response = await self._core.call(
            _METHODS["ClaimDueOccurrences"],
            request,
            self._credentials,
            timeout_seconds=self._timeout_seconds,
        )
        return list(cast(pb.ClaimDueOccurrencesResponse, response).leases)

    async def renew(
        self, leases: Sequence[pb.OccurrenceLease], lease_seconds: float, *, timeout_seconds: float
    ) -> list[pb.OccurrenceLease]:
        """Renew leases, and return those that this scheduler still holds."""
        response = await self._core.call(
            _METHODS["RenewLeases"],
            pb.RenewLeasesRequest(leases=leases, lease_duration=_duration(lease_seconds)),
            self._credentials,
            timeout_seconds=timeout_seconds,
        )
        return list(cast(pb.RenewLeasesResponse, response).leases)

    async def execute(self, lease: pb.OccurrenceLease) -> str:
        """Execute an occurrence, and return its outcome as in the job's log, or empty if unknown.

        The lease ends with this call.
        """
        response = await self._core.call(
            _METHODS["ExecuteOccurrence"],
            pb.ExecuteOccurrenceRequest(lease=lease),
            self._credentials,
            timeout_seconds=self._timeout_seconds,
        )
        status = cast(pb.ExecuteOccurrenceResponse, response).status
        return _OUTCOMES.get(status, "") if status else ""


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromMilliseconds(round(seconds * 1000))
    return duration
