"""Keyed debits over connections that are cut before and after every chunk of bytes.

A proxy between client and core cuts them. Callers repeat what failed, with the same key: nothing is
lost and nothing doubled.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count, product
from pathlib import Path

from google.type.money_pb2 import Money

from nivisco.payments.v1 import wallet_pb2
from rpc.client import CoreClient
from rpc.errors import CoreError
from tests.core.running import (
    OPERATOR_TOKEN,
    Business,
    create_user,
    register,
    running_core,
    settings_for,
)

FUNDS = 100_000
CALLERS = 8
CHUNKS_MAX = 10
CHUNK_BYTES = 65536
UNCUT = (10**9, True, True)
REPEATED = ("SERVICE_UNAVAILABLE", "OUTCOME_UNKNOWN")


class CuttingProxy:
    """Forwards connections to a core, and cuts each one at another chunk.

    The chunks of the client or of the core are counted; the cut is before or after the chunk is
    forwarded. A connection after all of these plans is not cut.
    """

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._host, self._port = host, int(port)
        self._plans = list(product(range(CHUNKS_MAX, 0, -1), (True, False), (True, False)))
        """Chunks left, whether they are the client's, whether the last one is forwarded."""

    @property
    def is_cutting(self) -> bool:
        """Whether connections are still to be cut."""
        return bool(self._plans)

    async def forward(
        self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        """Forward one connection until the cut."""
        from_core, to_core = await asyncio.open_connection(self._host, self._port)
        chunks, counts_client, is_forwarded = self._plans.pop() if self._plans else UNCUT
        of_client, of_core = (chunks, UNCUT[0]) if counts_client else (UNCUT[0], chunks)
        towards_core = self._pump(from_client, to_core, is_forwarded, of_client)
        towards_client = self._pump(from_core, to_client, is_forwarded, of_core)
        pumps = [asyncio.ensure_future(towards_core), asyncio.ensure_future(towards_client)]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            to_core.transport.abort()
            to_client.transport.abort()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        is_forwarded: bool,
        chunks: int,
    ) -> None:
        with suppress(ConnectionError):
            while chunk := await reader.read(CHUNK_BYTES):
                chunks -= 1
                if chunks or is_forwarded:
                    writer.write(chunk)
                    await writer.drain()
                if not chunks:
                    return


@asynccontextmanager
async def cutting_proxy(target: str) -> AsyncIterator[tuple[CuttingProxy, str]]:
    """Give a proxy in front of a core, and its address."""
    proxy = CuttingProxy(target)
    server = await asyncio.start_server(proxy.forward, "127.0.0.1", 0)
    try:
        yield proxy, f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def debit_until_certain(business: Business, user_id: str, key: str) -> None:
    """Debit 1 with a key, again until it succeeds."""
    request = wallet_pb2.ChargeWalletRequest(
        user_id=user_id, amount=Money(currency_code="USD", units=1), idempotency_key=key
    )
    while True:
        try:
            await business.call(request)
        except CoreError as error:
            if error.reason not in REPEATED:
                raise
        else:
            return


async def test_cut_connections_neither_lose_nor_double_a_debit(
    tmp_path: Path, database_url: str
) -> None:
    async with (
        running_core(settings_for(tmp_path, database_url=database_url)) as direct,
        cutting_proxy(direct.target) as (proxy, address),
    ):
        own = await register(direct)
        user_id = await create_user(own)
        funds = Money(currency_code="USD", units=FUNDS)
        await own.call(wallet_pb2.AddWalletFundsRequest(user_id=user_id, amount=funds))
        client = CoreClient(address, service_token=OPERATOR_TOKEN)
        business = Business(client, own.credentials)
        numbers = count()

        async def debit_often() -> None:
            while proxy.is_cutting:
                await debit_until_certain(business, user_id, f"debit-{next(numbers)}")

        async with asyncio.timeout(300):
            await asyncio.gather(*(debit_often() for _ in range(CALLERS)))
        await client.close()
        debits = next(numbers)
        wallet = await own.call(wallet_pb2.GetUserWalletRequest(user_id=user_id))
        history = await own.call(wallet_pb2.GetWalletHistoryRequest(user_id=user_id))
    assert wallet.wallet.balance.units == FUNDS - debits
    assert history.total == 1 + debits
