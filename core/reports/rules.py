"""Rules of reports: the days that they cover, and their rows. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

from core.errors import InvalidFields

DAYS_AT_MOST = 92
DEFAULT_DAYS = 30
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Period:
    """Whole days in UTC, both inclusive."""

    first: date
    last: date

    @property
    def begin(self) -> datetime:
        """The first moment."""
        return datetime.combine(self.first, time(), UTC)

    @property
    def end(self) -> datetime:
        """The first moment after it."""
        return datetime.combine(self.last, time(), UTC) + _DAY


def period(from_date: datetime | None, to_date: datetime | None, now: datetime) -> Period:
    """Return the days of a request: by default DEFAULT_DAYS, of which the last one is today.

    Raises:
        InvalidFields: there are none, or more than DAYS_AT_MOST.
    """
    last = (to_date or now).astimezone(UTC).date()
    if from_date is not None:
        first = from_date.astimezone(UTC).date()
    else:
        first = max(date.min, last - min((DEFAULT_DAYS - 1) * _DAY, last - date.min))
    if last < first:
        raise InvalidFields.of("to_date", "must not be before from_date")
    if last - first >= DAYS_AT_MOST * _DAY:
        raise InvalidFields.of(
            "to_date", f"must be at most {DAYS_AT_MOST - 1} days after from_date"
        )
    if last == date.max:
        raise InvalidFields.of("to_date", "must be before the year 10000")
    return Period(first, last)


@dataclass(frozen=True, slots=True)
class Moved:
    """Number and sum of one kind of movement on a day."""

    kind: str
    """payment, refund, credit or debit."""
    day: str
    """`YYYY-MM-DD` in UTC."""
    gateway: str | None
    """None for movements of wallets."""
    currency: str
    count: int
    amount_minor: int


@dataclass(slots=True)
class Volume:
    """What moved on a day, through a gateway or, without one, in wallets, in one currency."""

    day: str
    gateway: str | None
    currency: str
    by_kind: dict[str, Moved] = field(default_factory=dict)

    def count(self, kind: str) -> int:
        """Return the number of movements of a kind."""
        return self.by_kind[kind].count if kind in self.by_kind else 0

    def amount_minor(self, kind: str) -> int:
        """Return the sum of the movements of a kind, in minor units."""
        return self.by_kind[kind].amount_minor if kind in self.by_kind else 0


def volumes(moved: Iterable[Moved]) -> Iterator[Volume]:
    """Yield what moved by day, gateway and currency; wallets come before gateways on each day."""
    found: dict[tuple[str, str, str], Volume] = {}
    for each in moved:
        key = (each.day, each.gateway or "", each.currency)
        volume = found.setdefault(key, Volume(each.day, each.gateway, each.currency))
        volume.by_kind[each.kind] = each
    yield from (found[key] for key in sorted(found))
