"""Reads ISO 8601 times and writes times in the format of the API reference, in UTC."""

import re
from datetime import UTC, datetime, timedelta

from transcoding.field_problems import InvalidValue

FIRST_YEAR, LAST_YEAR = 1900, 9999
"""First and last year, in UTC, that a request may contain."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_ISO_8601 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ]([0-9]{2}:[0-9]{2})(?:(:[0-9]{2})(?:\.([0-9]{1,9}))?)?"
    r"([Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
_NOT_A_TIME = "must be an ISO 8601 date or date-time such as 2024-03-01 or 2024-03-01T08:00:00Z"


def read_time(value: object, *, end_of_day: bool) -> tuple[int, int]:
    """Return the seconds since 1970 and nanoseconds of an ISO 8601 date or date-time.

    Without an offset it is UTC. A date alone is its first moment. With `end_of_day`, a date alone
    is its last microsecond, and a time without a fraction that of its second: a range that ends
    with it includes the day or the second. Responses show times without fractions.

    Raises:
        InvalidValue: it is not such a string, there is no such time, or its year is out of range.
    """
    found = _ISO_8601.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise InvalidValue(_NOT_A_TIME)
    date, minutes, seconds_text, fraction, offset = found.groups(default="")
    if not minutes:
        minutes, seconds_text = _LAST_SECOND if end_of_day else _FIRST_SECOND
    if end_of_day:
        fraction = fraction or _LAST_MICROSECOND
    try:
        moment = datetime.fromisoformat(f"{date}T{minutes}{seconds_text}{offset.upper() or 'Z'}")
    except ValueError:
        raise InvalidValue(_NOT_A_TIME) from None
    seconds = (moment - _EPOCH) // _SECOND
    if not _EARLIEST <= seconds < _END:
        raise InvalidValue(f"must lie in the years {FIRST_YEAR} to {LAST_YEAR}")
    return seconds, int(fraction.ljust(9, "0"))


def write_time(seconds: int) -> str:
    """Return a time, in seconds since 1970, as `YYYY-MM-DD HH:MM:SS` in UTC.

    >>> write_time(0)
    '1970-01-01 00:00:00'
    """
    return (_EPOCH + timedelta(seconds=seconds)).isoformat(" ")[:19]


_FIRST_SECOND = ("00:00", ":00")
_LAST_SECOND = ("23:59", ":59")
_LAST_MICROSECOND = "999999"
_EARLIEST = (datetime(FIRST_YEAR, 1, 1, tzinfo=UTC) - _EPOCH) // _SECOND
_END = (datetime(LAST_YEAR, 12, 31, tzinfo=UTC) - _EPOCH) // _SECOND + 86_400
