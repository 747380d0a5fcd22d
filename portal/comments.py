"""Reads the comments of the schema, which generated code does not have.

`python -m portal.comments SET FILE`, a step of `make generate`, writes them from protoc's
descriptor set into the file that the service reads.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

_PACKAGE = "nivisco.payments.v1"
_FILE = "comments.json"
# Field numbers of descriptor.proto, which the paths in SourceCodeInfo consist of.
_MESSAGES, _ENUMS, _SERVICES = 4, 5, 6
_FIELDS, _NESTED_MESSAGES, _NESTED_ENUMS, _VALUES, _METHODS = 2, 3, 4, 2, 2

_Place = tuple[tuple[int, ...], str]
"""A path in a file's SourceCodeInfo, and the full name of the element."""


@cache
def comments() -> Mapping[str, str]:
    """Return the comment of every element of nivisco.payments.v1 by its full name, on one line.

    The key of an enum value is the enum's full name, a dot and the value's name.

    Raises:
        FileNotFoundError: `make generate` has not written the comments.
    """
    text = files(_PACKAGE).joinpath(_FILE).read_text(encoding="utf-8")
    return MappingProxyType(json.loads(text))


def comments_in(descriptors: FileDescriptorSet) -> dict[str, str]:
    """Return the comments of the package's elements in a set with source info."""
    found: dict[str, str] = {}
    for file in descriptors.file:
        if file.package != _PACKAGE:
            continue
        places = dict(_places(file))
        for location in file.source_code_info.location:
            name = places.get(tuple(location.path))
            if name is not None and location.leading_comments:
                found[name] = " ".join(location.leading_comments.split())
    return found


def _places(file: FileDescriptorProto) -> Iterator[_Place]:
    for index, message in enumerate(file.message_type):
        yield from _message_places(message, (_MESSAGES, index), file.package)
    for index, enum in enumerate(file.enum_type):
        yield from _enum_places(enum, (_ENUMS, index), file.package)
    for index, service in enumerate(file.service):
        name = f"{file.package}.{service.name}"
        yield (_SERVICES, index), name
        for number, method in enumerate(service.method):
            yield (_SERVICES, index, _METHODS, number), f"{name}.{method.name}"


def _message_places(
    message: DescriptorProto, path: tuple[int, ...], outer: str
) -> Iterator[_Place]:
    name = f"{outer}.{message.name}"
    yield path, name
    for index, field in enumerate(message.field):
        yield (*path, _FIELDS, index), f"{name}.{field.name}"
    for index, nested in enumerate(message.nested_type):
        yield from _message_places(nested, (*path, _NESTED_MESSAGES, index), name)
    for index, enum in enumerate(message.enum_type):
        yield from _enum_places(enum, (*path, _NESTED_ENUMS, index), name)


def _enum_places(enum: EnumDescriptorProto, path: tuple[int, ...], outer: str) -> Iterator[_Place]:
    name = f"{outer}.{enum.name}"
    yield path, name
    for index, value in enumerate(enum.value):
        yield (*path, _VALUES, index), f"{name}.{value.name}"


def _write(descriptor_set: Path, target: Path) -> None:
    found = comments_in(FileDescriptorSet.FromString(descriptor_set.read_bytes()))
    text = json.dumps(dict(sorted(found.items())), indent=1, ensure_ascii=False)
    target.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    _write(Path(sys.argv[1]), Path(sys.argv[2]))
