"""Looks at due rows: a bounded number at once, in turns, and each on its own.

State of a row with due work:

    state      event                                             next state
    waiting    its time came, and a worker is free               looked at
    looked at  the look wrote when to look again, or never       waiting, or done
    looked at  something that it needs is away                   waiting, ever longer
    looked at  unexpected error, up to FAILED_LOOKS_MAX times    waiting, ever longer
    looked at  unexpected error once more, or a permanent one    set aside
    set aside  released by an operator, or changed by others     waiting, due now

Each kind of row has workers for each gateway, and a gateway that hangs keeps only its own. A row
is looked at by whoever locks it first, so any number of cores may look for due rows at once.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from core.database.transactions import Database, LockTimeoutError
from core.due_work.failures import UNAVAILABLE, record_failure
from core.due_work.rules import DueRow, Key
from core.due_work.store import DueTable
from core.due_work.turns import Turns

logger = logging.getLogger("core.due_work")

POLL_SECONDS: Final = 2.0
WORKERS: Final = 16
"""Looks of one kind at one gateway at once. A look takes up to the gateway's timeout, 20 seconds,
so 16 workers pass 1,000 rows of a gateway that hangs in 20 minutes; its callers are told to retry
anyway. More would take the connections of charges."""
WORKERS_PER_BUSINESS: Final = 4
"""Of them for one business, so that four businesses with revoked keys or a slow account do not
stop the others of their gateway."""


class DueKind(Protocol):
    """A kind of due work."""

    due: DueTable

    async def look(self, key: Key) -> None:
        """Look at a row that was due, and write when to look at it again.

        It locks the row and checks that it is still due. Raises whatever error it meets.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a look counts: a kind, a gateway and a business."""

    kind: str
    lane: str
    business_id: str


class DueWork:
    """Looks at the due rows of several kinds."""

    def __init__(
        self,
        database: Database,
        kinds: Sequence[DueKind],
        *,
        poll_seconds: float = POLL_SECONDS,
        workers: int = WORKERS,
        workers_per_business: int = WORKERS_PER_BUSINESS,
    ) -> None:
        """Find rows of these `kinds` in `database`, every `poll_seconds` if no worker waits.

        Each kind has so many `workers` at each gateway, and `workers_per_business` of them for one
        business.
        """
        self._database = database
        self._kinds = {each.due.kind: each for each in kinds}
        self._turns = {each.due.kind: Turns(each.due) for each in kinds}
        self._poll_seconds = poll_seconds
        self._workers = workers
        self._workers_per_business = workers_per_business
        self._busy: Counter[_Place] = Counter()
        self._tasks: dict[tuple[str, Key], asyncio.Task[None]] = {}
        self._tried: set[tuple[str, Key]] = set()
        """Rows that were looked at since the last regular poll; not again before the next one."""
        self._with_more: set[tuple[str, str]] = set()
        """Kinds and lanes in which more rows were due at the last poll than workers were free."""
        self._freed: set[tuple[str, str]] = set()
        """Kinds and lanes in which a worker became free since the last poll began."""
        self._may_start_more = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Look at due rows until `stop` is set, then finish what is being looked at."""
        now = asyncio.get_running_loop().time
        stopping = asyncio.create_task(self._wake_on(stop))
        while not stop.is_set():
            self._tried.clear()
            next_poll = now() + self._poll_seconds
            is_more = True
            while is_more and not stop.is_set():
                await self._poll_and_log()
                is_more = await self._may_start_more_until(next_poll)
        await stopping
        await self.drain()

    async def _wake_on(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._may_start_more.set()

    async def _may_start_more_until(self, deadline: float) -> bool:
        """Wait until a worker is free for more due rows, and return whether one is in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                return await self._may_start_more.wait()
        return False

    async def run_once(self) -> None:
        """Look at what is due now, and return when all of it was looked at."""
        self._tried.clear()
        while await self.poll():
            await self.drain()

    async def poll(self) -> int:
        """Start to look at due rows where workers are free, and return how many.

        Raises:
            DatabaseUnavailableError: the due rows cannot be read.
        """
        self._may_start_more.clear()
        self._freed.clear()
        self._with_more.clear()
        started = 0
        async with self._database.read() as transaction:
            for kind, turns in self._turns.items():
                choice = await turns.choose(
                    transaction,
                    {lane: self._room(kind, lane) for lane in self._kinds[kind].due.lanes},
                    room_of=partial(self._room_of, kind),
                    each=2 * self._workers_per_business,
                    except_for={key for of, key in (*self._tasks, *self._tried) if of == kind},
                )
                self._with_more |= {(kind, lane) for lane in choice.lanes_with_more}
                for row in choice.rows:
                    self._start(kind, row)
                started += len(choice.rows)
        self._wake_if_more()
        return started

    async def _poll_and_log(self) -> None:
        try:
            await self.poll()
        except UNAVAILABLE as error:
            extra = {"task": "due_work", "reason": str(error)}
            logger.warning("background task failed, retrying", extra=extra)
        except Exception:
            logger.exception("background task failed", extra={"task": "due_work"})

    def _room(self, kind: str, lane: str) -> int:
        busy = (n for place, n in self._busy.items() if (place.kind, place.lane) == (kind, lane))
        return self._workers - sum(busy)

    def _room_of(self, kind: str, row: DueRow) -> int:
        place = _Place(kind, row.lane, row.business_id)
        return self._workers_per_business - self._busy[place]

    def _start(self, kind: str, row: DueRow) -> None:
        place, work = _Place(kind, row.lane, row.business_id), (kind, row.key)
        self._busy[place] += 1
        self._tried.add(work)
        task = asyncio.create_task(self._look(self._kinds[kind], row.key))
        self._tasks[work] = task
        task.add_done_callback(lambda _: self._end(place, work))

    def _end(self, place: _Place, work: tuple[str, Key]) -> None:
        del self._tasks[work]
        self._busy[place] -= 1
        if not self._busy[place]:
            del self._busy[place]
        self._freed.add((place.kind, place.lane))
        self._wake_if_more()

    def _wake_if_more(self) -> None:
        if self._freed & self._with_more:
            self._may_start_more.set()

    async def drain(self) -> None:
        """Wait until nothing is looked at."""
        while self._tasks:
            await asyncio.wait(self._tasks.values())
            await asyncio.sleep(0)  # lets the callbacks run

    async def _look(self, kind: DueKind, key: Key) -> None:
        try:
            await kind.look(key)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the row's own
            try:
                await self._record(kind.due, key, error)
            except Exception:
                logger.exception("failed look not recorded", extra=kind.due.shown(key))

    async def _record(self, due: DueTable, key: Key, error: Exception) -> None:
        if isinstance(error, UNAVAILABLE) and not isinstance(error, LockTimeoutError):
            extra = due.shown(key) | {"reason": str(error)}
            logger.warning("look at due work failed, database unavailable", extra=extra)
            return
        async with self._database.transaction("due_work.record_failure") as transaction:
            await record_failure(transaction, due, key, error)
