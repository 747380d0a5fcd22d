"""Rules of recurring jobs: catch-up, retries of unpaid cycles (dunning), completion. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from core.dunning import DEFAULT
from core.recurring.calendar import (
    Calendar,
    first_after,
    occurrence,
    shorter_unit,
    unit_number,
    wall_clock,
    wall_clocks,
    wall_time,
)

MISSED_AFTER = timedelta(hours=1)
"""An occurrence later than this counts as missed in a downtime."""
SKIPPED_PER_CLAIM = 100
"""Maximum number of occurrences of one job that a claim skips; the next claim skips the rest."""

FINAL_DECLINES = frozenset(
    {
        # Stripe does not retry these, because only another card can help:
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
        # The next step is another card, or none: https://docs.stripe.com/declines/codes
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
        # The merchant rejected the charge, or the customer did not authenticate it for a day.
        "canceled",
        "voided",
        # Of earlier versions: it could still be approved, so that a retry could charge twice.
        "held_for_review",
    }
)
"""Decline codes after which a cycle is not retried. All others may be temporary."""


class Status(Enum):
    """Outcome of an attempt, as the log and the occurrence store it."""

    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    REQUIRES_ACTION = "requires_action"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of an attempt to charge an occurrence, or of an occurrence that was skipped."""

    status: Status
    message: str
    transaction_id: str | None = None
    payment_id: str | None = None
    decline_code: str | None = None
    """Of a declined card; None for a wallet whose balance is too low."""
    is_correctable: bool = False
    """Whether the attempt failed for what the business or its user may correct: nothing was sent
    to a bank, because a card, gateway keys or an active user was missing, or the gateway refused
    the request."""
    is_failure: bool = True
    """Whether a cycle that is not charged counts as failed. Not if its user or business was
    suspended."""

    @property
    def is_retryable(self) -> bool:
        """Whether the cycle may be retried: its decline or failure may be temporary."""
        if self.status is Status.DECLINED:
            return self.decline_code not in FINAL_DECLINES
        return self.status is Status.FAILED and self.is_correctable


@dataclass(frozen=True, slots=True)
class CatchUpPlan:
    """What to do with the due occurrences of an active job."""

    skipped: Sequence[datetime] = ()
    """Occurrences to log as skipped."""
    charge: datetime | None = None
    """Occurrence to charge, if there is one."""
    next_run: datetime | None = None
    """Next occurrence if there is none to charge. None then completes the job."""


def catch_up_plan(
    calendar: Calendar, catch_up: str, next_run: datetime, now: datetime
) -> CatchUpPlan:
    """Return what to do with the occurrences from `next_run` to `now`, by the `catch_up` rule.

    Skips at most SKIPPED_PER_CLAIM occurrences; the rest stays due.
    """
    if catch_up == "all":
        return CatchUpPlan(charge=next_run)
    skipped: list[datetime] = []
    at = next_run
    while len(skipped) < SKIPPED_PER_CLAIM:
        following = next_after(calendar, at)
        if catch_up == "skip":
            if now - at <= MISSED_AFTER:
                return CatchUpPlan(skipped, charge=at)
        elif following is None or following > now:
            return CatchUpPlan(skipped, charge=at)
        skipped.append(at)
        if following is None or following > now:
            return CatchUpPlan(skipped, next_run=following)
        at = following
    return CatchUpPlan(skipped, next_run=at)


def next_after(calendar: Calendar, moment: datetime) -> datetime | None:
    """Return the first occurrence after a time, or None if the calendar has ended."""
    found = first_after(calendar, moment)
    return found and found[1]


def ordinal_after_change(
    old: Calendar, new: Calendar, n: int, *, last: datetime | None, now: datetime
) -> int | None:
    """Return which occurrence of the calendar `new` is the cycle that was number `n` of `old`.

    None if it is beyond the year 9999. `n` is not due yet. `last` is the local time of the cycle
    before it, None if there is none. Both calendars' ends are ignored.

    | change                                      | next cycle                                   |
    |---------------------------------------------|----------------------------------------------|
    | time zone alone                             | the same number: same local date and time    |
    | start, to a past one, after the first cycle | the one nearest to its old date, in units    |
    | start otherwise, or interval                | the first after now: a future start itself   |

    It is never in the same day, week, month or year as `last`, whichever is the shorter unit of the
    two intervals: a month that was charged is not charged again on another day. Where start and
    zone change, `last` is in two of them, by the clock of each zone.
    """
    if replace(old, zone=new.zone, end_at=new.end_at) == new:
        return n
    try:
        if (
            last is not None
            and (old.unit, old.every) == (new.unit, new.every)
            and new.start <= wall_clock(now, new.zone)
        ):
            old_number = unit_number(wall_time(old, n), old.unit)
            distance = old_number - unit_number(new.start, old.unit)
            m = max(0, (distance + new.every // 2) // new.every)  # halfway: the later one
        elif found := first_after(replace(new, end_at=None), now):
            m = found[0]
        else:
            return None
        if last is not None:
            unit = shorter_unit(old.unit, new.unit)
            clocks = wall_clocks(last, old.zone, new.zone)
            charged = max(unit_number(each, unit) for each in clocks)
            while unit_number(wall_time(new, m), unit) <= charged:
                m += 1
        occurrence(new, m)
    except (ValueError, OverflowError):
        return None
    return m


def retry_at(
    outcome: Outcome,
    *,
    attempt: int,
    first_attempt_at: datetime,
    now: datetime,
    next_cycle_at: datetime | None,
    retry_days: Sequence[int] = DEFAULT.retry_days,
) -> datetime | None:
    """Return when to retry a cycle after its attempt number `attempt`, or None for no retry.

    A cycle is not retried once the next one is due.
    """
    if not outcome.is_retryable or attempt > len(retry_days):
        return None
    at = max(first_attempt_at + timedelta(days=retry_days[attempt - 1]), now + timedelta(days=1))
    return at if next_cycle_at is None or at < next_cycle_at else None


def is_complete(executed_cycles: int, max_cycles: int | None) -> bool:
    """Return whether a job has reached its maximum number of successful charges."""
    return max_cycles is not None and executed_cycles >= max_cycles
