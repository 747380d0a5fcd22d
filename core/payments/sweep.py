"""Looks at due payments: resolves open attempts whose callers do not retry, and follows the others.

It starts no new charge. Any number of cores may look: each leases a payment, or finds it leased.
"""

import logging

from core.caller import Presence, set_presence
from core.credentials.service import CredentialsService
from core.database.transactions import Database, Transaction
from core.due_work.rules import Key
from core.errors import Refusal
from core.payments import attempt_store, rules, store
from core.payments.attempts import Attempts, StartedAttempt, is_barred
from core.payments.closing import Closings
from core.payments.following import Following
from core.payments.store import Payment

logger = logging.getLogger("core.payments")


class Sweep:
    """The core's looks at payments whose time has come."""

    def __init__(
        self,
        database: Database,
        credentials: CredentialsService,
        attempts: Attempts,
        following: Following,
        closings: Closings,
    ) -> None:
        """Resume the `attempts` and `closings` that are open; `following` asks for the others."""
        self._database = database
        self._credentials = credentials
        self._attempts = attempts
        self._following = following
        self._closings = closings

    async def look(self, key: Key) -> None:
        """Resume the attempt of a due payment, or ask its gateway; no caller waits for it.

        Raises:
            GatewayError, Refusal: the gateway or its keys are missing, to be tried again.
            Exception: of the payment itself.
        """
        set_presence(Presence(left=True))
        started: StartedAttempt | None = None
        payment: Payment | None = None
        try:
            async with self._database.transaction("payments.sweep") as transaction:
                payment = await attempt_store.due_payment(transaction, key)
                if payment is None or self._closings.in_flight_on(payment):
                    return  # a look counts as a call, and would overrule the one that runs here
                if payment.status == "pending":
                    started = await self._resume_or_close(transaction, payment)
                else:
                    await store.put_off_look(transaction, payment)
        except Refusal:  # its keys were deleted and may come back
            assert payment is not None, "only the keys of a payment are refused"
            await self._attempts.end_without_keys(payment)
            return
        except BaseException as error:
            if started is not None:
                self._attempts.abandon(started, error)
            raise
        if payment.is_closing:
            await self._closings.look(payment)
        elif payment.status != "pending":
            await self._following.look(payment)
        elif started is not None:
            await self._run(started)

    async def _run(self, started: StartedAttempt) -> None:
        """Run an attempt, whose outcome may be a refusal.

        Raises:
            Refusal: its outcome cannot be stored, for an error that is its cause.
        """
        result = "still open"
        try:
            result = type(await self._attempts.run(started)).__name__
        except Refusal as refusal:
            if refusal.__cause__ is not None:
                raise
        logger.info(
            "payment swept", extra={"payment_id": started.payment.payment_id, "result": result}
        )

    async def _resume_or_close(
        self, transaction: Transaction, payment: Payment
    ) -> StartedAttempt | None:
        """Resume an attempt, or close one that was never sent.

        Raises:
            Refusal: the keys were deleted; they may come back.
        """
        if self._attempts.in_flight_on(payment):
            return None  # its lease could not be renewed, but it runs here
        if payment.attempt == "not_sent":
            await attempt_store.end_attempt(
                transaction, payment, rules.CLOSED_UNSENT, answered=True
            )
            return None
        account = await self._credentials.account(
            transaction, payment.business_id, payment.gateway, payment.env
        )
        return await self._attempts.resume(
            transaction, payment, account, may_send=not await is_barred(transaction, payment)
        )
