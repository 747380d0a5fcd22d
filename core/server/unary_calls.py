"""Unary gRPC calls: hands them to the pipeline, with bytes in and out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from grpc_status import rpc_status

from core.caller import Presence
from core.server.pipeline import Pipeline
from rpc.catalogue import methods_by_path
from rpc.metadata import REPLAYED_METADATA

if TYPE_CHECKING:
    _GenericRpcHandler = grpc.GenericRpcHandler[bytes, bytes]
else:  # generic in the stubs only
    _GenericRpcHandler = grpc.GenericRpcHandler


class UnaryCalls(_GenericRpcHandler):
    """The handler of every method of the schema."""

    def __init__(self, pipeline: Pipeline) -> None:
        """Answer calls with `pipeline`."""
        self._pipeline = pipeline
        self._handlers = {path: self._handler(path) for path in methods_by_path()}

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """Return the handler of a method; None if it is not of the schema."""
        return self._handlers.get(handler_call_details.method)

    def _handler(self, path: str) -> grpc.RpcMethodHandler[bytes, bytes]:
        async def handle(body: bytes, context: Any) -> bytes:
            presence = Presence()
            context.add_done_callback(partial(_end, presence))
            metadata = dict(context.invocation_metadata() or ())
            answer = await self._pipeline.answer(path, metadata, body, presence)
            if answer.is_replayed and not context.done():
                await context.send_initial_metadata(((REPLAYED_METADATA, "true"),))
            if answer.status is not None:
                await context.abort_with_status(rpc_status.to_status(answer.status))
            return answer.body

        return grpc.unary_unary_rpc_method_handler(handle)


def _end(presence: Presence, context: Any) -> None:
    """Record the end of the call: the answer is handed to gRPC, or the caller left.

    gRPC does not tell a server whether the client has read the answer, so one that is lost after
    this counts as received (https://grpc.io/docs/what-is-grpc/core-concepts/, RPC termination).
    """
    presence.end(left=context.cancelled())
