"""Begins a charge, or finds the earlier one that a request retries.

The payment is committed as pending before the gateway is called.
"""

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from core.business import caps
from core.business.rules import business_suspended
from core.caller import Caller, current_presence
from core.cards.primary import card_to_charge
from core.cards.store import Card, primary_card
from core.credentials.service import CredentialsService
from core.database.transactions import Database, Transaction
from core.errors import Refusal
from core.gateways.gateway import Account
from core.idempotency.service import Idempotency
from core.ids import new_payment_id
from core.limits import CardTestingLimits, too_many_card_attempts
from core.money import MAX_BALANCE_MINOR, Amount, amount_from_message
from core.payments import attempt_store, charge_store, rules, store
from core.payments.attempts import Attempts, StartedAttempt
from core.payments.charge_request import ChargeRequest, new_payment, with_id
from core.payments.charge_store import Chargeable
from core.payments.decline_rules import block_of
from core.payments.delivery import Deliveries
from core.payments.in_flight import Attempt
from core.payments.retries import (
    RetryStep,
    find_retried_payments,
    resolved_as_first,
    retry_step,
)
from core.payments.store import Payment
from core.security.keyring import SealBrokenError
from core.stops import payments_stopped
from core.users.service import check_active, user_not_found
from core.wallet import store as wallet_store
from core.wallet.batch import amount_in_currency
from core.wallet.batch import refusal_of as movement_refusal
from core.wallet.rules import MovementRefusal

logger = logging.getLogger("core.payments")

JOIN_SECONDS = 24.0
"""How long a request waits for an earlier payment, below the adapter's deadline of 25 s."""
JOIN_PAUSE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class _Earlier:
    """A payment to wait for: another core works on it, or its response is in flight."""

    payment: Payment


_Found = StartedAttempt | Attempt | Payment | _Earlier
"""An attempt to run, one to join, a payment that succeeded, or one to wait for."""
_LeaseEnds = dict[str, datetime]
"""By payment id, the end of another core's lease when the request first saw it."""


class Beginning:
    """Begins the charges that callers request from this core."""

    def __init__(
        self,
        database: Database,
        credentials: CredentialsService,
        idempotency: Idempotency,
        attempts: Attempts,
        deliveries: Deliveries,
        limits: CardTestingLimits,
    ) -> None:
        """Store payments in `database`; `attempts` and `deliveries` are this core's."""
        self._database = database
        self._credentials = credentials
        self._idempotency = idempotency
        self._attempts = attempts
        self._deliveries = deliveries
        self._limits = limits

    async def start_or_find(
        self, caller: Caller, request: ChargeRequest
    ) -> StartedAttempt | Attempt | Payment:
        """Start a charge or find the one to retry, after waiting for earlier ones.

        Raises:
            Refusal: OUTCOME_UNKNOWN if an earlier one takes longer than the caller can wait.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + JOIN_SECONDS
        lease_ends: _LeaseEnds = {}
        logged_id: str | None = None
        while True:
            found = await self._try_start_or_find(caller, request, lease_ends)
            if not isinstance(found, _Earlier):
                return found
            payment_id = found.payment.payment_id
            if clock() >= deadline:
                raise rules.outcome_unknown(payment_id)
            if payment_id != logged_id:
                logger.info("charge waits for an earlier one", extra={"payment_id": payment_id})
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
        chargeable = await self._lock_chargeable(transaction, caller, request)
        amount, balance_minor = await _amount_and_balance(transaction, caller, request, chargeable)
        for payment in await find_retried_payments(
            transaction, caller, request, amount, claimed=claimed, waited_for=lease_ends.keys()
        ):
            found = await self._retry(transaction, caller, request, payment, chargeable, lease_ends)
            if found:
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
        await caps.reserve(transaction, caller, amount)
        return self._attempts.start(payment, account, may_have_charged=False, resumed=False)

    async def check(self, caller: Caller, request: ChargeRequest) -> None:
        """Check that a new charge would begin, before something is done for it at a gateway.

        Raises:
            Refusal: what `start_or_find` refuses for the user, the card, keys, stops and declines.
        """
        async with self._database.read() as transaction:
            chargeable = await self._lock_chargeable(transaction, caller, request)
            await self._account_and_card(transaction, caller, request, chargeable)

    async def _lock_chargeable(
        self, transaction: Transaction, caller: Caller, request: ChargeRequest
    ) -> Chargeable:
        chargeable = await charge_store.lock_chargeable(
            transaction,
            business_id=caller.business_id,
            user_id=request.user_id,
            env=request.env,
            gateway=request.gateway,
            declined_since=transaction.now - self._limits.window,
        )
        if chargeable is None:
            raise user_not_found()
        return chargeable

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
        account, card = await self._account_and_card(transaction, caller, request, chargeable)
        lease = self._attempts.new_lease(transaction.now)
        payment = new_payment(caller, request, payment_id, amount, card, lease, now=transaction.now)
        while not await store.insert_payment(transaction, payment):
            payment = with_id(payment, new_payment_id(transaction.now))
        return payment, account

    async def _account_and_card(
        self,
        transaction: Transaction,
        caller: Caller,
        request: ChargeRequest,
        chargeable: Chargeable,
    ) -> tuple[Account, Card]:
        """Return the account and the card of a new charge, which may begin."""
        user = chargeable.user
        gateway = request.gateway or user.default_gateway or "stripe"
        _check_may_begin(chargeable, gateway, request)
        account = self._credentials.account_of(
            chargeable.authorize if gateway == "authorize" else chargeable.stripe,
            caller.business_id,
            gateway,
            request.env,
        )
        card = chargeable.card or await card_to_charge(
            transaction, caller.business_id, user, request.env, request.gateway
        )
        if chargeable.has_recent_decline and (request.origin is None or request.origin.is_limited):
            await self._check_declines(transaction, caller.business_id, card)
        return account, card

    async def _check_declines(self, transaction: Transaction, business_id: str, card: Card) -> None:
        """Check that card and user have not had too many declines for another charge.

        Raises:
            Refusal: TOO_MANY_CARD_ATTEMPTS.
        """
        attempts = await charge_store.recent_attempts(
            transaction,
            business_id=business_id,
            user_id=card.user_id,
            env=card.env,
            gateway=card.gateway,
            since=transaction.now - self._limits.window,
        )
        block = block_of(self._limits, attempts, card.gateway_card_id, transaction.now)
        if block is not None:
            raise too_many_card_attempts(
                block.limit,
                "Too many charges of this user or card were declined. Nothing was charged.",
                retry_after_seconds=(block.until - transaction.now).total_seconds(),
            )

    async def _retry(
        self,
        transaction: Transaction,
        caller: Caller,
        request: ChargeRequest,
        payment: Payment,
        chargeable: Chargeable,
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
                return _Earlier(payment)
            case RetryStep.RETURN_SUCCESS:
                if payment.idempotency_key is None:
                    await self._deliveries.take_response(transaction, payment)
                return payment
            case RetryStep.REFUSE:
                raise rules.needs_review(payment.payment_id)
            case RetryStep.RESUME:
                return await self._resume(transaction, caller, request, payment, chargeable)
            case _:
                assert_never(step)

    async def _resume(
        self,
        transaction: Transaction,
        caller: Caller,
        request: ChargeRequest,
        payment: Payment,
        chargeable: Chargeable,
    ) -> StartedAttempt | None:
        """Resume an attempt that no core runs, or close one that was never sent."""
        if payment.attempt == "not_sent":
            _check_may_begin(chargeable, payment.gateway, request)
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
        amount = Amount(payment.amount_minor, payment.currency)
        await caps.reserve_rest(transaction, caller, amount, begun_by=payment.capped_key_id)
        return await self._attempts.resume(
            transaction,
            payment,
            account,
            may_send=not chargeable.is_suspended
            and not chargeable.stops.refuse_sending(payment.gateway),
        )


def _check_may_begin(chargeable: Chargeable, gateway: str, request: ChargeRequest) -> None:
    """Check that a charge may be sent that was not sent before.

    Raises:
        Refusal: BUSINESS_SUSPENDED, PAYMENTS_STOPPED, USER_SUSPENDED or USER_INACTIVE.
    """
    if chargeable.is_business_suspended:
        raise business_suspended()
    stops = chargeable.stops
    if (request.is_asked and stops.refuse_charge(gateway)) or (
        request.origin is not None and stops.refuse_cycle(gateway)
    ):
        raise payments_stopped()
    check_active(chargeable.user)


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
