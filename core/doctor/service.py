"""Examines the database: asks every check's questions and adds up what they find."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import replace

from core.caller import current_presence
from core.database.clock import Clock, SystemClock
from core.database.transactions import Database, DatabaseUnavailableError, Transaction
from core.doctor import rules, store
from core.doctor.checks import CHECKS, CLOCK, Check
from core.doctor.rules import Examination, Finding, Tally, Verdict
from core.doctor.store import Piece, Question, Scope, Walked
from core.errors import RETRY_SECONDS, Reason, Refusal

logger = logging.getLogger("core.doctor")

_Opened = Callable[[], AbstractAsyncContextManager[Transaction]]
"""Opens the transaction of one piece."""
_Asked = Sequence[tuple[Question, Tally]]
NO_KEYRING = "Not checked: the keyring was not given."


class DoctorService:
    """The use case of the doctor."""

    def __init__(
        self,
        database: Database,
        *,
        key_ids: Collection[str] | None,
        clock: Clock | None = None,
        is_served: bool = True,
    ) -> None:
        """Examine `database`, whose secrets are sealed with keys of these ids, if that is known.

        `clock` is this machine's. Where no core serves the database, what only a running core
        keeps up is a warning.
        """
        self._database = database
        self._key_ids = key_ids
        self._clock = clock or SystemClock()
        self._is_served = is_served
        self._turn = asyncio.Lock()

    async def examine(self, limit: int = rules.DEFAULT_LIMIT) -> Examination:
        """Make every check and name up to `limit` rows that break it. One examination at a time.

        Raises:
            Refusal: SERVICE_UNAVAILABLE where the database cannot be examined; its metadata has
                the `cause`, which tells it from a core that cannot be reached.
        """
        async with self._turn:
            try:
                async with self._pieces() as opened:
                    examination = await self._examine(opened, limit)
            except DatabaseUnavailableError as error:
                logger.warning("not examined: %s", error)
                raise Refusal(
                    Reason.ERROR_REASON_SERVICE_UNAVAILABLE,
                    f"The database could not be examined: {error}",
                    metadata={"cause": "database"},
                    retry_after_seconds=RETRY_SECONDS,
                ) from error
        for finding in examination.findings:
            if finding.verdict in (Verdict.BROKEN, Verdict.WARNING):
                level = logging.ERROR if finding.verdict is Verdict.BROKEN else logging.WARNING
                logger.log(level, "doctor: %s", finding.name, extra={"rows": finding.count})
        return examination

    @asynccontextmanager
    async def _pieces(self) -> AsyncIterator[_Opened]:
        """Give what opens a piece's transaction: one snapshot of all of the database.

        On SQLite everybody waits for it, so there each piece has its own. A question is about one
        row and what belongs to it, so it does not matter what changes between two pieces.
        """
        if self._database.has_one_process:
            yield self._database.snapshot
            return
        async with self._database.snapshot() as whole:
            yield lambda: nullcontext(whole)

    async def _examine(self, opened: _Opened, limit: int) -> Examination:
        async with opened() as transaction:
            examined_at = transaction.now
        clock = await self._clocks(opened)
        tallies = {check.name: Tally(limit) for check in CHECKS}
        asked = [
            (question, tallies[check.name])
            for check in CHECKS
            if not self._is_skipped(check)
            for question in check.questions
        ]
        async with opened() as transaction:
            scope = self._scope(transaction)
            for question, tally in asked:
                if question.walks is None:
                    await store.ask(transaction, question, scope, tally)
        for table in dict.fromkeys(question.walks for question, _ in asked):
            if table is not None:
                await self._walk(opened, table, [each for each in asked if each[0].walks is table])
        findings = [self._finding(check, tallies[check.name]) for check in CHECKS]
        return Examination(examined_at, (*findings, clock))

    async def _walk(self, opened: _Opened, table: Walked, asked: _Asked) -> None:
        """Ask the questions that walk a table about one piece after the other."""
        async with opened() as transaction:
            pieces = await store.open_pieces(transaction, table)
        for piece in pieces:
            rest: Piece | None = piece
            while rest is not None:
                if current_presence().left:
                    raise Refusal(Reason.ERROR_REASON_SERVICE_UNAVAILABLE, "nobody waits any more")
                async with opened() as transaction:
                    upto = await store.end_of_piece(transaction, table, rest)
                    scope = self._scope(transaction, replace(rest, upto=upto))
                    for question, tally in asked:
                        await store.ask(transaction, question, scope, tally)
                rest = replace(rest, after=upto) if upto is not None else None
                await asyncio.sleep(0)  # those who wait for the connection come first

    def _scope(self, transaction: Transaction, piece: Piece | None = None) -> Scope:
        return Scope(transaction.now, piece, self._key_ids or ())

    async def _clocks(self, opened: _Opened) -> Finding:
        """Compare this machine's clock with the database's."""
        apart = rules.NOT_APART
        if not self._database.has_one_process:
            async with opened() as transaction:
                before = self._clock.now()
                told = await store.database_clock(transaction)
                apart = rules.surely_apart(before, told, self._clock.now())
        verdict = rules.verdict_on_clocks(apart)
        wrong = verdict is not Verdict.OK
        rows = ({"database_ahead_seconds": f"{apart.total_seconds():.1f}"},) if wrong else ()
        return Finding(CLOCK.name, verdict, len(rows), rows, CLOCK.demand, CLOCK.advice)

    def _finding(self, check: Check, tally: Tally) -> Finding:
        if self._is_skipped(check):
            return Finding(check.name, Verdict.SKIPPED, 0, (), check.demand, NO_KEYRING)
        tally.close()
        severity = check.severity
        if check.of_serving and not self._is_served:
            severity = Verdict.WARNING
        verdict = severity if tally.count else Verdict.OK
        return Finding(
            check.name, verdict, tally.count, tuple(tally.rows), check.demand, check.advice
        )

    def _is_skipped(self, check: Check) -> bool:
        return check.needs_keyring and self._key_ids is None
