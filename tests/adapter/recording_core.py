"""A core on a real gRPC socket that records calls and returns chosen responses.

Its only rules are those for credentials and for sent field problems.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import grpc
import grpc.aio
from google.protobuf import any_pb2, duration_pb2, message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2

from nivisco.internal.v1 import webhooks_pb2
from rpc.client import READINESS_SERVICE
from rpc.error_details import ERROR_DOMAIN, FieldProblem
from rpc.metadata import API_KEY_METADATA, FIELD_PROBLEMS_METADATA, STATUS_DETAILS_METADATA
from transcoding.actions import build_catalogue

WRONG_KEY = "wrong"
RECEIVE_WEBHOOK = webhooks_pb2.DESCRIPTOR.services_by_name["WebhooksService"].methods_by_name[
    "ReceiveWebhook"
]

Context: TypeAlias = "grpc.aio.ServicerContext[Message, Message]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Message, Message]"


@dataclass(frozen=True)
class CoreErrorReply:
    """An error with details, as the real core sends it."""

    code: grpc.StatusCode
    reason: str
    message: str = "No."
    metadata: Mapping[str, str] = field(default_factory=dict)
    fields: Sequence[FieldProblem] = ()
    retry_after_seconds: int | None = None

    def details(self) -> bytes:
        details: list[Message] = [
            error_details_pb2.ErrorInfo(
                reason=self.reason, domain=ERROR_DOMAIN, metadata=self.metadata
            )
        ]
        if self.fields:
            violation = error_details_pb2.BadRequest.FieldViolation
            details.append(
                error_details_pb2.BadRequest(
                    field_violations=[
                        violation(field=p.field, description=p.description) for p in self.fields
                    ]
                )
            )
        if self.retry_after_seconds is not None:
            delay = duration_pb2.Duration(seconds=self.retry_after_seconds)
            details.append(error_details_pb2.RetryInfo(retry_delay=delay))
        status = status_pb2.Status(code=self.code.value[0], message=self.message)
        for detail in details:
            packed = any_pb2.Any()
            packed.Pack(detail)
            status.details.append(packed)
        return status.SerializeToString()


@dataclass(frozen=True)
class BareStatus:
    """A status without details, as from gRPC itself."""

    code: grpc.StatusCode


@dataclass(frozen=True)
class Call:
    method: str
    request: Message
    metadata: Mapping[str, str | bytes]

    @property
    def problems(self) -> list[FieldProblem]:
        raw = self.metadata.get(FIELD_PROBLEMS_METADATA, b"")
        assert isinstance(raw, bytes)
        found = error_details_pb2.BadRequest.FromString(raw).field_violations
        return [FieldProblem(p.field, p.description) for p in found]


Reply = Message | CoreErrorReply | BareStatus | Callable[[Message], Awaitable[Message]]


class RecordingCore:
    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.replies: dict[str, Reply] = {}
        self.own_problems: list[FieldProblem] = []
        self.ignores_problems = False
        self.serving = True
        self.target = ""
        self._server = grpc.aio.server()

    async def start(self) -> None:
        services: dict[str, dict[str, Handler]] = {
            "grpc.health.v1.Health": {"Check": _health_handler(self)}
        }
        for method in (*(each.method for each in build_catalogue().values()), RECEIVE_WEBHOOK):
            methods = services.setdefault(method.containing_service.full_name, {})
            methods[method.name] = _handler(self, method)
        self._server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(name, found) for name, found in services.items()]
        )
        port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        self.target = f"127.0.0.1:{port}"

    async def stop(self) -> None:
        await self._server.stop(None)

    async def reply(self, method: MethodDescriptor, request: Message, context: Context) -> Message:
        metadata = {str(k): v for k, v in context.invocation_metadata() or ()}
        call = Call(method.name, request, metadata)
        self.calls.append(call)
        reply = self._refusal(call) or self.replies.get(method.name)
        if isinstance(reply, CoreErrorReply):
            trailing = ((STATUS_DETAILS_METADATA, reply.details()),)
            await context.abort(reply.code, reply.message, trailing_metadata=trailing)
        if isinstance(reply, BareStatus):
            await context.abort(reply.code, "")
        if reply is None:
            return message_factory.GetMessageClass(method.output_type)()
        return reply if isinstance(reply, Message) else await reply(request)

    def _refusal(self, call: Call) -> CoreErrorReply | None:
        if call.metadata.get(API_KEY_METADATA) == WRONG_KEY:
            return CoreErrorReply(grpc.StatusCode.UNAUTHENTICATED, "INVALID_CREDENTIALS")
        found = [*call.problems, *self.own_problems][:20]
        if found and not self.ignores_problems:
            return CoreErrorReply(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS", fields=found)
        return None

    def health(self, request: health_pb2.HealthCheckRequest) -> health_pb2.HealthCheckResponse:
        serving = self.serving and request.service == READINESS_SERVICE
        status = health_pb2.HealthCheckResponse
        return status(status=status.SERVING if serving else status.NOT_SERVING)


def _handler(core: RecordingCore, method: MethodDescriptor) -> Handler:
    async def response(request: Message, context: Context) -> Message:
        return await core.reply(method, request, context)

    return grpc.unary_unary_rpc_method_handler(
        response,
        request_deserializer=message_factory.GetMessageClass(method.input_type).FromString,
        response_serializer=lambda message: message.SerializeToString(),
    )


def _health_handler(core: RecordingCore) -> Handler:
    async def check(request: health_pb2.HealthCheckRequest, _context: Context) -> Message:
        return core.health(request)

    return grpc.unary_unary_rpc_method_handler(
        check,
        request_deserializer=health_pb2.HealthCheckRequest.FromString,
        response_serializer=lambda message: message.SerializeToString(),
    )
