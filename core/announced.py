"""Answers for methods that the schema announces and no servicer implements yet."""

from __future__ import annotations

from collections.abc import Iterable

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from core.errors import not_implemented


async def _refuse(request: Message, context: object) -> Message:  # noqa: ARG001 - gRPC passes both
    raise not_implemented()


def announced_handlers(
    methods: Iterable[MethodDescriptor],
) -> list[grpc.GenericRpcHandler[Message, Message]]:
    """Return handlers that refuse `methods`, so that callers are authenticated and validated."""
    handlers: dict[str, dict[str, grpc.RpcMethodHandler[Message, Message]]] = {}
    for method in methods:
        request_class = message_factory.GetMessageClass(method.input_type)
        handlers.setdefault(method.containing_service.full_name, {})[method.name] = (
            grpc.unary_unary_rpc_method_handler(
                _refuse,
                request_deserializer=request_class.FromString,
                response_serializer=lambda response: response.SerializeToString(),
            )
        )
    return [
        grpc.method_handlers_generic_handler(service, by_name)
        for service, by_name in handlers.items()
    ]
