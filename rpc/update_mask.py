"""Paths that an update request can set and clear (AIP-134), for the core and for clients.

Paths are relative to the request's `updates`, or to the request itself if it has none. A required
field says what to update, so it has no path.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from operator import attrgetter
from typing import Final

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from buf.validate import validate_pb2
from nivisco.annotations.v1 import annotations_pb2

UPDATE_MASK: Final = "update_mask"
UPDATES: Final = "updates"
_NOT_UPDATABLE = (UPDATE_MASK, "idempotency_key", "verify")


def updated_message(request: Message) -> Message:
    """Return the part of an update request that holds the new values."""
    target: Message = getattr(request, UPDATES, request)
    return target


@cache
def updatable_paths(descriptor: Descriptor) -> Mapping[str, bool]:
    """Return the paths of a message that holds new values, and whether each is clearable."""
    return dict(_paths(descriptor, ""))


def _paths(descriptor: Descriptor, prefix: str) -> Iterator[tuple[str, bool]]:
    for field in descriptor.fields:
        options = field.GetOptions()
        is_required = options.Extensions[validate_pb2.field].required
        if field.name in _NOT_UPDATABLE:
            continue
        if not is_required:
            yield prefix + field.name, options.Extensions[annotations_pb2.clearable]
        elif field.message_type is not None:
            yield from _paths(field.message_type, f"{prefix}{field.name}.")


def set_paths(message: Message) -> list[str]:
    """Return the paths that are set in a message that holds new values, in the schema's order."""
    return [path for path in updatable_paths(message.DESCRIPTOR) if _is_set(message, path)]


def _is_set(message: Message, path: str) -> bool:
    outer, _, name = path.rpartition(".")
    holder = attrgetter(outer)(message) if outer else message
    field = holder.DESCRIPTOR.fields_by_name[name]
    return holder.HasField(name) if field.has_presence else bool(getattr(holder, name))
