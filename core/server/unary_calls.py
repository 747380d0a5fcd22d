"""Unary gRPC calls: hands them to the pipeline, with bytes in and out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import grpc
import grpc.aio
from google.rpc import status_pb2
from grpc_status import rpc_status

from core.authentication.pipeline import metadata_text
from core.caller import Presence
from core.errors import Reason, status_of
from core.limits import refused_by
from core.server.pipeline import Answer, Pipeline
from rpc.catalogue import methods_by_path
from rpc.credential_failures import LIMIT, CredentialFailures
from rpc.metadata import API_KEY_METADATA, BUSINESS_ID_METADATA, REPLAYED_METADATA

if TYPE_CHECKING:
    _GenericRpcHandler = grpc.GenericRpcHandler[bytes, bytes]
else:  # generic in the stubs only
    _GenericRpcHandler = grpc.GenericRpcHandler

_UNAUTHENTICATED: Final = grpc.StatusCode.UNAUTHENTICATED.value[0]


class UnaryCalls(_GenericRpcHandler):
    """The handler of every method of the schema."""

    def __init__(self, pipeline: Pipeline, failures: CredentialFailures) -> None:
        """Answer calls with `pipeline`, but for those of addresses with many `failures`."""
        self._pipeline = pipeline
        self._failures = failures
        self._handlers = {path: self._handler(path) for path in methods_by_path()}

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """Return the handler of a method; None if it is not of the schema."""
        return self._handlers.get(handler_call_details.method)

    def _handler(self, path: str) -> grpc.RpcMethodHandler[bytes, bytes]:
        is_action = methods_by_path()[path].is_action

        async def handle(body: bytes, context: Any) -> bytes:
            presence = Presence()
            context.add_done_callback(partial(_end, presence))
            metadata = dict(context.invocation_metadata() or ())
            sender = (
                _address_of(context.peer()),
                metadata_text(metadata, BUSINESS_ID_METADATA),
                metadata_text(metadata, API_KEY_METADATA),
            )
            answered = partial(self._pipeline.answer, path, metadata, body, presence)
            if is_action and self._failures.is_limited(*sender):
                async with self._failures.turn(*sender[:2]) as wait:
                    if wait:
                        status = rpc_status.to_status(_too_many_failures(wait))
                        await context.abort_with_status(status)
                    answer = await answered()
            else:
                answer = await answered()
            if is_action:
                self._note(sender, answer)
            if answer.is_replayed and not context.done():
                await context.send_initial_metadata(((REPLAYED_METADATA, "true"),))
            if answer.status is not None:
                await context.abort_with_status(rpc_status.to_status(answer.status))
            return answer.body

        return grpc.unary_unary_rpc_method_handler(handle)

    def _note(self, sender: tuple[str, str, str], answer: Answer) -> None:
        """Note whether the credentials of an action were wrong, or certainly valid."""
        if answer.status is None:
            self._failures.add_valid(*sender)
        elif answer.status.code == _UNAUTHENTICATED:
            self._failures.add_failed(*sender)


def _address_of(peer: str) -> str:
    """Return the address of a peer as gRPC names it, empty for a unix socket.

    `ipv4:192.0.2.1:5000`, `ipv6:%5B2001:db8::1%5D:5000`, `unix:`
    (https://github.com/grpc/grpc/blob/master/doc/naming.md).
    """
    scheme, _, rest = peer.partition(":")
    if scheme not in ("ipv4", "ipv6"):
        return ""
    return unquote(rest).rpartition(":")[0].strip("[]")


def _too_many_failures(wait_seconds: int) -> status_pb2.Status:
    return status_of(
        refused_by(
            LIMIT,
            Reason.ERROR_REASON_RATE_LIMITED,
            "Too many requests with wrong credentials came from this address",
            wait_seconds,
        )
    )


def _end(presence: Presence, context: Any) -> None:
    """Record the end of the call: the answer is handed to gRPC, or the caller left.

    gRPC does not tell a server whether the client has read the answer, so one that is lost after
    this counts as received (https://grpc.io/docs/what-is-grpc/core-concepts/, RPC termination).
    """
    presence.end(left=context.cancelled())
