"""Serves the standard health protocol; readiness includes the database."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from core.database.engines import POOL_WAIT_SECONDS
from core.database.transactions import CommitUnknownError, Database, DatabaseUnavailableError
from rpc.client import READINESS_SERVICE

PING_VALID_SECONDS = 1.0
"""How long the result of a ping is reused for all health checks."""
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class HealthServicer(health_pb2_grpc.HealthServicer):
    """Serves grpc.health.v1.Health: "" is the process, READINESS_SERVICE also its database.

    Concurrent checks share one ping, so that they take one connection of the pool at most.
    """

    def __init__(self, database: Database) -> None:
        """Check `database` for readiness."""
        self._database = database
        self._serving = False
        self._changed = asyncio.Event()
        """Set at each change and then replaced; a watch waits on the event that it read before."""
        self._watched = True
        self._ping: asyncio.Task[bool] | None = None
        self._pinged_at = 0.0

    async def Check(  # noqa: N802 - the protocol's name
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> health_pb2.HealthCheckResponse:
        """Return the state of the process, and for READINESS_SERVICE of its database."""
        serving = self._serving
        if request.service == READINESS_SERVICE:
            serving = await self.is_ready()
        elif request.service:
            await context.abort(grpc.StatusCode.NOT_FOUND, "No health is kept for this service")
        return health_pb2.HealthCheckResponse(status=_SERVING if serving else _NOT_SERVING)

    async def Watch(  # noqa: N802 - the protocol's name
        self,
        request: health_pb2.HealthCheckRequest,
        context: Any,  # noqa: ARG002 - the protocol's parameter
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Stream the state of the process now and at each change, until the server stops."""
        sent = None
        while self._watched:
            changed = self._changed
            response = health_pb2.HealthCheckResponse(
                status=_SERVING if self._serving else _NOT_SERVING
            )
            if request.service:
                response.status = _SERVICE_UNKNOWN
            if response != sent:
                yield response
                sent = response
            await changed.wait()

    def serve(self) -> None:
        """Report SERVING."""
        self._serving = True
        self._notify()

    def drain(self) -> None:
        """Report NOT_SERVING."""
        self._serving = False
        self._notify()

    async def end(self) -> None:
        """End the watches, which would delay the server's stop, and wait for a running ping."""
        self._watched = False
        self._notify()
        if self._ping is not None:
            await asyncio.wait([self._ping], timeout=POOL_WAIT_SECONDS)

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def is_ready(self) -> bool:
        """Return whether the process serves and its database answers."""
        if not self._serving:
            return False
        if self._ping is None or (
            self._ping.done() and time.monotonic() - self._pinged_at >= PING_VALID_SECONDS
        ):
            self._ping = asyncio.ensure_future(self._pinged())
        # Shielded, because a cancelled query leaves SQLite locked.
        return await asyncio.shield(self._ping)

    async def _pinged(self) -> bool:
        try:
            await self._database.ping()
        except (DatabaseUnavailableError, CommitUnknownError):
            return False
        finally:
            self._pinged_at = time.monotonic()
        return True
