"""Resolves open payments whose callers do not retry. It starts no new charge.

Any number of cores may sweep at once: each leases some attempts and skips the others.
"""

import asyncio
import logging

from core.caller import Presence, set_presence
from core.credentials.service import CredentialsService
from core.database.transactions import Database, Transaction
from core.errors import Refusal
from core.payments import rules, store
from core.payments.attempts import Attempts, StartedAttempt
from core.payments.store import Payment

logger = logging.getLogger("core.payments")

SWEEP_SECONDS = 2.0
SWEEP_BATCH = 20


class Sweep:
    """The core's periodic check of open attempts."""

    def __init__(
        self, database: Database, credentials: CredentialsService, attempts: Attempts
    ) -> None:
        """Resume the `attempts` that are open in `database`."""
        self._database = database
        self._credentials = credentials
        self._attempts = attempts

    async def run(self) -> None:
        """Resume the attempts that are due; no caller waits for them."""
        set_presence(Presence(left=True))
        started: list[StartedAttempt] = []
        try:
            async with self._database.transaction("payments.sweep") as transaction:
                due = await store.due_payments(transaction, limit=SWEEP_BATCH)
                for payment in due:
                    attempt = await self._resume_or_close(transaction, payment)
                    started += [attempt] if attempt else []
        except BaseException as error:
            for each in started:
                self._attempts.abandon(each, error)
            raise
        results = await asyncio.gather(
            *(self._attempts.run(each) for each in started), return_exceptions=True
        )
        for each, result in zip(started, results, strict=True):
            name = "still open" if isinstance(result, Refusal) else type(result).__name__
            logger.info(
                "payment swept", extra={"payment_id": each.payment.payment_id, "result": name}
            )

    async def _resume_or_close(
        self, transaction: Transaction, payment: Payment
    ) -> StartedAttempt | None:
        """Resume an attempt, or close one that was never sent."""
        if self._attempts.in_flight_on(payment):
            return None  # its lease could not be renewed, but it runs here
        if payment.attempt == "not_sent":
            await store.update_payment(transaction, payment, rules.CLOSED_UNSENT, answered=True)
            return None
        try:
            account = await self._credentials.account(
                transaction, payment.business_id, payment.gateway, payment.env
            )
        except Refusal:  # its keys were deleted and may come back
            await store.check_later(transaction, payment)
            return None
        return await self._attempts.resume(transaction, payment, account)
