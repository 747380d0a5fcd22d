"""Who makes the call that the running task serves. Set by the authentication interceptor only."""

from contextvars import ContextVar
from dataclasses import dataclass

from core.ids import ADMIN_BUSINESS_ID


@dataclass(frozen=True, slots=True)
class Caller:
    """A business whose credentials hold."""

    business_id: str
    default_env: str
    """The environment that actions mean where they name none: `TEST` or `LIVE`."""

    @property
    def is_admin(self) -> bool:
        """Whether this is the admin business."""
        return self.business_id == ADMIN_BUSINESS_ID


_caller: ContextVar[Caller] = ContextVar("caller")


def current_caller() -> Caller:
    """Return the business that the running call was authenticated as."""
    return _caller.get()


def set_caller(caller: Caller) -> None:
    """Remember the business for the running task and those that it starts."""
    _caller.set(caller)
