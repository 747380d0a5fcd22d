"""Use cases of PaymentsService.

A charge has three phases: commit the payment as pending, call the gateway, commit the outcome.
"""

import asyncio
import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import assert_never

from core.caller import Caller, current_presence
from core.credentials.service import CredentialsService
from core.database.paging import Page, PageRequest
from core.database.transactions import Database
from core.due_work.rules import Key
from core.due_work.store import PAYMENTS
from core.errors import Reason, Refusal
from core.gateways.gateway import Gateway, GatewayError, GatewayRefused
from core.idempotency.service import Idempotency
from core.ids import new_request_id
from core.limits import DEFAULT_LIMITS, CardTestingLimits
from core.payments import rules, store
from core.payments.attempts import Attempts, StartedAttempt
from core.payments.beginning import Beginning
from core.payments.charge_request import ChargeRequest
from core.payments.closing import ClosingRequest, Closings
from core.payments.delivery import Deliveries
from core.payments.following import Following
from core.payments.funding import charge_result_of
from core.payments.in_flight import Attempt, ChargeResult
from core.payments.store import Payment, PaymentFilter
from core.payments.sweep import Sweep
from core.payments.transitions import Transitions

logger = logging.getLogger("core.payments")


class PaymentsService:
    """The use cases of PaymentsService."""

    due = PAYMENTS

    def __init__(
        self,
        database: Database,
        credentials: CredentialsService,
        gateways: Mapping[str, Gateway],
        idempotency: Idempotency,
        transitions: Transitions,
        settle_time: timedelta = rules.SETTLE_TIME,
        limits: CardTestingLimits = DEFAULT_LIMITS,
    ) -> None:
        """Charge through `gateways`, by their names, and write states with `transitions`.

        `settle_time` is how long after sending Authorize.Net may still make a charge that its
        lists do not show.
        """
        self._database = database
        core_id = new_request_id()
        self._deliveries = Deliveries(database, core_id)
        self._attempts = Attempts(
            database,
            gateways,
            transitions,
            rules.resume_policies(settle_time),
            self._deliveries,
            core_id,
        )
        self._beginning = Beginning(
            database, credentials, idempotency, self._attempts, self._deliveries, limits
        )
        self._following = Following(database, credentials, gateways, transitions)
        self._closings = Closings(
            database, credentials, gateways, idempotency, transitions, settle_time
        )
        self._sweep = Sweep(database, credentials, self._attempts, self._following, self._closings)

    async def charge(self, caller: Caller, request: ChargeRequest) -> ChargeResult:
        """Charge the user's primary card, and credit their wallet if the request funds it.

        A retry joins, resumes or returns the earlier charge: see core.payments.retries.

        Raises:
            Refusal: USER_NOT_FOUND, USER_INACTIVE, CREDENTIALS_MISSING, CARD_NOT_FOUND,
                WALLET_LIMIT, TOO_MANY_CARD_ATTEMPTS, API_KEY_CAPPED, CARD_DECLINED,
                AUTHENTICATION_REQUIRED,
                PENDING_REVIEW, IDEMPOTENCY_KEY_REUSED, GATEWAY_REFUSED, GATEWAY_UNAVAILABLE or
                OUTCOME_UNKNOWN;
                or what its origin raises.
            InvalidFields: the amount or currency cannot be charged.
            Replay: the key has an answer.
        """
        current_presence().is_delivery_recorded = not request.is_keyed
        found = await self._beginning.start_or_find(caller, request)
        match found:
            case Payment():
                async with self._database.read() as transaction:
                    result = await charge_result_of(transaction, found)
                if found.idempotency_key is None:
                    self._deliveries.record(found, [current_presence()])
                return result
            case Attempt():
                return await asyncio.shield(found.result)
            case StartedAttempt():
                if request.call is not None:
                    request.call.is_kept = True  # with the outcome, in the same transaction
                return await self._attempts.run(found)
            case _:
                assert_never(found)

    async def check(self, caller: Caller, request: ChargeRequest) -> None:
        """Check that a new charge would begin.

        Raises:
            Refusal: as `Beginning.check`.
        """
        await self._beginning.check(caller, request)

    async def close(self, caller: Caller, request: ClosingRequest) -> Payment:
        """Capture or void an authorized payment, and return it.

        Raises:
            Refusal, InvalidFields, Replay: as `Closings.close`.
        """
        return await self._closings.close(caller, request)

    async def cancel(self, business_id: str, payment_id: str) -> None:
        """Cancel a payment at its gateway unless it is charged, so that nobody can complete it.

        A gateway that refuses is left alone: the keys may be of another account now.

        Raises:
            Refusal: GATEWAY_UNAVAILABLE if it is not certain that it is; CREDENTIALS_MISSING.
        """
        async with self._database.read() as transaction:
            payment = await store.payment_by_id(
                transaction, business_id=business_id, payment_id=payment_id, lock=False
            )
        try:
            await self._following.cancel(payment)
        except GatewayRefused:
            logger.warning(
                "earlier payment of a retry cannot be canceled", extra={"payment_id": payment_id}
            )
        except GatewayError as error:
            raise Refusal(Reason.ERROR_REASON_GATEWAY_UNAVAILABLE, error.message) from None

    async def renew_leases(self) -> None:
        """Renew the leases of this core's attempts; called every RENEW_SECONDS."""
        await self._attempts.renew_leases()

    async def drain(self, timeout_seconds: float) -> None:
        """Wait until it is recorded which responses were delivered."""
        await self._deliveries.drain(timeout_seconds)

    async def look(self, key: Key) -> None:
        """Look at a due payment, as core.due_work asks."""
        await self._sweep.look(key)

    async def list_payments(
        self, caller: Caller, which: PaymentFilter, page: PageRequest
    ) -> Page[Payment]:
        """Return a page of the caller's payments.

        Raises:
            InvalidFields: as `PagedList.read` does.
        """
        async with self._database.listing() as transaction:
            return await store.payment_page(
                transaction, business_id=caller.business_id, which=which, page=page
            )
