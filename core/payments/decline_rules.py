"""Rules against card testing: when a user or a card has had too many declines. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from core.limits import CardTestingLimits

IN_FLIGHT_PAUSE: Final = timedelta(seconds=1)
"""When to come again if charges without an outcome fill the limit: some may not be declined."""


@dataclass(frozen=True, slots=True)
class RecentAttempt:
    """A charge of a user that was declined, or has no outcome yet."""

    created_at: datetime
    gateway_card_id: str
    is_declined: bool


@dataclass(frozen=True, slots=True)
class Block:
    """The limit that forbids a charge, and when one may be begun again."""

    limit: str
    until: datetime


def block_of(
    limits: CardTestingLimits,
    attempts: Sequence[RecentAttempt],
    gateway_card_id: str,
    now: datetime,
) -> Block | None:
    """Return why a charge of a card may not be begun, or None if it may.

    `attempts` are those of the card's user within the limits' window, newest first. Once one is
    declined, those without an outcome count too: else many at once would pass the limit.
    """
    of_card = [each for each in attempts if each.gateway_card_id == gateway_card_id]
    blocks = [
        Block(limit, until)
        for limit, counted, most in (
            ("user_declines", attempts, limits.user_declines),
            ("card_declines", of_card, limits.card_declines),
        )
        if (until := _blocked_until(limits, counted, most, now)) is not None
    ]
    return max(blocks, key=lambda block: block.until, default=None)


def _blocked_until(
    limits: CardTestingLimits, attempts: Sequence[RecentAttempt], most: int, now: datetime
) -> datetime | None:
    declined = [each for each in attempts if each.is_declined]
    if most == 0 or not declined or len(attempts) < most:
        return None
    if len(declined) < most:
        return now + IN_FLIGHT_PAUSE
    return declined[most - 1].created_at + limits.window
