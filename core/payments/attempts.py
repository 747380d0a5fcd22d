"""Runs the attempts of charges: calls the gateway, writes the outcome, renews leases.

No transaction is open during a gateway call, and an unknown outcome is never taken for a failure.
The core with the lease owns an attempt. States of an attempt (`payments.attempt`):

    state           event                                        next state
    -               new payment committed                        running
    running         lease renewed, every second                  running
    running         charged, authorized, declined,               NULL, status is the outcome
                    authentication required, or held for review
    running         gateway refused the call                     NULL, failed
    running         certainly not sent                           not_sent, check in 15 minutes
    running         outcome unknown                              unknown, check in 5 s to 1 hour
    running         a look-up decided nothing or was refused,    NULL, needs_review
                    and the payment is older than the
                    gateway's `review_after`
    running         lease expired as its core died; equal        running, resumed
                    request or sweep
    running         the same, but gateway keys missing           as unknown
    unknown         equal request, or the sweep's check          running, resumed
    unknown         sweep's check, gateway keys missing          unknown, check later; or NULL,
                                                                 needs_review as above
    not_sent        equal request                                running, sent for the first time
    not_sent        equal request, too old or card replaced      NULL, failed
    not_sent        sweep's check                                NULL, failed
    unknown,        gateway event with an outcome                NULL, status is the outcome
    not_sent, or
    lease expired
    unknown or      gateway event without an outcome             unknown, check now
    not_sent
    NULL, never     charged, shown to a core whose attempt       NULL, succeeded
    charged         another one ended

A resumed attempt uses the same gateway key. Unless it was not_sent before, a refusal or a failed
connection leaves its outcome unknown, as the earlier call may have charged. While its user or
business is suspended, or an operator has stopped payments at its gateway, it is looked up and not
sent: it stays open if the gateway shows nothing.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from core.caller import current_presence
from core.database.transactions import (
    CommitUnknownError,
    Database,
    DatabaseUnavailableError,
    Transaction,
)
from core.errors import Refusal
from core.gateways.gateway import (
    Account,
    Authorized,
    ChargeOutcome,
    Gateway,
    GatewayCharge,
    GatewayError,
    HeldForReview,
    Succeeded,
    Unknown,
)
from core.payments import attempt_store, rules, store
from core.payments.charge_request import gateway_charge
from core.payments.delivery import Deliveries
from core.payments.event_rules import HELD_OR_CHARGED
from core.payments.funding import charge_result_of
from core.payments.in_flight import Attempt, ChargeResult, InFlightAttempts
from core.payments.rules import PaymentUpdate, ResumeStep
from core.payments.store import Lease, Payment, PaymentKey
from core.payments.transitions import Transitions
from core.users import store as users_store

logger = logging.getLogger("core.payments")

LEASE = timedelta(seconds=6)
"""Life of a lease that is not renewed."""
RENEW_SECONDS = 1.0
WRITE_SECONDS = 60.0
"""How long the write of an outcome is retried."""


@dataclass(frozen=True, slots=True)
class StartedAttempt:
    """An attempt whose payment is committed as running, to be run."""

    payment: Payment
    account: Account = field(repr=False)
    attempt: Attempt
    may_have_charged: bool
    """Whether the charge may have been sent before."""
    step: ResumeStep = ResumeStep.SEND

    @property
    def key(self) -> PaymentKey:
        """The payment's key among the attempts in flight."""
        return (self.payment.business_id, self.payment.payment_id)


class Attempts:
    """The attempts of this core."""

    def __init__(
        self,
        database: Database,
        gateways: Mapping[str, Gateway],
        transitions: Transitions,
        policies: Mapping[str, rules.ResumePolicy],
        deliveries: Deliveries,
        core_id: str,
    ) -> None:
        """Charge through `gateways` and resume by `policies`, both by the gateway's name.

        `deliveries` records who received a success without a key.
        """
        self._policies = policies
        self._database = database
        self._gateways = gateways
        self._transitions = transitions
        self._core_id = core_id
        self._in_flight = InFlightAttempts()
        self._deliveries = deliveries

    def in_flight_on(self, payment: Payment) -> Attempt | None:
        """Return this core's attempt on a payment, or None."""
        return self._in_flight.get((payment.business_id, payment.payment_id))

    def is_leased_elsewhere(self, payment: Payment, now: datetime) -> bool:
        """Return whether another core has a live lease on the payment."""
        return (
            payment.lease is not None
            and payment.lease.owner != self._core_id
            and payment.lease.until > now
            and not self._database.has_one_process  # then every other owner is dead
        )

    def new_lease(self, now: datetime) -> Lease:
        """Return a lease of this core."""
        return Lease(self._core_id, now + LEASE)

    def start(
        self,
        payment: Payment,
        account: Account,
        *,
        may_have_charged: bool,
        resumed: bool,
        step: ResumeStep = ResumeStep.SEND,
    ) -> StartedAttempt:
        """Add an attempt in flight, with the running request's caller waiting for it."""
        key = (payment.business_id, payment.payment_id)
        attempt = self._in_flight.add(key, current_presence(), resumed=resumed)
        return StartedAttempt(payment, account, attempt, may_have_charged, step)

    async def resume(
        self, transaction: Transaction, payment: Payment, account: Account, *, may_send: bool
    ) -> StartedAttempt:
        """Lease and start an open attempt that no core runs.

        Without `may_send` it is only looked up what was charged.
        """
        may_have_charged = payment.attempt != "not_sent"
        step = ResumeStep.SEND
        if may_have_charged:
            step = rules.resume_step(
                self._policies[payment.gateway],
                created_at=payment.created_at,
                sent_at=payment.sent_at,
                now=transaction.now,
                may_send=may_send,
            )
        lease = self.new_lease(transaction.now)
        await attempt_store.lease_attempt(
            transaction, payment, lease, is_sent=step is ResumeStep.SEND
        )
        return self.start(
            payment, account, may_have_charged=may_have_charged, resumed=True, step=step
        )

    def is_too_old_to_send(self, payment: Payment, now: datetime) -> bool:
        """Return whether a payment's charge must not be sent to its gateway any more."""
        return rules.is_too_old_to_send(self._policies[payment.gateway], payment.created_at, now)

    def abandon(self, started: StartedAttempt, error: BaseException) -> None:
        """Remove an attempt whose transaction did not commit, or may not have."""
        self._in_flight.fail(started.key, error)

    async def run(self, started: StartedAttempt) -> ChargeResult:
        """Charge and write the outcome; callers that joined get the same result or error.

        Raises:
            Refusal: the charge did not succeed, or its outcome is unknown.
        """
        payment = started.payment
        try:
            result = await self._charge_and_commit(started)
        except BaseException as error:
            self._in_flight.fail(started.key, error)
            raise
        self._in_flight.resolve(started.key, result)
        remove = partial(self._in_flight.remove, started.key)
        if payment.idempotency_key is None:
            self._deliveries.record(payment, started.attempt.waiting, then=remove)
        else:
            remove()
        return result

    async def renew_leases(self) -> None:
        """Renew the leases of this core's attempts, and store which of them are joinable."""
        attempts = self._in_flight.all()
        if not attempts:
            return
        async with self._database.transaction("payments.renew_leases") as transaction:
            lease = self.new_lease(transaction.now)
            joinable = {key: attempt.is_joinable for key, attempt in attempts.items()}
            await attempt_store.renew_leases(transaction, joinable, lease)

    async def _charge_and_commit(self, started: StartedAttempt) -> ChargeResult:
        payment = started.payment
        outcome = await self._charge(started)
        result = await self._commit_outcome(started, outcome)
        if result is None:
            retry_seconds = self._policies[payment.gateway].retry_seconds
            raise rules.refusal_of(outcome, payment.payment_id, retry_seconds)
        return result

    async def _charge(self, started: StartedAttempt) -> ChargeOutcome:
        payment = started.payment
        charge = gateway_charge(payment)
        gateway = self._gateways[payment.gateway]
        try:
            if started.step is ResumeStep.SEND:
                outcome = await gateway.charge(started.account, charge)
            else:
                outcome = await self._look_up(gateway, started, charge)
        except GatewayError as error:
            outcome = Unknown(error.message, shows_nothing=error.is_permanent)
        except Exception:
            # A bug of ours leaves the outcome of the charge unknown.
            logger.exception("charge interrupted", extra={"payment_id": payment.payment_id})
            outcome = Unknown("the charge was interrupted")
        if started.may_have_charged:
            outcome = rules.resumed_outcome(outcome)
        logger.info(
            "charge",
            extra={"payment_id": payment.payment_id, "outcome": type(outcome).__name__.lower()},
        )
        return outcome

    async def _look_up(
        self, gateway: Gateway, started: StartedAttempt, charge: GatewayCharge
    ) -> ChargeOutcome:
        """Look the charge up; resend it if it was not found and the step allows it."""
        if found := await gateway.look_up_charge(started.account, charge):
            return replace(found, shows_nothing=True) if isinstance(found, Unknown) else found
        may_resend = started.step is ResumeStep.LOOK_UP_AND_SEND
        if not may_resend or not await self._record_resend(started):
            return Unknown("the gateway shows nothing of the charge", shows_nothing=True)
        logger.warning("charge resent", extra={"payment_id": charge.payment_id})
        outcome = await gateway.charge(started.account, charge)
        if isinstance(outcome, Succeeded | Authorized | HeldForReview):
            # If the first one arrives only now, the look-up adopts it and voids this one.
            outcome = await gateway.look_up_charge(started.account, charge) or outcome
        return outcome

    async def _record_resend(self, started: StartedAttempt) -> bool:
        """Commit that the charge is sent again, and return whether it may be, for certain."""
        try:
            async with self._database.transaction("payments.record_resend") as transaction:
                if self.is_too_old_to_send(started.payment, transaction.now):
                    return False
                if await is_barred(transaction, started.payment):
                    return False
                return await attempt_store.record_resend(
                    transaction, started.payment, self._core_id
                )
        except (DatabaseUnavailableError, CommitUnknownError):
            return False

    async def end_without_keys(self, payment: Payment) -> None:
        """Put off an open attempt whose gateway cannot be asked, or set it to needs_review."""
        async with self._database.transaction("payments.without_keys") as transaction:
            payment = await self._transitions.lock(transaction, payment)
            is_running = payment.lease is not None and payment.lease.until > transaction.now
            if payment.status == "pending" and not is_running:
                outcome = Unknown("no keys are stored for the gateway", shows_nothing=True)
                update = self._update_of(payment, outcome, transaction.now)
                await self._transitions.write_outcome(transaction, payment, outcome, update)

    def _update_of(self, payment: Payment, outcome: ChargeOutcome, now: datetime) -> PaymentUpdate:
        """Return the state of a payment after an attempt with this outcome."""
        review_after = self._policies[payment.gateway].review_after
        is_last_check = now - payment.created_at > review_after
        return rules.payment_update(outcome, checks=payment.checks, is_last_check=is_last_check)

    async def _commit_outcome(
        self, started: StartedAttempt, outcome: ChargeOutcome
    ) -> ChargeResult | None:
        """Commit the outcome, retrying while the database is unavailable.

        Raises:
            Refusal: OUTCOME_UNKNOWN if it stays unavailable. The row stays pending, and the same
                request finds the charge under its gateway key.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + WRITE_SECONDS
        pause = 0.05
        payment_id = started.payment.payment_id
        while True:
            try:
                async with self._database.transaction("payments.write_outcome") as transaction:
                    return await self._write_outcome(transaction, started, outcome)
            except (DatabaseUnavailableError, CommitUnknownError):
                if clock() >= deadline:
                    logger.error(  # noqa: TRY400 - the database has logged why
                        "outcome not stored, left to the sweep", extra={"payment_id": payment_id}
                    )
                    raise rules.outcome_unknown(payment_id) from None
                logger.warning("outcome not stored, retrying", extra={"payment_id": payment_id})
            except Refusal:
                raise
            except Exception as error:
                logger.exception("outcome not stored", extra={"payment_id": payment_id})
                # The cause tells the sweep that this payment needs more than another try.
                raise rules.outcome_unknown(payment_id) from error
            await asyncio.sleep(pause)
            pause = min(2 * pause, 2.0)

    async def _write_outcome(
        self, transaction: Transaction, started: StartedAttempt, outcome: ChargeOutcome
    ) -> ChargeResult | None:
        """Write the outcome, the wallet's credit and the stored answer; once, if repeated.

        A core whose lease was taken over writes only what the gateway decided, and over another
        outcome only a success, of a payment that had none.
        """
        update = self._update_of(started.payment, outcome, transaction.now)
        is_conclusive = rules.is_conclusive(outcome)
        written = await self._transitions.end_attempt(
            transaction, started.payment, outcome, update, owner=self._core_id
        )
        if written is None:  # the lease was taken over, or the outcome is written already
            payment = await self._transitions.lock(transaction, started.payment)
            update = self._update_of(payment, outcome, transaction.now)
            is_open = payment.status == "pending"
            is_late_success = (
                update.is_success
                and rules.may_still_succeed(payment.status)
                # One that was written before tells nothing new: later the gateway told more.
                and not await store.has_succeeded(transaction, payment)
            )
            if not ((is_open and is_conclusive) or is_late_success):
                if payment.status in HELD_OR_CHARGED or update.is_success:
                    return await charge_result_of(transaction, payment)
                if not is_conclusive:  # the core that took the attempt over may still charge
                    raise rules.outcome_unknown(payment.payment_id)
                return None
            written = await self._transitions.write_outcome(
                transaction, payment, outcome, update, core_id=self._core_id
            )
        payment, result = written
        payment = await self._transitions.apply_events(transaction, payment)
        if is_conclusive:  # it was stored as the key's answer, so this response is the same
            return result
        is_success = payment.status in HELD_OR_CHARGED
        return await charge_result_of(transaction, payment) if is_success else None


async def is_barred(transaction: Transaction, payment: Payment) -> bool:
    """Return whether a payment without an outcome must not be sent to its gateway now."""
    found = await users_store.barriers(transaction, payment.business_id, payment.user_id)
    return found.suspended is not None or found.stops.refuse_sending(payment.gateway)
