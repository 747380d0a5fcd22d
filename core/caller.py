"""The caller of the current call, and whether it still waits for the response.

Set by the pipeline only.
"""

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from core.dunning import DEFAULT, Dunning
from core.ids import ADMIN_BUSINESS_ID
from core.limits import NO_OWN_LIMITS, BusinessLimits, KeyCaps
from core.stops import NOTHING, Stops

ALL_SCOPES: Final = frozenset({"read", "charge", "refund", "admin"})
"""Words of nivisco.payments.v1.ApiKeyScope."""
DEFAULT_KEY_ID: Final = "default"
"""Id of the key that a business was registered with, and of each that replaced it."""


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated business."""

    business_id: str
    default_env: str
    """Environment of requests that specify none: `TEST` or `LIVE`."""
    api_key_hash: str = field(default="", repr=False)
    """Hash of the API key of this call. The key may be replaced while the call runs."""
    settles_receivables: bool = False
    """Whether what a user owes is settled whenever the user's wallet is credited."""
    dunning: Dunning = DEFAULT
    """What the business's jobs do that have none of their own."""
    is_suspended: bool = False
    """Whether an operator has suspended the business."""
    stops: Stops = NOTHING
    """What operators have stopped for the business."""
    key_id: str = DEFAULT_KEY_ID
    """Id of the API key of this call."""
    scopes: frozenset[str] = ALL_SCOPES
    """What the API key is allowed to do."""
    limits: BusinessLimits = NO_OWN_LIMITS
    """What the business has of its own."""
    key_expires_at: datetime | None = None
    """Time from which the API key does not work."""
    caps: KeyCaps | None = None
    """What the API key may take and move; None: it has no caps."""

    @property
    def is_admin(self) -> bool:
        """Whether this is the admin business."""
        return self.business_id == ADMIN_BUSINESS_ID


@dataclass(frozen=True, slots=True)
class Origin:
    """Who makes a change, for the audit trail: no names, and no secrets."""

    actor: str
    """`api_key`, `operator`, `scheduler`, `gateway`, or `core` for its own loops."""
    actor_id: str = ""
    """Id of the API key, name of the operator, or the gateway."""
    action: str = ""
    """The action or internal method that was called."""
    request_id: str = ""
    address: str = field(default="", repr=False)
    """The client's, as the adapter saw it. Personal data: it is kept apart."""


OF_CORE: Final = Origin("core")


@dataclass(slots=True, eq=False)
class Presence:
    """Whether a call's caller still waits. A call runs to its end even if the caller has left."""

    left: bool = False
    is_delivery_recorded: bool = False
    """Whether it is recorded that the caller received a success, which only an acknowledgement
    proves. Set by the service that records it, before the call is answered."""
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_answered(self) -> bool:
        """Whether a caller that was still there has the response, as far as can be known."""
        return self._ended.is_set() and not self.left

    def end(self, *, left: bool = False) -> None:
        """Record that the caller has the response, or left before."""
        self.left = self.left or left
        self._ended.set()

    async def ended(self) -> None:
        """Wait until the caller has the response or left."""
        if not self.left:
            await self._ended.wait()


_caller: ContextVar[Caller] = ContextVar("caller")
_origin: ContextVar[Origin] = ContextVar("origin", default=OF_CORE)
_presence: ContextVar[Presence] = ContextVar("presence")


def current_caller() -> Caller:
    """Return the business that the current call was authenticated as."""
    return _caller.get()


def set_caller(caller: Caller) -> None:
    """Set the caller of the current task and of tasks that it starts."""
    _caller.set(caller)


def current_origin() -> Origin:
    """Return who makes the changes of the running task; outside of a call, the core."""
    return _origin.get()


def set_origin(origin: Origin) -> None:
    """Set who makes the changes of the current task and of tasks that it starts."""
    _origin.set(origin)


def current_presence() -> Presence:
    """Return the presence of the current call's caller; outside of a call, a present one."""
    return _presence.get(None) or Presence()


def set_presence(presence: Presence) -> None:
    """Set the presence for the current task and for tasks that it starts."""
    _presence.set(presence)
