"""A core without anything behind its door: it answers every call with a fixed message.

It runs by path like `nivisco core`, so that what is left is the way between adapter and core.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import cast

import grpc.aio
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money

from cli.foreground import Serve, run
from core.authentication.service import AuthenticationService
from core.server.pipeline import Answer, Pipeline
from core.server.stream import SERVER_OPTIONS, Streams
from core.server.unary_calls import UnaryCalls
from nivisco.payments.v1 import wallet_pb2
from rpc.credential_failures import CredentialFailures

_ANSWER = Answer(
    wallet_pb2.GetUserWalletResponse(
        wallet=wallet_pb2.Wallet(
            wallet_id="WAL-01HZZZZZZZZZZZZZZZZZZZZZZZ",
            user_id="USR-01HZZZZZZZZZZZZZZZZZZZZZZZ",
            balance=Money(currency_code="USD", units=999_999, nanos=500_000_000),
            updated_at=Timestamp(seconds=1_708_438_800),
        )
    ).SerializeToString()
)
_FRAME_BYTES_MAX = 4 * 1024 * 1024


class _FixedPipeline:
    """Answers every call with the same message."""

    async def answer(
        self, _path: str, _metadata: Mapping[str, str | bytes], _body: bytes, _presence: object
    ) -> Answer:
        return _ANSWER


class _AnyToken:
    """Lets everybody open a stream."""

    def is_service_token(self, _token: str) -> bool:
        return True


async def serve(ready: Callable[[str], None], stop: asyncio.Event) -> None:
    """Serve on a free port of 127.0.0.1 until `stop` is set."""
    server = grpc.aio.server(options=SERVER_OPTIONS)
    pipeline = cast(Pipeline, _FixedPipeline())
    streams = Streams(pipeline, cast(AuthenticationService, _AnyToken()), _FRAME_BYTES_MAX)
    server.add_generic_rpc_handlers((UnaryCalls(pipeline, CredentialFailures()), streams))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    ready(f"127.0.0.1:{port}")
    await stop.wait()
    streams.end()
    await server.stop(0)


def prepare() -> Serve:
    """Return the function that serves."""
    return serve


if __name__ == "__main__":
    run("hop", prepare)
