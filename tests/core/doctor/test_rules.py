"""The doctor's pure rules."""

from datetime import UTC, datetime, timedelta

import pytest

from core.doctor.rules import Tally, clock_difference, group_businesses

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("sizes", "groups"),
    [
        ([], []),
        ([("a", 1)], [("a", "a")]),
        ([("a", 4), ("b", 6)], [("a", "b")]),
        ([("a", 4), ("b", 7)], [("a", "a"), ("b", "b")]),
        ([("a", 99), ("b", 1), ("c", 9), ("d", 1)], [("a", "a"), ("b", "c"), ("d", "d")]),
    ],
)
def test_small_businesses_share_a_chunk(
    sizes: list[tuple[str, int]], groups: list[tuple[str, str]]
) -> None:
    assert group_businesses(sizes, max_rows=10) == groups


@pytest.mark.parametrize(
    ("shown", "difference"), [(0, 0), (1, 0), (2, 0), (5, 3), (-4, -4)], ids=lambda v: f"{v}s"
)
def test_the_duration_of_the_query_is_no_difference_of_clocks(shown: int, difference: int) -> None:
    found = clock_difference(NOON, NOON + timedelta(seconds=shown), NOON + timedelta(seconds=2))
    assert found == timedelta(seconds=difference)


def test_sums_cover_all_chunks() -> None:
    tally = Tally(limit=10)
    for currency, amount in (("usd", 5), ("eur", 1), ("usd", -5), ("eur", 1)):
        tally.add_to_sum({"currency": currency}, amount)
    tally.close()
    assert (tally.count, tally.rows) == (1, [{"currency": "eur", "sum_minor": "2"}])
