"""Every example of the reference is what the service responds, on each database."""

from portal.reference.build import reference
from tests.end_to_end.examples import COMMAND, SEQUENCE, Samples, run_examples
from tests.end_to_end.running import Stack


async def test_every_response_is_as_its_example(stack: Stack) -> None:
    samples = Samples()
    async for result in run_examples(stack, samples):
        assert result.is_expected, (result.name, result.actual)
        assert samples.differences(result.shown, result.actual, result.name) == [], COMMAND


def test_every_action_has_an_example() -> None:
    actions = reference().actions()
    executed = {name for name in SEQUENCE if not name.startswith("errors/")}
    assert executed == set(actions)
    shown = {name for name, each in actions.items() if each.example and each.example.response}
    assert shown == set(actions)


def test_every_example_of_an_error_is_executed() -> None:
    shown = {error.reason for error in reference().errors if error.example}
    executed = {name.removeprefix("errors/") for name in SEQUENCE if name.startswith("errors/")}
    assert shown == executed


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
