"""Finds out what became of payments that nobody asks about any more; takes no new charge on.

Any number of cores may sweep at once: each takes some attempts, leased, and leaves the others.
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
SWEPT_AT_ONCE = 20


class Sweep:
    """The core's own way to outcomes, beside the caller's and the gateway's."""

    def __init__(
        self, database: Database, credentials: CredentialsService, attempts: Attempts
    ) -> None:
        """Resolve payments of `database` by resuming their `attempts`."""
        self._database = database
        self._credentials = credentials
        self._attempts = attempts

    async def run(self) -> None:
        """Take the attempts whose time has come and carry them out; nobody waits for them."""
        set_presence(Presence(left=True))
        begun: list[StartedAttempt] = []
        try:
            async with self._database.transaction("payments.sweep") as transaction:
                due = await store.due_payments(transaction, limit=SWEPT_AT_ONCE)
                for payment in due:
                    begun += await self._take(transaction, payment)
        except BaseException as error:
            for each in begun:
                self._attempts.give_up(each, error)
            raise
        results = await asyncio.gather(
            *(self._attempts.carry_out(each) for each in begun), return_exceptions=True
        )
        for each, result in zip(begun, results, strict=True):
            resolved = "still open" if isinstance(result, Refusal) else type(result).__name__
            logger.info("swept", extra={"payment_id": each.payment.payment_id, "result": resolved})

    async def _take(self, transaction: Transaction, payment: Payment) -> list[StartedAttempt]:
        """Take an attempt over, or close one that was never sent."""
        if self._attempts.in_flight_on(payment):
            return []  # its lease could not be renewed, and yet it runs here
        if payment.attempt == "not_sent":
            await store.update_payment(transaction, payment, rules.CLOSED_UNSENT, answered=True)
            return []
        try:
            account = await self._credentials.account(
                transaction, payment.business_id, payment.gateway, payment.env
            )
        except Refusal:  # its keys are gone: perhaps they come back
            await store.look_later(transaction, payment)
            return []
        return [await self._attempts.take_over(transaction, payment, account)]
