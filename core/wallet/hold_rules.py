"""Rules of holds: what may be done with one, and how much of it is captured. Pure.

    state      event                                    next state
    open       captured, all or a part of it            captured
    open       released                                 released
    open       its time came                            expired

The last three are final. An open hold whose time has come counts as expired, also while the queue
has not closed it yet.
"""

from datetime import datetime
from enum import StrEnum

from core.errors import Reason, Refusal


class HoldStatus(StrEnum):
    """Status of a hold. The value is the stored word."""

    OPEN = "open"
    CAPTURED = "captured"
    RELEASED = "released"
    EXPIRED = "expired"


def check_open(status: str, *, expires_at: datetime, now: datetime) -> None:
    """Check that a hold can be captured or released.

    Raises:
        Refusal: HOLD_EXPIRED or HOLD_STATE.
    """
    match HoldStatus(status):
        case HoldStatus.CAPTURED | HoldStatus.RELEASED:
            raise Refusal(Reason.ERROR_REASON_HOLD_STATE, f"The hold is {status} already")
        case HoldStatus.EXPIRED:
            raise _expired()
        case HoldStatus.OPEN:
            if expires_at <= now:
                raise _expired()


def check_capture(captured_minor: int, *, held_minor: int) -> None:
    """Check that a hold covers what is to be captured of it, both in minor units.

    Raises:
        Refusal: HOLD_TOO_LOW.
    """
    assert captured_minor > 0, "validation accepts amounts above zero only"
    if captured_minor > held_minor:
        raise Refusal(Reason.ERROR_REASON_HOLD_TOO_LOW, "The amount is above the hold's amount")


def _expired() -> Refusal:
    return Refusal(Reason.ERROR_REASON_HOLD_EXPIRED, "The hold has expired")
