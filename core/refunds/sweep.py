"""Looks at due refunds: resolves open attempts whose callers do not retry."""

import logging

from core.database.transactions import Database
from core.due_work.rules import Key
from core.errors import Reason, Refusal
from core.payments import store as payments_store
from core.refunds import store
from core.refunds.attempts import Attempts

logger = logging.getLogger("core.refunds")


class Sweep:
    """The core's looks at refunds whose time has come."""

    def __init__(self, database: Database, attempts: Attempts) -> None:
        """Resume the `attempts` that are open in `database`."""
        self._database = database
        self._attempts = attempts

    async def look(self, key: Key) -> None:
        """Look at a refund that is due, as core.due_work asks.

        Raises:
            Refusal: CREDENTIALS_MISSING, to be tried again.
            PermanentError: the gateway never told the outcome.
        """
        async with self._database.transaction("refunds.sweep") as transaction:
            refund = await store.due_refund(transaction, key)
            if refund is None or self._attempts.is_in_flight(refund):
                return  # in flight: its lease could not be renewed, but it runs here
            payment = await payments_store.payment_by_id(
                transaction,
                business_id=refund.business_id,
                payment_id=refund.payment_id,
                lock=False,
            )
            started = await self._attempts.resume(transaction, refund, payment)
        result = "open"
        try:
            refund = await self._attempts.run(started, None)
            result = refund.status
        except Refusal as refusal:
            if refusal.reason != Reason.ERROR_REASON_OUTCOME_UNKNOWN:
                result = "refused"
        logger.info("refund swept", extra={"refund_id": refund.refund_id, "result": result})
