"""Answers questions about the schema while readers and writers are compiled, never per request."""

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money

from nivisco.annotations.v1 import annotations_pb2

CURRENCY_KEY = "currency"
"""The JSON key that stands beside a Money field's amount."""
ENV_KEY = "env"
"""The JSON key that tells test money from real money."""


class SchemaError(TypeError):
    """The schema holds something that the JSON door cannot show; found when the adapter starts."""


def is_money(field: FieldDescriptor) -> bool:
    """Tell whether the field holds a google.type.Money."""
    return field.message_type is not None and field.message_type.full_name == (
        Money.DESCRIPTOR.full_name
    )


def is_timestamp(field: FieldDescriptor) -> bool:
    """Tell whether the field holds a google.protobuf.Timestamp."""
    return field.message_type is not None and field.message_type.full_name == (
        Timestamp.DESCRIPTOR.full_name
    )


def is_field_mask(field: FieldDescriptor) -> bool:
    """Return whether the field holds a google.protobuf.FieldMask, which JSON never shows."""
    return field.message_type is not None and field.message_type.full_name == (
        FieldMask.DESCRIPTOR.full_name
    )


def ends_the_day(field: FieldDescriptor) -> bool:
    """Tell whether a date alone in this Timestamp means the end of that day."""
    return bool(field.GetOptions().Extensions[annotations_pb2.end_of_day])


def money_names(descriptor: Descriptor) -> tuple[str, ...]:
    """Return the names of the message's Money fields, which share one `currency` key.

    Raises:
        SchemaError: a Money field repeats, or another field takes the `currency` key.
    """
    names = tuple(field.name for field in descriptor.fields if is_money(field))
    if names and CURRENCY_KEY in descriptor.fields_by_name:
        raise SchemaError(f"{descriptor.full_name} has Money and a field `{CURRENCY_KEY}`")
    if any(descriptor.fields_by_name[name].is_repeated for name in names):
        raise SchemaError(f"{descriptor.full_name} repeats Money, which has no JSON form")
    return names


def enum_words(enum: EnumDescriptor) -> dict[str, int]:
    """Return the JSON word of every value but the unset one.

    The word is the option `word`, or the lower-case rest of the name after the enum's own.

    Raises:
        SchemaError: two values share a word, or a name lacks the enum's.
    """
    first = enum.values_by_number[0].name
    prefix = first.removesuffix("UNSPECIFIED")
    words: dict[str, int] = {}
    for value in enum.values:
        if value.number == 0:
            continue
        if not value.name.startswith(prefix):
            raise SchemaError(f"{enum.full_name}: {value.name} does not begin with {prefix}")
        word = value.GetOptions().Extensions[annotations_pb2.word]
        word = word or value.name.removeprefix(prefix).lower()
        if word in words:
            raise SchemaError(f"{enum.full_name}: two values are the word {word}")
        words[word] = value.number
    return words


def refuse_choices(descriptor: Descriptor) -> None:
    """Refuse a message with a oneof of several fields, which the flat JSON form cannot tell apart.

    Raises:
        SchemaError: the message has such a oneof.
    """
    if any(len(oneof.fields) > 1 for oneof in descriptor.oneofs):
        raise SchemaError(f"{descriptor.full_name} has a oneof")
