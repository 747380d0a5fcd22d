"""Every method of the schema with its typed options, read from the descriptors once."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from google.protobuf.descriptor import (
    Descriptor,
    FieldDescriptor,
    FileDescriptor,
    MethodDescriptor,
)
from google.protobuf.descriptor_pb2 import MethodOptions

from nivisco.annotations.v1 import annotations_pb2
from nivisco.internal.v1 import occurrences_pb2, operator_pb2, test_clock_pb2, webhooks_pb2
from nivisco.payments.v1 import (
    audit_pb2,
    authentication_pb2,
    business_pb2,
    cards_pb2,
    credentials_pb2,
    errors_pb2,
    keys_pb2,
    payments_pb2,
    recurring_pb2,
    refunds_pb2,
    reports_pb2,
    users_pb2,
    wallet_pb2,
)

FILES: Final[tuple[FileDescriptor, ...]] = tuple(
    file.DESCRIPTOR
    for file in (
        authentication_pb2,
        business_pb2,
        credentials_pb2,
        users_pb2,
        keys_pb2,
        cards_pb2,
        payments_pb2,
        refunds_pb2,
        reports_pb2,
        wallet_pb2,
        recurring_pb2,
        audit_pb2,
        operator_pb2,
        webhooks_pb2,
        occurrences_pb2,
        test_clock_pb2,
    )
)
"""The files of the schema that have services."""
IDEMPOTENCY_KEY = "idempotency_key"


@dataclass(frozen=True, slots=True)
class Method:
    """A method of the schema with its typed options."""

    descriptor: MethodDescriptor
    is_action: bool
    """Whether the method is an action of the JSON endpoint, called with a business's API key."""
    admin_only: bool
    """Whether only the admin business may call the action."""
    key_scope: str | None
    """Scope that the API key of an action needs, for example `charge`. None: any key will do."""
    is_refused_while_suspended: bool
    """Whether a suspended business may not call the action."""
    moves_money: str | None
    """Where the action moves money, so that operators can stop it: `gateway` or `wallet`."""
    is_open_to_capped_keys: bool
    """Whether API keys with amount caps may call the action."""
    scope: str | None
    """Scope of the service token that an internal method needs, for example `scheduler`."""
    is_mutating: bool
    """Whether the method has side effects. An action that has accepts an idempotency key."""
    keeps_own_idempotency_record: bool
    """Whether the use case stores the idempotency record itself."""
    errors: tuple[str, ...]
    """Reasons that the method declares, without their prefix, in the order of the schema."""


def service_methods() -> list[MethodDescriptor]:
    """Return every method of the schema, in the order of the files."""
    return methods_of(FILES)


def methods_of(files: Iterable[FileDescriptor]) -> list[MethodDescriptor]:
    """Return the methods of the files' services."""
    return [
        method
        for file in files
        for service in file.services_by_name.values()
        for method in service.methods
    ]


@cache
def methods_by_path() -> Mapping[str, Method]:
    """Return every method by its gRPC path."""
    return {method_path(method): read_method(method) for method in service_methods()}


@cache
def mutating_actions() -> Mapping[str, Method]:
    """Return the actions that accept an idempotency key, by their gRPC path."""
    return {
        path: method
        for path, method in methods_by_path().items()
        if method.is_action and method.is_mutating
    }


def read_method(method: MethodDescriptor) -> Method:
    """Return a method with its typed options."""
    options = method.GetOptions()
    action = options.Extensions[annotations_pb2.action]
    scope = method.containing_service.GetOptions().Extensions[annotations_pb2.service_scope]
    return Method(
        descriptor=method,
        is_action=options.HasExtension(annotations_pb2.action),
        admin_only=action.admin_only,
        key_scope=_key_scope(action.scope),
        is_refused_while_suspended=(
            action.scope == annotations_pb2.KEY_SCOPE_CHARGE and not action.allowed_while_suspended
        ),
        moves_money=(
            annotations_pb2.MoneyMovement.Name(action.moves_money)
            .removeprefix("MONEY_MOVEMENT_")
            .lower()
            if action.moves_money
            else None
        ),
        is_open_to_capped_keys=(
            action.open_to_capped_keys or options.idempotency_level == MethodOptions.NO_SIDE_EFFECTS
        ),
        scope=(
            annotations_pb2.ServiceScope.Name(scope).removeprefix("SERVICE_SCOPE_").lower()
            if scope
            else None
        ),
        is_mutating=options.idempotency_level != MethodOptions.NO_SIDE_EFFECTS,
        keeps_own_idempotency_record=action.keeps_own_idempotency_record,
        errors=tuple(
            errors_pb2.ErrorReason.Name(reason).removeprefix("ERROR_REASON_")
            for reason in options.Extensions[errors_pb2.method_errors]
        ),
    )


def _key_scope(scope: annotations_pb2.KeyScope.ValueType) -> str | None:
    if scope in (annotations_pb2.KEY_SCOPE_UNSPECIFIED, annotations_pb2.KEY_SCOPE_ANY):
        return None
    return annotations_pb2.KeyScope.Name(scope).removeprefix("KEY_SCOPE_").lower()


def action_name(method_name: str) -> str:
    """Return a method's name in snake_case, which is the action's.

    >>> action_name("ChangeApiKey")
    'change_api_key'
    """
    return re.sub(r"(?<!^)(?=[A-Z])", "_", method_name).lower()


def method_path(method: MethodDescriptor) -> str:
    """Return the path that gRPC calls the method by."""
    return f"/{method.containing_service.full_name}/{method.name}"


@cache
def secret_names() -> frozenset[str]:
    """Return the names of fields and of error metadata whose values are secrets.

    These are the fields marked `debug_redact`, and the `secret_metadata` of error reasons. Whatever
    shows requests, responses or errors hides the values under these names.
    """
    metadata = (
        name
        for value in errors_pb2.ErrorReason.DESCRIPTOR.values
        for name in value.GetOptions().Extensions[annotations_pb2.error].secret_metadata
    )
    fields = (field.name for field in fields_of(FILES) if field.GetOptions().debug_redact)
    return frozenset((*fields, *metadata))


def fields_of(files: Iterable[FileDescriptor]) -> Iterator[FieldDescriptor]:
    """Return the fields of all messages in the files, nested ones included.

    The key and the value of a map are no fields: what they are is the map's.
    """
    for file in files:
        for message in file.message_types_by_name.values():
            yield from _fields(message)


def _fields(message: Descriptor) -> Iterator[FieldDescriptor]:
    yield from message.fields
    for nested in message.nested_types:
        if not nested.GetOptions().map_entry:
            yield from _fields(nested)


PATTERN_DESCRIPTIONS: Final = {
    r"\S": "must have at least one character that is not a space",
    r"^[!-~]{1,25}$": "must be 1 to 25 printable characters without spaces",
    r"^[!-~]{1,32}$": "must be 1 to 32 printable characters without spaces",
    r"^[!-~]{1,64}$": "must be 1 to 64 printable characters without spaces",
    r"^[!-~]{1,255}$": "must be 1 to 255 printable characters without spaces",
    r"^[ -~]{1,64}$": "must be 1 to 64 printable characters",
    r"^[ -Z^-~]{1,40}$": "must be 1 to 40 printable characters without [, ] and backslashes",
    r"^[0-9]{12,19}$": "must be 12 to 19 digits",
    r"^[0-9]{3,4}$": "must be 3 or 4 digits",
    r"^[0-9A-Fa-f]{1,256}$": "must be at most 256 hexadecimal digits",
    r"^[A-Z]{2}$": "must be a country's two letters (ISO 3166-1), for example US",
    r"^[A-Za-z]{3}$": "must be a currency's three letters, for example usd",
    r"^COMMON\.ACCEPT\.INAPP\.PAYMENT$": "must be COMMON.ACCEPT.INAPP.PAYMENT",
    r"^[A-Za-z0-9+/=_-]+$": "must be a nonce of Accept.js",
    r"^[A-Za-z0-9_-]{1,256}$": "must be the next_cursor of a response",
    r"^[A-Za-z0-9_+/-]{1,64}$": "must be an IANA time zone, for example America/Chicago",
    r"^[a-z_]{1,64}$": "must be the name of an action, for example charge_customer",
    r"^acct_[A-Za-z0-9_]{1,100}$": "must be a Stripe account id, which begins with acct_",
    r"^pk_(test|live)_[A-Za-z0-9_]{1,200}$": (
        "must be a Stripe publishable key, which begins with pk_test_ or pk_live_"
    ),
    r"^(sk|rk)_(test|live)_[A-Za-z0-9_]{1,200}$": (
        "must be a Stripe secret or restricted key, which begins with sk_test_, sk_live_, "
        "rk_test_ or rk_live_"
    ),
    r"^whsec_[A-Za-z0-9+/=_-]{1,200}$": (
        "must be a Stripe webhook signing secret, which begins with whsec_"
    ),
    r"^(pm|tok)_[A-Za-z0-9_]{1,200}$": (
        "must be a Stripe payment method or token, which begins with pm_ or tok_"
    ),
    r"^(cus_[A-Za-z0-9_]{1,200}|[1-9][0-9]{0,19})$": (
        "must be a Stripe customer, which begins with cus_, or the digits of an Authorize.Net "
        "customer profile id, which begins with no 0"
    ),
    (
        r"^([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+"
        r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$"
    ): "must be a domain name, for example example.com",
}
"""Descriptions of the schema's patterns in error messages. Every pattern needs one."""
