"""What becomes of a recurring job: its next occurrence, what is skipped, how a cycle ends. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from core.recurring.calendar import Calendar, first_after

RETRY_DAYS = (1, 3, 7)
"""So many days after its first attempt a declined cycle is tried again."""
FAILED_CYCLES_MAX = 3
"""So many failed cycles in a row pause the job."""
MISSED_AFTER = timedelta(hours=1)
"""An occurrence that is later than this was missed in a downtime, and not just a little late."""
SKIPPED_AT_ONCE = 100

FINAL_DECLINES = frozenset(
    {
        # Where Stripe itself does not retry, because only another card can help:
        # https://docs.stripe.com/billing/revenue-recovery/smart-retries
        "authentication_required",
        "highest_risk_level",
        "incorrect_number",
        "lost_card",
        "pickup_card",
        "revocation_of_all_authorizations",
        "revocation_of_authorization",
        "stolen_card",
        "transaction_not_allowed",
        # Whose next step is another card, or none: https://docs.stripe.com/declines/codes
        "card_not_supported",
        "currency_not_supported",
        "expired_card",
        "fraudulent",
        "invalid_account",
        "invalid_expiry_month",
        "invalid_expiry_year",
        "invalid_number",
        "merchant_blacklist",
        "new_account_information_available",
        "restricted_card",
        "stop_payment_order",
        # It may be approved yet, so that charging again could charge twice.
        "held_for_review",
    }
)
"""Decline codes after which the same cycle is not tried again. All others are: they may pass."""


class Status(Enum):
    """How an attempt ended. The value is how it is stored, in the log and of the occurrence."""

    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    REQUIRES_ACTION = "requires_action"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt to charge an occurrence ended."""

    status: Status
    message: str
    transaction_id: str | None = None
    payment_id: str | None = None
    decline_code: str | None = None
    """Of a decline; None: the wallet was too low."""

    @property
    def may_be_retried(self) -> bool:
        """Whether the same cycle may be tried again: a decline that can pass."""
        return self.status is Status.DECLINED and self.decline_code not in FINAL_DECLINES


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be done with an active job whose next occurrence has come.

    `charge` is the occurrence to charge now; None where there is none. `skipped` are logged as
    skipped. Where there is nothing to charge, `then` is the next occurrence; None: it is over.
    """

    skipped: Sequence[datetime] = field(default=())
    charge: datetime | None = None
    then: datetime | None = None


def due(calendar: Calendar, catch_up: str, next_run: datetime, now: datetime) -> Due:
    """Return what to do about the occurrences from `next_run` to `now`, by the catch-up rule.

    At most so many are skipped at once; what is left is still due then.
    """
    if catch_up == "all":
        return Due(charge=next_run)
    skipped: list[datetime] = []
    at = next_run
    while len(skipped) < SKIPPED_AT_ONCE:
        following = next_after(calendar, at)
        if catch_up == "skip":
            if now - at <= MISSED_AFTER:
                return Due(skipped, charge=at)
        elif following is None or following > now:
            return Due(skipped, charge=at)
        skipped.append(at)
        if following is None or following > now:
            return Due(skipped, then=following)
        at = following
    return Due(skipped, then=at)


def next_after(calendar: Calendar, moment: datetime) -> datetime | None:
    """Return the first occurrence after a moment, or None where the calendar has ended."""
    found = first_after(calendar, moment)
    return found and found[1]


def retry_at(
    outcome: Outcome,
    *,
    attempt: int,
    first_attempt_at: datetime,
    now: datetime,
    following: datetime | None,
) -> datetime | None:
    """Return when to try a cycle again after its attempt `attempt`, from 1; None: not any more.

    It is not tried again once the next cycle, `following`, is due.
    """
    if not outcome.may_be_retried or attempt > len(RETRY_DAYS):
        return None
    at = max(first_attempt_at + timedelta(days=RETRY_DAYS[attempt - 1]), now + timedelta(days=1))
    return at if following is None or at < following else None


def is_complete(executed_cycles: int, max_cycles: int | None) -> bool:
    """Tell whether a job has charged as often as it was to."""
    return max_cycles is not None and executed_cycles >= max_cycles
