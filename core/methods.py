"""Every method of the schema, and who may call it. Read from the descriptors once."""

from dataclasses import dataclass

from google.protobuf.descriptor import MethodDescriptor

from core.client import method_path
from nivisco.annotations.v1 import annotations_pb2
from nivisco.payments.v1 import (
    authentication_pb2,
    business_pb2,
    cards_pb2,
    credentials_pb2,
    keys_pb2,
    occurrences_pb2,
    operator_pb2,
    payments_pb2,
    recurring_pb2,
    test_clock_pb2,
    users_pb2,
    wallet_pb2,
    webhooks_pb2,
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
