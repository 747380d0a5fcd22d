"""The three questions that a scheduler asks the core, as functions; it keeps nothing.

Each raises CoreError where the core refuses, or cannot be reached in time.
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
    """OccurrencesService, as one scheduler calls it."""

    def __init__(
        self, core: CoreClient, service_token: str, owner: str, *, timeout_seconds: float
    ) -> None:
        """Call `core` with the token; `owner` names the scheduler in the core's logs."""
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
        """Claim up to `limit` occurrences that are due, none of the busy businesses."""
        request = pb.ClaimDueOccurrencesRequest(
            owner=self._owner,
            limit=limit,
            limit_per_business=min(limit, limit_per_business),
            lease_duration=_duration(lease_seconds),
            excluded_businesses=[
                pb.ExcludedBusiness(business_id=each) for each in busy_business_ids
            ],
        )
        answer = await self._core.call(
            _METHODS["ClaimDueOccurrences"],
            request,
            self._credentials,
            timeout_seconds=self._timeout_seconds,
        )
        return list(cast(pb.ClaimDueOccurrencesResponse, answer).leases)

    async def renew(
        self, leases: Sequence[pb.OccurrenceLease], lease_seconds: float, *, timeout_seconds: float
    ) -> list[pb.OccurrenceLease]:
        """Renew leases, and return those that are still this scheduler's."""
        answer = await self._core.call(
            _METHODS["RenewLeases"],
            pb.RenewLeasesRequest(leases=leases, lease_duration=_duration(lease_seconds)),
            self._credentials,
            timeout_seconds=timeout_seconds,
        )
        return list(cast(pb.RenewLeasesResponse, answer).leases)

    async def execute(self, lease: pb.OccurrenceLease) -> str:
        """Have the core execute an occurrence, and return its outcome as a word; empty: none yet.

        The lease is over then in any case.
        """
        answer = await self._core.call(
            _METHODS["ExecuteOccurrence"],
            pb.ExecuteOccurrenceRequest(lease=lease),
            self._credentials,
            timeout_seconds=self._timeout_seconds,
        )
        status = cast(pb.ExecuteOccurrenceResponse, answer).status
        return _OUTCOMES.get(status, "") if status else ""


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromMilliseconds(round(seconds * 1000))
    return duration
