"""Which requests are the same as the one that used an idempotency key first. No I/O.

An absent field is the same as an empty one. `env`, `gateway` and the amount's currency have
defaults that may change: absent, they are the same as what the first request resolved, whichever of
the two requests leaves them out. They are never resolved anew.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from google.type import money_pb2

from core.messages import env_value, gateway_value
from nivisco.payments.v1 import types_pb2

IDEMPOTENCY_KEY: Final = "idempotency_key"
_UPDATE_MASK: Final = "update_mask"
_MONEY: Final = money_pb2.Money.DESCRIPTOR.full_name
_RESOLVED_TYPES: Final = {
    types_pb2.Env.DESCRIPTOR.full_name: "env",
    types_pb2.Gateway.DESCRIPTOR.full_name: "gateway",
}
RESOLVED_FIELDS: Final = ("env", "gateway", "amount.currency_code")
Resolved = Mapping[str, Any]
"""Values of RESOLVED_FIELDS that a request resolved to, as far as they are known."""


def without_key(request: Message) -> Message:
    """Return a copy of a request without its idempotency key and unknown fields."""
    bare = type(request)()
    bare.CopyFrom(request)
    bare.ClearField(IDEMPOTENCY_KEY)
    bare.DiscardUnknownFields()
    return bare


def clear_defaults(request: Message) -> bool:
    """Clear optional fields that are set to their defaults, and return whether there were any.

    In an update they are kept, because there `""` is a new value.
    """
    if _UPDATE_MASK in request.DESCRIPTOR.fields_by_name:
        return False
    is_changed = False
    for field, value in request.ListFields():
        if field.is_repeated:
            continue
        if field.message_type is not None:
            is_changed = clear_defaults(value) or is_changed
        elif field.has_presence and value == field.default_value:
            request.ClearField(field.name)
            is_changed = True
    return is_changed


def contents(request: Message) -> Iterator[bytes]:
    """Yield the serialized request as this version compares it, and as older ones did."""
    canonical = without_key(request)
    is_changed = clear_defaults(canonical)
    yield canonical.SerializeToString(deterministic=True)
    if is_changed:
        yield without_key(request).SerializeToString(deterministic=True)


def may_be_same(one: Message, other: Message) -> bool:
    """Return whether two requests are equal apart from fields that one of them leaves out."""
    equal = []
    for first, second in ((one, other), (other, one)):
        filled = without_key(first)
        for path in RESOLVED_FIELDS:
            if (holder := _holder(filled, path)) is not None:
                name = path.rpartition(".")[2]
                setattr(holder, name, getattr(holder, name) or getattr(_holder(second, path), name))
        clear_defaults(filled)
        equal.append(filled)
    return equal[0] == equal[1]


def variants(request: Message, resolved: Resolved) -> Iterator[bytes]:
    """Yield the contents that are the same request if the first one resolved to `resolved`.

    There are none if the request contradicts it.
    """
    found = [request]
    for path, known in resolved.items():
        holder = _holder(request, path)
        if holder is None or not known:
            continue
        name = path.rpartition(".")[2]
        sent = getattr(holder, name)
        if sent and _folded(sent) != _folded(known):
            return
        for message in list(found):
            for value in {type(known)(), *_spellings(known)} - {sent}:
                variant = type(message)()
                variant.CopyFrom(message)
                setattr(_holder(variant, path), name, value)
                found.append(variant)
    for message in found:
        yield from contents(message)


def resolved_by_payment(env: str, gateway: str, currency: str) -> Resolved:
    """Return what a request resolved to that began a payment with these words."""
    return {
        "env": env_value(env),
        "gateway": gateway_value(gateway),
        "amount.currency_code": currency,
    }


def resolved_in(response: Message) -> Resolved:
    """Return what a request resolved to, by its response and the resources in it."""
    found: dict[str, Any] = {}
    messages = [response]
    for message in messages:
        for field, value in message.ListFields():
            if field.is_repeated:
                continue
            if field.enum_type is not None and field.enum_type.full_name in _RESOLVED_TYPES:
                found.setdefault(_RESOLVED_TYPES[field.enum_type.full_name], value)
            elif field.message_type is not None and field.message_type.full_name == _MONEY:
                found.setdefault("amount.currency_code", value.currency_code)
            elif field.message_type is not None:
                messages.append(value)
    return found


def response_class_of(request: Message) -> type[Message]:
    """Return the type of the response to a request."""
    file = request.DESCRIPTOR.file
    (response,) = (
        cast("Descriptor", method.output_type)
        for service in file.services_by_name.values()
        for method in service.methods
        if method.input_type.full_name == request.DESCRIPTOR.full_name
    )
    response_class: type[Message] = message_factory.GetMessageClass(response)
    return response_class


def _holder(request: Message, path: str) -> Any:
    """Return the message that has the field at a path; None if the request has no such field."""
    outer, _, inner = path.partition(".")
    if outer not in request.DESCRIPTOR.fields_by_name:
        return None
    return getattr(request, outer) if inner else request


def _folded(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _spellings(known: Any) -> set[Any]:
    """Return the ways to write a value: currencies are accepted in upper and lower case."""
    return {known.upper(), known.lower()} if isinstance(known, str) else {known}
