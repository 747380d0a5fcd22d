"""Rules of due work: whose turn it is, when to look again, and when to set a row aside. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from pathlib import PurePath
from traceback import walk_tb

from core.errors import Refusal
from core.gateways.gateway import GatewayError
from core.security.keyring import SealBrokenError, UnknownKeyError

Key = tuple[str, ...]
"""Values of a row's primary key, which begins with the business."""

FAILED_LOOKS_MAX = 6
"""Unexpected errors until a row is set aside. With `pause_after` that takes 21 minutes, longer than
a restart of all cores with a new version or a new key."""
ERROR_CHARACTERS = 500
_CORE = PurePath(__file__).parents[1]
_PAUSES = (
    *(timedelta(seconds=seconds) for seconds in (5, 15, 60, 300, 900)),
    timedelta(hours=1),
)


def pause_after(looks: int) -> timedelta:
    """Return the delay before the next look at a row that was looked at so often."""
    return _PAUSES[min(looks, len(_PAUSES) - 1)]


@dataclass(frozen=True, slots=True)
class DueRow:
    """The key of a due row."""

    key: Key
    lane: str
    """The gateway that the look asks, or empty."""
    look_at: datetime

    @property
    def business_id(self) -> str:
        """The business that the row belongs to."""
        return self.key[0]


def in_turns(
    rows: Iterable[DueRow], *, room_of: Callable[[DueRow], int]
) -> list[tuple[int, DueRow]]:
    """Return the first row of each business, then the second of each, and so on.

    Each with the number of its turn, from 0. `room_of` is the most rows of a row's business.
    """
    taken: Counter[str] = Counter()
    turns = []
    for row in rows:
        turn = taken[row.business_id]
        if turn < room_of(row):
            taken[row.business_id] += 1
            turns.append((turn, row))
    return sorted(turns, key=lambda each: each[0])


class PermanentError(Exception):
    """A row cannot be carried out, however often it is looked at. The message shows no secret."""


class Failure(Enum):
    """Why a look at a row failed."""

    OUTAGE = "something that the row needs is away: look again, ever more rarely"
    UNEXPECTED = "an error that should not occur: look again, and set aside if it repeats"
    PERMANENT = "the row itself: set aside"


def failure_of(error: BaseException, outages: tuple[type[BaseException], ...]) -> Failure:
    """Return why a look failed; `outages` are errors of the database that pass.

    A secret sealed with an unknown key may be opened by another core, for example while cores
    restart with a new key.
    """
    if isinstance(error, Refusal):  # such as missing credentials; or a cover for another error
        return failure_of(error.__cause__, outages) if error.__cause__ else Failure.OUTAGE
    if isinstance(error, UnknownKeyError):
        return Failure.UNEXPECTED
    if isinstance(error, SealBrokenError | PermanentError):
        return Failure.PERMANENT
    is_outage = isinstance(error, (GatewayError, OSError, *outages))
    return Failure.OUTAGE if is_outage else Failure.UNEXPECTED


def description_of(error: BaseException) -> str:
    """Return a text about an error for operators, without any value that it was about.

    Of an unexpected error that is its type and where it was raised: its message may show secrets.
    """
    if isinstance(error, Refusal) and error.__cause__:
        error = error.__cause__
    name, trace = type(error).__qualname__, error.__traceback__
    if isinstance(error, PermanentError):
        return str(error)[:ERROR_CHARACTERS]
    if isinstance(error, SealBrokenError):
        return f"{name}: {error}"[:ERROR_CHARACTERS]
    frames = [(PurePath(frame.f_code.co_filename), line) for frame, line in walk_tb(trace)]
    ours = [(path, line) for path, line in frames if path.is_relative_to(_CORE)]
    if not ours:
        return name
    path, line = ours[-1]
    return f"{name} at core/{path.relative_to(_CORE).as_posix()}:{line}"[:ERROR_CHARACTERS]
