"""Proves that every example of the reference is what the service answers, on each database."""

from portal.reference.build import reference
from tests.end_to_end.examples import COMMAND, STORY, Samples, tell
from tests.end_to_end.running import Stack


async def test_every_example_is_answered_as_it_is_shown(stack: Stack) -> None:
    samples = Samples()
    async for told in tell(stack, samples):
        assert told.is_as_told, (told.name, told.answered)
        assert samples.differences(told.shown, told.answered, told.name) == [], COMMAND


def test_every_action_has_an_example() -> None:
    actions = reference().actions()
    told = {name for name in STORY if not name.startswith("errors/")}
    assert told == set(actions)
    shown = {name for name, each in actions.items() if each.example and each.example.response}
    assert shown == set(actions)


def test_every_example_of_a_refusal_is_executed() -> None:
    shown = {error.reason for error in reference().errors if error.example}
    told = {name.removeprefix("errors/") for name in STORY if name.startswith("errors/")}
    assert shown == told


def test_a_sample_stands_for_one_value_everywhere() -> None:
    samples = Samples()
    assert samples.differences({"user_id": "USR-1"}, {"user_id": "USR-01A"}) == []
    assert samples.to_send({"user_id": "USR-1", "n": ["USR-1"]}) == {
        "user_id": "USR-01A",
        "n": ["USR-01A"],
    }
    assert samples.differences("USR-1", "USR-01B") == [' is "USR-01B", not "USR-1"']
    assert samples.differences({"a": "x"}, {"a": "y", "b": 1}) != []
    assert samples.differences("2024-01-01 00:00:00", "2026-01-01 00:00:00") == []
