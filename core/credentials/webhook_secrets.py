"""Keeps webhook secrets in memory, so that forged webhooks cost next to no transactions.

    the newest secrets read are         a signature that fits    a signature that does not
    up to RECHECK_AFTER old             accepted                 rejected
    up to LIFETIME old                  accepted                 read again
    older, or forgotten                 read again               read again

A read is shared by all that wait for it. Reads of different businesses go together, up to READ_SIZE
in a transaction and one transaction in READ_GAP_SECONDS, however many businesses are asked for.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from core.database.batching import Batcher
from core.security.secrets import Secret

logger = logging.getLogger("core")

LIFETIME = timedelta(seconds=30)
"""How long another core may accept a secret that this one replaced."""
RECHECK_AFTER = timedelta(seconds=5)
"""How long another core may reject a secret that this one stored."""
KNOWN_MAX = 10_000
"""How many businesses with secrets are kept, by gateway; the last used ones."""
UNKNOWN_MAX = 10_000
"""How many without secrets are kept: apart from the others, so that made-up ids displace none."""
READ_SIZE = 256
READ_GAP_SECONDS = 0.05


class SecretsKey(NamedTuple):
    """The business and gateway whose secrets are asked for."""

    business_id: str
    gateway: str


@dataclass(frozen=True, slots=True)
class WebhookSecrets:
    """The stored webhook secrets of a business at a gateway."""

    read_at: datetime
    by_env: tuple[tuple[str, Secret], ...] = ()
    unreadable: tuple[tuple[str, str], ...] = ()
    """Environments whose secret cannot be opened, and why."""


class WebhookSecretsCache:
    """The secrets that were used last, with a limited size and age."""

    def __init__(
        self,
        read: Callable[[Sequence[SecretsKey]], Awaitable[Sequence[WebhookSecrets]]],
        now: Callable[[], datetime],
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """Read with `read`, and tell ages by `now`; `pause` waits some seconds between reads."""
        self._read = read
        self._now = now
        self._pause = pause
        self._next_read_at = 0.0
        self._batches = Batcher(self._read_batch, max_size=READ_SIZE)
        self._reading: dict[SecretsKey, asyncio.Task[WebhookSecrets]] = {}
        self._known: OrderedDict[SecretsKey, WebhookSecrets] = OrderedDict()
        self._unknown: OrderedDict[SecretsKey, WebhookSecrets] = OrderedDict()

    async def get(self, key: SecretsKey, *, max_age: timedelta) -> WebhookSecrets:
        """Return the secrets as they were `max_age` ago or later.

        Raises:
            DatabaseUnavailableError: they must be read, and cannot.
        """
        kept = self._kept(key)
        # A clock that was set back makes an age negative.
        if kept is not None and abs(self._now() - kept.read_at) <= max_age:
            return kept
        reading = self._reading.get(key)
        if reading is None:
            reading = asyncio.ensure_future(self._batches.submit(key))
            self._reading[key] = reading
            reading.add_done_callback(partial(self._keep, key))
        return await asyncio.shield(reading)

    def forget(self, key: SecretsKey) -> None:
        """Drop secrets that were changed, and those that a running read may have read before."""
        self._reading.pop(key, None)
        self._known.pop(key, None)
        self._unknown.pop(key, None)

    def _kept(self, key: SecretsKey) -> WebhookSecrets | None:
        for kept in (self._known, self._unknown):
            if key in kept:
                kept.move_to_end(key)
                return kept[key]
        return None

    async def _read_batch(self, keys: Sequence[SecretsKey]) -> Sequence[WebhookSecrets]:
        loop = asyncio.get_running_loop()
        if (early := self._next_read_at - loop.time()) > 0:
            await self._pause(early)
        self._next_read_at = loop.time() + READ_GAP_SECONDS
        return await self._read(keys)

    def _keep(self, key: SecretsKey, reading: asyncio.Task[WebhookSecrets]) -> None:
        is_current = self._reading.get(key) is reading
        if is_current:
            del self._reading[key]
        if reading.cancelled() or reading.exception() or not is_current:
            return
        read, before = reading.result(), self._kept(key)
        self.forget(key)
        kept, most = self._known, KNOWN_MAX
        if not (read.by_env or read.unreadable):
            kept, most = self._unknown, UNKNOWN_MAX
        kept[key] = read
        if len(kept) > most:
            kept.popitem(last=False)
        _log_unreadable(key, read, before)


def _log_unreadable(key: SecretsKey, read: WebhookSecrets, before: WebhookSecrets | None) -> None:
    """Log the secrets that do not open, unless they did not before."""
    for env, reason in read.unreadable:
        if before is None or (env, reason) not in before.unreadable:
            extra = {**key._asdict(), "env": env, "reason": reason}
            logger.error("webhook secret does not open", extra=extra)
