"""Every method of the schema, and who may call it. Read from the descriptors once."""

from dataclasses import dataclass
from typing import Final

from google.protobuf.descriptor import MethodDescriptor

from nivisco.annotations.v1 import annotations_pb2
from nivisco.internal.v1 import occurrences_pb2, operator_pb2, test_clock_pb2, webhooks_pb2
from nivisco.payments.v1 import (
    authentication_pb2,
    business_pb2,
    cards_pb2,
    credentials_pb2,
    keys_pb2,
    payments_pb2,
    recurring_pb2,
    users_pb2,
    wallet_pb2,
)

_FILES = (
    authentication_pb2,
    business_pb2,
    credentials_pb2,
    users_pb2,
    keys_pb2,
    cards_pb2,
    payments_pb2,
    wallet_pb2,
    recurring_pb2,
    operator_pb2,
    webhooks_pb2,
    occurrences_pb2,
    test_clock_pb2,
)


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call a method: a business, only the admin business, or holders of a scope."""

    admin_only: bool
    scope: str | None
    """The scope of the service token that the method needs; None: it is an action."""


def service_methods() -> list[MethodDescriptor]:
    """Return every method of the schema, in the order of the files."""
    return [
        method
        for file in _FILES
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ]


def access_by_path() -> dict[str, Access]:
    """Return who may call each method, by the path that gRPC calls it by.

    Raises:
        ValueError: a method is neither or both of action and internal, so nobody would know.
    """
    return {method_path(method): _access(method) for method in service_methods()}


def mutations_by_path() -> dict[str, MethodDescriptor]:
    """Return the actions that change something, which is to say accept an idempotency key."""
    return {
        method_path(method): method
        for method in service_methods()
        if "idempotency_key" in method.input_type.fields_by_name
    }


def _access(method: MethodDescriptor) -> Access:
    options = method.GetOptions()
    value = method.containing_service.GetOptions().Extensions[annotations_pb2.service_scope]
    if options.HasExtension(annotations_pb2.action) == bool(value):
        raise ValueError(f"{method.full_name} must be an action or in an internal service")
    scope = annotations_pb2.ServiceScope.Name(value).removeprefix("SERVICE_SCOPE_").lower()
    return Access(
        admin_only=options.Extensions[annotations_pb2.action].admin_only,
        scope=scope if value else None,
    )


def method_path(method: MethodDescriptor) -> str:
    """Return the path that gRPC calls the method by."""
    return f"/{method.containing_service.full_name}/{method.name}"


PATTERN_DESCRIPTIONS: Final = {
    r"\S": "must have at least one character that is not a space",
    r"^[!-~]{1,25}$": "must be 1 to 25 printable characters without spaces",
    r"^[!-~]{1,32}$": "must be 1 to 32 printable characters without spaces",
    r"^[!-~]{1,64}$": "must be 1 to 64 printable characters without spaces",
    r"^[ -~]{1,64}$": "must be 1 to 64 printable characters",
    r"^[0-9]{12,19}$": "must be 12 to 19 digits",
    r"^[0-9]{3,4}$": "must be 3 or 4 digits",
    r"^[0-9A-Fa-f]{1,256}$": "must be at most 256 hexadecimal digits",
    r"^[A-Za-z]{3}$": "must be a currency's three letters, for example usd",
    r"^[A-Za-z0-9_+/-]{1,64}$": "must be an IANA time zone, for example America/Chicago",
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
    (
        r"^([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+"
        r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$"
    ): "must be a domain name, for example example.com",
}
"""What to tell a person about each pattern of our schema. A new pattern wants a line here."""
