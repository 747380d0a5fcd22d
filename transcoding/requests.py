"""Compiles a reader of JSON values for each request message, so that no request uses reflection.

A reader collects every problem, so that one response names them all.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money

from rpc.error_details import printable_key
from rpc.update_mask import (
    UPDATE_MASK,
    UPDATES,
    set_paths,
    updatable_paths,
    updated_message,
)
from transcoding.field_problems import FieldProblems, InvalidValue
from transcoding.money import read_amount, read_currency
from transcoding.schema import (
    CURRENCY_KEY,
    SchemaError,
    check_map,
    enum_words,
    includes_end_of_day,
    is_field_mask,
    is_map,
    is_money,
    is_timestamp,
    money_names,
    reject_oneofs,
)
from transcoding.times import read_time

ReadMessage = Callable[[Mapping[str, object], str, FieldProblems], Message]
"""Reads the JSON fields below a path such as `user.` into a message; adds to the problems."""
ReadLeaf = Callable[[object], Any]
"""Reads one JSON value; raises InvalidValue."""
ReadNested = Callable[[object, str, FieldProblems], Any]
"""Reads a JSON object or list at a path; adds to the problems; raises InvalidValue."""

NOT_A_STRING = "must be a string"
_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


def compile_reader(descriptor: Descriptor, *, within: tuple[Descriptor, ...] = ()) -> ReadMessage:
    """Return the reader of a message; `within` are the messages around it.

    Raises:
        SchemaError: the message has no JSON form.
    """
    reject_oneofs(descriptor)
    if descriptor in within:
        raise SchemaError(f"{descriptor.full_name} contains itself")
    leaves: dict[str, ReadLeaf] = {}
    nested: dict[str, ReadNested] = {}
    for field in descriptor.fields:
        if is_field_mask(field):
            continue
        leaf = None if field.is_repeated else _leaf(field)
        if leaf is not None:
            leaves[field.name] = leaf
        else:
            nested[field.name] = _nested(field, (*within, descriptor))
    names = money_names(descriptor)
    if names:
        leaves[CURRENCY_KEY] = read_currency
    read_arguments = _arguments_reader(leaves, nested)
    message_class = message_factory.GetMessageClass(descriptor)

    def read(fields: Mapping[str, object], prefix: str, problems: FieldProblems) -> Message:
        return message_class(**read_arguments(fields, prefix, problems))

    def read_money(fields: Mapping[str, object], prefix: str, problems: FieldProblems) -> Message:
        arguments = read_arguments(fields, prefix, problems)
        currency = arguments.pop(CURRENCY_KEY, None)
        if currency is not None:
            _apply_currency(currency, names, arguments, fields, prefix, problems)
        return message_class(**arguments)

    return _with_update_mask(read_money if names else read, descriptor)


def _with_update_mask(read: ReadMessage, descriptor: Descriptor) -> ReadMessage:
    """Return a reader that fills the update mask where JSON clears a field with null.

    `{}` clears a map, too. Otherwise there is no mask: the fields that are set are updated.
    """
    if UPDATE_MASK not in descriptor.fields_by_name:
        return read
    updates = descriptor.fields_by_name.get(UPDATES)
    if updates is None or updates.message_type is None:
        target, keys = descriptor, []
    else:
        target, keys = updates.message_type, [UPDATES]
    clearable = {
        path: [*keys, *path.split(".")]
        for path, is_clearable in updatable_paths(target).items()
        if is_clearable
    }
    maps = {field.name for field in target.fields if is_map(field)}

    def read_with_mask(
        fields: Mapping[str, object], prefix: str, problems: FieldProblems
    ) -> Message:
        message = read(fields, prefix, problems)
        cleared = [
            path for path, names in clearable.items() if _is_cleared(fields, names, path in maps)
        ]
        if cleared:
            mask = getattr(message, UPDATE_MASK)
            mask.paths.extend([*set_paths(updated_message(message)), *cleared])
        return message

    return read_with_mask if clearable else read


def _is_cleared(fields: Mapping[str, object], names: Sequence[str], is_map: bool) -> bool:
    """Return whether the value at a path of keys is null, or an empty map; not absent."""
    *outer, last = names
    value: object = fields
    for name in outer:
        value = value.get(name) if isinstance(value, Mapping) else None
    if not isinstance(value, Mapping) or last not in value:
        return False
    return value[last] is None or (is_map and value[last] == {})


def _arguments_reader(
    leaves: Mapping[str, ReadLeaf], nested: Mapping[str, ReadNested]
) -> Callable[[Mapping[str, object], str, FieldProblems], dict[str, Any]]:
    known = (*leaves, *nested)

    def read_arguments(
        fields: Mapping[str, object], prefix: str, problems: FieldProblems
    ) -> dict[str, Any]:
        arguments: dict[str, Any] = {}
        for name, value in fields.items():
            if value is None:
                continue
            try:
                if name in leaves:
                    arguments[name] = leaves[name](value)
                elif name in nested:
                    arguments[name] = nested[name](value, prefix + name, problems)
                else:
                    problems.add_unknown(prefix, name, known)
            except InvalidValue as invalid:
                problems.add_invalid(prefix + name, value, str(invalid))
        return arguments

    return read_arguments


def _apply_currency(
    currency: str,
    names: tuple[str, ...],
    arguments: dict[str, Any],
    fields: Mapping[str, object],
    prefix: str,
    problems: FieldProblems,
) -> None:
    """Write the currency into the amounts that were read.

    Without a valid amount, which is a problem in itself, the currency alone goes to the core, so
    that its problems are reported too.
    """
    given = [name for name in names if name in arguments]
    for name in given:
        arguments[name].currency_code = currency
    if given:
        return
    arguments[names[0]] = Money(currency_code=currency)
    if all(fields.get(name) is None for name in names):
        problems.add_invalid(prefix + names[0], None, f"is required beside `{CURRENCY_KEY}`")


def _leaf(field: FieldDescriptor) -> ReadLeaf | None:
    """Return the reader of one value of the field, or None for a message of our schema."""
    if is_money(field):
        return _read_money
    if is_timestamp(field):
        return partial(_read_timestamp, end_of_day=includes_end_of_day(field))
    if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        return None
    if field.cpp_type in _INTEGERS:
        return _integer_reader(*_INTEGERS[field.cpp_type])
    if field.enum_type is not None:
        return _enum_reader(enum_words(field.enum_type))
    if field.type == FieldDescriptor.TYPE_STRING:
        return read_string
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return read_boolean
    raise SchemaError(f"{field.full_name} has a type without a JSON form")


def _nested(field: FieldDescriptor, within: tuple[Descriptor, ...]) -> ReadNested:
    if is_map(field):
        check_map(field)
        return _read_strings
    if not field.is_repeated:
        return _object_reader(field.message_type, within)
    leaf = _leaf(field)
    if leaf is None:
        return _list_reader(_object_reader(field.message_type, within))

    def read_item(value: object, _path: str, _problems: FieldProblems) -> object:
        return leaf(value)

    return _list_reader(read_item)


def _object_reader(descriptor: Descriptor | None, within: tuple[Descriptor, ...]) -> ReadNested:
    assert descriptor is not None, "an object has a message"
    read = compile_reader(descriptor, within=within)

    def read_object(value: object, path: str, problems: FieldProblems) -> Message:
        if not isinstance(value, dict):
            raise InvalidValue("must be an object")
        return read(value, path + ".", problems)

    return read_object


def _read_strings(value: object, path: str, problems: FieldProblems) -> dict[str, str]:
    """Read an object of strings by any keys. A key is no field, so null is not absence there."""
    if not isinstance(value, dict):
        raise InvalidValue("must be an object of strings")
    strings: dict[str, str] = {}
    for key, each in value.items():
        try:
            strings[read_string(key)] = read_string(each)
        except InvalidValue as invalid:
            problems.add_invalid(f"{path}.{printable_key(key)}", each, str(invalid))
    return strings


def _list_reader(read_item: ReadNested) -> ReadNested:
    def read_list(value: object, path: str, problems: FieldProblems) -> list[object]:
        if not isinstance(value, list):
            raise InvalidValue("must be a list")
        items: list[object] = []
        for index, item in enumerate(value):
            place = f"{path}[{index}]"
            try:
                items.append(read_item(item, place, problems))
            except InvalidValue as invalid:
                problems.add_invalid(place, item, str(invalid))
        return items

    return read_list


def read_string(value: object) -> str:
    """Return a JSON string that is valid text for the core and its database.

    Raises:
        InvalidValue: it is not a string, or contains U+0000 or half of a surrogate pair.
    """
    if not isinstance(value, str):
        raise InvalidValue(NOT_A_STRING)
    if "\0" in value:
        raise InvalidValue("must not contain the NUL character")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidValue("must not contain half of a surrogate pair") from None
    return value


def read_boolean(value: object) -> bool:
    """Return a JSON boolean.

    Raises:
        InvalidValue: it is anything else.
    """
    if isinstance(value, bool):
        return value
    raise InvalidValue("must be true or false")


def _read_money(value: object) -> Money:
    units, nanos = read_amount(value)
    return Money(units=units, nanos=nanos)


def _read_timestamp(value: object, *, end_of_day: bool) -> Timestamp:
    seconds, nanos = read_time(value, end_of_day=end_of_day)
    return Timestamp(seconds=seconds, nanos=nanos)


def _integer_reader(lowest: int, highest: int) -> ReadLeaf:
    most_digits = len(str(highest))
    not_an_integer = "must be a whole number"
    out_of_range = f"must be between {lowest} and {highest}"

    def read_integer(value: object) -> int:
        if not isinstance(value, Decimal):
            raise InvalidValue(not_an_integer)
        if value and value.adjusted() >= most_digits:
            raise InvalidValue(out_of_range)
        number = int(value) if value else 0
        if number != value:
            raise InvalidValue(not_an_integer)
        if not lowest <= number <= highest:
            raise InvalidValue(out_of_range)
        return number

    return read_integer


def _enum_reader(words: Mapping[str, int]) -> ReadLeaf:
    description = "must be one of " + ", ".join(words)

    def read_word(value: object) -> int:
        if isinstance(value, str) and value in words:
            return words[value]
        raise InvalidValue(description)

    return read_word
