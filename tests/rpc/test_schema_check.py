"""Proves that the schema's typed options are consistent, and that the check finds mistakes."""

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import descriptor_pb2 as pb
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool

from nivisco.annotations.v1 import annotations_pb2
from nivisco.payments.v1 import business_pb2, errors_pb2, recurring_pb2, users_pb2
from rpc import schema_check
from rpc.catalogue import methods_by_path, secret_names
from rpc.schema_check import check_schema_options, schema_problems

REASONS = errors_pb2.ErrorReason.DESCRIPTOR
NO_SIDE_EFFECTS = pb.MethodOptions.NO_SIDE_EFFECTS
Change = Callable[[pb.FileDescriptorProto], object]


def changed(file: FileDescriptor, change: Change) -> FileDescriptor:
    """Return a copy of `file` after `change`, in a pool of its own."""
    pool = DescriptorPool()
    added: set[str] = set()

    def add(needed: FileDescriptor) -> None:
        if needed.name in added:
            return
        added.add(needed.name)
        for dependency in needed.dependencies:
            add(dependency)
        pool.AddSerializedFile(needed.serialized_pb)

    for dependency in file.dependencies:
        add(dependency)
    copy = pb.FileDescriptorProto.FromString(file.serialized_pb)
    change(copy)
    made: FileDescriptor = pool.AddSerializedFile(copy.SerializeToString())
    return made


def method(file: pb.FileDescriptorProto, name: str) -> pb.MethodOptions:
    return next(each.options for each in file.service[0].method if each.name == name)


def action(file: pb.FileDescriptorProto, name: str) -> annotations_pb2.Action:
    return method(file, name).Extensions[annotations_pb2.action]


def field(file: pb.FileDescriptorProto, path: str) -> pb.FieldDescriptorProto:
    outer, *inner, name = path.split(".")
    message = next(each for each in file.message_type if each.name == outer)
    for nested in inner:
        message = next(each for each in message.nested_type if each.name == nested)
    return next(each for each in message.field if each.name == name)


def mark(path: str, option: Any) -> Change:
    return lambda file: field(file, path).options.Extensions.__setitem__(option, True)


def test_the_schema_is_consistent() -> None:
    check_schema_options()


@pytest.mark.parametrize(
    ("file", "change", "problem"),
    [
        (
            users_pb2,
            lambda file: method(file, "ValidateUser").ClearExtension(annotations_pb2.action),
            "UsersService.ValidateUser must be either an action or in a service",
        ),
        (
            users_pb2,
            lambda file: method(file, "ValidateUser").ClearField("idempotency_level"),
            "UsersService.ValidateUser must have either an idempotency_key or NO_SIDE_EFFECTS",
        ),
        (
            users_pb2,
            lambda file: setattr(method(file, "CreateUser"), "idempotency_level", NO_SIDE_EFFECTS),
            "UsersService.CreateUser must have either an idempotency_key or NO_SIDE_EFFECTS",
        ),
        (
            users_pb2,
            lambda file: setattr(
                action(file, "ValidateUser"), "keeps_own_idempotency_record", True
            ),
            "UsersService.ValidateUser has no idempotency record to keep",
        ),
        (
            users_pb2,
            lambda file: (
                method(file, "CreateUser")
                .Extensions[errors_pb2.method_errors]
                .extend([errors_pb2.ERROR_REASON_USER_NOT_FOUND] * 2)
            ),
            "UsersService.CreateUser must declare each of its errors once",
        ),
        (
            business_pb2,
            lambda file: field(file, "RegisterBusinessResponse.api_key").ClearField("options"),
            "RegisterBusinessResponse.api_key must be marked debug_redact",
        ),
        (
            users_pb2,
            lambda file: setattr(field(file, "User.name"), "name", "signing_secret"),
            "User.signing_secret must be marked debug_redact",
        ),
        (
            recurring_pb2,
            mark("UpdateRecurringRequest.recurring_id", annotations_pb2.clearable),
            "UpdateRecurringRequest.recurring_id is clearable, but not",
        ),
        (
            recurring_pb2,
            mark("CreateRecurringRequest.description", annotations_pb2.clearable),
            "CreateRecurringRequest.description is clearable, but not",
        ),
        (
            recurring_pb2,
            mark("CreateRecurringRequest.description", annotations_pb2.nullable),
            "CreateRecurringRequest.description is nullable, but not only in responses",
        ),
        (
            recurring_pb2,
            lambda file: field(file, "RecurringJob.max_cycles").options.ClearExtension(
                annotations_pb2.nullable
            ),
            "RecurringJob.max_cycles must be nullable",
        ),
    ],
)
def test_a_mistake_in_the_options_is_found(file: Any, change: Change, problem: str) -> None:
    (found,) = schema_problems([changed(file.DESCRIPTOR, change)], REASONS)
    assert problem in found


def test_an_inconsistent_schema_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    change = mark("CreateRecurringRequest.description", annotations_pb2.nullable)
    monkeypatch.setattr(schema_check, "FILES", [changed(recurring_pb2.DESCRIPTOR, change)])
    with pytest.raises(ValueError, match=r"the schema is inconsistent: .*is nullable, but not"):
        check_schema_options()


def test_a_reason_without_status_codes_is_found() -> None:
    def forget(file: pb.FileDescriptorProto) -> None:
        file.enum_type[0].value[2].ClearField("options")

    reasons = changed(errors_pb2.DESCRIPTOR, forget).enum_types_by_name["ErrorReason"]
    (found,) = schema_problems([], reasons)
    assert found.startswith("ERROR_REASON_INVALID_CREDENTIALS must have a grpc_code")


@pytest.mark.parametrize(
    ("reason", "is_outcome", "problem"),
    [
        ("CARD_DECLINED", False, "has http_status 402, so it must have is_outcome"),
        ("USER_NOT_FOUND", True, "has is_outcome, so its http_status must be 402 or 409"),
    ],
)
def test_an_outcome_with_a_contradictory_status_is_found(
    reason: str, is_outcome: bool, problem: str
) -> None:
    def change(file: pb.FileDescriptorProto) -> None:
        (value,) = (each for each in file.enum_type[0].value if each.name.endswith(f"_{reason}"))
        value.options.Extensions[annotations_pb2.error].is_outcome = is_outcome

    reasons = changed(errors_pb2.DESCRIPTOR, change).enum_types_by_name["ErrorReason"]
    (found,) = schema_problems([], reasons)
    assert found == f"ERROR_REASON_{reason} {problem}"


def test_secret_names_are_the_marked_fields_and_the_secret_metadata_of_errors() -> None:
    assert secret_names() == {
        "api_key",
        "card_number",
        "client_secret",
        "cvv",
        "data_value",
        "gateway_key",
        "payment_method_token",
        "signature_key",
        "stripe_secret_key",
        "stripe_webhook_secret",
        "transaction_key",
    }


def test_actions_that_commit_more_than_once_keep_their_own_idempotency_records() -> None:
    keeping = {
        method.descriptor.name
        for method in methods_by_path().values()
        if method.keeps_own_idempotency_record
    }
    assert keeping == {
        "AddWalletFunds",
        "CapturePayment",
        "ChargeCustomer",
        "ChargeWallet",
        "CreateAuthorizeCustomer",
        "CreateStripeCustomer",
        "FundCustomer",
        "ImportCustomer",
        "RefundPayment",
        "RemoveCard",
        "RetryRecurring",
        "UpdateCard",
        "VoidPayment",
    }
