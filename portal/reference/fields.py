"""Describes the fields of requests and responses as readers and writers treat them."""

from collections.abc import Iterator, Sequence

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from buf.validate import validate_pb2
from nivisco.annotations.v1 import annotations_pb2
from portal.comments import comments
from portal.reference.model import (
    NO_LIMITS,
    Field,
    Kind,
    Limits,
    Word,
)
from rpc.catalogue import PATTERN_DESCRIPTIONS
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
)

_REQUEST_CURRENCY = "Currency of the amount, ISO 4217 in upper or lower case, for example `usd`."
_RESPONSE_CURRENCY = "Currency of the amount, ISO 4217 in lower case, for example `usd`."
_SCALARS = {
    FieldDescriptor.CPPTYPE_STRING: Kind.STRING,
    FieldDescriptor.CPPTYPE_BOOL: Kind.BOOLEAN,
    FieldDescriptor.CPPTYPE_INT32: Kind.INTEGER,
    FieldDescriptor.CPPTYPE_INT64: Kind.INTEGER,
    FieldDescriptor.CPPTYPE_UINT32: Kind.INTEGER,
    FieldDescriptor.CPPTYPE_UINT64: Kind.INTEGER,
}


def request_fields(descriptor: Descriptor) -> tuple[Field, ...]:
    """Return the JSON fields of a request message.

    Raises:
        SchemaError: the message has no JSON form.
    """
    return tuple(_fields(descriptor, "", is_request=True))


def response_fields(descriptor: Descriptor) -> tuple[Field, ...]:
    """Return the JSON fields of a response message, without `success`.

    Raises:
        SchemaError: the message has no JSON form.
    """
    return tuple(_fields(descriptor, "", is_request=False))


def _fields(descriptor: Descriptor, prefix: str, *, is_request: bool) -> Iterator[Field]:
    money = money_names(descriptor)
    described = {
        field.name: _field(field, prefix, is_request=is_request)
        for field in descriptor.fields
        if not is_field_mask(field)
    }
    for field in described.values():
        yield field
        if money and field.name == money[0]:
            amounts = [described[name] for name in money]
            yield _currency(prefix, amounts, is_request=is_request)


def _field(field: FieldDescriptor, prefix: str, *, is_request: bool) -> Field:
    kind = _kind(field)
    path = prefix + field.name
    options = field.GetOptions()
    rules = options.Extensions[validate_pb2.field]
    inner: tuple[Field, ...] = ()
    if kind is Kind.OBJECT and field.message_type is not None:
        within = path + ("[]." if field.is_repeated else ".")
        inner = tuple(_fields(field.message_type, within, is_request=is_request))
    return Field(
        name=field.name,
        path=path,
        kind=kind,
        description=comments().get(field.full_name, ""),
        required=is_request and rules.required,
        nullable=options.Extensions[
            annotations_pb2.clearable if is_request else annotations_pb2.nullable
        ],
        repeated=field.is_repeated and kind is not Kind.MAP,
        words=_words(field.enum_type) if field.enum_type is not None else (),
        limits=_limits(rules) if is_request else NO_LIMITS,
        includes_the_day=kind is Kind.TIME and includes_end_of_day(field),
        fields=inner,
        type_name=_type_name(field, kind),
    )


def _type_name(field: FieldDescriptor, kind: Kind) -> str:
    if field.enum_type is not None:
        return field.enum_type.full_name
    return field.message_type.full_name if kind is Kind.OBJECT and field.message_type else ""


def _kind(field: FieldDescriptor) -> Kind:
    if is_money(field):
        return Kind.AMOUNT
    if is_timestamp(field):
        return Kind.TIME
    if is_map(field):
        check_map(field)
        return Kind.MAP
    if field.message_type is not None:
        return Kind.OBJECT
    if field.enum_type is not None:
        return Kind.WORD
    if field.cpp_type not in _SCALARS:
        raise SchemaError(f"{field.full_name} has a type without a JSON form")
    return _SCALARS[field.cpp_type]


def _currency(prefix: str, amounts: Sequence[Field], *, is_request: bool) -> Field:
    return Field(
        name=CURRENCY_KEY,
        path=prefix + CURRENCY_KEY,
        kind=Kind.CURRENCY,
        description=_REQUEST_CURRENCY if is_request else _RESPONSE_CURRENCY,
        nullable=all(amount.nullable for amount in amounts),
        amounts=tuple(amount.name for amount in amounts),
    )


def _words(enum: EnumDescriptor) -> tuple[Word, ...]:
    return tuple(
        Word(word, comments().get(f"{enum.full_name}.{enum.values_by_number[number].name}", ""))
        for word, number in enum_words(enum).items()
    )


def _limits(rules: validate_pb2.FieldRules) -> Limits:
    """Return the limits in the validation rules; the core does not start with any other rule."""
    if rules.HasField("string"):
        text = rules.string
        pattern = text.pattern if text.HasField("pattern") else None
        return Limits(
            min_length=text.min_len if text.HasField("min_len") else None,
            max_length=text.max_len if text.HasField("max_len") else None,
            pattern=pattern,
            pattern_sentence=None if pattern is None else PATTERN_DESCRIPTIONS.get(pattern),
            email=text.email,
        )
    if rules.HasField("map"):
        pairs = rules.map
        return Limits(
            max_pairs=pairs.max_pairs if pairs.HasField("max_pairs") else None,
            keys=_limits(pairs.keys),
            values=_limits(pairs.values),
        )
    for kind in ("int32", "int64"):
        if rules.HasField(kind):
            whole = getattr(rules, kind)
            return Limits(
                minimum=whole.gte if whole.HasField("gte") else None,
                maximum=whole.lte if whole.HasField("lte") else None,
            )
    return NO_LIMITS
