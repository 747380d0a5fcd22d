"""Compiles a writer of JSON text for each response message, so that no request uses reflection.

It writes text because the standard encoder cannot write exact decimal numbers.
"""

from collections.abc import Callable
from json.encoder import encode_basestring_ascii
from operator import attrgetter
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from transcoding.money import write_amount
from transcoding.schema import (
    CURRENCY_KEY,
    SchemaError,
    check_map,
    enum_words,
    is_map,
    is_money,
    is_timestamp,
    money_names,
    reject_oneofs,
)
from transcoding.times import write_time

WriteMessage = Callable[[Message], str]
"""Writes a message as JSON text in ASCII."""
WriteValue = Callable[[Any], str]

SUCCESS_KEY = "success"
_WHOLE_NUMBERS = frozenset(
    {
        FieldDescriptor.CPPTYPE_INT32,
        FieldDescriptor.CPPTYPE_INT64,
        FieldDescriptor.CPPTYPE_UINT32,
        FieldDescriptor.CPPTYPE_UINT64,
    }
)


def compile_response_writer(descriptor: Descriptor) -> WriteMessage:
    """Return the writer of a success: `success`, then the fields in the order of the schema.

    Raises:
        SchemaError: the message has no JSON form.
    """
    if SUCCESS_KEY in descriptor.fields_by_name:
        raise SchemaError(f"{descriptor.full_name} has a field `{SUCCESS_KEY}`")
    writers = (_write_success, *_field_writers(descriptor, ()))
    return _object_writer(writers)


def _write_success(_message: Message) -> str:
    return f'"{SUCCESS_KEY}":true'


def _object_writer(writers: tuple[WriteMessage, ...]) -> WriteMessage:
    def write(message: Message) -> str:
        return "{" + ",".join([write_field(message) for write_field in writers]) + "}"

    return write


def _field_writers(
    descriptor: Descriptor, within: tuple[Descriptor, ...]
) -> tuple[WriteMessage, ...]:
    reject_oneofs(descriptor)
    if descriptor in within:
        raise SchemaError(f"{descriptor.full_name} contains itself")
    inner = (*within, descriptor)
    writers: list[WriteMessage] = []
    money = money_names(descriptor)
    for field in descriptor.fields:
        if is_money(field):
            writers.append(_money_writer(field.name))
            if field.name == money[0]:
                writers.append(_currency_writer(money))
        elif is_map(field):
            check_map(field)
            writers.append(_map_writer(field.name))
        elif field.is_repeated:
            writers.append(_list_writer(field.name, _value_writer(field, inner)))
        elif field.has_presence:
            writers.append(_optional_writer(field.name, _value_writer(field, inner)))
        else:
            writers.append(_plain_writer(field.name, _value_writer(field, inner)))
    return tuple(writers)


def _value_writer(field: FieldDescriptor, within: tuple[Descriptor, ...]) -> WriteValue:
    if is_timestamp(field):
        return _write_timestamp
    if field.message_type is not None:
        return _object_writer(_field_writers(field.message_type, within))
    if field.enum_type is not None:
        texts = {number: f'"{word}"' for word, number in enum_words(field.enum_type).items()}
        return lambda number: texts.get(number, "null")
    if field.cpp_type in _WHOLE_NUMBERS:
        return str
    if field.type == FieldDescriptor.TYPE_STRING:
        return encode_basestring_ascii
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return lambda value: "true" if value else "false"
    raise SchemaError(f"{field.full_name} has a type without a JSON form")


def _plain_writer(name: str, write_value: WriteValue) -> WriteMessage:
    key = f'"{name}":'
    read = attrgetter(name)
    return lambda message: key + write_value(read(message))


def _optional_writer(name: str, write_value: WriteValue) -> WriteMessage:
    key = f'"{name}":'
    absent = key + "null"
    read = attrgetter(name)

    def write(message: Message) -> str:
        return key + write_value(read(message)) if message.HasField(name) else absent

    return write


def _list_writer(name: str, write_value: WriteValue) -> WriteMessage:
    key = f'"{name}":['
    read = attrgetter(name)

    def write(message: Message) -> str:
        return key + ",".join([write_value(item) for item in read(message)]) + "]"

    return write


def _map_writer(name: str) -> WriteMessage:
    """Return the writer of a map of strings, in the order of its keys: a map has none itself."""
    key = f'"{name}":{{'
    read = attrgetter(name)

    def write(message: Message) -> str:
        pairs = sorted(read(message).items())
        written = [
            f"{encode_basestring_ascii(each)}:{encode_basestring_ascii(value)}"
            for each, value in pairs
        ]
        return key + ",".join(written) + "}"

    return write


def _money_writer(name: str) -> WriteMessage:
    return _optional_writer(name, lambda money: write_amount(money.units, money.nanos))


def _currency_writer(names: tuple[str, ...]) -> WriteMessage:
    """Return the writer of the `currency` that the message's amounts share.

    The writer raises ValueError if two amounts differ in currency: money in a wrong currency is
    worse than an error.
    """
    key = f'"{CURRENCY_KEY}":'

    def write(message: Message) -> str:
        codes = {getattr(message, name).currency_code for name in names if message.HasField(name)}
        codes.discard("")
        if not codes:
            return key + "null"
        if len(codes) > 1:
            raise ValueError(f"{message.DESCRIPTOR.full_name} mixes currencies")
        return key + encode_basestring_ascii(codes.pop().lower())

    return write


def _write_timestamp(timestamp: Any) -> str:
    return f'"{write_time(timestamp.seconds)}"'
