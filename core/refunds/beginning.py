"""Finds the refund that a request repeats, or reserves a new one."""

import asyncio
from dataclasses import dataclass
from typing import Final

from google.type import money_pb2

from core.business import caps
from core.caller import Caller
from core.database.transactions import Database, Transaction
from core.errors import InvalidFields, Reason, Refusal
from core.idempotency.call import IdempotentCall
from core.idempotency.service import Idempotency
from core.ids import new_refund_id
from core.money import Amount, amount_from_message
from core.payments import store as payments_store
from core.payments.attempts import LEASE
from core.payments.store import Payment
from core.payments.transitions import Transitions
from core.refunds import rules, store
from core.refunds.attempts import Attempts, StartedRefund
from core.refunds.rules import Requested
from core.refunds.store import Refund

WAIT_SECONDS: Final = 24.0
"""How long a request waits for a running attempt, below the adapter's deadline of 25 s."""
WAIT_PAUSE_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class RefundRequest:
    """A request to refund a payment, which one of the two ids names."""

    payment_id: str | None
    transaction_id: str | None
    env: str
    money: money_pb2.Money | None
    """None: all that is left."""
    reason: str | None
    description: str | None
    allow_receivable: bool
    call: IdempotentCall
    metadata: str | None = None
    """As `core.metadata.stored_metadata` returns it."""

    @property
    def any_id(self) -> str:
        """The id that names the payment; those with the other one wait for its row's lock."""
        return self.payment_id or self.transaction_id or ""


@dataclass(frozen=True, slots=True)
class _Running:
    """Another run of the refund, to wait for."""

    refund: Refund


class Beginning:
    """How a request comes to its refund."""

    def __init__(
        self,
        database: Database,
        idempotency: Idempotency,
        transitions: Transitions,
        attempts: Attempts,
    ) -> None:
        """Start or resume `attempts`; payments follow by `transitions`."""
        self._database = database
        self._idempotency = idempotency
        self._transitions = transitions
        self._attempts = attempts

    async def begin_or_wait(self, caller: Caller, request: RefundRequest) -> StartedRefund | Refund:
        """Return an attempt to run, or the earlier refund that the request repeats.

        Raises:
            Refusal: as RefundsService.refund does, for what is not sent.
            InvalidFields: the amount is not in the payment's currency.
            Replay: the key has an answer.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + WAIT_SECONDS
        turns = self._transitions.turns
        while True:
            if request.call.is_keyed and turns.is_taken(caller.business_id, request.any_id):
                async with self._database.read() as transaction:  # a replay waits for no turn
                    await self._idempotency.replay_if_answered(transaction, request.call)
            async with (
                turns.turn(caller.business_id, request.any_id),
                self._database.transaction("refunds.begin") as transaction,
            ):
                found = await self._begin(transaction, caller, request)
            if not isinstance(found, _Running):
                return found
            if clock() >= deadline:
                raise rules.outcome_unknown(found.refund.refund_id)
            await asyncio.sleep(WAIT_PAUSE_SECONDS)

    async def _begin(
        self, transaction: Transaction, caller: Caller, request: RefundRequest
    ) -> StartedRefund | Refund | _Running:
        """Reserve a refund, or find the earlier one that the request repeats."""
        await self._idempotency.replay_if_answered(transaction, request.call)
        payment = await payments_store.find_payment(
            transaction,
            business_id=caller.business_id,
            gateway=None,
            env=request.call.env or request.env,  # of the first request with the key
            payment_id=request.payment_id,
            transaction_id=request.transaction_id,
        )
        if payment is None:
            raise Refusal(
                Reason.ERROR_REASON_PAYMENT_NOT_FOUND, "The business has no payment with that id"
            )
        payment = await self._transitions.lock(transaction, payment)
        refund_id = new_refund_id(transaction.now)
        claimed = await self._idempotency.claim(transaction, request.call, refund_id)
        requested = Requested(
            _amount_minor(request.money, payment.currency),
            request.reason,
            request.description,
            request.metadata,
        )
        left_minor = payment.amount_minor - payment.amount_refunded_minor
        refunds = await store.refunds_of_payment(
            transaction, payment.business_id, payment.payment_id
        )
        earlier_id = rules.find_earlier(
            refunds,
            requested,
            key=request.call.sent_key,
            claimed=claimed,
            left_minor=left_minor,
            now=transaction.now,
        )
        if earlier_id is not None:
            (earlier,) = (each for each in refunds if each.refund_id == earlier_id)
            await self._idempotency.point_to(transaction, request.call, earlier_id)
            return await self._continue(transaction, earlier, payment)
        if claimed is not None:
            await self._idempotency.point_to(transaction, request.call, refund_id)
        amount_minor = left_minor if requested.amount_minor is None else requested.amount_minor
        rules.check_refundable(
            payment.status,
            left_minor=left_minor,
            amount_minor=amount_minor,
            currency=payment.currency,
        )
        account = await self._attempts.account(transaction, payment)
        refund = self._new_refund(transaction, payment, refund_id, amount_minor, request)
        await store.insert_refund(transaction, refund)
        await self._transitions.apply_refunds(
            transaction, payment, allow_receivable=request.allow_receivable
        )
        await caps.reserve(transaction, caller, Amount(amount_minor, payment.currency))
        return StartedRefund(refund, payment, account, transaction.now)

    def _new_refund(
        self,
        transaction: Transaction,
        payment: Payment,
        refund_id: str,
        amount_minor: int,
        request: RefundRequest,
    ) -> Refund:
        """Return a new refund, leased to this core."""
        now = transaction.now
        return Refund(
            refund_id=refund_id,
            amount_minor=amount_minor,
            status="pending",
            gateway_refund_id=None,
            reason=request.reason,
            description=request.description,
            metadata=request.metadata,
            idempotency_key=request.call.sent_key,
            created_at=now,
            business_id=payment.business_id,
            payment_id=payment.payment_id,
            user_id=payment.user_id,
            env=payment.env,
            gateway=payment.gateway,
            currency=payment.currency,
            is_whole=amount_minor == payment.amount_minor,
            gateway_key=f"{payment.business_id}/{refund_id}",
            attempt="running",
            lease_owner=self._attempts.new_owner(),
            leased_until=now + LEASE,
            look_at=now + LEASE,
            checks=0,
            first_sent_at=now,
            sent_at=now,
            failure_code=None,
            updated_at=now,
        )

    async def _continue(
        self, transaction: Transaction, refund: Refund, payment: Payment
    ) -> StartedRefund | Refund | _Running:
        """Return the result of an earlier refund, wait for its attempt, or resume it."""
        refund = await store.refund_by_id(transaction, refund.business_id, refund.refund_id)
        if refund.attempt in (None, "unsettled"):
            return refund
        if self._attempts.is_running(refund, transaction.now):
            return _Running(refund)
        try:
            return await self._attempts.resume(transaction, refund, payment)
        except Refusal:  # the keys were deleted, which says nothing about the refund
            raise rules.outcome_unknown(refund.refund_id) from None


def _amount_minor(money: money_pb2.Money | None, currency: str) -> int | None:
    """Return the requested amount, None for all that is left.

    Raises:
        InvalidFields: it names another currency than the payment's, or has too many decimals.
    """
    if money is None:
        return None
    if money.currency_code and money.currency_code.lower() != currency:
        raise InvalidFields.of(
            "amount.currency_code", f"must be the payment's currency, {currency}"
        )
    return amount_from_message(money, currency).minor
