"""Which requests are the same as the one that used an idempotency key first. No I/O.

An absent field is the same as an empty one. Fields with a default (RESOLVED_FIELDS) that are absent
are the same as what the first request resolved, whichever of the two requests leaves them out. They
are never resolved anew, because defaults may change. `start_at` of a recurring job is not one of
them: it defaults to the time of each request.

The environment is part of the fingerprint as resolved, so that it is known of every record. What
the others resolved to is in the record's payment or answer.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from google.type import money_pb2

from core.messages import env_value, env_word, gateway_value
from nivisco.payments.v1 import types_pb2

IDEMPOTENCY_KEY: Final = "idempotency_key"
_UPDATE_MASK: Final = "update_mask"
_MONEY: Final = money_pb2.Money.DESCRIPTOR.full_name
_DEFAULTS: Final = {"capture": True}
"""By name, the defaults of optional fields where they are not those of their type."""
_RESOLVED_TYPES: Final = {
    types_pb2.Env.DESCRIPTOR.full_name: "env",
    types_pb2.Gateway.DESCRIPTOR.full_name: "gateway",
}
_CURRENCY: Final = "amount.currency_code"
_WALLET_CURRENCY: Final = "user.currency"
_CURRENCIES: Final = (_CURRENCY, _WALLET_CURRENCY)
RESOLVED_FIELDS: Final = (
    *("env", "gateway"),
    *_CURRENCIES,
    *("interval_value", "timezone", "catch_up"),
)
"""Paths of request fields with a default. In an update all but the currency stay unchanged if they
are absent, so they have none."""
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
        elif field.has_presence and value == _DEFAULTS.get(field.name, field.default_value):
            request.ClearField(field.name)
            is_changed = True
    return is_changed


def resolved_env(request: Message, default_env: str) -> str | None:
    """Return the environment of a request, `TEST` or `LIVE`; None if it has none."""
    if "env" not in request.DESCRIPTOR.fields_by_name:
        return None
    return env_word(request.env) or default_env  # type: ignore[attr-defined] # it has the field


def with_env(request: Message, env: str | None) -> Message:
    """Return a copy of a request with this environment, if it has one."""
    filled = type(request)()
    filled.CopyFrom(request)
    if env is not None:
        filled.env = env_value(env)  # type: ignore[attr-defined] # it has the field
    return filled


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
        for path in _defaulted(first):
            if not _value(filled, path) and (value := _value(second, path)):
                setattr(_holder(filled, path), path.rpartition(".")[2], value)
        clear_defaults(filled)
        equal.append(filled)
    return equal[0] == equal[1]


def variants(request: Message, resolved: Resolved) -> Iterator[Message]:
    """Yield the requests that are the same if the first one resolved to `resolved`.

    An absent environment that is not known may be either. There are none if the request contradicts
    what is known.
    """
    known = {path: {value} for path, value in resolved.items() if value}
    if not _value(request, "env"):
        known.setdefault("env", {types_pb2.ENV_TEST, types_pb2.ENV_LIVE})
    found = [request]
    for path in _defaulted(request):
        if path not in known:
            continue
        sent = _value(request, path)
        if sent and not any(sent in _spellings(path, value) for value in known[path]):
            return
        others = {each for value in known[path] for each in _spellings(path, value)} - {sent}
        for message in list(found):
            for value in others:
                variant = type(message)()
                variant.CopyFrom(message)
                setattr(_holder(variant, path), path.rpartition(".")[2], value)
                found.append(variant)
    yield from found


def resolved_by_payment(env: str, gateway: str, currency: str) -> Resolved:
    """Return what a request resolved to that began a payment with these words."""
    return {
        "env": env_value(env),
        "gateway": gateway_value(gateway),
        _CURRENCY: currency,
    }


def resolved_by_currency(currency: str) -> Resolved:
    """Return what a request resolved to whose user has wallets in this currency."""
    return {_CURRENCY: currency}


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
                found.setdefault(_CURRENCY, value.currency_code)
                found.setdefault(_WALLET_CURRENCY, value.currency_code)
            elif field.message_type is not None:
                messages.append(value)
            elif field.name in RESOLVED_FIELDS:
                found.setdefault(field.name, value)
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


def _defaulted(request: Message) -> Iterator[str]:
    """Yield the paths of the request's fields that have a default."""
    fields = request.DESCRIPTOR.fields_by_name
    for path in RESOLVED_FIELDS:
        if path.partition(".")[0] in fields and (path == _CURRENCY or _UPDATE_MASK not in fields):
            yield path


def _holder(request: Message, path: str) -> Any:
    """Return the message that has the field at a path."""
    outer, _, inner = path.partition(".")
    return getattr(request, outer) if inner else request


def _value(request: Message, path: str) -> Any:
    """Return the value at a path; None if the request has no such field."""
    if path.partition(".")[0] not in request.DESCRIPTOR.fields_by_name:
        return None
    return getattr(_holder(request, path), path.rpartition(".")[2])


def _spellings(path: str, known: Any) -> set[Any]:
    """Return the ways to write a value, absent included: currencies in upper and lower case."""
    written = {known.upper(), known.lower()} if path in _CURRENCIES else {known}
    return {type(known)(), *written}
