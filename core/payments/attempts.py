"""Carries out attempts to charge: submits them, writes what became of them, keeps their leases.

The gateway is never called with a transaction open, and what is not known is never called failed.
An attempt belongs to the core whose lease is in the payment's row. A core that dies renews none,
and another one takes the attempt over, under the same gateway key.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from core.caller import Presence, current_presence
from core.database.transactions import (
    CommitUnknownError,
    Database,
    DatabaseUnavailableError,
    Transaction,
)
from core.errors import Refusal
from core.gateways.gateway import (
    Account,
    ChargeOrder,
    ChargeOutcome,
    Gateway,
    GatewayError,
    HeldForReview,
    Succeeded,
    Unknown,
)
from core.idempotency.service import Idempotency
from core.ids import new_request_id
from core.money import Amount
from core.payments import rules, store
from core.payments.event_rules import CHARGED
from core.payments.funding import charge_result_of
from core.payments.gateway_events import apply_gateway_events
from core.payments.in_flight import (
    Attempt,
    ChargeResult,
    InFlightAttempts,
    PaymentKey,
)
from core.payments.outcomes import write_outcome
from core.payments.rules import ResumeStep
from core.payments.store import Lease, Payment

logger = logging.getLogger("core.payments")

LEASE = timedelta(seconds=6)
"""How long an attempt is its core's without a sign of life."""
RENEW_SECONDS = 1.0
WRITE_SECONDS = 60.0
"""How long to go on trying to write an outcome down."""


@dataclass(frozen=True, slots=True)
class StartedAttempt:
    """A payment whose row is committed, and what its attempt needs."""

    payment: Payment
    account: Account = field(repr=False)
    attempt: Attempt
    may_have_charged: bool
    """Whether an earlier attempt was sent and nobody knows what became of it."""
    way: ResumeStep = ResumeStep.SEND

    @property
    def key(self) -> PaymentKey:
        """The payment's key among those under way."""
        return (self.payment.business_id, self.payment.payment_id)


class Attempts:
    """The attempts of this core."""

    def __init__(
        self,
        database: Database,
        gateways: Mapping[str, Gateway],
        idempotency: Idempotency,
        resuming: Mapping[str, rules.Resuming],
    ) -> None:
        """Keep payments in `database` and charge through the `gateways`, by their words.

        `resuming` says how each gateway's charges are taken up again.
        """
        self._resuming = resuming
        self._database = database
        self._gateways = gateways
        self._idempotency = idempotency
        self._core_id = new_request_id()
        self._in_flight = InFlightAttempts()
        self._telling: set[asyncio.Task[None]] = set()

    def in_flight_on(self, payment: Payment) -> Attempt | None:
        """Return the attempt of this core on a payment, or None."""
        return self._in_flight.get((payment.business_id, payment.payment_id))

    def is_held_elsewhere(self, payment: Payment, now: datetime) -> bool:
        """Tell whether another core works on the payment, as far as its lease says."""
        return (
            payment.lease is not None
            and payment.lease.owner != self._core_id
            and payment.lease.until > now
            and not self._database.has_one_process  # then every other owner is dead
        )

    def lease_from(self, now: datetime) -> Lease:
        """Return the lease of an attempt that this core begins."""
        return Lease(self._core_id, now + LEASE)

    def begin(
        self,
        payment: Payment,
        account: Account,
        *,
        may_have_charged: bool,
        resumed: bool,
        way: ResumeStep = ResumeStep.SEND,
    ) -> StartedAttempt:
        """Note that this core works on a payment from now on, for the running call's caller."""
        key = (payment.business_id, payment.payment_id)
        attempt = self._in_flight.begin(key, current_presence(), resumed=resumed)
        return StartedAttempt(payment, account, attempt, may_have_charged, way)

    async def take_over(
        self, transaction: Transaction, payment: Payment, account: Account
    ) -> StartedAttempt:
        """Take over an attempt that nobody works on; one that was surely not sent is sent."""
        may_have_charged = payment.attempt != "not_sent"
        way = ResumeStep.SEND
        if may_have_charged:
            way = rules.resume_step(
                self._resuming[payment.gateway],
                created_at=payment.created_at,
                sent_at=payment.sent_at,
                now=transaction.now,
            )
        lease = self.lease_from(transaction.now)
        await store.take_attempt(transaction, payment, lease, is_sent=way is ResumeStep.SEND)
        return self.begin(
            payment, account, may_have_charged=may_have_charged, resumed=True, way=way
        )

    def is_too_old_to_send(self, payment: Payment, now: datetime) -> bool:
        """Tell whether a payment's order must not go to its gateway any more."""
        return rules.is_too_old_to_send(self._resuming[payment.gateway], payment.created_at, now)

    def give_up(self, begun: StartedAttempt, error: BaseException) -> None:
        """Note that the attempt's row did not commit, or may not have."""
        self._in_flight.end(begun.key, error)

    async def carry_out(self, begun: StartedAttempt) -> ChargeResult:
        """Submit the charge and write the outcome; those who joined are told too.

        Raises:
            Refusal: the charge did not succeed, or its outcome is not known.
        """
        payment = begun.payment
        result: ChargeResult | BaseException
        try:
            outcome = await self._submit(begun)
            charged = await self._write(begun, outcome)
            retry_seconds = self._resuming[payment.gateway].retry_seconds
            result = charged or rules.refusal_of(outcome, payment.payment_id, retry_seconds)
        except BaseException as error:  # noqa: BLE001 - those who joined must not wait for ever
            result = error
        if isinstance(result, BaseException):
            self._in_flight.end(begun.key, result)
            raise result
        self._in_flight.resolve(begun.key, result)
        if payment.idempotency_key is None:
            self.tell(payment, begun.attempt.waiting, partial(self._in_flight.forget, begun.key))
        else:
            self._in_flight.forget(begun.key)
        return result

    def tell(
        self,
        payment: Payment,
        waiting: Sequence[Presence],
        then: Callable[[], None] = lambda: None,
    ) -> None:
        """Have it remembered that a caller was told of a charge, once the answer is sent.

        From then on an equal request without a key is another charge. Not earlier: who was told
        of nothing and asks again must not be charged again.
        """
        telling = asyncio.create_task(self._note_told(payment, waiting))
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)
        telling.add_done_callback(lambda _: then())

    async def drain(self, timeout_seconds: float) -> None:
        """Wait until what callers were told is noted."""
        if self._telling:
            await asyncio.wait(set(self._telling), timeout=timeout_seconds)

    def is_being_answered(self, payment: Payment, now: datetime) -> bool:
        """Tell whether some core is telling a caller of the payment just now, if it lives."""
        mine_or_alive = (
            payment.answering_core == self._core_id or not self._database.has_one_process
        )
        return (
            payment.answering_core is not None
            and mine_or_alive
            and payment.updated_at > now - LEASE
        )

    async def take_answering(self, transaction: Transaction, payment: Payment) -> None:
        """Note that this core is telling a caller of the payment."""
        await store.take_answering(transaction, payment, self._core_id)

    async def _note_told(self, payment: Payment, waiting: Sequence[Presence]) -> None:
        is_told = False
        for presence in waiting:  # others may join meanwhile
            await presence.ended()
            is_told = is_told or presence.is_answered
            if is_told:
                break
        try:
            await self._set_answered(payment, answered=is_told)
        except (DatabaseUnavailableError, CommitUnknownError):
            logger.warning("not noted as told", extra={"payment_id": payment.payment_id})

    async def renew_leases(self) -> None:
        """Say of every attempt of this core that it lives, and whether its callers still wait."""
        attempts = self._in_flight.all()
        if not attempts:
            return
        async with self._database.transaction("payments.renew_leases") as transaction:
            lease = self.lease_from(transaction.now)
            for joinable in (False, True):
                keys = [key for key, attempt in attempts.items() if attempt.is_joinable == joinable]
                await store.renew_leases(transaction, keys, lease, joinable=joinable)

    async def _set_answered(self, payment: Payment, *, answered: bool) -> None:
        async with self._database.transaction("payments.set_answered") as transaction:
            await store.set_answered(transaction, payment, answered=answered)

    async def _submit(self, begun: StartedAttempt) -> ChargeOutcome:
        payment = begun.payment
        order = ChargeOrder(
            payment_id=payment.payment_id,
            gateway_key=payment.gateway_key,
            amount=Amount(payment.amount_minor, payment.currency),
            customer_id=payment.customer_id,
            gateway_card_id=payment.gateway_card_id,
            description=payment.description,
        )
        gateway = self._gateways[payment.gateway]
        try:
            if begun.way is ResumeStep.SEND:
                outcome = await gateway.charge(begun.account, order)
            else:
                outcome = await self._look_up(gateway, begun, order)
        except GatewayError as error:
            outcome = Unknown(error.message)
        except Exception:
            # A fault of ours in the middle of a charge says nothing about the charge.
            logger.exception("charge interrupted", extra={"payment_id": payment.payment_id})
            outcome = Unknown("the charge was interrupted")
        if begun.may_have_charged:
            outcome = rules.of_resumed(outcome)
        logger.info(
            "charge",
            extra={"payment_id": payment.payment_id, "outcome": type(outcome).__name__.lower()},
        )
        return outcome

    async def _look_up(
        self, gateway: Gateway, begun: StartedAttempt, order: ChargeOrder
    ) -> ChargeOutcome:
        """Find out what became of an order, and send it again where nothing did and it is time."""
        if found := await gateway.look_up_charge(begun.account, order):
            return found
        if begun.way is not ResumeStep.LOOK_UP_AND_SEND or not await self._note_sent(begun):
            return Unknown("the gateway shows nothing of the charge", shows_nothing=True)
        logger.warning("charge sent again", extra={"payment_id": order.payment_id})
        outcome = await gateway.charge(begun.account, order)
        if isinstance(outcome, Succeeded | HeldForReview):
            # Should the first one arrive now after all, the look-up adopts it and voids this one.
            outcome = await gateway.look_up_charge(begun.account, order) or outcome
        return outcome

    async def _note_sent(self, begun: StartedAttempt) -> bool:
        """Commit that the order goes out again; False: it must not, or that is not certain."""
        try:
            async with self._database.transaction("payments.note_sent") as transaction:
                if self.is_too_old_to_send(begun.payment, transaction.now):
                    return False
                return await store.note_sent(transaction, begun.payment, self._core_id)
        except (DatabaseUnavailableError, CommitUnknownError):
            return False

    async def _write(self, begun: StartedAttempt, outcome: ChargeOutcome) -> ChargeResult | None:
        """Commit the outcome, trying again for as long as the database is away.

        Raises:
            Refusal: OUTCOME_UNKNOWN where it stays away. The row stays pending, and the same
                request finds the charge under its gateway key.
        """
        clock = asyncio.get_running_loop().time
        give_up = clock() + WRITE_SECONDS
        pause = 0.05
        payment_id = begun.payment.payment_id
        while True:
            try:
                async with self._database.transaction("payments.write_outcome") as transaction:
                    return await self._finish(transaction, begun, outcome)
            except (DatabaseUnavailableError, CommitUnknownError):
                logger.warning("outcome not stored yet", extra={"payment_id": payment_id})
                if clock() >= give_up:
                    raise rules.outcome_unknown(payment_id) from None
            except Refusal:
                raise
            except Exception:
                logger.exception("outcome not stored", extra={"payment_id": payment_id})
                raise rules.outcome_unknown(payment_id) from None
            await asyncio.sleep(pause)
            pause = min(2 * pause, 2.0)

    async def _finish(
        self, transaction: Transaction, begun: StartedAttempt, outcome: ChargeOutcome
    ) -> ChargeResult | None:
        """Write the outcome, the wallet's credit and the kept answer; once, however often tried.

        A core whose lease ran out meanwhile has no say any more, but for what the gateway said.
        The record is held before the payment, as the call does that begins or joins it.
        """
        idempotency_key = begun.payment.idempotency_key
        if idempotency_key is not None:
            await self._idempotency.lock(transaction, begun.payment.business_id, idempotency_key)
        payment = await store.payment_by_id(
            transaction,
            business_id=begun.payment.business_id,
            payment_id=begun.payment.payment_id,
        )
        review_after = self._resuming[payment.gateway].review_after
        is_last_look = transaction.now - payment.created_at > review_after
        settled = rules.settle(outcome, checks=payment.checks, is_last_look=is_last_look)
        is_ours = payment.lease is not None and payment.lease.owner == self._core_id
        if not (is_ours or (payment.status == "pending" and rules.is_proof(outcome))):
            if payment.status in CHARGED or settled.is_success:
                return await charge_result_of(transaction, payment)
            if not rules.is_proof(outcome):  # who took the attempt over may charge yet
                raise rules.outcome_unknown(payment.payment_id)
            return None
        is_to_be_told = settled.is_success and idempotency_key is None
        written, charged = await write_outcome(
            transaction,
            self._idempotency,
            payment,
            outcome,
            settled,
            answering_core=self._core_id if is_to_be_told else None,
        )
        followed = await apply_gateway_events(transaction, self._idempotency, written)
        # What is proved was kept for the key's next call, so this one is told the same.
        return charged if rules.is_proof(outcome) else followed
