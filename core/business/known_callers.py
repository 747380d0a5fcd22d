"""Keeps the callers whose API keys matched a moment ago, so that most calls need no query for them.

    the presented key                          it is
    matches a caller kept for less than        admitted
      LIFETIME_SECONDS
    any other                                  compared with the database

Only callers that were admitted are kept: unknown businesses and wrong keys displace nobody, and a
new business or key is never refused for what was read before.

A change of credentials drops the caller in the core that makes it, at its commit. Other cores may
admit the old credentials until what they keep is too old, so the change is answered after that
(`until_known_everywhere`). Then they are refused by every core.
"""

import hmac
from dataclasses import dataclass
from functools import partial

from core.business import store
from core.caller import Caller
from core.database.clock import MonotonicClock, SystemMonotonicClock
from core.database.transactions import Database, Transaction
from core.security.secrets import hash_api_key

LIFETIME_SECONDS = 2.0
"""How long another core may admit credentials after they were changed here."""
_CLOCK_MARGIN_SECONDS = 0.1
"""By how much two machines' clocks may differ over LIFETIME_SECONDS."""
KNOWN_MAX = 10_000
"""How many callers are kept; beyond, the one that was read first is dropped."""
_NO_BUSINESS_HASH = hash_api_key("no business has this key")


@dataclass(frozen=True, slots=True)
class _Known:
    caller: Caller
    read_at: float
    """Before the query: whatever committed later may be missing."""


class KnownCallers:
    """The callers that this core admitted last, limited in number and age."""

    def __init__(self, database: Database, clock: MonotonicClock | None = None) -> None:
        """Read businesses from `database`; tell ages by `clock`, by default this machine's."""
        self._database = database
        self._clock = clock or SystemMonotonicClock()
        self._known: dict[str, _Known] = {}
        """By business, the one that was read first in front."""
        self._changes = 0
        """How often credentials were changed here: what was read before is not kept after."""

    async def find(self, business_id: str, api_key: str) -> Caller | None:
        """Return the caller that the credentials belong to; None if there is none.

        Raises:
            DatabaseUnavailableError: the business must be read, and cannot.
        """
        if not business_id.isprintable():
            return None  # PostgreSQL takes no NUL: the look-ups of others would fail with this one
        presented = hash_api_key(api_key)
        known = self._known.get(business_id)
        if known is not None and hmac.compare_digest(presented, known.caller.api_key_hash):
            if self._clock.seconds() - known.read_at < LIFETIME_SECONDS:
                return known.caller
            del self._known[business_id]
        began_at, changes = self._clock.seconds(), self._changes
        business = await store.business_by_id(self._database, business_id)
        # Always compare a hash, so that the response time does not reveal known business ids.
        stored = business.api_key_hash if business is not None else _NO_BUSINESS_HASH
        is_equal = hmac.compare_digest(presented, stored)
        if business is None or not is_equal or not business.active:
            return None
        caller = Caller(
            business_id,
            business.default_env,
            presented,
            business.settle_receivables,
            business.dunning,
        )
        if changes == self._changes:
            self._keep(_Known(caller, began_at))
        return caller

    def forget_at_end(self, transaction: Transaction, business_id: str) -> None:
        """Drop the caller when the transaction that changes its credentials has ended."""
        transaction.at_end.append(partial(self._forget, business_id))

    async def until_known_everywhere(self) -> None:
        """Wait until no core admits credentials that a change committed before replaced."""
        if self._database.has_one_process:
            return
        until = self._clock.seconds() + LIFETIME_SECONDS + _CLOCK_MARGIN_SECONDS
        while (left := until - self._clock.seconds()) > 0:
            await self._clock.sleep(left)

    def _keep(self, known: _Known) -> None:
        self._known.pop(known.caller.business_id, None)
        self._known[known.caller.business_id] = known
        if len(self._known) > KNOWN_MAX:
            del self._known[next(iter(self._known))]

    def _forget(self, business_id: str) -> None:
        self._changes += 1
        self._known.pop(business_id, None)
