"""Who makes the call that the running task serves, and whether they still wait for its answer.

Set by the interceptors only.
"""

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass, field

from core.ids import ADMIN_BUSINESS_ID


@dataclass(frozen=True, slots=True)
class Caller:
    """A business whose credentials hold."""

    business_id: str
    default_env: str
    """The environment that actions mean where they name none: `TEST` or `LIVE`."""
    api_key_hash: str = field(default="", repr=False)
    """The hash of the key that this call presented, which may be retired while the call runs."""

    @property
    def is_admin(self) -> bool:
        """Whether this is the admin business."""
        return self.business_id == ADMIN_BUSINESS_ID


@dataclass(slots=True, eq=False)
class Presence:
    """Whether the caller still waits for the answer of a call, which goes on without them."""

    left: bool = False
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_told(self) -> bool:
        """Whether the answer went to the caller, who was there."""
        return self._ended.is_set() and not self.left

    def end(self, *, left: bool = False) -> None:
        """Note that the call is over: its answer is sent, or the caller left before."""
        self.left = self.left or left
        self._ended.set()

    async def ended(self) -> None:
        """Wait until the call is over."""
        if not self.left:
            await self._ended.wait()


_caller: ContextVar[Caller] = ContextVar("caller")
_presence: ContextVar[Presence] = ContextVar("presence")


def current_caller() -> Caller:
    """Return the business that the running call was authenticated as."""
    return _caller.get()


def set_caller(caller: Caller) -> None:
    """Remember the business for the running task and those that it starts."""
    _caller.set(caller)


def current_presence() -> Presence:
    """Return whether the running call's caller still waits; outside of a call, somebody does."""
    return _presence.get(None) or Presence()


def set_presence(presence: Presence) -> None:
    """Remember where the running task and those that it starts can see the caller leave."""
    _presence.set(presence)
