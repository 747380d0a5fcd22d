"""Decides whether a request is a retry of an earlier charge, and what it does then.

With a key, the record names the payment, and any request with the key is a retry. Without a key,
equal requests have the same kind, business, user, env, amount, currency, gateway, description,
metadata and `capture`.
A request that names no env or gateway equals one that resolved it to another value before the
default moved.
A caller that got no response can retry without being charged twice, while two callers that both
wait make two charges:

    state        event                                        next state
    -            request                                      awaited
    awaited      equal request                                awaited; the request is a new charge
    awaited      equal request on a core that has not seen    awaited; the request waits
                 the lease renewed
    awaited      its callers left                             joinable
    joinable     equal request                                joinable; the request joins or waits
    awaited or   outcome unknown, not sent, or core died      open
    joinable     charged or authorized                        responding
                 any other outcome                            closed
    open         equal request                                joinable; the request resumes it
    open         equal request; never sent, and too old or    closed; the request is a new charge
                 card replaced
    responding   equal request on the core that charged it    responding; the request waits, or
                                                              joins if its callers left
    responding   equal request on any other core, or on one   responding; the request waits
                 that returns an earlier success
    responding   a caller received the response               closed
    responding   no caller received it, or core died          unanswered
    unanswered   equal request                                responding; the request gets it
    unanswered   30 minutes passed, or voided, refunded or    closed
                 disputed
    closed       equal request                                closed; the request is a new charge

    state        columns of the payment
    awaited      attempt running, not joinable, lease live
    joinable     attempt running, joinable, lease live
    open         attempt unknown or not_sent, or running with an expired lease
    responding   succeeded or authorized, not answered, lease_owner is the responding core
    unanswered   succeeded or authorized, not answered
    closed       any other

A request that is a new charge tries the next equal payment first. One that waited for a joinable
charge also gets its success if another retry received it first.
"""

import enum
from collections.abc import Set
from dataclasses import replace
from datetime import datetime, timedelta

from core.business.store import business_by_id
from core.caller import Caller
from core.database.transactions import Transaction
from core.money import Amount
from core.payments import delivery_store, store
from core.payments.charge_request import ChargeRequest
from core.payments.event_rules import HELD_OR_CHARGED
from core.payments.in_flight import Attempt
from core.payments.store import Payment

UNANSWERED_LIFE = timedelta(minutes=30)
"""How long an unanswered success is returned to an equal request without a key."""
RESOLVED_BEFORE = timedelta(seconds=30)
"""Longest time between a request's authentication, which reads the default environment, and its
payment: more than the 25 s for which the adapter waits."""


class RetryStep(enum.Enum):
    """What a request does about an earlier payment."""

    NEW_CHARGE = enum.auto()
    JOIN = enum.auto()
    """Wait for this core's attempt and get its result."""
    WAIT = enum.auto()
    """Wait for another core, or for what becomes of a response, then decide again."""
    RESUME = enum.auto()
    RETURN_SUCCESS = enum.auto()
    REFUSE = enum.auto()
    """Return that the outcome could not be determined."""


def retry_step(
    payment: Payment,
    *,
    is_keyed: bool,
    attempt_here: Attempt | None,
    is_leased_elsewhere: bool,
    is_lease_renewed: bool,
    is_response_in_flight: bool,
) -> RetryStep:
    """Return what a request does about an earlier payment.

    payment                                             without key        with key
    runs here, joinable                                 JOIN               JOIN
    charged here, response in flight                    WAIT               JOIN
    runs here, or a caller has the response             NEW_CHARGE         JOIN
    charged or authorized, response in flight           WAIT               RETURN_SUCCESS
    charged or authorized, else                         RETURN_SUCCESS     RETURN_SUCCESS
    any other outcome, which its key does not have      -                  REFUSE
    runs elsewhere, joinable or lease not renewed       WAIT               WAIT
    runs elsewhere, else                                NEW_CHARGE         WAIT
    runs nowhere                                        RESUME             RESUME

    `is_lease_renewed` counts from when this request first saw the lease: an unrenewed one may be of
    a dead core.
    """
    if attempt_here:  # checked first: its response may be in flight
        if is_keyed or attempt_here.is_joinable:
            return RetryStep.JOIN
        return RetryStep.WAIT if attempt_here.is_responding else RetryStep.NEW_CHARGE
    if payment.status in HELD_OR_CHARGED:
        must_wait = is_response_in_flight and not is_keyed
        return RetryStep.WAIT if must_wait else RetryStep.RETURN_SUCCESS
    if payment.status != "pending":
        return RetryStep.REFUSE
    if is_leased_elsewhere:
        is_retry = is_keyed or payment.joinable or not is_lease_renewed
        return RetryStep.WAIT if is_retry else RetryStep.NEW_CHARGE
    return RetryStep.RESUME


async def find_retried_payments(
    transaction: Transaction,
    caller: Caller,
    request: ChargeRequest,
    amount: Amount,
    *,
    claimed: str | None,
    waited_for: Set[str],
) -> list[Payment]:
    """Return and lock the payments that the request may be a retry of.

    `claimed` is the payment of the request's key, which no longer counts if it failed.
    `waited_for` are the payments whose attempts on other cores the request waited for.
    """
    if not request.is_keyed:
        unanswered = await delivery_store.unanswered_payments(
            transaction,
            business_id=caller.business_id,
            user_id=request.user_id,
            env=None if request.is_env_default else request.env,
            kind=request.kind,
            amount_minor=amount.minor,
            currency=amount.currency,
            gateway=request.gateway,
            description=request.description,
            is_captured=request.is_captured,
            metadata=request.metadata,
            succeeded_since=transaction.now - UNANSWERED_LIFE,
        )
        unanswered = await _in_resolved_env(transaction, caller, request, unanswered)
        ended_ids = waited_for - {payment.payment_id for payment in unanswered}
        ended = [await _payment(transaction, caller, payment_id) for payment_id in ended_ids]
        joined = [
            each for each in ended if each.joinable and each.status in ("succeeded", "authorized")
        ]
        return [*joined, *unanswered]
    if claimed is None:
        return []
    payment = await _payment(transaction, caller, claimed)
    return [] if payment.status == "failed" else [payment]


async def resolved_as_first(
    transaction: Transaction, caller: Caller, request: ChargeRequest, claimed: str
) -> ChargeRequest:
    """Return a request with the environment and gateway of the payment that its key began.

    Its own defaults may have moved since.
    """
    first = await store.payment_by_id(
        transaction, business_id=caller.business_id, payment_id=claimed, lock=False
    )
    return replace(request, env=first.env, gateway=first.gateway)


async def _in_resolved_env(
    transaction: Transaction, caller: Caller, request: ChargeRequest, payments: list[Payment]
) -> list[Payment]:
    """Return the payments in the request's env, then those in the env that was the default before.

    If the default has not moved since a payment, a payment in another env was requested explicitly.
    """
    others = [payment for payment in payments if payment.env != request.env]
    if others:
        business = await business_by_id(transaction, caller.business_id)
        assert business is not None, "the caller's business exists"
        moved_at = business.updated_at  # at the latest
        others = [each for each in others if may_have_been_default(each.created_at, moved_at)]
    return [payment for payment in payments if payment.env == request.env] + others


def may_have_been_default(created_at: datetime, moved_at: datetime) -> bool:
    """Return whether another env may have been the default when a payment was requested.

    `moved_at` is when the default moved at the latest.
    """
    return created_at <= moved_at + RESOLVED_BEFORE


async def _payment(transaction: Transaction, caller: Caller, payment_id: str) -> Payment:
    return await store.payment_by_id(
        transaction, business_id=caller.business_id, payment_id=payment_id
    )
