"""An update changes the fields of its mask, or without one the fields that are set."""

from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from core.update_mask import Update, mask_problems, update_of
from nivisco.payments.v1 import credentials_pb2, recurring_pb2, types_pb2, users_pb2


def user_update(*mask: str, **fields: Any) -> Message:
    return users_pb2.UpdateUserRequest(
        user_id="USR-1",
        updates=users_pb2.UpdateUserRequest.Updates(**fields),
        update_mask=FieldMask(paths=mask),
    )


def job_update(*mask: str, **fields: Any) -> Message:
    return recurring_pb2.UpdateRecurringRequest(
        recurring_id="REC-1", idempotency_key="k", update_mask=FieldMask(paths=mask), **fields
    )


def stripe_update(*mask: str, **fields: Any) -> Message:
    credentials = credentials_pb2.ModifyStripeCredentialsRequest.Credentials(
        env=types_pb2.ENV_TEST, **fields
    )
    return credentials_pb2.ModifyStripeCredentialsRequest(
        credentials=credentials, update_mask=FieldMask(paths=mask)
    )


@pytest.mark.parametrize(
    ("request_message", "update"),
    [
        (user_update(), Update(())),
        (user_update(name="A", active=False), Update(("name", "active"))),
        (user_update("active", name="A", active=False), Update(("active",))),
        (job_update(description="d", max_cycles=3), Update(("description", "max_cycles"))),
        (job_update("end_at", "max_cycles", max_cycles=3), Update(("max_cycles",), ("end_at",))),
        (job_update("end_at", "end_at"), Update((), ("end_at",))),
        (
            stripe_update("credentials.account_id", stripe_public_key="pk_test_x"),
            Update((), ("credentials.account_id",)),
        ),
        (
            stripe_update(stripe_public_key="pk_test_x"),
            Update(("credentials.stripe_public_key",)),
        ),
    ],
)
def test_an_update_sets_and_clears_fields(request_message: Message, update: Update) -> None:
    assert mask_problems(request_message) == []
    assert update_of(request_message) == update


@pytest.mark.parametrize(
    ("request_message", "problem"),
    [
        (user_update("name"), "names name, which cannot be cleared"),
        (user_update("user_id"), "must hold paths of name, email, active"),
        (user_update("updates.name", name="A"), "must hold paths of name, email, active"),
        (job_update("interval_type"), "names interval_type, which cannot be cleared"),
        (stripe_update("credentials.env"), "must hold paths of"),
    ],
)
def test_a_wrong_mask_is_refused(request_message: Message, problem: str) -> None:
    (found,) = mask_problems(request_message)
    assert found.field == "update_mask"
    assert found.description.startswith(problem)
