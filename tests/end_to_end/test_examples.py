"""Every example of the reference is what the service responds, on each database."""

import asyncio

from nivisco.internal.v1 import operator_pb2
from nivisco.payments.v1 import audit_pb2 as pb
from portal.reference.build import reference
from rpc.catalogue import action_name, mutating_actions
from rpc.metadata import Credentials
from tests.core.running import OPERATOR_TOKEN, call
from tests.end_to_end.examples import COMMAND, SEQUENCE, Samples, run_examples
from tests.end_to_end.running import Stack

OPERATOR = Credentials(service_token=OPERATOR_TOKEN)


async def test_every_response_is_as_its_example_and_every_change_is_audited(stack: Stack) -> None:
    samples = Samples()
    async for result in run_examples(stack, samples):
        assert result.is_expected, (result.name, result.actual)
        assert samples.differences(result.shown, result.actual, result.name) == [], COMMAND
    events = await audited(stack, until="change_api_key")
    changing = {action_name(each.descriptor.name) for each in mutating_actions().values()}
    assert {each.action for each in events} >= changing
    actors = {pb.AuditActor.Name(each.actor) for each in events}
    assert actors >= {"AUDIT_ACTOR_API_KEY", "AUDIT_ACTOR_OPERATOR", "AUDIT_ACTOR_GATEWAY"}
    problems = (await call(stack.core, OPERATOR, operator_pb2.VerifyAuditRequest())).problems
    assert not problems


async def audited(stack: Stack, until: str) -> list[pb.AuditEvent]:
    """Return the audit trails of all businesses, once they have this action."""
    async with asyncio.timeout(60):
        while True:
            events, position, is_first = list[pb.AuditEvent](), "", True
            while is_first or position:
                request = operator_pb2.ExportAuditRequest(position=position)
                page = await call(stack.core, OPERATOR, request)
                events += page.events
                position, is_first = page.next_position, False
            if any(each.action == until for each in events):
                return events
            await asyncio.sleep(0.1)


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
