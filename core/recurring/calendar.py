"""When the occurrences of a recurring job are: pure functions that read no clock.

An occurrence is a function of start, time zone, interval and n alone, so it does not matter how it
was reached, by whom, or after how long a downtime. Zones are those of the `tzdata` package, not of
the machine, so that every core has the same ones.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta

FIRST_YEAR, LAST_YEAR = 1900, 9998
"""The years in which a calendar may start; all that it holds ends before the year 10000."""

_END = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_STEPS = {
    "day": relativedelta(days=1),
    "week": relativedelta(weeks=1),
    "month": relativedelta(months=1),
    "year": relativedelta(years=1),
}
_ISO_8601 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ]([0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:\.[0-9]{1,9})?"
    r"([Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
_NOT_A_TIME = "must be an ISO 8601 date or date-time such as 2024-03-01 or 2024-03-01T08:00:00"


@dataclass(frozen=True, slots=True)
class Calendar:
    """The occurrences of a job: `start`, and then one after every `every` units, until `end_at`."""

    start: datetime
    """Occurrence 0 by the wall clock of `zone`: a naive time. It stays the anchor of all others."""
    zone: str
    """The name of an IANA time zone."""
    unit: str
    """`day`, `week`, `month` or `year`."""
    every: int
    """How many units lie between two occurrences, from 1."""
    end_at: datetime | None = None
    """The last moment, in UTC, at which there may be an occurrence; None: there is always one."""

    def __post_init__(self) -> None:
        assert self.start.tzinfo is None, "the start is a wall-clock time"
        assert self.unit in _STEPS, self.unit
        assert self.every >= 1, self.every


def occurrence(calendar: Calendar, n: int) -> datetime:
    """Return the n-th occurrence, from 0, in UTC. It does not look at the calendar's end.

    The wall clock of the start is kept. A day that a month lacks is its last day, counted from the
    start each time: 31 January, 29 February, 31 March. Of a time that comes twice the first is
    taken; a time that is skipped moves on by as much as is skipped (RFC 5545, section 3.3.5), and a
    whole day that is skipped is told of in `_utc`. Time strictly increases with n.

    Raises:
        ValueError: it would lie beyond the year 9999, or there is no such zone.
    """
    assert n >= 0, n
    zone = _zone(calendar.zone)
    step = _STEPS[calendar.unit] * (n * calendar.every)
    try:
        found = _utc(calendar.start + step, zone)
    except (ValueError, OverflowError):
        raise ValueError("lies beyond the year 9999") from None
    if found > _END:
        raise ValueError("lies beyond the year 9999")
    return found


def first_after(
    calendar: Calendar, moment: datetime, *, inclusive: bool = False
) -> tuple[int, datetime] | None:
    """Return the first occurrence after `moment` (UTC), or from it on where `inclusive`, and its n.

    None where it would be past the calendar's end, or the year 9999. It takes as long for a start
    that is a hundred years ago as for one of today.

    Raises:
        ValueError: there is no such zone.
    """
    zone = _zone(calendar.zone)  # an unknown one must not look like the end of the calendar
    n = _not_after(calendar, moment, zone)
    while True:
        try:
            found = occurrence(calendar, n)
        except ValueError:
            return None
        if calendar.end_at is not None and found > calendar.end_at:
            return None
        if found > moment or (inclusive and found == moment):
            return n, found
        n += 1


def upcoming(calendar: Calendar, moment: datetime, count: int) -> list[datetime]:
    """Return the next occurrences after `moment` (UTC), at most `count`, fewer at the end.

    Raises:
        ValueError: there is no such zone.
    """
    first = first_after(calendar, moment) if count > 0 else None
    if first is None:
        return []
    n, found = first
    dates = [found]
    while len(dates) < count:
        n += 1
        try:
            found = occurrence(calendar, n)
        except ValueError:
            break
        if calendar.end_at is not None and found > calendar.end_at:
            break
        dates.append(found)
    return dates


def local_start(text: str, zone: str) -> datetime:
    """Return the start that ISO 8601 `text` names, as a naive wall-clock time in `zone`.

    A date alone is its first moment. With Z or an offset it is put into the zone; without, it is
    the zone's wall clock already, and is kept also where that skips it, as the anchor of those to
    come. What is less than a second is dropped.

    Raises:
        ValueError: it is none, its year is not from 1900 to 9998, or there is no such zone.
    """
    wall, offset = _read(text, time.min)
    if offset:
        try:
            wall = wall_clock(_with_offset(wall, offset), zone)
        except OverflowError:
            raise _out_of_range() from None
    else:
        _zone(zone)
    if not FIRST_YEAR <= wall.year <= LAST_YEAR:
        raise _out_of_range()
    return wall


def moment(text: str, zone: str, *, end_of_day: bool = False) -> datetime:
    """Return the moment that ISO 8601 `text` names, in UTC, without what is less than a second.

    Without Z or an offset it is local time in `zone`: the first one where that comes twice, and
    moved on where it is skipped. A date alone is its first moment, or with `end_of_day` its last
    second, so that a range that ends with it includes the day. Nothing is later than year 9999.

    Raises:
        ValueError: it is none, its year is before 1900, or there is no such zone.
    """
    known = _zone(zone)
    wall, offset = _read(text, time(23, 59, 59) if end_of_day else time.min)
    if wall.year < FIRST_YEAR:
        raise ValueError(f"must lie in the years {FIRST_YEAR} to 9999")
    try:
        found = _with_offset(wall, offset) if offset else _utc(wall, known)
    except OverflowError:
        return _END
    return min(found, _END)


def wall_clock(when: datetime, zone: str) -> datetime:
    """Return what the wall clock of `zone` shows at a moment: a naive time, in whole seconds.

    Raises:
        ValueError: there is no such zone.
        OverflowError: it would lie beyond the year 9999.
    """
    return _shown(when, _zone(zone)).replace(microsecond=0)


def check_zone(zone: str) -> None:
    """Refuse what is not the name of an IANA time zone.

    Raises:
        ValueError: there is no such zone; the message says what is one.
    """
    _zone(zone)


def _utc(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return the moment at which the zone's wall clock shows `wall`.

    Where a whole day is skipped (Samoa had no 30 December 2011), moving on by that day would hit
    the occurrence of the next one. Such an occurrence comes at the end of what is skipped, the
    first moment of the next day; that of midnight, whose next one is just then, a second before.
    """
    first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    # zoneinfo takes the hour before the last change that a zone's file lists for one that comes
    # twice, also where it does not (Nuuk, 28 October 2023, 23:00), so what it says is tried.
    for found in (first, second):
        if _shown(found, zone) == wall:
            return found
    if _shown(first, zone) - wall < _DAY:
        return first
    midnight = datetime.combine(wall, time.min)
    next_day = midnight.replace(tzinfo=zone).astimezone(UTC)  # it moved on into the next day
    return next_day if wall > midnight else next_day - _SECOND


def _shown(when: datetime, zone: ZoneInfo) -> datetime:
    return when.astimezone(zone).replace(tzinfo=None, fold=0)


def _not_after(calendar: Calendar, moment: datetime, zone: ZoneInfo) -> int:
    """Return an n whose occurrence is not after `moment`, and near the last such one; 0 if none is.

    Days are counted, months by their numbers, on the wall clock. Two steps are taken back, for what
    a shortened month, a skipped time or a skipped day may move.
    """
    wall = _shown(min(moment, _END - 2 * _DAY), zone)
    start = calendar.start
    if calendar.unit in ("day", "week"):
        passed = (wall - start) // (_DAY * (7 if calendar.unit == "week" else 1))
    else:
        months = (wall.year - start.year) * 12 + wall.month - start.month
        passed = months // (12 if calendar.unit == "year" else 1)
    return max(0, passed // calendar.every - 2)


@cache
def _names() -> frozenset[str]:
    return frozenset((files("tzdata") / "zones").read_text(encoding="utf-8").split())


@cache
def _loaded(zone: str) -> ZoneInfo:
    """Return a zone from the package; `ZoneInfo(zone)` would prefer the machine's own file."""
    with (files("tzdata") / "zoneinfo").joinpath(*zone.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=zone)


def _zone(zone: str) -> ZoneInfo:
    if zone in _names():
        return _loaded(zone)
    near = next((name for name in _names() if name.lower() == zone.lower()), "America/Chicago")
    raise ValueError(f"must be the name of an IANA time zone, such as {near}")


def _read(text: str, time_of_date: time) -> tuple[datetime, str]:
    """Return the wall-clock time in ISO 8601 text, and its offset or an empty text."""
    found = _ISO_8601.fullmatch(text)
    if found is None:
        raise ValueError(_NOT_A_TIME)
    day, clock, offset = found.groups(default="")
    try:
        wall = time.fromisoformat(clock) if clock else time_of_date
        read = datetime.combine(date.fromisoformat(day), wall)
        if offset:
            _with_offset(read.replace(year=2000, month=1, day=1), offset)  # that it is one
    except ValueError:
        raise ValueError(_NOT_A_TIME) from None
    return read, offset


def _with_offset(wall: datetime, offset: str) -> datetime:
    """Return a time with an offset such as `Z` or `-05:00`, in UTC."""
    aware = time.fromisoformat(f"00:00{offset.upper()}").tzinfo
    return wall.replace(tzinfo=aware).astimezone(UTC)


def _out_of_range() -> ValueError:
    return ValueError(f"must lie in the years {FIRST_YEAR} to {LAST_YEAR}")
