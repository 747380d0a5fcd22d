"""State machine of an occurrence: its table and the decisions. Pure.

| state             | event                                         | next state                  |
|-------------------|-----------------------------------------------|-----------------------------|
| (none)            | claim: due, and not skipped by `catch_up`     | open, attempt 1             |
| (none)            | claim: due, and skipped by `catch_up`         | (none), logged as skipped   |
| open              | claim: due again, or the lease expired        | open, new fencing token     |
| open              | payment succeeded, or wallet debited          | succeeded                   |
| open              | declined, and `rules.retry_at` allows a retry | open, attempt + 1, at retry |
| open              | declined otherwise                            | declined                    |
| open              | the customer must authenticate, or the        | open, logged; the payment   |
|                   | gateway holds the charge for review           | decides                     |
| open              | the same, but the next cycle is due           | requires_action             |
| open              | the payment needs review                      | failed                      |
| open, submitted   | outcome unknown                               | open, due at the next check |
| open, submitted   | job paused or cancelled                       | open: its outcome decides   |
| open, unsubmitted | job paused or cancelled                       | skipped                     |
| open, unsubmitted | a retry is due, but the next cycle is too     | skipped; while stopped, not |
|                   |                                               | counted as failed           |
| open, unsubmitted | refused as in `CORRECTABLE`, retry as above   | open, attempt + 1, at retry |
| open, unsubmitted | charge refused otherwise                      | failed                      |
| open, unsubmitted | gateway unavailable until next cycle is due   | failed                      |
| open, unsubmitted | gateway unavailable before that               | open, due at the next check |
| open, unsubmitted | stopped by an operator                        | open, due in 1 to 10 min    |
| open, unsubmitted | the same until the next cycle is due, and     | skipped                     |
|                   | `catch_up` is not `all`                       |                             |
| open, unsubmitted | payment of an earlier attempt succeeded       | succeeded, retry dropped    |
| ended, but not    | payment of one of its attempts succeeded      | succeeded: counted, logged, |
| succeeded         |                                               | failures reset              |
| open              | retry_recurring                               | open, leased: charged now   |
| the last, and in  | retry_recurring                               | open, attempt + 1, leased:  |
| `_FAILED`         |                                               | charged now; not counted    |
|                   |                                               | as failed any more          |

A job that paused itself has an open occurrence only after retry_recurring: it may charge that one.

Submitted: the attempt has a payment that may have reached the gateway.

`claims.py` carries out the claims, `before_charge` and `after_charge` decide the other transitions,
and `transitions.py` writes them, as `following.py` has it do when a payment changes.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from core.dunning import Dunning
from core.errors import Reason, Refusal
from core.payments.rules import needs_review
from core.payments.store import Payment
from core.recurring import rules
from core.recurring.rules import Outcome, Status
from core.recurring.store import PAUSED_BY_FAILURES, Job, Occurrence
from core.stops import RETRY_SECONDS

CHARGED_MESSAGE = "Charge completed"
_SUCCEEDED = frozenset(  # what follows a success does not change the cycle's outcome
    {"succeeded", "partially_refunded", "refunded", "disputed"}
)
_UNRESOLVED = frozenset(
    {
        Reason.ERROR_REASON_GATEWAY_UNAVAILABLE,
        Reason.ERROR_REASON_OUTCOME_UNKNOWN,
        Reason.ERROR_REASON_SERVICE_UNAVAILABLE,
    }
)
CORRECTABLE = frozenset(
    {
        Reason.ERROR_REASON_CARD_NOT_FOUND,
        Reason.ERROR_REASON_CREDENTIALS_MISSING,
        Reason.ERROR_REASON_USER_INACTIVE,
        # A revoked or restricted key, an account that is not activated, a card deleted at the
        # gateway. A refusal that is permanent, such as an amount below the gateway's minimum, has
        # the same reason; to retry it charges nothing either.
        Reason.ERROR_REASON_GATEWAY_REFUSED,
    }
)
"""Refusals after which nothing was charged, and whose cause the business or its user may correct:
the cycle is retried like a decline that may be temporary."""
_FAILED = frozenset({"declined", "failed", "requires_action"})
"""Statuses of an ended occurrence that failed: nothing was charged, unless its payment says so."""
_NEVER_REACHED = Outcome(
    Status.FAILED, "The gateway could not be reached until the next cycle was due; not charged"
)
_NEXT_IS_DUE = Outcome(Status.SKIPPED, "Not tried again: the next cycle is due")
_STOPPED_TOO_LONG = Outcome(
    Status.SKIPPED,
    "Payments were stopped until the next cycle was due; not charged",
    is_failure=False,
)
_STOPPED_PAUSE_MIN = timedelta(seconds=RETRY_SECONDS)
_STOPPED_PAUSE_MAX = timedelta(minutes=10)


@dataclass(frozen=True)
class Attempt:
    """The current attempt of a job's open occurrence, read after the job's row was locked."""

    job: Job
    occurrence: Occurrence
    payment: Payment | None
    """The attempt's card payment, if it has started one."""
    now: datetime
    """Current time of the job."""
    suspended: str | None = None
    """Who is suspended, so that nothing new is charged: `business`, `user` or nobody."""
    is_stopped: bool = False
    """Whether an operator has stopped cycles of the occurrence's source."""

    @property
    def is_submitted(self) -> bool:
        """Whether the attempt's charge may have reached the gateway."""
        payment = self.payment
        return payment is not None and payment.status != "failed" and payment.attempt != "not_sent"

    @cached_property
    def next_cycle_at(self) -> datetime | None:
        """The occurrence after this one, by the job's current calendar.

        None for a job that paused itself: the dates of a pause are no cycles.
        """
        if self.job.has_paused_itself:
            return None
        after = max(self.job.counts_from, self.occurrence.occurrence)
        return rules.next_after(self.job.calendar, after)

    @property
    def is_next_cycle_due(self) -> bool:
        """Whether the next occurrence is due already."""
        return self.next_cycle_at is not None and self.next_cycle_at <= self.now


@dataclass(frozen=True, slots=True)
class End:
    """The attempt ends with an outcome: the cycle ends too, or is retried."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Wait:
    """The customer must authenticate, or the gateway holds the charge: its payment decides."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class CheckLater:
    """The attempt has no outcome yet and stays open until its next check."""

    after: timedelta | None = None
    """None: later with each check."""


@dataclass(frozen=True, slots=True)
class Skip:
    """The job was paused or cancelled before the attempt was submitted."""

    reason: str


Transition = End | Wait | CheckLater | Skip


def before_charge(attempt: Attempt) -> Transition | None:
    """Return the transition of an attempt that must not be charged now; None: charge it."""
    if (outcome := payment_outcome(attempt.payment)) is not None:
        return ended(attempt, outcome)
    if attempt.occurrence.attempt > 1 and not attempt.is_submitted and attempt.is_next_cycle_due:
        return End(_STOPPED_TOO_LONG if attempt.is_stopped else _NEXT_IS_DUE)
    if attempt.job.may_charge and attempt.suspended is None:
        return _stopped(attempt) if attempt.is_stopped and not attempt.is_submitted else None
    return CheckLater() if attempt.is_submitted else _not_charged(attempt)


def after_charge(attempt: Attempt, refusal: Refusal | None) -> Transition:
    """Return the transition of an attempt whose card was charged; `refusal` is the response."""
    message = refusal.message if refusal else None
    if (outcome := payment_outcome(attempt.payment, message)) is not None:
        return ended(attempt, outcome)
    if attempt.is_submitted:
        # Whatever this call was refused for, the charge that was sent before has its own outcome.
        return CheckLater()
    if not attempt.job.may_charge or attempt.suspended is not None:
        return _not_charged(attempt)
    is_refused = refusal is not None and refusal.reason == Reason.ERROR_REASON_PAYMENTS_STOPPED
    if attempt.is_stopped or is_refused:
        return _stopped(attempt)
    if refusal is not None and refusal.reason not in _UNRESOLVED:
        return End(failed(refusal, attempt.occurrence.payment_id))
    return End(_NEVER_REACHED) if attempt.is_next_cycle_due else CheckLater()


def attempt_to_retry(attempt: Attempt) -> Attempt:
    """Return the attempt that retry_recurring makes, given that of the open or last occurrence.

    | payment of the attempt               | attempt                         |
    |--------------------------------------|---------------------------------|
    | none, never sent, or unknown; open   | the same, under the same key    |
    | none, declined, failed, voided; over | the next one                    |
    | waits for its customer or a review   | none: the payment decides       |
    | its outcome cannot be determined     | none: it may have been charged  |

    Raises:
        Refusal: CYCLE_IN_PROGRESS, NO_FAILED_CYCLE or OUTCOME_UNKNOWN.
    """
    occurrence, payment = attempt.occurrence, attempt.payment
    if payment is not None and payment.status in ("requires_action", "held_for_review"):
        raise in_progress(f"Payment {payment.payment_id} waits for its customer or a review")
    if payment is not None and payment.status == "needs_review":
        raise needs_review(payment.payment_id)
    if occurrence.status != "open":
        if payment is not None and payment.status == "pending":
            raise in_progress(f"Payment {payment.payment_id} has no outcome yet")
        is_paid = payment is not None and payment.status not in ("declined", "failed", "voided")
        if is_paid or occurrence.status not in _FAILED:
            raise no_failed_cycle()
        number = occurrence.attempt + 1
        occurrence = replace(occurrence, status="open", attempt=number, payment_id=None, checks=0)
        attempt = replace(attempt, occurrence=occurrence, payment=None)
    if attempt.is_next_cycle_due and not attempt.is_submitted:
        raise in_progress("The next cycle is due")
    return attempt


def in_progress(what: str) -> Refusal:
    """Return the refusal of a retry while a cycle has no outcome yet."""
    message = f"{what}; the outcome will be in the logs"
    return Refusal(Reason.ERROR_REASON_CYCLE_IN_PROGRESS, message)


def no_failed_cycle() -> Refusal:
    """Return the refusal of a retry where nothing is unpaid."""
    return Refusal(
        Reason.ERROR_REASON_NO_FAILED_CYCLE,
        "The recurring job has no open cycle, and its last cycle did not fail",
    )


def failed(refusal: Refusal, payment_id: str | None = None) -> Outcome:
    """Return the outcome of an attempt that was refused before anything was charged."""
    return Outcome(
        Status.FAILED,
        refusal.message,
        payment_id=payment_id,
        is_correctable=refusal.reason in CORRECTABLE,
    )


def ended(attempt: Attempt, outcome: Outcome) -> End | Wait:
    """Return the transition of an attempt whose payment has an outcome."""
    is_open = outcome.status is Status.REQUIRES_ACTION and not attempt.is_next_cycle_due
    return Wait(outcome) if is_open else End(outcome)


def payment_outcome(payment: Payment | None, message: str | None = None) -> Outcome | None:
    """Return the outcome of a payment, or None if it has none yet.

    `message` is the gateway's or the charge's own, more precise than the payment's row.
    """
    if payment is None:
        return None
    ids: dict[str, Any] = {
        "transaction_id": payment.transaction_id,
        "payment_id": payment.payment_id,
    }
    match payment.status:
        case status if status in _SUCCEEDED:
            return Outcome(Status.SUCCEEDED, CHARGED_MESSAGE, **ids)
        case "declined":
            code = payment.decline_code or "card_declined"
            message = message or f"The card was declined ({code})."
            return Outcome(Status.DECLINED, message, **ids, decline_code=code)
        case "voided":
            return Outcome(
                Status.DECLINED, "The charge was voided", **ids, decline_code=payment.status
            )
        case "held_for_review":
            message = message or "The charge is pending review at the gateway"
            return Outcome(Status.REQUIRES_ACTION, message, **ids)
        case "requires_action":
            message = message or "The customer must authenticate this payment with their bank"
            return Outcome(Status.REQUIRES_ACTION, message, **ids)
        case "needs_review":
            return Outcome(
                Status.FAILED,
                "The gateway never told the outcome of this charge. Look for "
                f"{payment.payment_id} in its dashboard; it is not charged again.",
                **ids,
            )
        case _:
            return None


def _not_charged(attempt: Attempt) -> Skip | End:
    """Return the transition of an attempt that its job, or a suspension, keeps from charging."""
    if not attempt.job.may_charge:
        return Skip(f"The job was {attempt.job.status} before anything was charged")
    message = f"The {attempt.suspended} is suspended; not charged"
    return End(Outcome(Status.SKIPPED, message, is_failure=False))


def _stopped(attempt: Attempt) -> CheckLater | End:
    """Return the transition of an attempt that a stop keeps from charging: it waits.

    The next cycle takes its place, unless the job catches up with all. Else it is put off for as
    long as the cycle has waited, so that a long stop costs few looks.
    """
    if attempt.is_next_cycle_due and attempt.job.catch_up != "all":
        return End(_STOPPED_TOO_LONG)
    waited = attempt.now - attempt.occurrence.created_at
    return CheckLater(min(max(waited, _STOPPED_PAUSE_MIN), _STOPPED_PAUSE_MAX))


def job_after_cycle(
    attempt: Attempt, outcome: Outcome, dunning: Dunning | None = None
) -> tuple[Job, str]:
    """Return the job after a cycle ended, and a note for the log.

    `dunning` is the job's, needed only for a cycle that failed.
    """
    is_success = outcome.status is Status.SUCCEEDED
    job = attempt.job
    job = replace(
        job,
        executed_cycles=job.executed_cycles + is_success,
        failed_cycles=0 if is_success else job.failed_cycles + outcome.is_failure,
        last_run=attempt.now if is_success else job.last_run,
        counts_from=max(job.counts_from, attempt.occurrence.occurrence),
        open_occurrence=None,
        next_run=None,
        due_at=None,
    )
    if job.status == "cancelled":
        return job, ""
    if rules.is_complete(job.executed_cycles, job.max_cycles):
        return replace(job, status="completed"), ""
    if job.status != "active":
        return job, ""
    if attempt.next_cycle_at is None:
        return replace(job, status="completed"), ""
    if dunning is not None and job.failed_cycles >= dunning.max_failed_cycles:
        note = f"The job is paused, because {job.failed_cycles} cycles in a row failed; resume it."
        paused = replace(
            job, status="paused", paused_at=attempt.now, paused_reason=PAUSED_BY_FAILURES
        )
        return paused, note
    return replace(job, next_run=attempt.next_cycle_at, due_at=attempt.next_cycle_at), ""
