"""Use cases of PaymentsService.

A charge has three phases: commit the payment as pending, call the gateway, commit the outcome.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from core.caller import Caller, current_presence
from core.cards.service import card_to_charge
from core.cards.store import primary_card
from core.credentials.service import CredentialsService
from core.database.paging import Page, PageRequest
from core.database.transactions import Database, Transaction
from core.due_work.rules import Key
from core.due_work.store import PAYMENTS
from core.errors import Reason, Refusal
from core.gateways.gateway import Account, Gateway, GatewayError, GatewayRefused
from core.idempotency.service import Idempotency
from core.ids import new_payment_id, new_request_id
from core.money import MAX_BALANCE_MINOR, Amount, amount_from_message
from core.payments import attempt_store, charge_store, rules, store
from core.payments.attempts import Attempts, StartedAttempt
from core.payments.charge_request import ChargeRequest, new_payment, with_id
from core.payments.charge_store import Chargeable
from core.payments.delivery import Deliveries
from core.payments.following import Following
from core.payments.funding import charge_result_of
from core.payments.in_flight import Attempt, ChargeResult
from core.payments.retries import (
    RetryStep,
    find_retried_payments,
    resolved_as_first,
    retry_step,
)
from core.payments.store import Payment, PaymentFilter
from core.payments.sweep import Sweep
from core.payments.transitions import Transitions
from core.security.keyring import SealBrokenError
from core.users.service import check_active, user_not_found
from core.users.store import User
from core.wallet import store as wallet_store
from core.wallet.batch import amount_in_currency
from core.wallet.batch import refusal_of as movement_refusal
from core.wallet.rules import MovementRefusal

logger = logging.getLogger("core.payments")

JOIN_SECONDS = 24.0
"""How long a request waits for another core's attempt, below the adapter's deadline of 25 s."""
JOIN_PAUSE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class _OtherCore:
    """Another core works on a payment that this request must wait for."""

    payment: Payment


_Found = StartedAttempt | Attempt | Payment | _OtherCore
"""An attempt to run, one to join, a payment that succeeded, or one to wait for."""
_LeaseEnds = dict[str, datetime]
"""By payment id, the end of another core's lease when the request first saw it."""


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
    ) -> None:
        """Charge through `gateways`, by their names, and write states with `transitions`.

        `settle_time` is how long after sending Authorize.Net may still make a charge that its
        lists do not show.
        """
        self._database = database
        self._credentials = credentials
        self._idempotency = idempotency
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
        self._following = Following(database, credentials, gateways, transitions)
        self._sweep = Sweep(database, credentials, self._attempts, self._following)

    async def charge(self, caller: Caller, request: ChargeRequest) -> ChargeResult:
        """Charge the user's primary card, and credit their wallet if the request funds it.

        A retry joins, resumes or returns the earlier charge: see core.payments.retries.

        Raises:
            Refusal: USER_NOT_FOUND, USER_INACTIVE, CREDENTIALS_MISSING, CARD_NOT_FOUND,
                WALLET_LIMIT, CARD_DECLINED, AUTHENTICATION_REQUIRED, PENDING_REVIEW,
                IDEMPOTENCY_KEY_REUSED, GATEWAY_REFUSED, GATEWAY_UNAVAILABLE or OUTCOME_UNKNOWN;
                or what its origin raises.
            InvalidFields: the amount or currency cannot be charged.
            Replay: the key has an answer.
        """
        found = await self._start_or_find(caller, request)
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

    async def _start_or_find(
        self, caller: Caller, request: ChargeRequest
    ) -> StartedAttempt | Attempt | Payment:
        """Start a charge or find the one to retry, after waiting for other cores.

        Raises:
            Refusal: OUTCOME_UNKNOWN if another core takes longer than the caller can wait.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + JOIN_SECONDS
        lease_ends: _LeaseEnds = {}
        logged_id: str | None = None
        while True:
            found = await self._try_start_or_find(caller, request, lease_ends)
            if not isinstance(found, _OtherCore):
                return found
            payment_id = found.payment.payment_id
            if clock() >= deadline:
                raise rules.outcome_unknown(payment_id)
            if payment_id != logged_id:
                logger.info("charge waits for another core", extra={"payment_id": payment_id})
                logged_id = payment_id
            await asyncio.sleep(JOIN_PAUSE_SECONDS)

    async def _try_start_or_find(
        self, caller: Caller, request: ChargeRequest, lease_ends: _LeaseEnds
    ) -> _Found:
        found: _Found | None = None
        try:
            async with self._database.transaction("payments.begin") as transaction:
                found = await self._start_or_find_in(transaction, caller, request, lease_ends)
        except BaseException as error:
            if isinstance(found, StartedAttempt):
                self._attempts.abandon(found, error)
            elif isinstance(found, Attempt):  # the caller gets this error instead of the result
                found.waiting.remove(current_presence())
            raise
        return found

    async def _start_or_find_in(
        self,
        transaction: Transaction,
        caller: Caller,
        request: ChargeRequest,
        lease_ends: _LeaseEnds,
    ) -> _Found:
        """Find the charge to retry, or store a new pending payment."""
        if request.origin is not None:
            await request.origin.permit(transaction)
        payment_id = new_payment_id(transaction.now)
        claimed = None
        if request.call is not None:
            claimed = await self._idempotency.claim(transaction, request.call, payment_id)
        if claimed is not None:
            request = await resolved_as_first(transaction, caller, request, claimed)
        chargeable = await charge_store.lock_chargeable(
            transaction,
            business_id=caller.business_id,
            user_id=request.user_id,
            env=request.env,
            gateway=request.gateway,
        )
        if chargeable is None:
            raise user_not_found()
        amount, balance_minor = await _amount_and_balance(transaction, caller, request, chargeable)
        for payment in await find_retried_payments(
            transaction, caller, request, amount, claimed=claimed, waited_for=lease_ends.keys()
        ):
            if found := await self._retry(
                transaction, request, payment, chargeable.user, lease_ends
            ):
                return found
        if request.kind == "fund" and balance_minor + amount.minor > MAX_BALANCE_MINOR:
            raise movement_refusal(MovementRefusal.WALLET_LIMIT)
        payment, account = await self._new_payment(
            transaction, caller, request, chargeable, amount, payment_id
        )
        is_recorded = claimed is None and payment.payment_id == payment_id
        if request.call is not None and not is_recorded:
            await self._idempotency.point_to(transaction, request.call, payment.payment_id)
        if request.origin is not None:
            await request.origin.note(transaction, payment.payment_id)
        return self._attempts.start(payment, account, may_have_charged=False, resumed=False)

    async def _new_payment(
        self,
        transaction: Transaction,
        caller: Caller,
        request: ChargeRequest,
        chargeable: Chargeable,
        amount: Amount,
        payment_id: str,
    ) -> tuple[Payment, Account]:
        """Store a new pending payment, with this id if it is free; also return its account."""
        user = chargeable.user
        check_active(user)
        gateway = request.gateway or user.default_gateway or "stripe"
        account = self._credentials.account_of(
            chargeable.authorize if gateway == "authorize" else chargeable.stripe,
            caller.business_id,
            gateway,
            request.env,
        )
        card = chargeable.card or await card_to_charge(
            transaction, caller.business_id, user, request.env, request.gateway
        )
        lease = self._attempts.new_lease(transaction.now)
        payment = new_payment(caller, request, payment_id, amount, card, lease, now=transaction.now)
        while not await store.insert_payment(transaction, payment):
            payment = with_id(payment, new_payment_id(transaction.now))
        return payment, account

    async def _retry(
        self,
        transaction: Transaction,
        request: ChargeRequest,
        payment: Payment,
        user: User,
        lease_ends: _LeaseEnds,
    ) -> _Found | None:
        """Retry an earlier payment, or return None if the request is another charge."""
        attempt_here = self._attempts.in_flight_on(payment)
        is_leased_elsewhere = self._attempts.is_leased_elsewhere(payment, transaction.now)
        is_lease_renewed = False
        if payment.lease and is_leased_elsewhere and not attempt_here:
            first_end = lease_ends.setdefault(payment.payment_id, payment.lease.until)
            is_lease_renewed = payment.lease.until != first_end
        step = retry_step(
            payment,
            is_keyed=request.is_keyed,
            attempt_here=attempt_here,
            is_leased_elsewhere=is_leased_elsewhere,
            is_lease_renewed=is_lease_renewed,
            is_response_in_flight=self._deliveries.is_response_in_flight(payment, transaction.now),
        )
        match step:
            case RetryStep.NEW_CHARGE:
                return None
            case RetryStep.JOIN:
                assert attempt_here is not None, "joined attempts run here"
                attempt_here.waiting.append(current_presence())
                logger.info("charge joined", extra={"payment_id": payment.payment_id})
                return attempt_here
            case RetryStep.WAIT:
                return _OtherCore(payment)
            case RetryStep.RETURN_SUCCESS:
                if payment.idempotency_key is None:
                    await self._deliveries.take_response(transaction, payment)
                return payment
            case RetryStep.REFUSE:
                raise rules.needs_review(payment.payment_id)
            case RetryStep.RESUME:
                return await self._resume(transaction, payment, user)
            case _:
                assert_never(step)

    async def _resume(
        self, transaction: Transaction, payment: Payment, user: User
    ) -> StartedAttempt | None:
        """Resume an attempt that no core runs, or close one that was never sent."""
        if payment.attempt == "not_sent":
            check_active(user)
            is_too_old = self._attempts.is_too_old_to_send(payment, transaction.now)
            if is_too_old or not await _card_is_still_primary(transaction, payment):
                await attempt_store.end_attempt(
                    transaction, payment, rules.CLOSED_UNSENT, answered=True
                )
                return None
        try:
            account = await self._credentials.account(
                transaction, payment.business_id, payment.gateway, payment.env
            )
        except SealBrokenError as error:
            raise rules.outcome_unknown(payment.payment_id) from error
        except Refusal:  # the keys were deleted, which says nothing about the charge
            if payment.attempt == "not_sent":
                raise
            raise rules.outcome_unknown(payment.payment_id) from None
        return await self._attempts.resume(transaction, payment, account)


async def _amount_and_balance(
    transaction: Transaction, caller: Caller, request: ChargeRequest, chargeable: Chargeable
) -> tuple[Amount, int]:
    """Return the amount to charge, and the balance of the wallet to credit, in minor units."""
    user = chargeable.user
    if request.kind != "fund":
        return amount_from_message(request.money, user.currency), 0
    wallet = chargeable.wallet or await wallet_store.wallet_of_user(
        transaction,
        business_id=caller.business_id,
        user_id=user.user_id,
        env=request.env,
        currency=user.currency,
    )
    return amount_in_currency(request.money, wallet.currency), wallet.balance_minor


async def _card_is_still_primary(transaction: Transaction, payment: Payment) -> bool:
    card = await primary_card(
        transaction,
        business_id=payment.business_id,
        user_id=payment.user_id,
        env=payment.env,
        gateway=payment.gateway,
    )
    return card is not None and card.gateway_card_id == payment.gateway_card_id
