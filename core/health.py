"""Answers the standard health protocol; readiness asks the database."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from core.client import READINESS_SERVICE
from core.database import Database, DatabaseUnavailableError

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class HealthServicer(health_pb2_grpc.HealthServicer):
    """Serves grpc.health.v1.Health: "" is the process, READINESS_SERVICE also its database."""

    def __init__(self, database: Database) -> None:
        """Report on `database` too."""
        # The library's asyncio servicer is not in its type stubs.
        self._process: Any = cast(Any, health).aio.HealthServicer()
        self._database = database
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
        """Report that the process takes no new calls."""
        self._draining = True
        await self._process.set("", _NOT_SERVING)

    async def _is_ready(self) -> bool:
        if self._draining:
            return False
        # Shielded: a query that is cut in the middle would leave SQLite locked.
        ping = asyncio.ensure_future(self._database.ping())
        try:
            await asyncio.shield(ping)
        except DatabaseUnavailableError:
            return False
        return True
