"""Limits of what businesses, users and cards may do, and the refusal of what is above one.

A limit of 0 is off.
"""

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from core.errors import Reason, Refusal
from core.metrics import LIMITED
from rpc.error_details import LIMIT_METADATA


@dataclass(frozen=True, slots=True)
class CardTestingLimits:
    """Limits against those who try out stolen cards: of one user or card, in any `window`.

    Gateways ask for them: docs.stripe.com/disputes/prevention/card-testing.
    """

    window: timedelta = timedelta(hours=1)
    user_declines: int = 30
    """Declined charges of a user at a gateway after which no other is begun."""
    card_declines: int = 15
    """The same, of a saved card."""
    card_saves: int = 30
    """Requests to save a card of a user, also those that failed."""


@dataclass(frozen=True, slots=True)
class BusinessLimits:
    """Limits of one business at each core; None stands for the core's default."""

    requests_per_second: int | None = None
    gateway_requests: int | None = None
    """Requests at once that may call a gateway."""


@dataclass(frozen=True, slots=True)
class KeyCaps:
    """What an API key may take and move, in minor units of one currency; None: no such cap."""

    currency: str
    max_minor: int | None
    """In one call."""
    max_minor_per_day: int | None
    """In all calls of a day (UTC)."""


NO_OWN_LIMITS: Final = BusinessLimits()
BUSINESS_LIMIT_MAX: Final = 100_000
"""Highest of these limits."""
DEFAULT_BUSINESS_LIMITS: Final = BusinessLimits(requests_per_second=0, gateway_requests=256)
CARD_ATTEMPTS_MAX: Final = 1000
"""Highest of these limits."""
DEFAULT_LIMITS: Final = CardTestingLimits()


def limited(limit: str, message: str, *, retry_after_seconds: float) -> Refusal:
    """Count a refusal by `limit` and return it: RATE_LIMITED."""
    return _counted(limit, Reason.ERROR_REASON_RATE_LIMITED, message, retry_after_seconds)


def too_many_card_attempts(limit: str, message: str, *, retry_after_seconds: float) -> Refusal:
    """Count a refusal by a limit of CardTestingLimits and return it: TOO_MANY_CARD_ATTEMPTS."""
    reason = Reason.ERROR_REASON_TOO_MANY_CARD_ATTEMPTS
    return _counted(limit, reason, message, retry_after_seconds)


def _counted(
    limit: str, reason: "Reason.ValueType", message: str, retry_after_seconds: float
) -> Refusal:
    LIMITED.labels(limit).inc()
    return refused_by(limit, reason, message, retry_after_seconds)


def refused_by(
    limit: str, reason: "Reason.ValueType", message: str, retry_after_seconds: float
) -> Refusal:
    """Return the refusal by a limit, which is counted already."""
    seconds = max(1, math.ceil(retry_after_seconds))
    return Refusal(reason, message, metadata={LIMIT_METADATA: limit}, retry_after_seconds=seconds)
