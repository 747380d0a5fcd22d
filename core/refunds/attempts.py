"""Attempts of refunds: calls the gateway without an open transaction, and commits the outcome.

A refund has three phases: reserve it, call the gateway, commit the outcome. No transaction is open
during the call. States of an attempt (`refunds.attempt`):

    state      event                                          next state
    -          new refund reserved                            running
    running    the gateway has it, or shows it                NULL, status is what the gateway says
    running    the gateway refuses it, or it was not sent     NULL, failed
    running    the payment is not settled (Authorize.Net)     unsettled, looked at up to hourly
    running    outcome unknown                                unknown, looked at in 5 s to 1 hour
    running    lease expired as its core died; the same       running, resumed
               request, or a look
    unknown    the same request, or a look                    running, resumed
    unknown    a look, and the gateway's lists cannot show    unknown, set aside for an operator
               it any more (Authorize.Net after 8 hours)
    unsettled  a look                                         running, sent for the first time
    any        a gateway event about it                       NULL, status is what the gateway says
    any but a  an operator decides (core.refunds.decisions)   NULL, succeeded or failed
    live lease

What a reservation takes counts as refunded until it fails. Locks are taken in the order of a
charge: the recurring job, the payment's idempotency record, the payment; then the refund's record,
which an event about the payment also writes with the payment locked, the refund, and the wallet.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count
from typing import Final

from core.credentials.service import CredentialsService
from core.database.transactions import (
    CommitUnknownError,
    Database,
    DatabaseUnavailableError,
    Transaction,
)
from core.due_work.rules import Key, PermanentError
from core.errors import Refusal
from core.gateways.events import Fact
from core.gateways.gateway import (
    Account,
    Gateway,
    GatewayError,
    GatewayRefund,
    RefundOutcome,
    RefundRefused,
    Unknown,
    Unsettled,
)
from core.idempotency.call import Answer, IdempotentCall
from core.idempotency.service import Idempotency
from core.ids import new_request_id
from core.metadata import metadata_of
from core.money import Amount
from core.payments import event_store
from core.payments import rules as payment_rules
from core.payments.attempts import LEASE
from core.payments.rules import ResumeStep
from core.payments.store import Payment
from core.payments.transitions import Transitions
from core.refunds import rules, store
from core.refunds.messages import answer_of
from core.refunds.store import Refund

logger = logging.getLogger("core.refunds")

WRITE_SECONDS: Final = 60.0
"""How long the write of an outcome is retried."""


@dataclass(frozen=True, slots=True)
class StartedRefund:
    """An attempt that is committed as running, to be run."""

    refund: Refund
    payment: Payment
    account: Account = field(repr=False)
    began_at: datetime
    is_resumed: bool = False
    """Whether an earlier attempt may have made the refund."""
    step: ResumeStep = ResumeStep.SEND
    was_unsettled: bool = False
    """Whether it waited for the payment to settle, so that only a void may have been sent."""
    is_last_check: bool = False
    """Whether the gateway's lists cannot show the refund after this look."""

    @property
    def payment_key(self) -> Key:
        """The refunded payment's key."""
        return self.payment.business_id, self.payment.payment_id


class Attempts:
    """The attempts of one core, which renews their leases."""

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
        self._credentials = credentials
        self._gateways = gateways
        self._idempotency = idempotency
        self._transitions = transitions
        self._policies = payment_rules.resume_policies(settle_time)
        self._core_id = new_request_id()
        self._attempts = count(1)
        self._in_flight: dict[Key, str] = {}
        """The refunds that this core runs an attempt of, and the attempt's owner of the lease."""

    def is_in_flight(self, refund: Refund) -> bool:
        """Return whether this core runs an attempt of the refund."""
        return (refund.business_id, refund.refund_id) in self._in_flight

    def is_running(self, refund: Refund, now: datetime) -> bool:
        """Return whether a core runs an attempt of the refund, by its lease."""
        is_leased = refund.leased_until is not None and refund.leased_until > now
        is_alive = not self._database.has_one_process or self._is_of_this_core(refund)
        return self.is_in_flight(refund) or (is_leased and is_alive)

    async def renew_leases(self) -> None:
        """Renew the leases of this core's attempts; called every RENEW_SECONDS."""
        if not self._in_flight:
            return
        async with self._database.transaction("refunds.renew_leases") as transaction:
            for key, owner in sorted(self._in_flight.items()):
                await store.renew_lease(transaction, key, owner, transaction.now + LEASE)

    def new_owner(self) -> str:
        """Return the owner of a new attempt's lease, so that an attempt knows its own."""
        return f"{self._core_id}/{next(self._attempts)}"

    async def account(self, transaction: Transaction, payment: Payment) -> Account:
        """Return the account that a payment was charged through.

        Raises:
            Refusal: CREDENTIALS_MISSING.
        """
        return await self._credentials.account(
            transaction, payment.business_id, payment.gateway, payment.env
        )

    async def resume(
        self, transaction: Transaction, refund: Refund, payment: Payment
    ) -> StartedRefund:
        """Lease an open attempt that no core runs.

        Raises:
            Refusal: CREDENTIALS_MISSING.
        """
        policy = self._policies[refund.gateway]
        account = await self.account(transaction, payment)
        is_new = refund.attempt == "unsettled"
        step, is_last_check = ResumeStep.SEND, False
        if not is_new:
            step = payment_rules.resume_step(
                policy,
                created_at=refund.first_sent_at,
                sent_at=refund.sent_at,
                now=transaction.now,
            )
            is_last_check = transaction.now - refund.first_sent_at > policy.review_after
        owner = self.new_owner()
        await store.lease_attempt(
            transaction,
            refund,
            owner,
            transaction.now + LEASE,
            is_sent=step is ResumeStep.SEND,
        )
        return StartedRefund(
            replace(refund, lease_owner=owner),
            payment,
            account,
            transaction.now,
            is_resumed=True,
            step=step,
            was_unsettled=is_new,
            is_last_check=is_last_check,
        )

    async def run(self, started: StartedRefund, call: IdempotentCall | None) -> Refund:
        """Refund at the gateway and commit the outcome, retrying while the database is away.

        Raises:
            Refusal: the refund was not made, or it is unknown whether it was.
            PermanentError: the same, to a look after which the gateway cannot tell it any more.
            Replay: another run has stored the answer to the call's key.
        """
        key = (started.refund.business_id, started.refund.refund_id)
        assert started.refund.lease_owner is not None, "a started attempt has a lease"
        self._in_flight[key] = started.refund.lease_owner
        try:
            return await self._call_and_commit(started, call)
        finally:
            del self._in_flight[key]

    async def _call_and_commit(self, started: StartedRefund, call: IdempotentCall | None) -> Refund:
        outcome = await self._call_gateway(started)
        refund_id = started.refund.refund_id
        clock = asyncio.get_running_loop().time
        deadline, pause = clock() + WRITE_SECONDS, 0.05
        while True:
            try:
                async with (
                    self._transitions.turns.turn(*started.payment_key, is_end=True),
                    self._database.transaction("refunds.write_outcome") as transaction,
                ):
                    result, is_first = await self._write_outcome(transaction, started, outcome)
                break
            except (DatabaseUnavailableError, CommitUnknownError):
                if clock() >= deadline:
                    raise rules.outcome_unknown(refund_id) from None
                logger.warning(
                    "refund outcome not stored, retrying", extra={"refund_id": refund_id}
                )
            await asyncio.sleep(pause)
            pause = min(2 * pause, 2.0)
        if call is not None and not is_first:
            async with self._database.read() as transaction:
                await self._idempotency.replay_if_answered(transaction, call)
        shows_nothing = isinstance(outcome, Unknown) and outcome.shows_nothing
        if call is None and shows_nothing and started.is_last_check and is_first:
            raise PermanentError(
                "the gateway never told the outcome of this refund: look for the refund_id in its "
                "dashboard, then decide with nivisco refunds resolve"
            )
        if isinstance(result, Refusal):
            raise result
        return result

    async def _call_gateway(self, started: StartedRefund) -> RefundOutcome:
        refund = gateway_refund(
            started.refund,
            started.payment,
            is_resumed=started.is_resumed,
            was_unsettled=started.was_unsettled,
        )
        gateway = self._gateways[started.refund.gateway]
        try:
            if started.step is ResumeStep.SEND:
                outcome = await gateway.refund(started.account, refund)
            else:
                outcome = await self._look_up(gateway, started, refund)
        except GatewayError as error:
            outcome = Unknown(error.message)
        except Exception:
            # A bug of ours leaves the outcome of the refund unknown.
            logger.exception("refund interrupted", extra={"refund_id": refund.refund_id})
            outcome = Unknown("the refund was interrupted")
        logger.info(
            "refund",
            extra={"refund_id": refund.refund_id, "outcome": type(outcome).__name__.lower()},
        )
        return outcome

    async def _look_up(
        self, gateway: Gateway, started: StartedRefund, refund: GatewayRefund
    ) -> RefundOutcome:
        """Look a refund up; send it again if it was not found and the step allows it.

        Stripe lists all refunds of a payment, so that one it does not show a day after it was sent
        was never made.
        """
        if found := await gateway.look_up_refund(started.account, refund):
            return found
        if started.step is ResumeStep.LOOK_UP_AND_SEND:
            async with self._database.transaction("refunds.record_resend") as transaction:
                current = await store.refund_by_id(
                    transaction, started.refund.business_id, refund.refund_id
                )
                if not _is_leased_to(current, started):
                    return Unknown("another core has the refund")
                await store.record_resend(transaction, current)
            logger.warning("refund resent", extra={"refund_id": refund.refund_id})
            return await gateway.refund(started.account, refund)
        if started.refund.gateway == "stripe":
            return RefundRefused(rules.NOT_MADE, "Stripe did not make the refund.")
        return Unknown("the gateway shows nothing of the refund", shows_nothing=True)

    async def _write_outcome(
        self, transaction: Transaction, started: StartedRefund, outcome: RefundOutcome
    ) -> tuple[Refund | Refusal, bool]:
        """Write an outcome, the payment's state, and the stored answer; once, if repeated.

        Returns the result, and whether this wrote it. What the gateway tells of the refund counts
        from any core; what it does not, from the one with the attempt's lease.
        """
        payment = await self._transitions.lock(transaction, started.payment)
        refund = await store.refund_by_id(
            transaction, payment.business_id, started.refund.refund_id
        )
        is_mine = _is_leased_to(refund, started)
        if isinstance(outcome, Fact):
            object_id = outcome.object_id or payment.transaction_id
            assert object_id is not None, "a refunded payment has a transaction"
            await store.set_gateway_id(transaction, refund, object_id)
            await event_store.insert_read(
                transaction,
                payment,
                outcome,
                began_at=started.began_at,
                refund_id=refund.refund_id,
            )
        elif is_mine:
            refused = outcome.payment_fact if isinstance(outcome, RefundRefused) else None
            if refused is not None:
                await event_store.insert_read(
                    transaction, payment, refused, began_at=started.began_at
                )
            update = rules.refund_update(
                outcome,
                checks=refund.checks,
                is_resumed=started.is_resumed,
                was_unsettled=started.was_unsettled,
            )
            await store.end_attempt(transaction, refund, update)
        if isinstance(outcome, Fact) or is_mine:
            await self._transitions.apply_refunds(transaction, payment)
        after = await store.refund_by_id(transaction, refund.business_id, refund.refund_id)
        result = _result(after, outcome, is_resumed=started.is_resumed)
        if is_mine and isinstance(outcome, RefundRefused | Unsettled):
            await self._store_answer(transaction, after, outcome)
        return result, is_mine

    async def _store_answer(
        self, transaction: Transaction, refund: Refund, outcome: RefundRefused | Unsettled
    ) -> None:
        """Store the answer to the refund's key: that it is refused, or waits to be sent."""
        if refund.idempotency_key is None:
            return
        answer = answer_of(refund)
        if isinstance(outcome, RefundRefused):
            refusal = rules.refused(refund.refund_id, outcome.code, outcome.message)
            answer = Answer.refusal(refusal)
        await self._idempotency.keep_for_payment(
            transaction,
            business_id=refund.business_id,
            idempotency_key=refund.idempotency_key,
            payment_id=refund.refund_id,
            answer=answer,
        )

    def _is_of_this_core(self, refund: Refund) -> bool:
        return (refund.lease_owner or "").startswith(f"{self._core_id}/")


def _result(refund: Refund, outcome: RefundOutcome, *, is_resumed: bool) -> Refund | Refusal:
    """Return the refund as the response, or the refusal of one that was not made or is unknown."""
    if refund.is_counted and refund.attempt in (None, "unsettled"):
        return refund
    if refund.attempt is not None:
        return rules.outcome_unknown(refund.refund_id)
    match outcome:
        case Fact():
            code = refund.failure_code or "unknown"
            message = "The gateway did not make the refund, or could not deliver it."
            return rules.refused(refund.refund_id, code, message)
        case Unsettled():
            raise AssertionError("a refund that waits is no refusal")
        case _:
            return rules.refusal_of(outcome, refund.refund_id, is_resumed=is_resumed)


def _is_leased_to(refund: Refund, started: StartedRefund) -> bool:
    """Return whether an attempt still has the lease of its refund."""
    return refund.attempt == "running" and refund.lease_owner == started.refund.lease_owner


def gateway_refund(
    refund: Refund, payment: Payment, *, is_resumed: bool, was_unsettled: bool = False
) -> GatewayRefund:
    """Return a refund as its gateway is asked for it; see `StartedRefund` for the two flags."""
    assert payment.transaction_id is not None, "a charged payment has the gateway's id"
    return GatewayRefund(
        refund_id=refund.refund_id,
        gateway_key=refund.gateway_key,
        payment_id=refund.payment_id,
        transaction_id=payment.transaction_id,
        customer_id=payment.customer_id,
        amount=Amount(refund.amount_minor, refund.currency),
        is_whole=refund.is_whole,
        reason=refund.reason,
        metadata=metadata_of(refund.metadata),
        created_at=refund.created_at,
        may_have_been_sent=is_resumed,
        is_resent=is_resumed and not was_unsettled,
    )
