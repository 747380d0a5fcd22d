"""Part `hop`: the CPU time of a call from adapter to core, of both sides, without what is behind.

A core that answers with a fixed message is called through `CoreClient`, as the adapter does, and
through a bare unary gRPC call.
"""

import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import grpc.aio

from nivisco.payments.v1 import wallet_pb2
from rpc.catalogue import method_path
from rpc.client import CoreClient
from rpc.metadata import Credentials
from tests.bench.calls import Call
from tests.bench.figures import Figure, Result, at_most
from tests.bench.run import Run
from tests.bench.samples import Spread, Turn, ratio, summary
from tests.bench.stack import CLIENT, cpu_seconds_of, running, script_process
from tests.bench.turns import in_turns, take_turn
from tests.core.running import METHODS

_METHOD = METHODS["GetUserWallet"]
_CREDENTIALS = Credentials("3f0e5d1c-6f2a-4c7b-9d8e-0a1b2c3d4e5f", "5e" * 32)
_OURS, _BARE = "CoreClient", "bare unary call"
_USER_ID = "USR-01HZZZZZZZZZZZZZZZZZZZZZZZ"


async def measure(run: Run) -> Result:
    """Measure in turns; no money moves."""
    size = run.size
    with tempfile.TemporaryDirectory(prefix="nivisco-bench-") as name:
        async with AsyncExitStack() as opened:
            server, address = await opened.enter_async_context(
                running(script_process(Path(name), "hop"))
            )
            client = CoreClient(str(address), service_token="any")
            opened.push_async_callback(client.close)
            channel = await opened.enter_async_context(grpc.aio.insecure_channel(str(address)))
            callers = {_OURS: _call(client), _BARE: _bare_call(channel)}

            async def turn_of(way: str, seconds: float) -> Turn:
                clients = [callers[way]] * size.clients
                return await take_turn(
                    lambda: cpu_seconds_of({"server": server.pid}), clients, [_USER_ID], seconds
                )

            turns = await in_turns(list(callers), turn_of, size)
    cpu = {way: [_cpu_microseconds(turn) for turn in turns[way]] for way in turns}
    return Result(
        [
            Figure(
                f"hop from adapter to core, CPU of both sides, {size.clients} callers",
                Spread.of(cpu[_OURS]),
                "µs",
                at_most(40.0),
                summary(_OURS, turns[_OURS]),
            ),
            Figure(
                "the same / a bare unary gRPC call",
                ratio(cpu[_OURS], cpu[_BARE]),
                "x",
                detail=summary(_BARE, turns[_BARE]),
            ),
        ]
    )


def _call(client: CoreClient) -> Call:
    async def call(user_id: str) -> None:
        request = wallet_pb2.GetUserWalletRequest(user_id=user_id)
        await client.call(_METHOD, request, _CREDENTIALS, timeout_seconds=25.0)

    return call


def _bare_call(channel: grpc.aio.Channel) -> Call:
    unary: grpc.aio.UnaryUnaryMultiCallable[
        wallet_pb2.GetUserWalletRequest, wallet_pb2.GetUserWalletResponse
    ] = channel.unary_unary(
        method_path(_METHOD),
        request_serializer=wallet_pb2.GetUserWalletRequest.SerializeToString,
        response_deserializer=wallet_pb2.GetUserWalletResponse.FromString,
    )

    async def call(user_id: str) -> None:
        await unary(wallet_pb2.GetUserWalletRequest(user_id=user_id))

    return call


def _cpu_microseconds(turn: Turn) -> float:
    return turn.cpu_microseconds(CLIENT) + turn.cpu_microseconds("server")
