"""Does work again and again until told to stop, and is never cut in the middle of it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from core.database import CommitUnknownError, DatabaseUnavailableError

logger = logging.getLogger("core")


async def every(
    seconds: float, work: Callable[[], Awaitable[object]], name: str, stop: asyncio.Event
) -> None:
    """Do `work` every so many seconds until `stop` is set; what it raises is logged, not raised."""
    while not stop.is_set():
        try:
            await work()
        except (DatabaseUnavailableError, CommitUnknownError) as error:
            logger.warning("%s: %s", name, error)
        except Exception:
            logger.exception("%s failed", name)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stop.wait()
