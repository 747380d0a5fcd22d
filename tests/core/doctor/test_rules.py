"""The doctor's pure rules."""

from datetime import UTC, datetime, timedelta

import pytest

from core.doctor.rules import Tally, bundles, surely_apart

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("sizes", "made"),
    [
        ([], []),
        ([("a", 1)], [("a", "a")]),
        ([("a", 4), ("b", 6)], [("a", "b")]),
        ([("a", 4), ("b", 7)], [("a", "a"), ("b", "b")]),
        ([("a", 99), ("b", 1), ("c", 9), ("d", 1)], [("a", "a"), ("b", "c"), ("d", "d")]),
    ],
)
def test_small_businesses_are_read_together_and_big_ones_alone(
    sizes: list[tuple[str, int]], made: list[tuple[str, str]]
) -> None:
    assert bundles(sizes, at_most=10) == made


@pytest.mark.parametrize(
    ("told", "apart"), [(0, 0), (1, 0), (2, 0), (5, 3), (-4, -4)], ids=lambda value: f"{value}s"
)
def test_the_time_that_a_question_takes_is_no_difference_of_clocks(told: int, apart: int) -> None:
    asked, answered = NOON, NOON + timedelta(seconds=2)
    assert surely_apart(asked, NOON + timedelta(seconds=told), answered) == timedelta(seconds=apart)


def test_sums_are_of_all_pieces_together() -> None:
    tally = Tally(limit=10)
    for currency, amount in (("usd", 5), ("eur", 1), ("usd", -5), ("eur", 1)):
        tally.add_up({"currency": currency}, amount)
    tally.close()
    assert (tally.count, tally.rows) == (1, [{"currency": "eur", "sum_minor": "2"}])
