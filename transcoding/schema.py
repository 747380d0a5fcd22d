"""The JSON form of the schema's fields and enums, used while readers and writers are compiled."""

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money

from nivisco.annotations.v1 import annotations_pb2

CURRENCY_KEY = "currency"
"""The JSON key beside a Money field's amount."""
ENV_KEY = "env"
"""The JSON key of the environment, TEST or LIVE."""


class SchemaError(TypeError):
    """A message has no JSON form. Raised when the adapter starts."""


def is_money(field: FieldDescriptor) -> bool:
    """Return whether the field is a google.type.Money."""
    return field.message_type is not None and field.message_type.full_name == (
        Money.DESCRIPTOR.full_name
    )


def is_timestamp(field: FieldDescriptor) -> bool:
    """Return whether the field is a google.protobuf.Timestamp."""
    return field.message_type is not None and field.message_type.full_name == (
        Timestamp.DESCRIPTOR.full_name
    )


def is_field_mask(field: FieldDescriptor) -> bool:
    """Return whether the field is a google.protobuf.FieldMask, which is no field in JSON."""
    return field.message_type is not None and field.message_type.full_name == (
        FieldMask.DESCRIPTOR.full_name
    )


def is_map(field: FieldDescriptor) -> bool:
    """Return whether the field is a map, which in JSON is an object with any keys."""
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def check_map(field: FieldDescriptor) -> None:
    """Check that a map holds strings by strings.

    Raises:
        SchemaError: it holds anything else, which has no JSON form.
    """
    entry = field.message_type
    assert entry is not None, "a map has entries"
    if any(part.type != FieldDescriptor.TYPE_STRING for part in entry.fields):
        raise SchemaError(f"{field.full_name} is a map of other values than strings")


def includes_end_of_day(field: FieldDescriptor) -> bool:
    """Return whether a date without a time means the end of that day in this Timestamp."""
    return bool(field.GetOptions().Extensions[annotations_pb2.end_of_day])


def money_names(descriptor: Descriptor) -> tuple[str, ...]:
    """Return the names of the message's Money fields, which share one `currency` key.

    Raises:
        SchemaError: a Money field is repeated, or another field has the key `currency`.
    """
    names = tuple(field.name for field in descriptor.fields if is_money(field))
    if names and CURRENCY_KEY in descriptor.fields_by_name:
        raise SchemaError(f"{descriptor.full_name} has Money and a field `{CURRENCY_KEY}`")
    if any(descriptor.fields_by_name[name].is_repeated for name in names):
        raise SchemaError(f"{descriptor.full_name} repeats Money, which has no JSON form")
    return names


def enum_words(enum: EnumDescriptor) -> dict[str, int]:
    """Return the JSON word of every value except the unspecified one.

    The word is the option `word`, or the lower-case rest of the name after the enum's own.

    Raises:
        SchemaError: two values share a word, or a name lacks the enum's prefix.
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


def reject_oneofs(descriptor: Descriptor) -> None:
    """Check that a message has no oneof of several fields, which has no JSON form.

    Raises:
        SchemaError: the message has such a oneof.
    """
    if any(len(oneof.fields) > 1 for oneof in descriptor.oneofs):
        raise SchemaError(f"{descriptor.full_name} has a oneof")
