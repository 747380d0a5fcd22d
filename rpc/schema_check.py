"""Checks that the typed options of the schema are complete and consistent."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from google.protobuf.descriptor import (
    Descriptor,
    EnumDescriptor,
    FieldDescriptor,
    FileDescriptor,
)

from buf.validate import validate_pb2
from nivisco.annotations.v1 import annotations_pb2
from nivisco.payments.v1 import errors_pb2
from rpc.catalogue import FILES, IDEMPOTENCY_KEY, fields_of, methods_of, read_method

_UPDATE_MASK = "update_mask"
_PAYMENT_REQUIRED: Final = 402
_OUTCOME_STATUSES: Final = frozenset({_PAYMENT_REQUIRED, 409})
"""The others ask for another request or a retry."""
_SECRET_NAME = re.compile(r"(^|_)(key|secret|token|password|cvv|number)$")
_NOT_SECRET: Final = frozenset({IDEMPOTENCY_KEY, "stripe_public_key", "fencing_token"})


def check_schema_options() -> None:
    """Check the schema.

    Raises:
        ValueError: the schema has problems; the message lists all of them.
    """
    found = schema_problems(FILES, errors_pb2.ErrorReason.DESCRIPTOR)
    if found:
        raise ValueError("the schema is inconsistent: " + "; ".join(found))


def schema_problems(files: Sequence[FileDescriptor], reasons: EnumDescriptor) -> list[str]:
    """Return what is missing or contradictory in the options of files and error reasons."""
    return [
        *_method_problems(files),
        *_reason_problems(reasons),
        *_secret_problems(files),
        *_null_problems(files),
    ]


def _method_problems(files: Sequence[FileDescriptor]) -> Iterator[str]:
    for descriptor in methods_of(files):
        name, method = descriptor.full_name, read_method(descriptor)
        accepts_key = IDEMPOTENCY_KEY in descriptor.input_type.fields_by_name
        if method.is_action == (method.scope is not None):
            yield f"{name} must be either an action or in a service with a service_scope"
        action = descriptor.GetOptions().Extensions[annotations_pb2.action]
        if method.is_action and not action.scope:
            yield f"{name} must have the scope that its API keys need"
        if method.is_action and method.is_mutating != accepts_key:
            yield f"{name} must have either an {IDEMPOTENCY_KEY} or NO_SIDE_EFFECTS"
        if method.keeps_own_idempotency_record and not (method.is_mutating and accepts_key):
            yield f"{name} has no idempotency record to keep"
        if len(set(method.errors)) < len(method.errors) or "UNSPECIFIED" in method.errors:
            yield f"{name} must declare each of its errors once"


def _reason_problems(reasons: EnumDescriptor) -> Iterator[str]:
    for reason in reasons.values:
        error = reason.GetOptions().Extensions[annotations_pb2.error]
        if reason.number and not (error.grpc_code and 400 <= error.http_status < 600):
            yield f"{reason.name} must have a grpc_code and an http_status from 400 to 599"
        if error.http_status == _PAYMENT_REQUIRED and not error.is_outcome:
            yield f"{reason.name} has http_status 402, so it must have is_outcome"
        if error.is_outcome and error.http_status not in _OUTCOME_STATUSES:
            yield f"{reason.name} has is_outcome, so its http_status must be 402 or 409"


def _secret_problems(files: Sequence[FileDescriptor]) -> Iterator[str]:
    """Secrets are found by their names, so a name is a secret in every message or in none."""
    fields = list(fields_of(files))
    marked = {field.name for field in fields if field.GetOptions().debug_redact}
    for field in fields:
        is_secret = field.name in marked or _SECRET_NAME.search(field.name)
        if is_secret and field.name not in _NOT_SECRET and not field.GetOptions().debug_redact:
            yield f"{field.full_name} must be marked debug_redact"


def _null_problems(files: Sequence[FileDescriptor]) -> Iterator[str]:
    methods = methods_of(files)
    requests = _messages_in(method.input_type for method in methods)
    responses = _messages_in(method.output_type for method in methods)
    updates = _messages_in(
        method.input_type for method in methods if _UPDATE_MASK in method.input_type.fields_by_name
    )
    for field in fields_of(files):
        options, message = field.GetOptions(), field.full_name.rpartition(".")[0]
        # Of an enum, 0 is unspecified; an empty list is as if it were absent.
        has_empty = field.enum_type is not None or field.is_repeated
        may_be_unset = field.has_presence or has_empty
        if options.Extensions[annotations_pb2.clearable] and not (
            message in updates and may_be_unset and not _is_required(field)
        ):
            yield f"{field.full_name} is clearable, but not an optional field of an update request"
        is_nullable = options.Extensions[annotations_pb2.nullable]
        if is_nullable and (message in requests or message not in responses):
            yield f"{field.full_name} is nullable, but not only in responses"
        is_optional_scalar = field.has_presence and field.message_type is None
        if is_optional_scalar and message in responses - requests and not is_nullable:
            yield f"{field.full_name} must be nullable, because responses may leave it unset"


def _is_required(field: FieldDescriptor) -> bool:
    return bool(field.GetOptions().Extensions[validate_pb2.field].required)


def _messages_in(roots: Iterable[Descriptor]) -> set[str]:
    """Return the names of the messages, and of all messages inside them."""
    found: set[str] = set()
    left = list(roots)
    while left:
        message = left.pop()
        if message.full_name not in found:
            found.add(message.full_name)
            left += [field.message_type for field in message.fields if field.message_type]
    return found
