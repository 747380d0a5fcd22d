"""Keeps the callers whose API keys matched a moment ago, so that most calls need no query for them.

    the presented key                          it is
    matches a caller kept for less than        admitted
      LIFETIME_SECONDS
    any other                                  compared with the database

Only callers that were admitted are kept: unknown businesses and wrong keys displace nobody, and a
new business or key is never refused for what was read before.

A key is kept by its hash, of which an attacker learns nothing from how long a look-up takes, and no
longer than it works. When it is read, the time is noted as its last use; `take_uses` returns what
was noted.

A change of credentials drops the callers of the business in the core that makes it, at its commit.
Other cores may admit the old credentials until what they keep is too old, so the change is answered
after that (`until_known_everywhere`). Then they are refused by every core.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from core.business import key_rules, key_store
from core.business.key_store import Use
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
        self._known: dict[tuple[str, str], _Known] = {}
        """By business and hash of the key, the one that was read first in front."""
        self._uses: dict[tuple[str, str], Use] = {}
        """By business and id of the key."""
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
        known = self._known.get((business_id, presented))
        if known is not None:
            if self._is_current(known):
                return known.caller
            self._known.pop((business_id, presented))
        began_at, changes = self._clock.seconds(), self._changes
        found = await key_store.business_by_key(self._database, business_id, presented)
        now = self._database.now()
        caller = key_rules.caller_of(found, presented, now)
        if caller is None:
            return None
        self._uses[business_id, caller.key_id] = Use(business_id, caller.key_id, now)
        if changes == self._changes:
            self._keep(_Known(caller, began_at))
        return caller

    def take_uses(self) -> Sequence[Use]:
        """Return the last use of each key that was read since this was last called."""
        uses, self._uses = self._uses, {}
        return list(uses.values())

    def _is_current(self, known: _Known) -> bool:
        expires_at = known.caller.key_expires_at
        return self._clock.seconds() - known.read_at < LIFETIME_SECONDS and (
            expires_at is None or self._database.now() < expires_at
        )

    def forget_at_end(self, transaction: Transaction, business_id: str | None) -> None:
        """Drop the callers of the business, or of all, when the transaction has ended.

        It is the one that changes what is kept of them.
        """
        transaction.at_end.append(partial(self._forget, business_id))

    async def until_known_everywhere(self) -> None:
        """Wait until no core admits credentials that a change committed before replaced."""
        if self._database.has_one_process:
            return
        until = self._clock.seconds() + LIFETIME_SECONDS + _CLOCK_MARGIN_SECONDS
        while (left := until - self._clock.seconds()) > 0:
            await self._clock.sleep(left)

    def _keep(self, known: _Known) -> None:
        key = (known.caller.business_id, known.caller.api_key_hash)
        self._known.pop(key, None)
        self._known[key] = known
        if len(self._known) > KNOWN_MAX:
            del self._known[next(iter(self._known))]

    def _forget(self, business_id: str | None) -> None:
        self._changes += 1
        for key in [key for key in self._known if business_id in (key[0], None)]:
            del self._known[key]
