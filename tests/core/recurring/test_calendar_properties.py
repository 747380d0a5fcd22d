"""Properties of every calendar: all IANA zones, 2023 to 2035, and skipped days.

The oracle is the zones' own rules, and months counted by plain arithmetic.
"""

import calendar as gregorian
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.recurring.calendar import Calendar, first_after, occurrence, upcoming

FIRST, LAST = 2023, 2035
YEARS = range(FIRST, LAST + 1)
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
SKIPPED_DAYS = {
    "Pacific/Apia": datetime(2011, 12, 30),
    "Pacific/Fakaofo": datetime(2011, 12, 30),
    "Pacific/Kiritimati": datetime(1994, 12, 31),
    "Pacific/Enderbury": datetime(1994, 12, 31),
    "Pacific/Kwajalein": datetime(1993, 8, 21),
}


@cache
def zones() -> dict[str, ZoneInfo]:
    """Return every zone of the package, one name for those with the same rules."""
    found: dict[bytes, tuple[str, ZoneInfo]] = {}
    root = files("tzdata")
    names = (root / "zones").read_text().split()
    for name in sorted(names, key=lambda each: ("/" not in each, each)):
        path = (root / "zoneinfo").joinpath(*name.split("/"))
        with path.open("rb") as file:
            found.setdefault(path.read_bytes(), (name, ZoneInfo.from_file(file, key=name)))
    return dict(found.values())


@cache
def changes(zone: str) -> list[datetime]:
    """Return when the zone changes its offset from 2023 to 2035, in UTC, to the second."""
    rules = zones()[zone]
    days = [datetime(FIRST, 1, 1, tzinfo=UTC) + n * DAY for n in range(366 * len(YEARS))]
    found = []
    for day, next_day in pairwise(days):
        old = day.astimezone(rules).utcoffset()
        if old == next_day.astimezone(rules).utcoffset():
            continue
        before, after = 0, 86400
        while after - before > 1:
            middle = (before + after) // 2
            is_old = (day + middle * SECOND).astimezone(rules).utcoffset() == old
            before, after = (middle, after) if is_old else (before, middle)
        found.append(day + after * SECOND)
    return found


def hours(zone: str) -> list[datetime]:
    """Return times of day that the zone skips or repeats, and one that it always has."""
    rules = zones()[zone]
    near = [
        (change.astimezone(rules) + minutes * timedelta(minutes=1)).replace(tzinfo=None)
        for change in changes(zone)[:4]
        for minutes in (-60, -30, -1, 0, 30)
    ]
    every = {wall.time() for wall in near} | {datetime(2000, 1, 1, 12).time()}
    return [datetime.combine(datetime(FIRST, 1, 1), time) for time in sorted(every)]


def check_wall(found: datetime, wall: datetime, rules: ZoneInfo) -> None:
    """Check that an occurrence is the first time at which the clock shows `wall`."""
    shown = found.astimezone(rules)
    if shown.fold:  # zoneinfo reports so for an hour in Nuuk that is not repeated
        before = [(found - n * timedelta(minutes=30)).astimezone(rules) for n in range(1, 5)]
        assert wall not in [each.replace(tzinfo=None, fold=0) for each in before], (found, wall)
    if shown.replace(tzinfo=None, fold=0) == wall:
        return
    skipped = shown.replace(tzinfo=None) - wall
    assert timedelta() < skipped < DAY, (found, wall)
    assert wall.replace(tzinfo=rules).utcoffset() != shown.utcoffset(), "the time exists"


def test_every_zone_has_each_day_once_at_the_same_hour_from_2023_to_2035() -> None:
    assert len(zones()) > 300
    for zone, rules in zones().items():
        for start in hours(zone):
            jobs = Calendar(start, zone, "day", 1)
            for change in changes(zone)[:4]:
                n = (change.replace(tzinfo=None) - start).days
                dates = [occurrence(jobs, each) for each in range(max(0, n - 2), n + 3)]
                assert all(before < after for before, after in pairwise(dates)), (zone, start)
                for each, found in enumerate(dates, start=max(0, n - 2)):
                    check_wall(found, start + each * DAY, rules)


@pytest.mark.parametrize("anchor", range(1, 32))
def test_months_end_on_the_anchor_or_their_last_day_in_every_zone(anchor: int) -> None:
    for number, (zone, rules) in enumerate(zones().items()):
        time = hours(zone)[(number + anchor) % len(hours(zone))]
        start = time.replace(month=1, day=anchor)
        jobs = Calendar(start, zone, "month", 1)
        months = range(len(YEARS) * 12 if changes(zone) else 14)
        if anchor < 28 and changes(zone):  # not all months, but others in each zone
            months = months[(number + anchor) % 108 :][:48]
        before = None
        for n in months:
            year, month = FIRST + n // 12, n % 12 + 1
            day = min(anchor, gregorian.monthrange(year, month)[1])
            found = occurrence(jobs, n)
            check_wall(found, start.replace(year=year, month=month, day=day), rules)
            assert before is None or before < found
            before = found


starts = st.datetimes(datetime(FIRST, 1, 1), datetime(LAST, 12, 31)).map(
    lambda found: found.replace(microsecond=0, fold=0)
)


@st.composite
def calendars(draw: st.DrawFn) -> Calendar:
    """Return calendars of all zones, half of them near a clock change or a skipped day."""
    zone = draw(st.sampled_from(sorted(zones())))
    start = draw(starts)
    near_a_change = draw(st.booleans())
    if near_a_change and changes(zone):
        change = draw(st.sampled_from(changes(zone)))
        aside = draw(st.integers(-7200, 7200)) * SECOND
        start = (change.astimezone(zones()[zone]) + aside).replace(tzinfo=None, fold=0)
    elif draw(st.booleans()):
        zone, day = draw(st.sampled_from(sorted(SKIPPED_DAYS.items())))
        start = day + draw(st.integers(-40 * 86400, 2 * 86400)) * SECOND
    unit = draw(st.sampled_from(["day", "week", "month", "year"]))
    every = draw(st.one_of(st.just(1), st.integers(1, 1000)))
    return Calendar(start, zone, unit, every)


@settings(max_examples=600, deadline=None)
@given(calendars(), st.integers(0, 5000), st.integers(-86400, 86400))
def test_first_after_agrees_with_counting_from_the_start(
    jobs: Calendar, n: int, aside: int
) -> None:
    try:
        this, following = occurrence(jobs, n), occurrence(jobs, n + 1)
    except ValueError:
        return
    assert this < following
    assert first_after(jobs, this) == (n + 1, following)
    assert first_after(jobs, this, inclusive=True) == (n, this)
    assert first_after(jobs, following - SECOND) == (
        (n, this) if following - SECOND < this else (n + 1, following)
    )
    moment = this + aside * SECOND
    found = first_after(jobs, moment)
    assert found is not None
    assert found[1] == occurrence(jobs, found[0])
    assert found[1] > moment
    assert found[0] == 0 or occurrence(jobs, found[0] - 1) <= moment
    assert upcoming(jobs, moment, 3)[:1] == [found[1]]


@settings(max_examples=300, deadline=None)
@given(calendars(), st.integers(0, 100), st.integers(0, 5))
def test_an_end_keeps_all_occurrences_until_then(jobs: Calendar, n: int, more: int) -> None:
    try:
        dates = [occurrence(jobs, each) for each in range(n, n + more + 1)]
    except ValueError:
        return
    ended = Calendar(jobs.start, jobs.zone, jobs.unit, jobs.every, end_at=dates[-1])
    assert upcoming(ended, dates[0] - SECOND, 24)[-more - 1 :] == dates
    assert first_after(ended, dates[-1]) is None


@pytest.mark.parametrize("zone", sorted(SKIPPED_DAYS))
def test_occurrences_increase_over_a_skipped_day(zone: str) -> None:
    rules = zones()[zone]
    skipped = SKIPPED_DAYS[zone]
    next_day = (skipped + DAY).replace(tzinfo=rules).astimezone(UTC)
    for minute in range(1440):
        start = skipped - 2 * DAY + minute * timedelta(minutes=1)
        dates = [occurrence(Calendar(start, zone, "day", 1), n) for n in range(5)]
        assert all(before < after for before, after in pairwise(dates)), start
        assert dates[2] == (next_day if minute else next_day - SECOND)
        for n in (0, 1, 3, 4):
            check_wall(dates[n], start + n * DAY, rules)


def test_zones_skip_at_most_one_day_and_whole_days_only() -> None:
    """The rule for skipped days relies on this; a release of tzdata could change it."""
    months = [datetime(1900 + n // 12, n % 12 + 1, 1, tzinfo=UTC) for n in range(141 * 12)]
    for zone, rules in zones().items():
        offsets = [month.astimezone(rules).utcoffset() for month in months]
        for month, (before, after) in zip(months, pairwise(offsets), strict=False):
            assert before is not None
            assert after is not None
            if after - before < timedelta(hours=12):
                continue
            assert after - before == DAY, zone
            skipped = SKIPPED_DAYS[zone]
            assert month <= skipped.replace(tzinfo=UTC) < month + 32 * DAY
            last = (skipped - SECOND).replace(tzinfo=rules).astimezone(UTC)
            assert last + SECOND == (skipped + DAY).replace(tzinfo=rules).astimezone(UTC)
