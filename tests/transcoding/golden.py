"""Renders the actions as text for review; run as a module, it writes actions.golden."""

from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.rpc import code_pb2

from nivisco.annotations.v1 import annotations_pb2
from nivisco.payments.v1 import errors_pb2
from transcoding.actions import Action, build_catalogue
from transcoding.schema import (
    CURRENCY_KEY,
    enum_words,
    is_field_mask,
    is_map,
    is_money,
    is_timestamp,
)

GOLDEN = Path(__file__).with_name("actions.golden")
COMMAND = "python -m tests.transcoding.golden"
_SCALARS = {
    FieldDescriptor.CPPTYPE_STRING: "string",
    FieldDescriptor.CPPTYPE_BOOL: "boolean",
    FieldDescriptor.CPPTYPE_INT32: "integer",
    FieldDescriptor.CPPTYPE_INT64: "integer",
}


def render() -> str:
    """Return every action with its category and fields, and every reason with its codes."""
    lines = [
        f"# The public actions. Review every change. To renew the file: {COMMAND}",
        "",
    ]
    for action in build_catalogue().values():
        lines += [_title(action), *_fields(action.method.input_type, "  "), "  ->"]
        lines += [*_fields(action.method.output_type, "  "), ""]
    lines += ["# Error reasons: HTTP status, gRPC code", *_reasons(), ""]
    return "\n".join(lines)


def _title(action: Action) -> str:
    admin = " (admin only)" if action.admin_only else ""
    return f"{action.category} {action.name}{admin} [{action.key_scope or 'any key'}]"


def _fields(descriptor: Descriptor, indent: str) -> Iterator[str]:
    money = [field.name for field in descriptor.fields if is_money(field)]
    for field in descriptor.fields:
        if is_field_mask(field):
            continue
        several = "[]" if field.is_repeated and not is_map(field) else ""
        yield f"{indent}{field.name}: {_type(field)}{several}"
        is_leaf = is_money(field) or is_timestamp(field) or is_map(field)
        if field.message_type is not None and not is_leaf:
            yield from _fields(field.message_type, indent + "  ")
        if money and field.name == money[0]:
            yield f"{indent}{CURRENCY_KEY}: currency"


def _type(field: FieldDescriptor) -> str:
    if is_money(field):
        return "amount"
    if is_timestamp(field):
        return "time"
    if is_map(field):
        return "object of strings"
    if field.message_type is not None:
        return "object"
    if field.enum_type is not None:
        return " | ".join(enum_words(field.enum_type))
    return _SCALARS[field.cpp_type]


def _reasons() -> Iterator[str]:
    for value in errors_pb2.ErrorReason.DESCRIPTOR.values:
        if value.number:
            error = value.GetOptions().Extensions[annotations_pb2.error]
            code = code_pb2.Code.Name(error.grpc_code)
            yield f"{value.name.removeprefix('ERROR_REASON_')} {error.http_status} {code}"


if __name__ == "__main__":
    GOLDEN.write_text(render())
