"""Cycles of random jobs with random updates, against an independent oracle: none twice, none lost.

The oracle counts the dates of each calendar with python-dateutil's rrule and the standard library's
zoneinfo, and knows the rule for changes in its own words.
"""

from copy import copy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dateutil import rrule
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import Refusal
from core.recurring import cycles
from core.recurring.calendar import Calendar, wall_time
from core.recurring.cycles import Change
from core.recurring.occurrence_states import Attempt, job_after_cycle
from core.recurring.rules import Outcome, Status, ordinal_after_change
from core.recurring.store import Job, Occurrence

HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
MONDAY = datetime.fromisoformat("2001-01-01")
BEGIN = datetime(2024, 1, 1, 12, 0, 0, 250_000, tzinfo=UTC)
ZONES = (
    *("UTC", "America/Chicago", "Pacific/Honolulu", "Asia/Tokyo", "Asia/Kolkata", "Europe/London"),
    *("Pacific/Pago_Pago", "Pacific/Kiritimati", "Australia/Lord_Howe", "America/St_Johns"),
)
SUCCEEDED = Outcome(Status.SUCCEEDED, "Charge completed")


@cache
def zone_info(name: str) -> ZoneInfo:
    with (files("tzdata") / "zoneinfo").joinpath(*name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


@cache
def dates(start: datetime, unit: str, every: int) -> list[datetime]:
    """Return the wall-clock times of a calendar, a month's or year's missing day clamped."""
    if unit in ("day", "week"):
        interval = every * (7 if unit == "week" else 1)
        return list(rrule.rrule(rrule.DAILY, dtstart=start, interval=interval, count=2500))
    months = every * (12 if unit == "year" else 1)
    days = list(range(min(28, start.day), start.day + 1))
    return list(
        rrule.rrule(
            rrule.MONTHLY,
            dtstart=start,
            interval=months,
            bymonthday=days,
            bysetpos=-1,
            count=400,
        )
    )


def in_utc(wall: datetime, zone: str) -> datetime:
    return wall.replace(tzinfo=zone_info(zone)).astimezone(UTC)


def in_zone(when: datetime, zone: str) -> datetime:
    return when.astimezone(zone_info(zone)).replace(tzinfo=None, microsecond=0)


def unit_of(wall: datetime, unit: str) -> int:
    if unit == "month":
        return wall.year * 12 + wall.month
    if unit == "year":
        return wall.year
    days = (wall - MONDAY).days
    return days if unit == "day" else days // 7


@dataclass
class Oracle:
    """What the next cycle must be; `next` is its wall-clock time in `zone`."""

    start: datetime
    zone: str
    unit: str
    every: int
    now: datetime = BEGIN
    next: datetime = field(init=False)
    last: datetime | None = None
    times: list[datetime] = field(default_factory=list)
    has_same_interval: bool = True

    def __post_init__(self) -> None:
        self.next = self.first_after(self.now)

    @property
    def next_at(self) -> datetime:
        return in_utc(self.next, self.zone)

    def dates(self) -> list[datetime]:
        return dates(self.start, self.unit, self.every)

    def first_after(self, moment: datetime) -> datetime:
        return next(each for each in self.dates() if in_utc(each, self.zone) > moment)

    def cycle(self, at: datetime) -> None:
        """Check that a cycle at this time is the next one."""
        assert at == self.next_at or self.next_at <= self.now < at <= self.now + SECOND
        if self.last is not None and self.has_same_interval:
            assert unit_of(self.last, self.unit) < unit_of(self.next, self.unit), "charged twice"
        self.times.append(at)
        self.last, self.has_same_interval = self.next, True
        self.next = next(each for each in self.dates() if each > self.next)

    def resume(self) -> None:
        self.next = max(self.next, self.first_after(self.now))

    def change(
        self, is_active: bool, start: datetime, zone: str, interval: tuple[str, int]
    ) -> None:
        if not is_active:
            self.resume()
        old = copy(self)
        has_new_interval = interval != (self.unit, self.every)
        self.start, self.zone, (self.unit, self.every) = start, zone, interval
        if start == old.start and not has_new_interval:
            return
        before = [] if self.last is None else [self.last]
        if self.last is not None:
            before.append(in_zone(in_utc(self.last, old.zone), zone))
        if before and not has_new_interval and in_utc(start, zone) <= self.now:
            target = unit_of(old.next, self.unit)
            self.next = min(
                self.dates(),
                key=lambda each: (abs(unit_of(each, self.unit) - target), -each.toordinal()),
            )
        else:
            self.next = self.first_after(self.now)
        shorter = min(old.unit, self.unit, key=["day", "week", "month", "year"].index)
        while before and unit_of(self.next, shorter) <= max(unit_of(w, shorter) for w in before):
            self.next = next(each for each in self.dates() if each > self.next)
        if before and start != old.start:
            self.last = max(before)
        self.has_same_interval = self.has_same_interval and not has_new_interval


@dataclass
class Simulation:
    """A job, moved by the functions under test, and the oracle beside it."""

    job: Job
    oracle: Oracle
    open: Occurrence | None = None
    begun: list[datetime] = field(default_factory=list)

    @property
    def now(self) -> datetime:
        return self.oracle.now

    def apply(self, change: Change) -> None:
        for log in change.skipped:
            self.oracle.cycle(log.occurrence)
        for opened in change.opened:
            self.oracle.cycle(opened.occurrence)
        self.take(change)

    def take(self, change: Change) -> None:
        self.job = change.job
        for self.open in change.opened:
            self.begun.append(self.open.occurrence)

    def wait(self, hours: int, scheduler: str, ends_last: bool) -> None:
        """Let time pass with a scheduler, one that comes at the end, or none."""
        until = self.now + hours * HOUR
        if scheduler == "none":
            self.oracle.now = until
            return
        self.end_open()
        while self.job.due_at is not None and self.job.due_at <= until:
            self.oracle.now = until if scheduler == "late" else max(self.now, self.job.due_at)
            if self.open is None:
                self.apply(cycles.begin_due(self.job, self.now))
            if not ends_last and self.oracle.next_at > until:
                break
            self.end_open()
        self.oracle.now = until
        if self.job.status == "active" and self.open is None:
            assert self.oracle.next_at > until, "lost"

    def end_open(self) -> None:
        if self.open is not None:
            attempt = Attempt(self.job, self.open, None, self.now)
            self.job, _ = job_after_cycle(attempt, SUCCEEDED)
            self.open = None

    def pause(self) -> None:
        if self.job.status == "active":
            self.apply(cycles.skip_due(self.job, self.now, "paused"))
            due_at = self.job.due_at if self.open else None
            self.job = replace(self.job, status="paused", next_run=None, due_at=due_at)

    def resume(self) -> None:
        if self.job.status == "paused":
            self.job = cycles.resumed(self.job, self.now)
            self.oracle.resume()

    def set_zone(self, zone: str) -> None:
        self.change(zone=zone)

    def set_interval(self, interval: tuple[str, int]) -> None:
        self.change(interval=interval)

    def set_start(self, hours: int) -> None:
        self.change(start=in_zone(self.now, self.oracle.zone) + hours * HOUR)

    def set_all(self, hours: int, zone: str, interval: tuple[str, int]) -> None:
        start = in_zone(self.now, zone) + hours * HOUR
        self.change(start=start, zone=zone, interval=interval)

    def shift_start(self, hours: int) -> None:
        self.change(start=self.oracle.start + hours * HOUR)

    def shift_start_and_set_zone(self, hours: int, zone: str) -> None:
        self.change(start=self.oracle.start + hours * HOUR, zone=zone)

    def change(
        self,
        *,
        start: datetime | None = None,
        zone: str | None = None,
        interval: tuple[str, int] | None = None,
    ) -> None:
        start, zone = start or self.oracle.start, zone or self.oracle.zone
        unit, every = interval or (self.oracle.unit, self.oracle.every)
        changed = replace(
            self.job,
            starts_local=start.isoformat(),
            timezone=zone,
            interval_type=unit,
            interval_value=every,
        )
        if changed == self.job:
            return
        is_active = self.job.status == "active"
        try:
            change = cycles.rescheduled(self.job, changed, self.now)
        except Refusal:
            assert is_active
            moved = in_utc(self.oracle.next, self.oracle.zone) - in_utc(self.oracle.next, zone)
            crosses_the_date_line = moved >= timedelta(days=1)  # to the occurrence that is due
            assert self.open or self.job.catch_up == "all" or crosses_the_date_line
            return
        begun = [log.occurrence for log in change.skipped]
        begun += [opened.occurrence for opened in change.opened]
        if is_active and self.open is None:
            while self.oracle.next_at <= self.now:  # what is due is done by the old calendar
                self.oracle.cycle(begun.pop(0))
        self.oracle.change(is_active, start, zone, (unit, every))
        if begun and is_active:  # moved into the past by the change: begins now
            assert self.now < begun[-1] <= self.now + SECOND
        for at in begun:
            self.oracle.cycle(at)
        self.take(change)

    def check(self) -> None:
        if self.job.status == "active" and self.open is None:
            assert self.job.next_run == self.job.due_at == self.oracle.next_at


def new_job(start: datetime, zone: str, unit: str, every: int, catch_up: str) -> Job:
    job = Job(
        business_id="B",
        recurring_id="REC-1",
        user_id="USR-1",
        env="TEST",
        amount_minor=100,
        currency="usd",
        source="wallet",
        description=None,
        interval_type=unit,
        interval_value=every,
        starts_local=start.isoformat(),
        timezone=zone,
        counts_from=BEGIN,
        end_at=None,
        max_cycles=None,
        catch_up=catch_up,
        created_at=BEGIN,
        updated_at=BEGIN,
    )
    return cycles.scheduled(job)


NOW = datetime.fromisoformat("2024-02-20T12:00+00:00")


@pytest.mark.parametrize(
    ("interval", "last", "n", "changed", "expected"),
    [
        # Every three months since 10 January, next on 10 April: the nearest date of the new start.
        (("month", 3), "2024-01-10", 1, {"start": "2023-11-05"}, "2024-05-05"),
        (("month", 3), "2024-01-10", 1, {"start": "2023-12-05"}, "2024-03-05"),
        (("month", 3), "2024-01-10", 1, {"start": "2023-10-30"}, "2024-04-30"),
        # A future start is the next date, unless it is in the month that was charged.
        (("month", 3), "2024-01-10", 1, {"start": "2024-02-25"}, "2024-02-25"),
        (("month", 1), "2024-02-10", 2, {"start": "2024-02-25"}, "2024-03-25"),
        # Halfway between two dates: the later one.
        (("week", 2), "2024-02-07", 3, {"start": "2024-01-03"}, "2024-02-28"),
        # A week begins on Monday: Sunday 18 February and Monday 19 February are in two.
        (("week", 1), "2024-02-18", 6, {"start": "2024-01-15"}, "2024-02-19"),
        (("year", 1), "2024-01-10", 1, {"start": "2022-06-10"}, "2025-06-10"),
        # Before the first cycle a changed job is like a new one.
        (("month", 1), None, 2, {"start": "2024-01-05"}, "2024-03-05"),
        # Another interval: the first date after now, but not on the day that was charged.
        (("day", 1), "2024-02-20", 42, {"unit": "week"}, "2024-02-21"),
        (
            ("day", 1),
            "2024-02-20",
            42,
            {"unit": "week", "start": "2024-01-02T18:00"},
            "2024-02-27T18:00",
        ),
        (("month", 1), "2024-02-10", 2, {"unit": "year"}, "2025-01-10"),
        # The same moments in another zone, where the month is another: none is charged again.
        (
            ("month", 1),
            "2024-01-31T20:00",
            2,
            {"start": "2024-01-01T11:00", "zone": "Asia/Tokyo"},
            "2024-03-01T11:00",
        ),
    ],
)
def test_a_change_of_the_calendar_moves_the_next_cycle(
    interval: tuple[str, int], last: str | None, n: int, changed: dict[str, str], expected: str
) -> None:
    start = datetime.fromisoformat("2024-01-10")
    zone = "UTC"
    if "zone" in changed:
        start, zone = datetime.fromisoformat("2023-12-31T20:00"), "America/Chicago"
    old = Calendar(start, zone, *interval)
    values: dict[str, Any] = dict(changed)
    if "start" in values:
        values["start"] = datetime.fromisoformat(changed["start"])
    new = replace(old, **values)
    before = datetime.fromisoformat(last) if last else None
    m = ordinal_after_change(old, new, n, last=before, now=NOW)
    assert m is not None
    assert wall_time(new, m) == datetime.fromisoformat(expected)


def test_a_day_that_moves_past_the_next_one_at_the_date_line_is_logged() -> None:
    """From UTC-11 to UTC+14, two local dates at 10:00 are past at once."""
    start = datetime.fromisoformat("2024-01-01T10:00")
    job = replace(
        new_job(start, "Pacific/Pago_Pago", "day", 1, "latest"),
        counts_from=datetime.fromisoformat("2024-01-03T21:00+00:00"),
        next_run=datetime.fromisoformat("2024-01-04T21:00+00:00"),
        last_cycle_local="2024-01-03T10:00:00",
    )
    now = datetime.fromisoformat("2024-01-04T20:30+00:00")
    change = cycles.rescheduled(job, replace(job, timezone="Pacific/Kiritimati"), now)
    (skipped,) = change.skipped
    assert skipped.occurrence == datetime.fromisoformat("2024-01-03T20:00+00:00")
    assert change.job.next_run == now + SECOND
    assert change.job.last_cycle_local == "2024-01-05T10:00:00"


@pytest.mark.parametrize(
    ("now", "changed"),
    [
        # The next date is due, too.
        ("2024-01-05T21:00+00:00", {"interval_type": "week"}),
        # The next date would be at the time of the open occurrence.
        ("2024-01-04T21:00+00:00", {"timezone": "Pacific/Kiritimati"}),
    ],
)
def test_a_change_waits_for_an_open_occurrence_if_another_one_is_due(
    now: str, changed: dict[str, Any]
) -> None:
    start = datetime.fromisoformat("2024-01-01T10:00")
    open_occurrence = datetime.fromisoformat("2024-01-04T20:00+00:00")
    job = replace(
        new_job(start, "Pacific/Honolulu", "day", 1, "latest"), open_occurrence=open_occurrence
    )
    with pytest.raises(Refusal, match="More than one charge"):
        cycles.rescheduled(job, replace(job, **changed), datetime.fromisoformat(now))


zones = st.sampled_from(ZONES)
intervals = st.one_of(
    *(st.tuples(st.just(unit), st.just(1)) for unit in ("day", "week", "month")),
    st.tuples(st.sampled_from(["day", "week", "month", "year"]), st.integers(1, 4)),
)
few_hours = st.integers(-72, 72)
hours = st.one_of(st.integers(-1500, 800), few_hours)
EVENTS = {
    "wait": (
        st.one_of(st.integers(1, 1200), st.integers(1, 30)),
        st.sampled_from(["always", "late", "none"]),
        st.booleans(),
    ),
    "set_zone": (zones,),
    "set_interval": (intervals,),
    "set_start": (hours,),
    "set_all": (hours, zones, intervals),
    "shift_start": (few_hours,),
    "shift_start_and_set_zone": (few_hours, zones),
    "pause": (),
    "resume": (),
}
events = st.one_of(*(st.tuples(st.just(name), *each) for name, each in EVENTS.items()))


@settings(max_examples=600, deadline=None)
@given(
    st.integers(-5000, 2000),
    zones,
    intervals,
    st.sampled_from(["latest", "all", "skip"]),
    st.lists(events, min_size=5, max_size=25),
)
def test_no_cycle_is_charged_twice_or_lost_whatever_is_updated(
    start_hours: int, zone: str, interval: tuple[str, int], catch_up: str, story: list[Any]
) -> None:
    start = in_zone(BEGIN, zone) + start_hours * HOUR
    job = new_job(start, zone, *interval, catch_up)
    simulation = Simulation(job, Oracle(start, zone, *interval))
    for name, *values in story:
        getattr(simulation, name)(*values)
        simulation.check()
    times = simulation.oracle.times
    assert len(times) == len(set(times))
    assert sorted(simulation.begun) == simulation.begun
