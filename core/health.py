"""Answers the standard health protocol; readiness asks the database."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, cast

from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from core.client import READINESS_SERVICE
from core.database import CommitUnknownError, Database, DatabaseUnavailableError
from core.engines import POOL_WAIT_SECONDS

PING_LASTS_SECONDS = 1.0
"""How long one answer of the database serves everybody who asks."""
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class HealthServicer(health_pb2_grpc.HealthServicer):
    """Serves grpc.health.v1.Health: "" is the process, READINESS_SERVICE also its database.

    However many ask, one ping at a time waits for a connection: they are there for money.
    """

    def __init__(self, database: Database) -> None:
        """Report on `database` too."""
        # The library's asyncio servicer is not in its type stubs.
        self._process: Any = cast(Any, health).aio.HealthServicer()
        self._database = database
        self._ping: asyncio.Task[bool] | None = None
        self._pinged_at = 0.0
        self._draining = False

    async def Check(  # noqa: N802 - the protocol's name
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> health_pb2.HealthCheckResponse:
        """Answer at once for the process, and by a query for the database."""
        if request.service != READINESS_SERVICE:
            return cast(health_pb2.HealthCheckResponse, await self._process.Check(request, context))
        status = _SERVING if await self._is_ready() else _NOT_SERVING
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(  # noqa: N802 - the protocol's name
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Report the process's state now and whenever it changes."""
        async for answer in self._process.Watch(request, context):
            yield answer

    async def serve(self) -> None:
        """Report that the process serves."""
        await self._process.set("", _SERVING)

    async def drain(self) -> None:
        """Report that the process takes no new calls, and let a ping under way end."""
        self._draining = True
        await self._process.set("", _NOT_SERVING)
        if self._ping is not None:
            await asyncio.wait([self._ping], timeout=POOL_WAIT_SECONDS)

    async def _is_ready(self) -> bool:
        if self._draining:
            return False
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
