"""What a stop refuses: the table of core.stops, cell by cell."""

from itertools import product

import pytest

from core.stops import NOTHING, Stops

REFUSED = {
    # What is asked, and the stops that refuse it.
    "charge at stripe": {"charges:*", "charges:stripe", "everything:*", "everything:stripe"},
    "cycle at stripe": {"recurring:*", "recurring:stripe", "everything:*", "everything:stripe"},
    "cycle at wallet": {"recurring:*", "everything:*"},
    "capture at stripe": {"everything:*", "everything:stripe"},
    "sending at stripe": {
        f"{what}:{where}"
        for what in ("charges", "recurring", "everything")
        for where in ("*", "stripe")
    },
    "movement": {"everything:*"},
}
WORDS = [
    f"{what}:{where}"
    for what in ("charges", "recurring", "everything")
    for where in ("*", "stripe", "authorize")
]


def is_refused(asked: str, stops: Stops) -> bool:
    verb, _, where = asked.partition(" at ")
    if verb == "movement":
        return stops.refuse_movement
    return bool(getattr(stops, f"refuse_{verb}")(where))


@pytest.mark.parametrize("asked", REFUSED)
def test_a_stop_refuses_what_the_table_says(asked: str) -> None:
    for word in WORDS:
        assert is_refused(asked, Stops.of(word)) is (word in REFUSED[asked]), word
    assert not is_refused(asked, NOTHING)


@pytest.mark.parametrize("asked", REFUSED)
def test_several_stops_refuse_what_one_of_them_does(asked: str) -> None:
    for one, other in product(WORDS, WORDS):
        expected = bool({one, other} & REFUSED[asked])
        assert is_refused(asked, Stops.of(f"{one} {other}")) is expected


@pytest.mark.parametrize("listed", [None, ""])
def test_nothing_listed_is_nothing_stopped(listed: str | None) -> None:
    assert Stops.of(listed) == NOTHING
