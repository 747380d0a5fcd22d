"""Which fields an update request sets and clears, by its field mask (AIP-134). Pure.

Without a mask the fields that are set are updated. With a mask its paths are: a path whose field is
unset clears the field, which must be `clearable`. See rpc.update_mask for the paths.
"""

from dataclasses import dataclass

from google.protobuf.message import Message

from core.errors import FieldProblem
from rpc.update_mask import UPDATE_MASK, set_paths, updatable_paths, updated_message


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
    given = set_paths(updated_message(request))
    mask = _mask_paths(request)
    if not mask:
        return Update(tuple(given))
    return Update(
        tuple(path for path in given if path in mask),
        tuple(path for path in mask if path not in given),
    )


def mask_problems(request: Message) -> list[FieldProblem]:
    """Return what is wrong with a request's field mask."""
    target = updated_message(request)
    updatable = updatable_paths(target.DESCRIPTOR)
    given = set_paths(target)
    found: list[FieldProblem] = []
    for path in _mask_paths(request):
        if path not in updatable:
            known = ", ".join(updatable)
            found.append(FieldProblem(UPDATE_MASK, f"must hold paths of {known}"))
        elif not updatable[path] and path not in given:
            found.append(FieldProblem(UPDATE_MASK, f"names {path}, which cannot be cleared"))
    return list(dict.fromkeys(found))


def _mask_paths(request: Message) -> tuple[str, ...]:
    mask = getattr(request, UPDATE_MASK, None)
    return tuple(dict.fromkeys(mask.paths)) if mask is not None else ()
