"""Charges saved cards, in three phases: commit the intent, call the gateway, commit the outcome."""

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
from core.database.paging import PageRequest
from core.database.transactions import Database, Transaction
from core.gateways.gateway import Gateway
from core.idempotency.service import Idempotency
from core.money import MAX_BALANCE_MINOR, amount_from_message
from core.payments import rules, store
from core.payments.attempts import Attempts, StartedAttempt
from core.payments.charge_request import ChargeRequest, find_retried_payments, new_payment
from core.payments.event_rules import CHARGED
from core.payments.funding import charge_result_of
from core.payments.in_flight import Attempt, ChargeResult
from core.payments.sweep import Sweep
from core.users.service import check_active, existing_user
from core.users.store import User
from core.wallet import store as wallet_store
from core.wallet.batch import amount_in_currency
from core.wallet.batch import refusal_of as movement_refusal
from core.wallet.rules import MovementRefusal

logger = logging.getLogger("core.payments")

JOIN_SECONDS = 24.0
"""How long a call waits for another core's attempt, below the adapter's deadline of 25 s."""
JOIN_PAUSE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class _Elsewhere:
    """An attempt of another core that this call must wait for."""

    payment: store.Payment


_Found = StartedAttempt | Attempt | store.Payment | _Elsewhere
"""An attempt to carry out, one to join, a payment that succeeded, or an attempt to wait for."""


class PaymentsService:
    """The use cases of PaymentsService."""

    def __init__(
        self,
        database: Database,
        credentials: CredentialsService,
        gateways: Mapping[str, Gateway],
        idempotency: Idempotency,
        settle_time: timedelta = rules.SETTLE_TIME,
    ) -> None:
        """Keep payments in `database` and charge through the `gateways`, by their words.

        `settle_time` is how long what Authorize.Net's lists do not show may still happen.
        """
        self._database = database
        self._credentials = credentials
        self._idempotency = idempotency
        resuming = rules.resuming_by_gateway(settle_time)
        self._attempts = Attempts(database, gateways, idempotency, resuming)
        self._sweep = Sweep(database, credentials, self._attempts)

    async def charge(self, caller: Caller, request: ChargeRequest) -> ChargeResult:
        """Charge the user's primary card, and credit their wallet where the request funds it.

        The same request resumes an attempt that it left open, joins one whose caller left, and
        is told of one that succeeded when nobody was there to be told.

        Raises:
            Refusal: USER_NOT_FOUND, USER_INACTIVE, CREDENTIALS_MISSING, CARD_NOT_FOUND,
                WALLET_LIMIT, CARD_DECLINED, AUTHENTICATION_REQUIRED, IDEMPOTENCY_KEY_REUSED,
                GATEWAY_REFUSED, GATEWAY_UNAVAILABLE or OUTCOME_UNKNOWN; or what its origin raises.
            InvalidFields: the amount or currency cannot be charged.
            Replay: the call was answered before.
        """
        found = await self._found(caller, request)
        match found:
            case store.Payment():
                async with self._database.read() as transaction:
                    charged = await charge_result_of(transaction, found)
                if found.idempotency_key is None:
                    self._attempts.tell(found, [current_presence()])
                return charged
            case Attempt():
                return await asyncio.shield(found.result)
            case StartedAttempt():
                if request.call is not None:
                    request.call.is_kept = True  # with the outcome, in the same transaction
                return await self._attempts.carry_out(found)
            case _:
                assert_never(found)

    async def renew_leases(self) -> None:
        """Keep what this core charges its own; asked once a second."""
        await self._attempts.renew_leases()

    async def drain(self, timeout_seconds: float) -> None:
        """Wait until what callers were told is noted."""
        await self._attempts.drain(timeout_seconds)

    async def sweep(self) -> None:
        """Resolve payments whose outcome is not known and that nobody asks about."""
        await self._sweep.run()

    async def list_payments(
        self, caller: Caller, which: store.PaymentFilter, page: PageRequest
    ) -> tuple[list[store.Payment], int]:
        """Return a page of the caller's payments and how many there are."""
        async with self._database.read() as transaction:
            return await store.payment_page(
                transaction, business_id=caller.business_id, which=which, page=page
            )

    async def _found(
        self, caller: Caller, request: ChargeRequest
    ) -> StartedAttempt | Attempt | store.Payment:
        """Begin the charge, or find what an equal request left, waiting for other cores.

        Raises:
            Refusal: OUTCOME_UNKNOWN where another core takes longer than this caller can wait.
        """
        clock = asyncio.get_running_loop().time
        give_up = clock() + JOIN_SECONDS
        seen: dict[str, datetime] = {}
        waits_for: str | None = None
        while True:
            found = await self._committed(caller, request, seen)
            if not isinstance(found, _Elsewhere):
                return found
            payment_id = found.payment.payment_id
            if clock() >= give_up:
                raise rules.outcome_unknown(payment_id)
            if payment_id != waits_for:
                logger.info("charge waits for another core", extra={"payment_id": payment_id})
                waits_for = payment_id
            await asyncio.sleep(JOIN_PAUSE_SECONDS)

    async def _committed(
        self, caller: Caller, request: ChargeRequest, seen: dict[str, datetime]
    ) -> _Found:
        found: _Found | None = None
        try:
            async with self._database.transaction("payments.begin") as transaction:
                found = await self._begin(transaction, caller, request, seen)
        except BaseException as error:
            if isinstance(found, StartedAttempt):
                self._attempts.give_up(found, error)
            elif isinstance(found, Attempt):  # who is told of this error does not wait any more
                found.waiting.remove(current_presence())
            raise
        return found

    async def _begin(
        self,
        transaction: Transaction,
        caller: Caller,
        request: ChargeRequest,
        seen: dict[str, datetime],
    ) -> _Found:
        """Store the payment as pending, or find what an equal request left behind."""
        if request.origin is not None:
            await request.origin.permit(transaction)
        claimed = None
        if request.call is not None:
            claimed = await self._idempotency.claim(transaction, request.call)
        user = await existing_user(transaction, caller.business_id, request.user_id, lock=True)
        if request.kind == "fund":
            wallet = await wallet_store.wallet_of_user(
                transaction,
                business_id=caller.business_id,
                user_id=user.user_id,
                env=request.env,
                currency=user.currency,
            )
            amount = amount_in_currency(request.money, wallet.currency)
        else:
            wallet = None
            amount = amount_from_message(request.money, user.currency)
        for payment in await find_retried_payments(
            transaction, caller, request, amount, claimed=claimed, waited_for=seen.keys()
        ):
            if earlier := await self._go_on(transaction, request, payment, user, seen):
                return earlier
        if wallet and wallet.balance_minor + amount.minor > MAX_BALANCE_MINOR:
            raise movement_refusal(MovementRefusal.WALLET_LIMIT)
        check_active(user)
        gateway = request.gateway or user.default_gateway
        account = await self._credentials.account(
            transaction, caller.business_id, gateway or "stripe", request.env
        )
        card = await card_to_charge(transaction, caller.business_id, user, request.env, gateway)
        lease = self._attempts.lease_from(transaction.now)
        payment = await new_payment(transaction, caller, request, amount, card, lease)
        await store.insert_payment(transaction, payment)
        if request.call is not None:
            await self._idempotency.point_to(transaction, request.call, payment.payment_id)
        if request.origin is not None:
            await request.origin.note(transaction, payment.payment_id)
        return self._attempts.begin(payment, account, may_have_charged=False, resumed=False)

    async def _go_on(
        self,
        transaction: Transaction,
        request: ChargeRequest,
        payment: store.Payment,
        user: User,
        seen: dict[str, datetime],
    ) -> _Found | None:
        """Return how to go on with what an equal request left behind; None: it is another charge.

        Of another core's attempt the row tells what its callers did when the lease was renewed
        last. `seen` holds the lease that this call met first: a renewed one is news, and an
        attempt whose caller still waited then is another caller's charge.
        """
        # Asked first: a payment may have succeeded while its caller is about to be told.
        if attempt := self._attempts.in_flight_on(payment):
            if not (request.is_keyed or attempt.is_joinable):
                return None
            attempt.waiting.append(current_presence())
            logger.info("charge joined", extra={"payment_id": payment.payment_id})
            return attempt
        if payment.status in CHARGED:
            if payment.idempotency_key is None:
                if self._attempts.is_being_answered(payment, transaction.now):
                    return _Elsewhere(payment)  # until it is known whether they heard it
                await self._attempts.take_answering(transaction, payment)
            return payment
        if payment.status == "needs_review":
            raise rules.needs_review(payment.payment_id)
        if payment.lease and self._attempts.is_held_elsewhere(payment, transaction.now):
            first_seen = seen.setdefault(payment.payment_id, payment.lease.until)
            if request.is_keyed or payment.joinable or payment.lease.until == first_seen:
                return _Elsewhere(payment)
            return None
        return await self._resume(transaction, payment, user)

    async def _resume(
        self, transaction: Transaction, payment: store.Payment, user: User
    ) -> StartedAttempt | None:
        """Take over an attempt that nobody works on, or close it where nothing can have happened.

        A running one whose lease ran out may have been sent. What was surely not sent is a charge
        that begins now.
        """
        if payment.attempt == "not_sent":
            check_active(user)
            is_over = self._attempts.is_too_old_to_send(payment, transaction.now)
            if is_over or not await _card_is_still_primary(transaction, payment):
                await store.update_payment(transaction, payment, rules.CLOSED_UNSENT, answered=True)
                return None
        account = await self._credentials.account(
            transaction, payment.business_id, payment.gateway, payment.env
        )
        return await self._attempts.take_over(transaction, payment, account)


async def _card_is_still_primary(transaction: Transaction, payment: store.Payment) -> bool:
    card = await primary_card(
        transaction,
        business_id=payment.business_id,
        user_id=payment.user_id,
        env=payment.env,
        gateway=payment.gateway,
    )
    return card is not None and card.gateway_card_id == payment.gateway_card_id
