"""Answers the standard health protocol; readiness asks the database."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from core.database.engines import POOL_WAIT_SECONDS
from core.database.transactions import CommitUnknownError, Database, DatabaseUnavailableError
from rpc.client import READINESS_SERVICE

PING_LASTS_SECONDS = 1.0
"""How long one answer of the database serves everybody who asks."""
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class HealthServicer(health_pb2_grpc.HealthServicer):
    """Serves grpc.health.v1.Health: "" is the process, READINESS_SERVICE also its database.

    However many ask, one ping at a time waits for a connection: they are there for money.
    """

    def __init__(self, database: Database) -> None:
        """Report on `database` too."""
        self._database = database
        self._serving = False
        self._changed = asyncio.Event()
        """Set when there is news, and then replaced: who watches holds the one that it waits on."""
        self._watched = True
        self._ping: asyncio.Task[bool] | None = None
        self._pinged_at = 0.0

    async def Check(  # noqa: N802 - the protocol's name
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> health_pb2.HealthCheckResponse:
        """Answer at once for the process, and by a query for the database."""
        serving = self._serving
        if request.service == READINESS_SERVICE:
            serving = serving and await self._is_ready()
        elif request.service:
            await context.abort(grpc.StatusCode.NOT_FOUND, "No health is kept for this service")
        return health_pb2.HealthCheckResponse(status=_SERVING if serving else _NOT_SERVING)

    async def Watch(  # noqa: N802 - the protocol's name
        self,
        request: health_pb2.HealthCheckRequest,
        context: Any,  # noqa: ARG002 - the protocol's parameter
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Report the process's state now and whenever it changes, until the server stops."""
        told = None
        while self._watched:
            changed = self._changed
            answer = health_pb2.HealthCheckResponse(
                status=_SERVING if self._serving else _NOT_SERVING
            )
            if request.service:
                answer.status = _SERVICE_UNKNOWN
            if answer != told:
                yield answer
                told = answer
            await changed.wait()

    def serve(self) -> None:
        """Report that the process serves."""
        self._serving = True
        self._tell()

    def drain(self) -> None:
        """Report that the process takes no new calls."""
        self._serving = False
        self._tell()

    async def end(self) -> None:
        """End the watches, which would hold the server's stop, and let a ping under way end."""
        self._watched = False
        self._tell()
        if self._ping is not None:
            await asyncio.wait([self._ping], timeout=POOL_WAIT_SECONDS)

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _is_ready(self) -> bool:
        if self._ping is None or (
            self._ping.done() and time.monotonic() - self._pinged_at >= PING_LASTS_SECONDS
        ):
            self._ping = asyncio.ensure_future(self._answers())
        # Shielded: a query that is cut in the middle would leave SQLite locked.
        return await asyncio.shield(self._ping)

    async def _answers(self) -> bool:
        try:
            await self._database.ping()
        except (DatabaseUnavailableError, CommitUnknownError):
            return False
        finally:
            self._pinged_at = time.monotonic()
        return True
