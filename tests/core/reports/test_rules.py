from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidFields
from core.gateways.events import FactKind
from core.messages import enum_value
from core.reports.rules import Moved, Period, period, volumes
from core.reports.service import _fact
from core.reports.store import GatewayEvent
from nivisco.payments.v1 import reports_pb2 as pb

NOW = datetime(2026, 3, 1, 0, 30, tzinfo=UTC)


def day(text: str, zone: timezone = UTC) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


@pytest.mark.parametrize(
    ("from_date", "to_date", "first", "last"),
    [
        (None, None, "2026-01-31", "2026-03-01"),
        (day("2026-02-28T23:59:59"), None, "2026-02-28", "2026-03-01"),
        (None, day("2026-02-01"), "2026-01-03", "2026-02-01"),
        (day("2026-02-01"), day("2026-02-01T23:59:59.999999"), "2026-02-01", "2026-02-01"),
        (day("2025-12-01"), day("2026-03-02"), "2025-12-01", "2026-03-02"),  # 92 days
        (
            day("2026-02-01T01:00", timezone(timedelta(hours=2))),
            day("2026-02-02T23:30", timezone(timedelta(hours=-1))),
            "2026-01-31",
            "2026-02-03",
        ),
        (None, day("0001-01-02"), "0001-01-01", "0001-01-02"),
    ],
)
def test_a_period_is_of_whole_days_in_utc(
    from_date: datetime | None, to_date: datetime | None, first: str, last: str
) -> None:
    found = period(from_date, to_date, NOW)
    assert (found.first.isoformat(), found.last.isoformat()) == (first, last)
    assert found.begin == datetime.combine(found.first, datetime.min.time(), UTC)
    assert found.end == datetime.combine(found.last, datetime.min.time(), UTC) + timedelta(days=1)


@pytest.mark.parametrize(
    ("from_date", "to_date", "problem"),
    [
        (day("2026-03-02"), None, "must not be before from_date"),
        (day("2026-02-02"), day("2026-02-01"), "must not be before from_date"),
        (day("2025-12-01"), day("2026-03-03"), "must be at most 91 days after from_date"),
        (day("0001-01-01"), day("9999-12-31"), "must be at most 91 days after from_date"),
        (day("9999-12-31"), day("9999-12-31"), "must be before the year 10000"),
    ],
)
def test_days_that_are_none_or_too_many_are_refused(
    from_date: datetime, to_date: datetime | None, problem: str
) -> None:
    with pytest.raises(InvalidFields) as refused:
        period(from_date, to_date, NOW)
    assert problem in str(refused.value.problems)


DAYS = st.sampled_from(["2026-01-01", "2026-01-02", "2026-02-01"])
MOVED = st.builds(
    Moved,
    kind=st.sampled_from(["payment", "refund"]),
    day=DAYS,
    gateway=st.sampled_from(["stripe", "authorize"]),
    currency=st.sampled_from(["usd", "jpy"]),
    count=st.integers(1, 10**6),
    amount_minor=st.integers(1, 10**17),
) | st.builds(
    Moved,
    kind=st.sampled_from(["credit", "debit"]),
    day=DAYS,
    gateway=st.none(),
    currency=st.sampled_from(["usd", "jpy"]),
    count=st.integers(1, 10**6),
    amount_minor=st.integers(1, 10**17),
)


@given(st.lists(MOVED, unique_by=lambda each: (each.kind, each.day, each.gateway, each.currency)))
def test_volumes_have_every_movement_once_and_are_in_order(moved: list[Moved]) -> None:
    found = list(volumes(moved))
    keys = [(each.day, each.gateway or "", each.currency) for each in found]
    assert keys == sorted(set(keys))
    for kind in ("payment", "refund", "credit", "debit"):
        of_kind = [each for each in moved if each.kind == kind]
        assert sum(each.count(kind) for each in found) == sum(each.count for each in of_kind)
        assert sum(each.amount_minor(kind) for each in found) == sum(
            each.amount_minor for each in of_kind
        )


def test_a_period_of_one_day_is_24_hours() -> None:
    one = Period(date(2026, 3, 29), date(2026, 3, 29))
    assert one.end - one.begin == timedelta(days=1)


@pytest.mark.parametrize("kind", FactKind)
def test_every_kind_of_fact_has_a_word(kind: FactKind) -> None:
    assert enum_value(pb.GatewayEventChange, kind) > 0


@pytest.mark.parametrize(
    ("fact", "expected"),
    [
        (None, (None, "")),
        ('{"kind": "refund", "object_id": "re_1"}', (FactKind.REFUND, "re_1")),
        ('{"kind": "of a newer version", "object_id": ""}', (None, "")),
        ('{"kind": "refund"}', (None, "")),
        ("broken", (None, "")),
        ("[]", (None, "")),
    ],
)
def test_a_fact_that_cannot_be_read_shows_nothing(
    fact: str | None, expected: tuple[FactKind | None, str]
) -> None:
    event = GatewayEvent(
        *("stripe", "TEST", "evt_1", "t", None, None, None, fact, "applied", NOW, NOW, None)
    )
    assert _fact(event) == expected
