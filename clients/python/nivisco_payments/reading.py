"""Reads an answer into its typed result. Fields that this version does not know are left out."""

from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Any, Dict, Mapping, Type, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")


def read(kind: Type[T], answer: Mapping[str, Any]) -> T:
    """Return the result that an answer, whose numbers are texts, holds."""
    hints = _hints(cast(Any, kind))
    return kind(**{each: _value(hints[each], answer.get(each)) for each in hints})


@lru_cache(maxsize=None)
def _hints(kind: type) -> Dict[str, Any]:
    hints = get_type_hints(kind)
    return {each.name: hints[each.name] for each in fields(cast(Any, kind))}


def _value(hint: Any, given: Any) -> Any:
    if get_origin(hint) is Union:  # Optional
        hint = get_args(hint)[0]
    if given is None:
        return [] if get_origin(hint) is list else None
    if get_origin(hint) is list:
        return [_value(get_args(hint)[0], each) for each in given]
    if is_dataclass(hint):
        return read(cast(Any, hint), given)
    return int(given) if hint is int else given
