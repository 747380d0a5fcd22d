"""Which fields an update request sets and clears, by its field mask (AIP-134). Pure.

Paths are relative to the request's `updates`, or to the request itself if it has none. Updatable
are the fields that are not required: a required field says what to update. Without a mask the
fields that are set are updated. With a mask its paths are: a path whose field is unset clears the
field, which must be `clearable`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from operator import attrgetter

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from buf.validate import validate_pb2
from core.errors import FieldProblem
from nivisco.annotations.v1 import annotations_pb2

UPDATE_MASK = "update_mask"
_UPDATES = "updates"
_NOT_UPDATABLE = (UPDATE_MASK, "idempotency_key")


@dataclass(frozen=True, slots=True)
class Update:
    """Paths of the fields that a request sets, in the order of the schema, and clears."""

    set_paths: tuple[str, ...]
    cleared_paths: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """All paths that the request changes."""
        return (*self.set_paths, *self.cleared_paths)


def update_of(request: Message) -> Update:
    """Return what an update request changes. Its mask has no problems."""
    target = _target(request)
    given = [path for path in _updatable(target.DESCRIPTOR) if _is_set(target, path)]
    mask = _mask_paths(request)
    if not mask:
        return Update(tuple(given))
    return Update(
        tuple(path for path in given if path in mask),
        tuple(path for path in mask if path not in given),
    )


def mask_problems(request: Message) -> list[FieldProblem]:
    """Return what is wrong with a request's field mask."""
    target = _target(request)
    updatable = _updatable(target.DESCRIPTOR)
    found: list[FieldProblem] = []
    for path in _mask_paths(request):
        if path not in updatable:
            known = ", ".join(updatable)
            found.append(FieldProblem(UPDATE_MASK, f"must hold paths of {known}"))
        elif not updatable[path] and not _is_set(target, path):
            found.append(FieldProblem(UPDATE_MASK, f"names {path}, which cannot be cleared"))
    return list(dict.fromkeys(found))


def _mask_paths(request: Message) -> tuple[str, ...]:
    mask = getattr(request, UPDATE_MASK, None)
    return tuple(dict.fromkeys(mask.paths)) if mask is not None else ()


def _target(request: Message) -> Message:
    target: Message = getattr(request, _UPDATES, request)
    return target


@cache
def _updatable(descriptor: Descriptor) -> Mapping[str, bool]:
    """Return the updatable paths of a message, and whether each is clearable."""
    return dict(_paths(descriptor, ""))


def _paths(descriptor: Descriptor, prefix: str) -> Iterator[tuple[str, bool]]:
    for field in descriptor.fields:
        options = field.GetOptions()
        is_required = options.Extensions[validate_pb2.field].required
        if field.name in _NOT_UPDATABLE or field.is_repeated:
            continue
        if not is_required:
            yield prefix + field.name, options.Extensions[annotations_pb2.clearable]
        elif field.message_type is not None:
            yield from _paths(field.message_type, f"{prefix}{field.name}.")


def _is_set(message: Message, path: str) -> bool:
    outer, _, name = path.rpartition(".")
    holder = attrgetter(outer)(message) if outer else message
    field = holder.DESCRIPTOR.fields_by_name[name]
    return holder.HasField(name) if field.has_presence else bool(getattr(holder, name))
