"""Stops payments, and lets them go on, as an operator decides."""

import logging
from dataclasses import asdict

from core.business import stop_store, store
from core.business.known_callers import KnownCallers
from core.business.stop_store import Scope, Stop
from core.database.transactions import Database
from core.errors import InvalidFields
from core.stops import ALL

logger = logging.getLogger("core")


class Stopping:
    """The use cases of stops."""

    def __init__(self, database: Database, known_callers: KnownCallers) -> None:
        """Store stops in `database`; forget those of `known_callers` whom they are of."""
        self._database = database
        self._known_callers = known_callers

    async def stop(self, scope: Scope, *, by: str, reason: str) -> Stop:
        """Stop what the scope says, and return the stop when it is in force in every core.

        Repeating it changes who and why, and not since when. It waits then, too: the core that made
        the stop may have died in the wait.

        Raises:
            InvalidFields: there is no such business.
        """
        async with self._database.transaction("operator.stop") as transaction:
            if scope.business_id != ALL and (
                await store.business_by_id(transaction, scope.business_id) is None
            ):
                raise InvalidFields.of("business_id", "names no business")
            self._known_callers.forget_at_end(transaction, _business_of(scope))
            stop = await stop_store.put_stop(
                transaction,
                Stop(**asdict(scope), stopped_at=transaction.now, stopped_by=by, reason=reason),
            )
        logger.warning("payments stopped", extra={**asdict(scope), "by": by, "reason": reason})
        await self._known_callers.until_known_everywhere()
        return stop

    async def start(self, scope: Scope, *, by: str, reason: str) -> tuple[Stop, list[Stop]]:
        """End the stop of the scope; return it, and the others that are in force.

        Raises:
            InvalidFields: no stop of exactly this scope is in force.
        """
        async with self._database.transaction("operator.start") as transaction:
            self._known_callers.forget_at_end(transaction, _business_of(scope))
            ended = await stop_store.end_stop(transaction, scope, by=by, reason=reason)
            if ended is None:
                raise InvalidFields.of(
                    "what", "is not stopped for this business and gateway; list the stops"
                )
            others = await stop_store.stops_in_force(transaction)
        logger.warning("payments started", extra={**asdict(scope), "by": by, "reason": reason})
        await self._known_callers.until_known_everywhere()
        return ended, others

    async def in_force(self) -> list[Stop]:
        """Return the stops in force, the first one first."""
        async with self._database.read() as transaction:
            return await stop_store.stops_in_force(transaction)


def _business_of(scope: Scope) -> str | None:
    return None if scope.business_id == ALL else scope.business_id
