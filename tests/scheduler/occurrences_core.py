"""A stand-in core that serves OccurrencesService only, with leases and fencing as in the schema.

Executions wait until a gate opens, so that tests see who executes what and when.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2

from nivisco.internal.v1 import occurrences_pb2 as pb
from nivisco.internal.v1 import occurrences_pb2_grpc
from nivisco.payments.v1.recurring_pb2 import RECURRING_LOG_STATUS_SUCCEEDED
from rpc.error_details import ERROR_DOMAIN
from rpc.metadata import SERVICE_TOKEN_METADATA, STATUS_DETAILS_METADATA

TOKEN = "scheduler-token-for-tests-" + "0" * 16
DUE = datetime(2024, 3, 1, 14, tzinfo=UTC)


@dataclass
class Due:
    """One occurrence, its lease (by the monotonic clock), and how often it was executed."""

    business_id: str
    recurring_id: str
    fencing_token: int = 0
    until: float = 0.0
    executions: int = 0
    execution: asyncio.Task[None] | None = None


@dataclass
class OccurrencesCore(occurrences_pb2_grpc.OccurrencesServiceServicer):
    """Serves OccurrencesService for the occurrences added to it."""

    due: dict[tuple[str, str], Due] = field(default_factory=dict)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Executions end once it is set."""
    claims: list[pb.ClaimDueOccurrencesRequest] = field(default_factory=list)
    renewals: list[pb.RenewLeasesRequest] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    running: Counter[str] = field(default_factory=Counter)
    most_at_once: int = 0
    most_of_one: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    fails_with: str = ""
    """The reason with which every execution is refused, if any."""

    def add(self, business_id: str, count: int) -> None:
        """Add `count` due occurrences of a business."""
        for _ in range(count):
            recurring_id = f"REC-{len(self.due)}"
            self.due[business_id, recurring_id] = Due(business_id, recurring_id)

    @property
    def executed(self) -> list[Due]:
        """The executed occurrences."""
        return [due for due in self.due.values() if due.executions]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition on this core is true."""
        async with asyncio.timeout(30), self.changed:
            await self.changed.wait_for(condition)

    async def ClaimDueOccurrences(  # noqa: N802
        self,
        request: pb.ClaimDueOccurrencesRequest,
        context: grpc.aio.ServicerContext[object, object],
    ) -> pb.ClaimDueOccurrencesResponse:
        await self._authenticate(context)
        self.claims.append(request)
        now = time.monotonic()
        busy = {each.business_id for each in request.excluded_businesses}
        free: list[Due] = []
        of_one: Counter[str] = Counter()
        for due in self.due.values():
            if due.until > now or due.executions or due.business_id in busy:
                continue
            if len(free) < request.limit and of_one[due.business_id] < request.limit_per_business:
                of_one[due.business_id] += 1
                free.append(due)
        for due in free:
            due.fencing_token += 1
            due.until = now + request.lease_duration.ToMilliseconds() / 1000
        await self._notify()
        return pb.ClaimDueOccurrencesResponse(leases=[self._lease(due, request) for due in free])

    async def RenewLeases(  # noqa: N802
        self, request: pb.RenewLeasesRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> pb.RenewLeasesResponse:
        await self._authenticate(context)
        self.renewals.append(request)
        kept = []
        for lease in request.leases:
            due = self.due[lease.business_id, lease.recurring_id]
            if due.fencing_token == lease.fencing_token and not due.executions:
                due.until = time.monotonic() + request.lease_duration.ToMilliseconds() / 1000
                kept.append(lease)
        await self._notify()
        return pb.RenewLeasesResponse(leases=kept)

    async def ExecuteOccurrence(  # noqa: N802
        self,
        request: pb.ExecuteOccurrenceRequest,
        context: grpc.aio.ServicerContext[object, object],
    ) -> pb.ExecuteOccurrenceResponse:
        await self._authenticate(context)
        lease = request.lease
        due = self.due[lease.business_id, lease.recurring_id]
        if self.fails_with:
            await refuse(context, grpc.StatusCode.UNAVAILABLE, self.fails_with)
        if due.fencing_token != lease.fencing_token or due.executions:
            self.refused[due.recurring_id] += 1
            await refuse(context, grpc.StatusCode.FAILED_PRECONDITION, "RECURRING_STATE")
        if due.execution is None:  # a second call joins the first
            due.execution = asyncio.create_task(self._executed(due))
        await asyncio.shield(due.execution)
        return pb.ExecuteOccurrenceResponse(log_id="LOG-1", status=RECURRING_LOG_STATUS_SUCCEEDED)

    async def _executed(self, due: Due) -> None:
        self.running[due.business_id] += 1
        self.most_at_once = max(self.most_at_once, self.running.total())
        self.most_of_one = max(self.most_of_one, *self.running.values())
        await self._notify()
        await self.gate.wait()
        due.executions += 1
        self.running[due.business_id] -= 1
        await self._notify()

    def _lease(self, due: Due, request: pb.ClaimDueOccurrencesRequest) -> pb.OccurrenceLease:
        lease = pb.OccurrenceLease(
            business_id=due.business_id,
            recurring_id=due.recurring_id,
            fencing_token=due.fencing_token,
        )
        lease.occurrence_at.FromDatetime(DUE)
        lease.expires_at.FromMilliseconds(
            round(DUE.timestamp() * 1000) + 5000 + request.lease_duration.ToMilliseconds()
        )  # due for five seconds by this core's clock
        return lease

    async def _authenticate(self, context: grpc.aio.ServicerContext[object, object]) -> None:
        metadata = dict(context.invocation_metadata() or ())
        if metadata.get(SERVICE_TOKEN_METADATA) != TOKEN:
            await refuse(context, grpc.StatusCode.PERMISSION_DENIED, "SERVICE_TOKEN_REQUIRED")

    async def _notify(self) -> None:
        async with self.changed:
            self.changed.notify_all()


async def refuse(
    context: grpc.aio.ServicerContext[object, object], code: grpc.StatusCode, reason: str
) -> None:
    """Abort a call with a reason, as the core does."""
    detail = AnyMessage()
    detail.Pack(error_details_pb2.ErrorInfo(reason=reason, domain=ERROR_DOMAIN))
    status = status_pb2.Status(code=code.value[0], message="refused", details=[detail])
    metadata = ((STATUS_DETAILS_METADATA, status.SerializeToString()),)
    await context.abort(code, "refused", trailing_metadata=metadata)


@asynccontextmanager
async def serving(core: OccurrencesCore, port: int = 0) -> AsyncIterator[str]:
    """Serve it until the block ends; calls in flight are cut then."""
    server = grpc.aio.server()
    occurrences_pb2_grpc.add_OccurrencesServiceServicer_to_server(core, server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)
