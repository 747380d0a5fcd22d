"""The scenario that every client library runs against a real `nivisco up`."""

import json
from typing import Any

from tests.clients.runners import HERE, Outcome, Runner

_STEPS: list[dict[str, Any]] = json.loads((HERE / "scenario.json").read_text())
_ANYTHING = "*"


def play(runner: Runner, business_id: str, api_key: str) -> None:
    """Play the scenario, and check that nothing that was printed contains a key."""
    known: dict[str, Any] = {"business_id": business_id}
    keys = [api_key]
    shown = runner.shown
    assert business_id in shown
    for step in _STEPS:
        given = _resolved(step.get("fields", {}), known)
        outcome = runner.call(step["action"], given, step.get("key"))
        _compare(step, outcome, known)
        known[step.get("as", "")] = outcome.result
        if step["action"] == "change_api_key":
            assert outcome.result is not None
            keys.append(outcome.result["api_key"])
        shown += outcome.shown
    assert not [key for key in keys if key in shown]


def _compare(step: dict[str, Any], outcome: Outcome, known: dict[str, Any]) -> None:
    context = f"{step['does']}: {outcome.shown}"
    if "error" in step:
        assert outcome.error is not None, context
        _assert_contains(outcome.error, _resolved(step["error"], known), context)
    else:
        assert outcome.result is not None, context
        _assert_contains(outcome.result, _resolved(step.get("result", {}), known), context)


def _assert_contains(found: Any, expected: Any, context: str) -> None:
    """Compare key by key; `found` may have more keys."""
    if isinstance(expected, dict):
        assert isinstance(found, dict), context
        for name, value in expected.items():
            assert name in found, context
            _assert_contains(found[name], value, f"{name} of {context}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), context
        for one, value in zip(found, expected, strict=True):
            _assert_contains(one, value, context)
    elif expected == _ANYTHING:
        assert isinstance(found, str), context
        assert found, context
    else:
        assert (type(found), found) == (type(expected), expected), context


def _resolved(value: Any, known: dict[str, Any]) -> Any:
    """Return the value with every `$name.path` replaced by that of an earlier result."""
    if isinstance(value, dict):
        return {name: _resolved(each, known) for name, each in value.items()}
    if isinstance(value, list):
        return [_resolved(each, known) for each in value]
    if isinstance(value, str) and value.startswith("$"):
        found: Any = known
        for name in value[1:].split("."):
            found = found[name]
        return found
    return value
