"""How long the parts of a frame are gathered, in turns of the event loop."""

import pytest

from rpc.frames import gather


@pytest.mark.parametrize(
    ("arriving", "expects_more", "gathered"),
    [
        ([1, 1, 1], False, 1),
        ([1, 1, 1], True, 4),
        ([1, 0, 1], True, 2),
        ([10, 10, 10], True, 21),
    ],
    ids=[
        "none_expected_none_awaited",
        "one_each_turn",
        "one_too_late",
        "no_more_than_pay",
    ],
)
def test_parts_gather_while_each_turn_brings_one_and_more_are_expected(
    arriving: list[int], *, expects_more: bool, gathered: int
) -> None:
    parts = ["first"]
    gathering = gather(parts, lambda: expects_more)
    for count in arriving:
        try:
            gathering.send(None)
        except StopIteration:
            break
        parts += ["later"] * count
    gathering.close()
    assert len(parts) == gathered


def test_nothing_is_awaited_without_a_part() -> None:
    with pytest.raises(StopIteration):
        gather([], lambda: True).send(None)
