"""Computes the occurrences of recurring jobs. Pure: reads no clock.

An occurrence is a function of start, time zone, interval and n alone, so neither the process that
computes it nor a downtime changes it. Time zones come from the `tzdata` package, not from the
machine, so that every core has the same ones.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta

FIRST_YEAR, LAST_YEAR = 1900, 9998
"""Years in which a calendar may start. Every occurrence is before the year 10000."""

_END = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_STEPS = {  # the shortest first
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
    """The schedule of a job: occurrences from `start`, `every` units apart, until `end_at`."""

    start: datetime
    """Occurrence 0: a naive wall-clock time in `zone`. All others are counted from it."""
    zone: str
    """Name of an IANA time zone."""
    unit: str
    """`day`, `week`, `month` or `year`."""
    every: int
    """Number of units between two occurrences, from 1."""
    end_at: datetime | None = None
    """Last time of an occurrence, inclusive, in UTC; None for no end."""

    def __post_init__(self) -> None:
        assert self.start.tzinfo is None, "the start is a wall-clock time"
        assert self.unit in _STEPS, self.unit
        assert self.every >= 1, self.every


def occurrence(calendar: Calendar, n: int) -> datetime:
    """Return the n-th occurrence, from 0, in UTC, whether or not the calendar ends before it.

    The start's wall-clock time is kept. A day that a month does not have becomes its last day,
    counted from the start each time: 31 January, 29 February, 31 March. A repeated time means the
    first one; a skipped time moves forward by the length of the gap (RFC 5545, section 3.3.5); for
    a skipped day see `_utc`. Occurrences strictly increase with n.

    Raises:
        ValueError: it is beyond the year 9999, or the zone is unknown.
    """
    zone = _zone(calendar.zone)
    try:
        found = _utc(wall_time(calendar, n), zone)
    except (ValueError, OverflowError):
        raise _beyond() from None
    if found > _END:
        raise _beyond()
    return found


def wall_time(calendar: Calendar, n: int) -> datetime:
    """Return the wall-clock time of the n-th occurrence, from 0, also one that the zone skips.

    Raises:
        ValueError: it is beyond the year 9999.
    """
    assert n >= 0, n
    try:
        return calendar.start + _STEPS[calendar.unit] * (n * calendar.every)
    except (ValueError, OverflowError):
        raise _beyond() from None


def unit_number(wall: datetime, unit: str) -> int:
    """Return the number of the day, week, month or year of a wall-clock time.

    Consecutive units have consecutive numbers. A week begins on Monday.
    """
    match unit:
        case "day":
            return wall.toordinal()
        case "week":
            return (wall.toordinal() - 1) // 7
        case "month":
            return wall.year * 12 + wall.month
        case _:
            return wall.year


def shorter_unit(one: str, other: str) -> str:
    """Return the shorter one of two units."""
    return min(one, other, key=list(_STEPS).index)


def first_after(
    calendar: Calendar, moment: datetime, *, inclusive: bool = False
) -> tuple[int, datetime] | None:
    """Return n and time of the first occurrence after `moment` (UTC), or at it if `inclusive`.

    None if that is past the calendar's end or the year 9999. The running time does not depend on
    how long ago the calendar started.

    Raises:
        ValueError: the zone is unknown.
    """
    zone = _zone(calendar.zone)  # checked here: below, ValueError means the end of the calendar
    n = _search_start(calendar, moment, zone)
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
    """Return the next occurrences after `moment` (UTC), at most `count`.

    Raises:
        ValueError: the zone is unknown.
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
    """Return an ISO 8601 start as a naive wall-clock time in `zone`, in whole seconds.

    A date alone means midnight. A time with Z or an offset is converted to the zone; one without is
    kept even if the zone skips it, because later occurrences are counted from it.

    Raises:
        ValueError: the text is not ISO 8601, its year is not 1900 to 9998, or the zone is unknown.
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
    """Return an ISO 8601 time in UTC, in whole seconds, at most the end of the year 9999.

    Without Z or an offset it is local time in `zone`: the first one if repeated, moved forward if
    skipped. A date alone means midnight, or with `end_of_day` its last second, so that a range that
    ends with it includes the day.

    Raises:
        ValueError: the text is not ISO 8601, its year is before 1900, or the zone is unknown.
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
    """Return a time as a naive wall-clock time in `zone`, in whole seconds.

    Raises:
        ValueError: the zone is unknown.
        OverflowError: the time is beyond the year 9999.
    """
    return _local(when, _zone(zone)).replace(microsecond=0)


def wall_clocks(wall: datetime, zone: str, other: str) -> tuple[datetime, datetime]:
    """Return a wall-clock time as it is, and what the clock of another zone shows at that time.

    Raises:
        ValueError: a zone is unknown.
        OverflowError: the time is beyond the year 9999.
    """
    return wall, wall_clock(_utc(wall, _zone(zone)), other)


def check_zone(zone: str) -> None:
    """Check the name of an IANA time zone.

    Raises:
        ValueError: the zone is unknown; the message names a known one.
    """
    _zone(zone)


def _utc(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return in UTC when the zone's wall clock shows `wall`.

    Where a whole day is skipped (Samoa had no 30 December 2011), moving forward by a day would hit
    the next occurrence. Such an occurrence is at the end of the gap, the first moment of the next
    day. If it was at midnight, the next occurrence is just then, so it is one second before.
    """
    first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    # zoneinfo reports the hour before the last change in a zone's file as repeated even if it is
    # not (Nuuk, 28 October 2023, 23:00), so each result is checked.
    for found in (first, second):
        if _local(found, zone) == wall:
            return found
    if _local(first, zone) - wall < _DAY:
        return first
    midnight = datetime.combine(wall, time.min)
    next_day = midnight.replace(tzinfo=zone).astimezone(UTC)  # midnight moved into the next day
    return next_day if wall > midnight else next_day - _SECOND


def _local(when: datetime, zone: ZoneInfo) -> datetime:
    return when.astimezone(zone).replace(tzinfo=None, fold=0)


def _search_start(calendar: Calendar, moment: datetime, zone: ZoneInfo) -> int:
    """Return an n at most a few steps before the last occurrence that is not after `moment`, or 0.

    Counts days or months on the wall clock, and goes back two steps for what a short month, a
    skipped time or a skipped day may move.
    """
    wall = _local(min(moment, _END - 2 * _DAY), zone)
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
    """Return a zone of the package. `ZoneInfo(zone)` would prefer the machine's own file."""
    with (files("tzdata") / "zoneinfo").joinpath(*zone.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=zone)


def _zone(zone: str) -> ZoneInfo:
    if zone in _names():
        return _loaded(zone)
    near = next((name for name in _names() if name.lower() == zone.lower()), "America/Chicago")
    raise ValueError(f"must be the name of an IANA time zone, such as {near}")


def _read(text: str, time_of_date: time) -> tuple[datetime, str]:
    """Return the wall-clock time of an ISO 8601 text, and its offset or an empty string."""
    found = _ISO_8601.fullmatch(text)
    if found is None:
        raise ValueError(_NOT_A_TIME)
    day, clock, offset = found.groups(default="")
    try:
        wall = time.fromisoformat(clock) if clock else time_of_date
        read = datetime.combine(date.fromisoformat(day), wall)
        if offset:
            _with_offset(read.replace(year=2000, month=1, day=1), offset)  # raises if malformed
    except ValueError:
        raise ValueError(_NOT_A_TIME) from None
    return read, offset


def _with_offset(wall: datetime, offset: str) -> datetime:
    """Return a time with an offset such as `Z` or `-05:00` in UTC."""
    aware = time.fromisoformat(f"00:00{offset.upper()}").tzinfo
    return wall.replace(tzinfo=aware).astimezone(UTC)


def _beyond() -> ValueError:
    return ValueError("lies beyond the year 9999")


def _out_of_range() -> ValueError:
    return ValueError(f"must lie in the years {FIRST_YEAR} to {LAST_YEAR}")
