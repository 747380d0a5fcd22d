"""The reference describes every action as readers and writers treat it."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import Message

from portal.comments import comments_in
from portal.reference.build import reference
from portal.reference.model import Action, Field, Kind
from transcoding import actions
from transcoding.field_problems import FieldProblems
from transcoding.schema import is_map, is_money, is_timestamp

COMPILED = actions.build_catalogue()
ACTIONS = reference().actions()
EACH_ACTION = pytest.mark.parametrize("action", ACTIONS.values(), ids=lambda action: action.name)


def test_the_reference_has_every_action_of_the_catalogue() -> None:
    assert set(ACTIONS) == set(COMPILED)


def test_the_categories_have_the_order_of_the_public_reference() -> None:
    assert [category.name for category in reference().categories] == [
        "Authentication", "Business", "Credentials", "Users", "Keys", "Cards", "Payments",
        "Refunds", "Wallet", "Recurring", "Reports", "Audit",
    ]  # fmt: skip


@EACH_ACTION
def test_every_action_field_and_error_is_described(action: Action) -> None:
    fields = [f for top in (*action.request, *action.response) for f in top.flattened()]
    assert action.summary.endswith(".")
    assert [f.path for f in fields if not f.description] == []
    assert [f.path for f in fields for word in f.words if not word.description] == []
    assert all(error.description for error in (*action.errors, *action.general_errors))


@EACH_ACTION
def test_the_reader_has_exactly_the_fields_of_the_request(action: Action) -> None:
    assert _read(action, {"no_such_field": 1}) == {"no_such_field"}
    for field in (f for top in action.request for f in top.flattened()):
        problem = _read_problem(action, field)
        assert problem is not None, f"{field.path} took an impossible value"
        assert "not a field" not in problem


@EACH_ACTION
def test_the_writer_has_exactly_the_fields_of_the_response_in_order(action: Action) -> None:
    compiled = COMPILED[action.name]
    message = message_factory.GetMessageClass(compiled.method.output_type)()
    _fill(message)
    shown = json.loads(compiled.write(message))
    assert shown.pop("success") is True
    assert _paths_of(shown, "") == [f.path for top in action.response for f in top.flattened()]


def test_a_currency_follows_the_first_amount_and_is_optional() -> None:
    names = [field.name for field in ACTIONS["charge_customer"].request]
    currency = ACTIONS["charge_customer"].request[names.index("amount") + 1]
    assert (currency.kind, currency.required, currency.amounts) == (
        Kind.CURRENCY,
        False,
        ("amount",),
    )


def test_limits_are_sentences() -> None:
    by_path = {
        f.path: f for top in ACTIONS["create_authorize_customer"].request for f in top.flattened()
    }
    assert by_path["payment_profile.cvv"].limits.sentences() == ("must be 3 or 4 digits",)
    assert by_path["payment_profile.exp_month"].limits.sentences() == ("must be between 1 and 12",)
    assert by_path["payment_profile.card_number"].required
    assert not by_path["payment_profile"].required  # a nonce stands beside it
    metadata = next(f for f in ACTIONS["charge_customer"].request if f.name == "metadata")
    assert metadata.limits.sentences() == (
        "must have at most 20 pairs",
        "each key must be 1 to 40 printable characters without [, ] and backslashes",
        "each value must have at least 1 character",
        "each value must have at most 500 characters",
    )
    assert not by_path["payment_profile.postal_code"].required


def test_errors_are_those_that_the_method_declares_and_those_of_every_mutating_action() -> None:
    charge = [error.reason for error in ACTIONS["charge_customer"].errors]
    fund = [error.reason for error in ACTIONS["fund_customer"].errors]
    assert fund == [*charge, "WALLET_LIMIT"]
    assert "IDEMPOTENCY_KEY_REUSED" in {e.reason for e in ACTIONS["fund_customer"].general_errors}


def test_only_clearable_fields_of_requests_are_nullable() -> None:
    nullable = {
        (action.name, field.path)
        for action in ACTIONS.values()
        for top in action.request
        for field in top.flattened()
        if field.nullable
    }
    assert nullable == {
        ("modify_stripe_credentials", "credentials.stripe_webhook_secret"),
        ("modify_stripe_credentials", "credentials.account_id"),
        ("modify_authorize_credentials", "credentials.signature_key"),
        ("update_recurring", "description"),
        ("update_recurring", "end_at"),
        ("update_recurring", "max_cycles"),
        ("update_recurring", "source"),
        ("modify_business", "updates.retry_days"),
        ("modify_business", "updates.max_failed_cycles"),
        ("update_recurring", "retry_days"),
        ("update_recurring", "max_failed_cycles"),
        ("update_recurring", "metadata"),
        ("update_user", "updates.metadata"),
    }


def test_a_read_has_no_errors_of_mutating_actions() -> None:
    reasons = {error.reason for error in ACTIONS["get_all_users"].general_errors}
    assert "INVALID_CREDENTIALS" in reasons
    assert reasons.isdisjoint({"IDEMPOTENCY_KEY_REUSED", "OUTCOME_UNKNOWN"})


def test_comments_of_the_package_are_on_one_line() -> None:
    found = FileDescriptorSet()
    for package in ("nivisco.payments.v1", "other.v1"):
        file = found.file.add(name=f"{package}.proto", package=package)
        message = file.message_type.add(name="Outer")
        message.nested_type.add(name="Inner").field.add(name="leaf", number=1)
        location = file.source_code_info.location.add(path=[4, 0, 3, 0, 2, 0])
        location.leading_comments = " One line\n and another.\n"
    assert comments_in(found) == {"nivisco.payments.v1.Outer.Inner.leaf": "One line and another."}


def _read(action: Action, fields: dict[str, object]) -> set[str]:
    problems = FieldProblems()
    COMPILED[action.name].read(fields, "", problems)
    return {problem.field for problem in problems.found}


def _read_problem(action: Action, field: Field) -> str | None:
    """Return the reader's problem with a value that is invalid for every field."""
    value: object = object()
    for name in reversed(field.path.split(".")):
        value = {name.removesuffix("[]"): [value] if name.endswith("[]") else value}
    problems = FieldProblems()
    assert isinstance(value, dict)
    COMPILED[action.name].read(value, "", problems)
    return next((p.description for p in problems.found if p.field == field.path), None)


def _fill(message: Message) -> None:
    """Set every message, and add an item to every list, so that all keys appear."""
    descriptor = message.DESCRIPTOR
    assert isinstance(descriptor, Descriptor)
    for field in descriptor.fields:
        if field.message_type is None or is_map(field):
            continue
        inner = getattr(message, field.name)
        inner = inner.add() if field.is_repeated else inner
        inner.SetInParent()
        if not is_money(field) and not is_timestamp(field):
            _fill(inner)


def _paths_of(value: dict[str, Any], prefix: str) -> list[str]:
    found: list[str] = []
    for name, inner in value.items():
        found.append(prefix + name)
        if isinstance(inner, dict):
            found += _paths_of(inner, f"{prefix}{name}.")
        elif isinstance(inner, list):
            found += _each(inner, f"{prefix}{name}[].")
    return found


def _each(items: Iterable[Any], prefix: str) -> list[str]:
    return [path for item in items if isinstance(item, dict) for path in _paths_of(item, prefix)]
