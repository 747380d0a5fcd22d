"""A core without anything behind its door: it answers GetUserWallet with a fixed message.

It runs by path like `nivisco core`, so that what is left is the way between adapter and core.
"""

import asyncio
from collections.abc import Callable

import grpc
import grpc.aio
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money

from cli.foreground import Serve, run
from nivisco.payments.v1 import wallet_pb2

_ANSWER = wallet_pb2.GetUserWalletResponse(
    wallet=wallet_pb2.Wallet(
        wallet_id="WAL-01HZZZZZZZZZZZZZZZZZZZZZZZ",
        user_id="USR-01HZZZZZZZZZZZZZZZZZZZZZZZ",
        balance=Money(currency_code="USD", units=999_999, nanos=500_000_000),
        updated_at=Timestamp(seconds=1_708_438_800),
    )
)


async def get_user_wallet(request: Message, context: object) -> Message:
    """Answer at once."""
    return _ANSWER


async def serve(ready: Callable[[str], None], stop: asyncio.Event) -> None:
    """Serve on a free port of 127.0.0.1 until `stop` is set."""
    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(
        get_user_wallet,
        request_deserializer=wallet_pb2.GetUserWalletRequest.FromString,
        response_serializer=wallet_pb2.GetUserWalletResponse.SerializeToString,
    )
    service = wallet_pb2.DESCRIPTOR.services_by_name["WalletService"]
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(service.full_name, {"GetUserWallet": handler})]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    ready(f"127.0.0.1:{port}")
    await stop.wait()
    await server.stop(0)


def prepare() -> Serve:
    """Return the function that serves."""
    return serve


if __name__ == "__main__":
    run("hop", prepare)
