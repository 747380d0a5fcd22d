"""No request assigns a column of the database that is not one of its fields, at any depth.

Actions, objects and columns are those of the schemas, so a new one is part of it.
"""

from collections.abc import Iterator

import pytest
from google.protobuf.descriptor import Descriptor

from core.database.schema import metadata
from transcoding.actions import Action, build_catalogue
from transcoding.field_problems import FieldProblems
from transcoding.schema import is_map

COLUMNS = sorted({column.name for table in metadata.tables.values() for column in table.columns})
ASSIGNABLE = frozenset(
    {
        *("account_id", "active", "address", "api_login_id", "catch_up", "currency", "description"),
        *("domain", "email", "end_at", "env", "exp_month", "exp_year", "expires_at", "gateway"),
        *("idempotency_key", "interval_type", "interval_value", "max_cycles", "max_failed_cycles"),
        *("metadata", "name", "reason", "retry_days", "scopes", "settle_receivables", "source"),
        *("state", "timezone"),
        # Ids of what the caller has, and of a customer at the caller's own gateway account:
        *("card_id", "customer_id", "hold_id", "key_id", "payment_id", "recurring_id"),
        *("transaction_id", "user_id"),
    }
)
"""Columns whose names are fields of requests that change something. `state` is of an address."""
ONLY_OF = {"status": {"update_recurring"}, "domain": {"register_business"}}
"""Actions whose requests may have what others may not; `update_recurring` is as documented."""


def objects(
    message: Descriptor, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Descriptor]]:
    """Yield a request and every object in it, with its path."""
    yield path, message
    for field in message.fields:
        inner = field.message_type
        if inner is not None and inner.file.package.startswith("nivisco.") and not is_map(field):
            yield from objects(inner, (*path, field.name))


def takes(action: Action, path: tuple[str, ...], column: str) -> bool:
    """Return whether the object at a path of the action's request has a field of this name."""
    fields: dict[str, object] = {column: "1"}
    for name in reversed(path):
        fields = {name: fields}
    problems = FieldProblems()
    action.read(fields, "", problems)
    field = ".".join((*path, column))
    return not any(
        each.field == field and each.description.startswith("is not a field of this request")
        for each in problems.found
    )


@pytest.mark.parametrize("action", build_catalogue().values(), ids=lambda each: each.name)
def test_a_request_takes_no_column_but_its_fields(action: Action) -> None:
    for path, message in objects(action.method.input_type):
        taken = {column for column in COLUMNS if takes(action, path, column)}
        assert taken <= {*message.fields_by_name, "currency"}, path
        if action.mutates:
            own = {column for column, actions in ONLY_OF.items() if action.name in actions}
            assert taken <= ASSIGNABLE - ONLY_OF.keys() | own, path


def test_what_only_the_service_decides_is_a_column_and_not_assignable() -> None:
    decided = {
        *("api_key_hash", "balance_minor", "business_id", "created_at", "kind", "last4"),
        *("lease_owner", "look_at", "suspended_at", "updated_at", "version", "wallet_id"),
    }
    assert decided <= set(COLUMNS)
    assert not decided & ASSIGNABLE


def test_every_assignable_name_is_of_a_request() -> None:
    changing = [each for each in build_catalogue().values() if each.mutates]
    named = {
        column
        for action in changing
        for path, _ in objects(action.method.input_type)
        for column in COLUMNS
        if takes(action, path, column)
    }
    assert named == ASSIGNABLE | ONLY_OF.keys()
