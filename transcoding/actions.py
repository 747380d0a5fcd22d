"""Compiles the actions of the JSON endpoint from the schema, once."""

import importlib
import pkgutil
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor

import nivisco.payments.v1
from nivisco.annotations.v1 import annotations_pb2
from rpc.catalogue import action_name, read_method
from transcoding.requests import ReadMessage, compile_reader
from transcoding.responses import WriteMessage, compile_response_writer
from transcoding.schema import (
    CURRENCY_KEY,
    SchemaError,
    is_map,
    is_money,
    is_timestamp,
)

BUSINESS_ID_KEY = "business_id"
API_KEY_KEY = "api_key"
ACTION_KEY = "action"
ACTIONS_PATH = "/v1/"
"""URL path before the name of an action, whose fields alone are the body there."""
_ENVELOPE_KEYS = (BUSINESS_ID_KEY, API_KEY_KEY, ACTION_KEY)
_INDEX = re.compile(r"\[[0-9]+\]")


@dataclass(frozen=True, slots=True)
class Action:
    """One compiled action of the JSON endpoint."""

    name: str
    category: str
    method: MethodDescriptor
    read: ReadMessage
    write: WriteMessage
    admin_only: bool
    is_refused_while_suspended: bool
    """Whether a suspended business may not call the action."""
    moves_money: bool
    """Whether the action moves money, so that operators can stop it."""
    key_scope: str | None
    """Scope that the API key needs; None: any key will do."""
    mutates: bool
    """Whether the action changes anything. If so, its request has an idempotency key."""
    wrapped: Mapping[str, bool]
    """Paths of the Money (true) and Timestamp (false) fields, which JSON shows as one value."""

    def json_path(self, path: str) -> str:
        """Return the JSON path of a path in the request message.

        `amount.currency_code` is `currency` beside the amount; the other parts of a Money or a
        Timestamp are the field itself.
        """
        outer, _, last = path.rpartition(".")
        is_money_path = self.wrapped.get(_INDEX.sub("", outer))
        if is_money_path is None:
            return path
        if is_money_path and last == "currency_code":
            around, dot, _ = outer.rpartition(".")
            return f"{around}{dot}{CURRENCY_KEY}"
        return outer


def build_catalogue() -> dict[str, Action]:
    """Return every action of the schema by its name, in the order of files and methods.

    Raises:
        SchemaError: two actions share a name, or a message has no JSON form.
    """
    actions: dict[str, Action] = {}
    for service in _services():
        for method in service.methods:
            if not method.GetOptions().HasExtension(annotations_pb2.action):
                continue
            action = _compile_action(service, method)
            if action.name in actions:
                raise SchemaError(f"two methods are the action {action.name}")
            actions[action.name] = action
    return actions


def _services() -> Iterator[ServiceDescriptor]:
    for module in sorted(pkgutil.iter_modules(nivisco.payments.v1.__path__), key=lambda m: m.name):
        if module.name.endswith("_pb2"):
            file = importlib.import_module(f"nivisco.payments.v1.{module.name}").DESCRIPTOR
            yield from file.services_by_name.values()


def _compile_action(service: ServiceDescriptor, method: MethodDescriptor) -> Action:
    request = method.input_type
    taken = [key for key in _ENVELOPE_KEYS if key in request.fields_by_name]
    if taken:
        raise SchemaError(f"{request.full_name} has fields of the envelope: {', '.join(taken)}")
    options = read_method(method)
    return Action(
        name=action_name(method.name),
        category=service.name.removesuffix("Service"),
        method=method,
        read=compile_reader(request),
        write=compile_response_writer(method.output_type),
        admin_only=options.admin_only,
        is_refused_while_suspended=options.is_refused_while_suspended,
        moves_money=options.moves_money is not None,
        key_scope=options.key_scope,
        mutates=options.is_mutating,
        wrapped=dict(_wrapped_paths(request, "")),
    )


def _wrapped_paths(descriptor: Descriptor, prefix: str) -> Iterator[tuple[str, bool]]:
    for field in descriptor.fields:
        path = prefix + field.name
        if is_money(field) or is_timestamp(field):
            yield path, is_money(field)
        elif field.message_type is not None and not is_map(field):
            yield from _wrapped_paths(field.message_type, path + ".")
