"""Captures and voids of authorized payments.

Each has three phases: commit what is requested, call the gateway, commit what it says. No
transaction is open during the call. States of an authorized payment (`payments.closing`):

    state            event                                         next state
    -                a request                                     capture or void
    capture or void  the gateway has captured, voided or expired   the payment's status says which
                     the payment, by its answer, a read or an
                     event
    capture or void  the payment is declined                       -; the request is refused
    capture or void  the gateway refuses the first call, or it     -
                     was not sent; a later one is refused while
                     no earlier one can be in flight
    capture or void  anything else                                 unchanged, looked at in 5 s to
                                                                   1 hour

A payment has one of them at a time, and no lease: a gateway captures or voids a payment once,
whatever is sent, so two cores that send the same do no harm. A later call reads the payment first.
`payments.checks` counts the calls: of several at once, only the last one may give up.

Locks are taken in the order of a charge: the recurring job, the payment's idempotency record, the
payment; then the record of the capture or void, which an event about the payment also writes with
the payment locked.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from google.type import money_pb2

from core.business import caps
from core.caller import Caller
from core.credentials.service import CredentialsService
from core.database.transactions import (
    CommitUnknownError,
    Database,
    DatabaseUnavailableError,
    Transaction,
)
from core.errors import InvalidFields, Reason, Refusal
from core.gateways.events import Fact
from core.gateways.gateway import (
    Account,
    Gateway,
    GatewayError,
    GatewayUnavailable,
    GatewayUnknown,
    ObjectKind,
)
from core.idempotency.call import IdempotentCall
from core.idempotency.service import Idempotency
from core.money import Amount, amount_from_message
from core.payments import closing_rules, rules, store
from core.payments.closing_rules import CAPTURE, ClosingStep, Requested, closing_step
from core.payments.event_rules import UNDECIDED
from core.payments.store import Payment, PaymentKey
from core.payments.transitions import Transitions
from core.stops import payments_stopped
from core.users import store as users_store

logger = logging.getLogger("core.payments")


@dataclass(frozen=True, slots=True)
class ClosingRequest:
    """A request to capture or void a payment, which one of the two ids names."""

    closing: str
    payment_id: str | None
    transaction_id: str | None
    env: str
    money: money_pb2.Money | None
    """The amount to capture; None: all that is authorized."""
    call: IdempotentCall
    void_reason: str | None = None


@dataclass(frozen=True, slots=True)
class _Started:
    """A capture or void that is committed as requested, to be sent."""

    payment: Payment
    account: Account = field(repr=False)
    began_at: datetime
    is_resumed: bool = False
    """Whether it may have been sent before."""
    is_settled: bool = True
    """Whether no earlier call can be in flight any more."""
    sent_before: datetime | None = None
    """When the last earlier call was sent that may be in flight."""

    @property
    def key(self) -> PaymentKey:
        """The payment's key."""
        return self.payment.business_id, self.payment.payment_id


@dataclass(frozen=True, slots=True)
class _Failed:
    """A call after which the gateway does not show the payment as captured or voided."""

    error: GatewayError
    shows_authorized: bool = False


class Closings:
    """The captures and voids of this core."""

    def __init__(
        self,
        database: Database,
        credentials: CredentialsService,
        gateways: Mapping[str, Gateway],
        idempotency: Idempotency,
        transitions: Transitions,
        settle_time: timedelta = rules.SETTLE_TIME,
    ) -> None:
        """Send through `gateways`, by their names, and write states with `transitions`.

        `settle_time` is longer than a call can be in flight.
        """
        self._database = database
        self._credentials = credentials
        self._gateways = gateways
        self._idempotency = idempotency
        self._transitions = transitions
        self._settle_time = settle_time
        self._in_flight: dict[PaymentKey, asyncio.Future[Payment]] = {}

    async def close(self, caller: Caller, request: ClosingRequest) -> Payment:
        """Capture or void a payment, and return it.

        Raises:
            Refusal: PAYMENT_NOT_FOUND, PAYMENT_STATE, AUTHORIZATION_EXPIRED, CAPTURE_TOO_HIGH,
                CAPTURE_IN_PROGRESS, PAYMENTS_STOPPED, CREDENTIALS_MISSING, GATEWAY_REFUSED,
                GATEWAY_UNAVAILABLE, IDEMPOTENCY_KEY_REUSED or OUTCOME_UNKNOWN.
            InvalidFields: the amount is not in the payment's currency.
            Replay: the key has an answer.
        """
        async with self._database.transaction("payments.close") as transaction:
            found = await self._begin(transaction, caller, request)
        if isinstance(found, Payment):
            return found
        request.call.is_kept = True  # with the payment's state, in the same transaction
        if isinstance(found, asyncio.Future):
            return await asyncio.shield(found)
        return await self._run(found, request.call)

    def in_flight_on(self, payment: Payment) -> bool:
        """Return whether this core captures or voids a payment at this moment."""
        return (payment.business_id, payment.payment_id) in self._in_flight

    async def look(self, payment: Payment) -> None:
        """Send an open capture or void of a due payment again.

        Raises:
            Refusal: CREDENTIALS_MISSING, to be tried again.
        """
        async with self._database.transaction("payments.close_again") as transaction:
            payment = await self._transitions.lock(transaction, payment)
            if not payment.is_closing or self.in_flight_on(payment):
                return
            started = await self._resume(transaction, payment)
        result = "open"
        try:
            result = (await self._run(started, None)).status
        except Refusal as refusal:
            if refusal.reason != Reason.ERROR_REASON_OUTCOME_UNKNOWN:
                result = "refused"
        logger.info(
            "capture or void swept", extra={"payment_id": payment.payment_id, "result": result}
        )

    async def _begin(
        self, transaction: Transaction, caller: Caller, request: ClosingRequest
    ) -> "_Started | asyncio.Future[Payment] | Payment":
        """Store what is requested, or find the earlier request that this one repeats."""
        await self._idempotency.replay_if_answered(transaction, request.call)
        payment = await store.find_payment(
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
        await self._idempotency.claim(transaction, request.call, payment.payment_id)
        requested = Requested(
            request.closing,
            _amount_minor(request, payment),
            request.call.sent_key,
            request.void_reason,
        )
        match closing_step(payment, requested):
            case ClosingStep.RETURN:
                return payment
            case ClosingStep.BEGIN:
                if requested.closing == CAPTURE:
                    await _check_not_stopped(transaction, payment)
                account = await self._account(transaction, payment)
                await store.begin_closing(
                    transaction,
                    payment,
                    closing=requested.closing,
                    amount_minor=requested.amount_minor,
                    key=requested.key,
                    void_reason=requested.void_reason,
                )
                if requested.amount_minor is not None:
                    taken = Amount(requested.amount_minor, payment.currency)
                    begun_by = payment.capped_key_id
                    await caps.reserve_rest(transaction, caller, taken, begun_by=begun_by)
                payment = await self._reread(transaction, payment)
                return _Started(payment, account, transaction.now)
            case ClosingStep.CONTINUE:
                in_flight = self._in_flight.get((payment.business_id, payment.payment_id))
                if in_flight is not None:
                    return in_flight
                try:
                    return await self._resume(transaction, payment, is_asked=True)
                except Refusal:  # the keys were deleted, which says nothing about the payment
                    raise closing_rules.outcome_unknown(payment.payment_id) from None

    async def _resume(
        self, transaction: Transaction, payment: Payment, *, is_asked: bool = False
    ) -> _Started:
        """Store that an open capture or void is sent again; `is_asked`: a caller waits for it.

        Raises:
            Refusal: CREDENTIALS_MISSING.
        """
        account = await self._account(transaction, payment)
        assert payment.sent_at is not None, "an open capture or void was sent"
        is_settled = transaction.now - payment.sent_at >= self._settle_time
        await store.resend_closing(transaction, payment, is_asked=is_asked)
        again = await self._reread(transaction, payment)
        return _Started(
            again,
            account,
            transaction.now,
            is_resumed=True,
            is_settled=is_settled,
            sent_before=payment.sent_at,
        )

    async def _run(self, started: _Started, call: IdempotentCall | None) -> Payment:
        """Send, and commit what the gateway says; equal requests without a key wait for it."""
        result: asyncio.Future[Payment] = asyncio.get_running_loop().create_future()
        self._in_flight[started.key] = result
        try:
            payment = await self._send_and_commit(started, call)
        except BaseException as error:
            result.set_exception(error)
            result.exception()  # retrieved, as nobody may wait
            raise
        else:
            result.set_result(payment)
            return payment
        finally:
            self._in_flight.pop(started.key, None)

    async def _send_and_commit(self, started: _Started, call: IdempotentCall | None) -> Payment:
        payment_id = started.payment.payment_id
        outcome = await self._send(started)
        try:
            async with self._database.transaction("payments.write_closing") as transaction:
                result, is_first = await self._write(transaction, started, outcome)
        except (DatabaseUnavailableError, CommitUnknownError):
            logger.warning("capture or void not stored", extra={"payment_id": payment_id})
            raise closing_rules.outcome_unknown(payment_id) from None
        if call is not None and not is_first:
            async with self._database.read() as transaction:
                await self._idempotency.replay_if_answered(transaction, call)
        if isinstance(result, Refusal):
            raise result
        return result

    async def _send(self, started: _Started) -> Fact | _Failed:
        """Capture or void the payment, and return its state as the gateway tells it.

        After a failed call, and before a repeated one, the payment is read: it tells whether it is
        captured or voided.
        """
        if started.is_resumed:
            shown = await self._read(started, GatewayUnavailable("the payment cannot be read"))
            if isinstance(shown, Fact) or not shown.shows_authorized:
                return shown
        payment, gateway = started.payment, self._gateways[started.payment.gateway]
        assert payment.transaction_id is not None, "an authorized payment has the gateway's id"
        outcome: Fact | _Failed
        try:
            if payment.closing == CAPTURE:
                assert payment.closing_minor is not None, "a capture has an amount"
                outcome = await gateway.capture_payment(
                    started.account,
                    transaction_id=payment.transaction_id,
                    amount=Amount(payment.closing_minor, payment.currency),
                    gateway_key=_gateway_key(payment),
                )
            else:
                outcome = await gateway.cancel_payment(
                    started.account, payment.transaction_id, payment.void_reason
                )
        except GatewayUnavailable as error:
            outcome = _Failed(error)
        except GatewayError as error:
            outcome = await self._read(started, error)
        except Exception:
            # A bug of ours leaves the outcome unknown.
            logger.exception(
                "capture or void interrupted", extra={"payment_id": payment.payment_id}
            )
            outcome = _Failed(GatewayUnknown("the call was interrupted"))
        logger.info(
            "capture or void",
            extra={
                "payment_id": payment.payment_id,
                "closing": payment.closing,
                "outcome": outcome.kind.value
                if isinstance(outcome, Fact)
                else type(outcome.error).__name__,
            },
        )
        return outcome

    async def _read(self, started: _Started, error: GatewayError) -> Fact | _Failed:
        """Return the payment's state at its gateway, or the error if that is still undecided.

        Authorize.Net may hold an authorization for review, and then refuses to capture it.
        """
        payment = started.payment
        assert payment.transaction_id is not None, "an authorized payment has the gateway's id"
        try:
            fact = await self._gateways[payment.gateway].read_state(
                started.account, ObjectKind.PAYMENT, payment.transaction_id
            )
        except GatewayError:
            return _Failed(error)
        if fact is None or fact.kind in UNDECIDED:
            return _Failed(error, shows_authorized=fact is not None)
        return fact

    async def _write(
        self, transaction: Transaction, started: _Started, outcome: Fact | _Failed
    ) -> tuple[Payment | Refusal, bool]:
        """Write what the gateway said, once if repeated; return the result, and whether this did.

        What it says of the payment counts from any core; an error only from the last that sent.
        """
        payment = await self._transitions.lock(transaction, started.payment)
        is_first = payment.is_closing
        gives_up = False
        if isinstance(outcome, Fact):
            await self._transitions.apply_reads(
                transaction, payment, [outcome], began_at=started.began_at
            )
        elif payment.is_closing and payment.checks == started.payment.checks:
            gives_up = closing_rules.is_certain(
                outcome.error,
                is_resumed=started.is_resumed,
                shows_authorized=outcome.shows_authorized,
                is_settled=started.is_settled,
            )
            if gives_up:
                await store.give_up_closing(transaction, payment)
                payment = await self._reread(transaction, payment)
            elif started.sent_before and closing_rules.is_over(outcome.error):
                await store.set_sent(transaction, payment, started.sent_before)
            await self._transitions.apply_events(transaction, payment)  # sets the next look
        after = await self._reread(transaction, payment)
        if after.status != "authorized":
            return closing_rules.problem_of_ended(after) or after, is_first
        if gives_up and isinstance(outcome, _Failed):
            return closing_rules.refusal_of(outcome.error), is_first
        return closing_rules.outcome_unknown(after.payment_id), is_first

    async def _account(self, transaction: Transaction, payment: Payment) -> Account:
        return await self._credentials.account(
            transaction, payment.business_id, payment.gateway, payment.env
        )

    async def _reread(self, transaction: Transaction, payment: Payment) -> Payment:
        return await store.payment_by_id(
            transaction, business_id=payment.business_id, payment_id=payment.payment_id
        )


def _gateway_key(payment: Payment) -> str:
    """Return the gateway's idempotency key of a capture, constant for a call and its resend.

    Stripe replays a 500 for the life of a key, so a later call has another one.
    """
    return f"{payment.gateway_key}/capture/{payment.closing_minor}/{payment.checks}"


async def _check_not_stopped(transaction: Transaction, payment: Payment) -> None:
    found = await users_store.barriers(transaction, payment.business_id, payment.user_id)
    if found.stops.refuse_capture(payment.gateway):
        raise payments_stopped()


def _amount_minor(request: ClosingRequest, payment: Payment) -> int | None:
    """Return the amount to capture; None for a void.

    Raises:
        InvalidFields: it names another currency than the payment's, or has too many decimals.
    """
    if request.closing != CAPTURE:
        return None
    money = request.money
    if money is None:
        return payment.requested_minor
    if money.currency_code and money.currency_code.lower() != payment.currency:
        raise InvalidFields.of(
            "amount.currency_code", f"must be the payment's currency, {payment.currency}"
        )
    return amount_from_message(money, payment.currency).minor
