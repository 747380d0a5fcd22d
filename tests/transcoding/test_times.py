"""Reading and writing times."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcoding.field_problems import InvalidValue
from transcoding.times import read_time, write_time

EIGHT = 1_709_280_000  # 2024-03-01 08:00:00 UTC
MIDNIGHT = EIGHT - 8 * 3600


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-03-01T08:00:00Z", (EIGHT, 0)),
        ("2024-03-01T08:00:00", (EIGHT, 0)),
        ("2024-03-01 08:00:00", (EIGHT, 0)),
        ("2024-03-01t08:00z", (EIGHT, 0)),
        ("2024-03-01T09:00:00+01:00", (EIGHT, 0)),
        ("2024-03-01T02:00:00-0600", (EIGHT, 0)),
        ("2024-03-01T13:00+05", (EIGHT, 0)),
        ("2024-03-01T08:00:00.5Z", (EIGHT, 500_000_000)),
        ("2024-03-01T08:00:00.123456789Z", (EIGHT, 123_456_789)),
        ("2024-03-01", (MIDNIGHT, 0)),
    ],
)
def test_an_iso_8601_text_is_a_time(text: str, expected: tuple[int, int]) -> None:
    assert read_time(text, end_of_day=False) == expected


def test_a_date_can_mean_the_last_microsecond_of_its_day() -> None:
    assert read_time("2024-03-01", end_of_day=True) == (MIDNIGHT + 86_399, 999_999_000)


@pytest.mark.parametrize(
    ("text", "nanos"),
    [
        ("2024-03-01T00:00:00Z", 999_999_000),
        ("2024-03-01 00:00:00", 999_999_000),
        ("2024-03-01T00:00", 999_999_000),
        ("2024-03-01T00:00:00.0Z", 0),
        ("2024-03-01T00:00:00.5Z", 500_000_000),
    ],
)
def test_at_the_end_of_a_range_a_time_without_a_fraction_covers_its_second(
    text: str, nanos: int
) -> None:
    assert read_time(text, end_of_day=True) == (MIDNIGHT, nanos)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "yesterday",
        "20240301",
        "2024-W09-5",
        "2024-3-1",
        "2024-02-30",
        "2024-13-01",
        "0000-01-01",
        "2024-03-01T",
        "2024-03-01T8:00",
        "2024-03-01T24:00",
        "2024-03-01T08:00:60Z",
        "2024-03-01T08:00.5",
        "2024-03-01T08:00:00.1234567890Z",
        "2024-03-01T08:00:00+25:00",
        "2024-03-01T08:00:00 Z",
        "2024-03-01\n",
        "٢٠٢٤-03-01",
        1709280000,
        True,
        [],
    ],
)
def test_an_invalid_time_is_rejected(value: object) -> None:
    with pytest.raises(InvalidValue, match="ISO 8601"):
        read_time(value, end_of_day=False)


@pytest.mark.parametrize(
    "text",
    ["0001-01-01", "1899-12-31T23:59:59Z", "9999-12-31T23:59:59-01:00", "0001-01-01T00:00+14:00"],
)
def test_a_year_out_of_range_is_rejected(text: str) -> None:
    with pytest.raises(InvalidValue, match="1900 to 9999"):
        read_time(text, end_of_day=False)


@given(st.datetimes(datetime(1900, 1, 2), datetime(9999, 12, 30)), st.integers(-1439, 1439))  # noqa: DTZ001 - hypothesis wants naive bounds
def test_an_offset_changes_the_notation_only(moment: datetime, minutes: int) -> None:
    utc = moment.replace(tzinfo=UTC, microsecond=0)
    local = (utc + timedelta(minutes=minutes)).replace(tzinfo=None)
    sign = "-" if minutes < 0 else "+"
    offset = f"{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
    seconds, _ = read_time(f"{local.isoformat()}{offset}", end_of_day=False)
    assert write_time(seconds) == f"{utc:%Y-%m-%d %H:%M:%S}"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01 00:00:00"),
        (-1, "1969-12-31 23:59:59"),
        (-62_135_596_800, "0001-01-01 00:00:00"),
    ],
)
def test_a_time_is_written_in_utc(seconds: int, text: str) -> None:
    assert write_time(seconds) == text
