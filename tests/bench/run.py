"""What the parts of one run share: their size, and a PostgreSQL server that is filled once."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from tests.bench.postgresql.contest import Contest, Filled, running_contest, running_filled
from tests.bench.size import Size


class Run:
    """One run of the benchmark."""

    def __init__(self, size: Size, opened: AsyncExitStack) -> None:
        """Start nothing yet; `opened` stops what is started."""
        self.size = size
        self._opened = opened
        self._filled: Filled | None = None

    async def filled(self) -> Filled:
        """Return the server with filled wallets, started and filled when it is first needed."""
        if self._filled is None:
            self._filled = await self._opened.enter_async_context(running_filled(self.size))
        return self._filled

    @asynccontextmanager
    async def contest(self) -> AsyncIterator[Contest]:
        """Run the variants of one part on the filled server until the block ends."""
        async with running_contest(await self.filled()) as contest:
            yield contest
