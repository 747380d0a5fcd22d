"""The calendar: known dates, also at skipped and repeated hours, and the ISO 8601 it reads."""

from datetime import UTC, datetime, timedelta

import pytest

from core.recurring.calendar import (
    Calendar,
    check_zone,
    first_after,
    local_start,
    moment,
    occurrence,
    upcoming,
    wall_clock,
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def calendar(
    start: str, zone: str, unit: str, every: int = 1, end_at: datetime | None = None
) -> Calendar:
    return Calendar(datetime.fromisoformat(start), zone, unit, every, end_at)


@pytest.mark.parametrize(
    ("jobs", "dates"),
    [
        (
            calendar("2024-01-31T08:00", "UTC", "month"),
            ["2024-01-31 08:00", "2024-02-29 08:00", "2024-03-31 08:00", "2024-04-30 08:00"],
        ),
        (
            calendar("2024-02-29T12:00", "UTC", "year"),
            ["2024-02-29 12:00", "2025-02-28 12:00", "2026-02-28 12:00", "2027-02-28 12:00"],
        ),
        (
            calendar("2024-11-30T23:30", "UTC", "month", 3),
            ["2024-11-30 23:30", "2025-02-28 23:30", "2025-05-30 23:30", "2025-08-30 23:30"],
        ),
        (  # the reference's example, whose response to create_recurring has the second of these
            calendar("2024-03-01T08:00", "America/Chicago", "month"),
            ["2024-03-01 14:00", "2024-04-01 13:00", "2024-05-01 13:00"],
        ),
        (  # 02:30 is skipped on the 10th, and is an hour earlier in UTC from then on
            calendar("2024-03-09T02:30", "America/Chicago", "day"),
            ["2024-03-09 08:30", "2024-03-10 08:30", "2024-03-11 07:30"],
        ),
        (  # 01:30 is repeated on the 3rd: the first one
            calendar("2024-11-02T01:30", "America/Chicago", "day"),
            ["2024-11-02 06:30", "2024-11-03 06:30", "2024-11-04 07:30"],
        ),
        (  # half an hour is skipped
            calendar("2024-10-05T02:15", "Australia/Lord_Howe", "day"),
            ["2024-10-04 15:45", "2024-10-05 15:45", "2024-10-06 15:15"],
        ),
        (  # midnight itself is skipped
            calendar("2018-11-03T00:00", "America/Sao_Paulo", "day"),
            ["2018-11-03 03:00", "2018-11-04 03:00", "2018-11-05 02:00"],
        ),
        (  # Nuuk's clocks did not go back that night, but zoneinfo has 23:30 twice
            calendar("2023-10-27T23:30", "America/Nuuk", "day"),
            ["2023-10-28 01:30", "2023-10-29 01:30", "2023-10-30 01:30"],
        ),
        (  # the 30th is skipped: the end of the gap, midnight of the 31st
            calendar("2011-12-29T08:00", "Pacific/Apia", "day"),
            ["2011-12-29 18:00", "2011-12-30 10:00", "2011-12-30 18:00", "2011-12-31 18:00"],
        ),
        (  # one second before, because the next one is just then
            calendar("2011-12-29T00:00", "Pacific/Apia", "day"),
            ["2011-12-29 10:00", "2011-12-30 09:59:59", "2011-12-30 10:00", "2011-12-31 10:00"],
        ),
        (
            calendar("2011-11-30T23:59:59", "Pacific/Apia", "month"),
            ["2011-12-01 09:59:59", "2011-12-30 10:00", "2012-01-30 09:59:59"],
        ),
        (calendar("2024-12-30T05:00", "UTC", "week", 2), ["2024-12-30 05:00", "2025-01-13 05:00"]),
    ],
)
def test_occurrences_keep_the_wall_clock_time(jobs: Calendar, dates: list[str]) -> None:
    assert [occurrence(jobs, n) for n in range(len(dates))] == [at(date) for date in dates]


def test_the_end_is_inclusive() -> None:
    jobs = calendar("2024-01-31T08:00", "UTC", "month", end_at=at("2024-03-31 08:00"))
    assert first_after(jobs, at("2024-02-29 08:00")) == (2, at("2024-03-31 08:00"))
    assert first_after(jobs, at("2024-03-31 08:00")) is None
    assert first_after(jobs, at("2024-03-31 08:00"), inclusive=True) == (2, at("2024-03-31 08:00"))
    assert upcoming(jobs, at("2024-01-31 08:00"), 24) == [
        at("2024-02-29 08:00"),
        at("2024-03-31 08:00"),
    ]
    assert upcoming(jobs, at("2024-03-31 08:00"), 24) == []
    assert upcoming(jobs, at("2023-01-01 00:00"), 0) == []


def test_the_first_occurrence_is_the_start() -> None:
    jobs = calendar("2030-05-01T09:00", "Asia/Tokyo", "year", 3)
    assert first_after(jobs, at("1999-01-01 00:00")) == (0, at("2030-05-01 00:00"))


def test_no_occurrence_is_beyond_the_year_9999() -> None:
    jobs = calendar("9998-12-31T08:00", "America/Chicago", "year", 1000)
    assert occurrence(jobs, 0) == at("9998-12-31 14:00")
    for n in (1, 10**9):
        with pytest.raises(ValueError, match="lies beyond the year 9999"):
            occurrence(jobs, n)
    assert first_after(jobs, at("9998-12-31 14:00")) is None
    assert first_after(jobs, datetime.max.replace(tzinfo=UTC)) is None
    assert upcoming(jobs, at("2024-01-01 00:00"), 3) == [at("9998-12-31 14:00")]
    daily = calendar("9998-12-31T22:00", "America/Chicago", "day")
    assert len(upcoming(daily, at("9999-12-30 00:00"), 24)) == 2


@pytest.mark.parametrize(
    ("zone", "such_as"),
    [
        ("america/chicago", "America/Chicago"),
        ("Mars/Olympus", "America/Chicago"),
        ("../../etc/passwd", "America/Chicago"),
        ("/etc/localtime", "America/Chicago"),
        ("America", "America/Chicago"),
        ("__init__.py", "America/Chicago"),
        ("CST6", "America/Chicago"),
        ("", "America/Chicago"),
    ],
)
def test_unknown_zones_are_refused_with_a_known_one(zone: str, such_as: str) -> None:
    refused = f"must be the name of an IANA time zone, such as {such_as}$"
    with pytest.raises(ValueError, match=refused):
        check_zone(zone)
    for read in (local_start, moment):
        with pytest.raises(ValueError, match=refused):
            read("2024-03-01", zone)
    jobs = calendar("2024-03-01T08:00", zone, "day", end_at=at("2024-01-01 00:00"))
    with pytest.raises(ValueError, match=refused):
        first_after(jobs, at("2024-01-01 00:00"))
    with pytest.raises(ValueError, match=refused):
        occurrence(jobs, 0)


@pytest.mark.parametrize(
    ("text", "local", "utc"),
    [
        ("2024-03-01", "2024-03-01 00:00", "2024-03-01 06:00"),
        ("2024-03-01T08:00", "2024-03-01 08:00", "2024-03-01 14:00"),
        ("2024-03-01 08:00:05.999999999", "2024-03-01 08:00:05", "2024-03-01 14:00:05"),
        ("2024-03-01T08:00:00Z", "2024-03-01 02:00", "2024-03-01 08:00"),
        ("2024-03-01t08:00:00z", "2024-03-01 02:00", "2024-03-01 08:00"),
        ("2024-03-01T08:00:00+05:30", "2024-02-29 20:30", "2024-03-01 02:30"),
        ("2024-03-01T08:00:00+0530", "2024-02-29 20:30", "2024-03-01 02:30"),
        ("2024-03-01T08:00:00-05", "2024-03-01 07:00", "2024-03-01 13:00"),
        ("2024-03-10T02:30", "2024-03-10 02:30", "2024-03-10 08:30"),  # skipped
        ("2024-11-03T01:30", "2024-11-03 01:30", "2024-11-03 06:30"),  # repeated: the first
        ("2024-11-03T07:30Z", "2024-11-03 01:30", "2024-11-03 07:30"),  # the second
    ],
)
def test_iso_8601_is_local_in_the_zone_unless_it_has_an_offset(
    text: str, local: str, utc: str
) -> None:
    assert local_start(text, "America/Chicago") == datetime.fromisoformat(local)
    assert moment(text, "America/Chicago") == at(utc)


@pytest.mark.parametrize(
    "text",
    [
        *("", "tomorrow", "2024", "2024-13-01", "2023-02-29", "20240301", "2024-W10-5"),
        *("2024-03-01T", "2024-03-01T8:00", "2024-03-01T25:00", "2024-03-01T08:00:61"),
        *("2024-03-01T08:00+25:00", "2024-03-01T08:00 Europe/Paris", "2024-03-01Z"),
        *(" 2024-03-01", "2024-03-01\n", "\u0662\u0660\u0662\u0664-03-01", "2024-03-01T08:00+1"),
    ],
)
def test_other_texts_than_iso_8601_are_refused(text: str) -> None:
    for read in (local_start, moment):
        with pytest.raises(ValueError, match="must be an ISO 8601 date or date-time such as 2024"):
            read(text, "America/Chicago")


def test_a_date_alone_can_mean_the_end_of_its_day() -> None:
    last = moment("2024-03-01", "America/Chicago", end_of_day=True)
    assert last == at("2024-03-02 05:59:59")
    assert moment("2024-03-01T00:00", "UTC", end_of_day=True) == at("2024-03-01 00:00")


def test_years_out_of_range_are_refused_but_a_late_end_is_the_end_of_9999() -> None:
    for text in ("1899-12-31", "9999-01-01", "0001-01-01", "9999-12-31T23:59:59-12:00"):
        with pytest.raises(ValueError, match="must lie in the years 1900 to 9998"):
            local_start(text, "Pacific/Kiritimati")
    with pytest.raises(ValueError, match="must lie in the years 1900 to 9999"):
        moment("0001-01-01", "Pacific/Kiritimati")
    last = at("9999-12-31 23:59:59")
    assert moment("9999-12-31", "America/Chicago", end_of_day=True) == last
    assert moment("9999-12-31T23:59:59-12:00", "UTC") == last
    jobs = calendar("2024-01-01T00:00", "America/Chicago", "day", end_at=last)
    assert first_after(jobs, at("2024-01-01 05:00")) == (0, at("2024-01-01 06:00"))


def test_the_wall_clock_shows_whole_seconds() -> None:
    when = at("2024-11-03 07:30") + timedelta(microseconds=999_999)
    shown = wall_clock(when, "America/Chicago")
    assert shown == datetime.fromisoformat("2024-11-03 01:30")
    assert shown.fold == 0
