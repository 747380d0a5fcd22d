"""Use cases of RefundsService. Attempts and their states: core.refunds.attempts."""

from collections.abc import Mapping
from datetime import timedelta

from core.caller import Caller
from core.credentials.service import CredentialsService
from core.database.paging import Page, PageRequest
from core.database.transactions import Database
from core.due_work.rules import Key
from core.due_work.store import REFUNDS
from core.gateways.gateway import Gateway
from core.idempotency.service import Idempotency
from core.payments import rules as payment_rules
from core.payments.transitions import Transitions
from core.refunds import store
from core.refunds.attempts import Attempts
from core.refunds.beginning import Beginning, RefundRequest
from core.refunds.store import Refund, RefundFilter
from core.refunds.sweep import Sweep


class RefundsService:
    """The use cases of RefundsService."""

    due = REFUNDS

    def __init__(
        self,
        database: Database,
        credentials: CredentialsService,
        gateways: Mapping[str, Gateway],
        idempotency: Idempotency,
        transitions: Transitions,
        settle_time: timedelta = payment_rules.SETTLE_TIME,
    ) -> None:
        """Refund through `gateways`, by their names; payments follow by `transitions`."""
        self._database = database
        self._attempts = Attempts(
            database, credentials, gateways, idempotency, transitions, settle_time
        )
        self._beginning = Beginning(database, idempotency, transitions, self._attempts)
        self._sweep = Sweep(database, self._attempts)

    async def renew_leases(self) -> None:
        """Renew the leases of this core's attempts; called every RENEW_SECONDS."""
        await self._attempts.renew_leases()

    async def refund(self, caller: Caller, request: RefundRequest) -> Refund:
        """Refund a payment, and return the refund, made or pending.

        Raises:
            Refusal: PAYMENT_NOT_FOUND, PAYMENT_STATE, REFUND_TOO_HIGH, WALLET_TOO_LOW,
                CREDENTIALS_MISSING, REFUND_REFUSED, GATEWAY_REFUSED, GATEWAY_UNAVAILABLE,
                IDEMPOTENCY_KEY_REUSED or OUTCOME_UNKNOWN.
            InvalidFields: the amount is not in the payment's currency.
            Replay: the key has an answer.
        """
        found = await self._beginning.begin_or_wait(caller, request)
        if isinstance(found, Refund):
            return found
        request.call.is_kept = True  # with the outcome, in the same transaction
        return await self._attempts.run(found, request.call)

    async def list_refunds(
        self, caller: Caller, which: RefundFilter, page: PageRequest
    ) -> Page[Refund]:
        """Return a page of the caller's refunds.

        Raises:
            InvalidFields: as `PagedList.read` does.
        """
        async with self._database.listing() as transaction:
            return await store.refund_page(
                transaction, business_id=caller.business_id, which=which, page=page
            )

    async def look(self, key: Key) -> None:
        """Look at a refund that is due, as core.due_work asks.

        Raises:
            Refusal: CREDENTIALS_MISSING, to be tried again.
            PermanentError: the gateway never told the outcome.
        """
        await self._sweep.look(key)
