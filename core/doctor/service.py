"""Examines the database: runs the queries of all checks and combines their results."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import asdict, replace

from core.audit.service import AuditService
from core.caller import current_presence
from core.database.clock import Clock, SystemClock
from core.database.transactions import Database, DatabaseUnavailableError, Transaction
from core.doctor import metadata_store, rules, store
from core.doctor.checks import AUDIT, CHECKS, CLOCK, METADATA, Check
from core.doctor.rules import Examination, Finding, Tally, Verdict
from core.doctor.store import Chunk, ChunkedTable, Comparison, Query, Scope
from core.errors import RETRY_SECONDS, Reason, Refusal

logger = logging.getLogger("core.doctor")

_OpenTransaction = Callable[[], AbstractAsyncContextManager[Transaction]]
"""Opens the transaction of one chunk."""
_Queries = Sequence[tuple[Query | Comparison, Tally]]
NO_KEYRING = "Not checked: the keyring was not given."


class DoctorService:
    """Use case of the doctor."""

    def __init__(
        self,
        database: Database,
        *,
        key_ids: Collection[str] | None,
        clock: Clock | None = None,
        has_core: bool = True,
        audit: AuditService | None = None,
    ) -> None:
        """Examine `database`, and verify its trail with `audit`, which needs the keyring.

        `key_ids` are the ids of the keyring's keys, None if they are unknown. `clock` defaults to
        this machine's. Without a core on the database, checks that need one only warn.
        """
        self._database = database
        self._key_ids = key_ids
        self._clock = clock or SystemClock()
        self._has_core = has_core
        self._audit = audit
        self._lock = asyncio.Lock()

    async def examine(self, limit: int = rules.DEFAULT_LIMIT) -> Examination:
        """Run all checks, and return up to `limit` rows of each. Runs one examination at a time.

        Raises:
            Refusal: SERVICE_UNAVAILABLE when the database cannot be examined. Its metadata `cause`
                is `database`, unlike that of a core that is unreachable.
        """
        async with self._lock:
            try:
                async with self._transactions() as open_transaction:
                    examination = await self._examine(open_transaction, limit)
                if self._audit is not None:  # without the snapshot, which would hold vacuum back
                    verified = await self._verify_audit(self._audit, limit)
                    findings = (*examination.findings, verified)
                    examination = replace(examination, findings=findings)
            except DatabaseUnavailableError as error:
                logger.warning("examination failed", extra={"reason": str(error)})
                raise Refusal(
                    Reason.ERROR_REASON_SERVICE_UNAVAILABLE,
                    f"The database could not be examined: {error}",
                    metadata={"cause": "database"},
                    retry_after_seconds=RETRY_SECONDS,
                ) from error
        for finding in examination.findings:
            if finding.verdict in (Verdict.BROKEN, Verdict.WARNING):
                level = logging.ERROR if finding.verdict is Verdict.BROKEN else logging.WARNING
                extra = {"check": finding.name, "rows": finding.count}
                logger.log(level, "check failed", extra=extra)
        return examination

    @asynccontextmanager
    async def _transactions(self) -> AsyncIterator[_OpenTransaction]:
        """Yield the function that opens the transaction of a chunk.

        On PostgreSQL all chunks share one snapshot. On SQLite each has its own, because other
        transactions wait for it. A query is about one row and the rows that belong to it, so
        changes between two chunks do not matter.
        """
        if self._database.has_one_process:
            yield self._database.snapshot
            return
        async with self._database.snapshot() as snapshot:
            yield lambda: nullcontext(snapshot)

    async def _examine(self, open_transaction: _OpenTransaction, limit: int) -> Examination:
        async with open_transaction() as transaction:
            examined_at = transaction.now
        clock = await self._compare_clocks(open_transaction)
        tallies = {check.name: Tally(limit) for check in CHECKS}
        queries = [
            (query, tallies[check.name])
            for check in CHECKS
            if not self._is_skipped(check)
            for query in check.queries
        ]
        async with open_transaction() as transaction:
            scope = self._scope(transaction)
            for query, tally in queries:
                if query.table is None:
                    await store.run(transaction, query, scope, tally)
        for table in dict.fromkeys(query.table for query, _ in queries):
            if table is not None:
                of_table = [each for each in queries if each[0].table is table]
                await self._examine_table(open_transaction, table, of_table)
        await self._examine_pairs(open_transaction, tallies[METADATA.name])
        findings = [self._finding(check, tallies[check.name]) for check in CHECKS]
        return Examination(examined_at, (*findings, clock))

    async def _examine_table(
        self, open_transaction: _OpenTransaction, table: ChunkedTable, queries: _Queries
    ) -> None:
        """Run the queries of a table for one chunk after the other.

        Raises:
            Refusal: the caller left.
        """
        async with open_transaction() as transaction:
            chunks = await store.open_chunks(transaction, table)
        for chunk in chunks:
            rest: Chunk | None = chunk
            while rest is not None:
                _check_presence()
                async with open_transaction() as transaction:
                    upto = await store.end_of_chunk(transaction, table, rest)
                    scope = self._scope(transaction, replace(rest, upto=upto))
                    for query, tally in queries:
                        await store.run(transaction, query, scope, tally)
                rest = replace(rest, after=upto) if upto is not None else None
                await asyncio.sleep(0)  # lets transactions that wait for the connection go first

    async def _examine_pairs(self, open_transaction: _OpenTransaction, tally: Tally) -> None:
        """Compare the pairs of metadata with their resources, one part after the other.

        Raises:
            Refusal: the caller left.
        """
        after, is_first = None, True
        while is_first or after is not None:
            _check_presence()
            async with open_transaction() as transaction:
                problems, after = await metadata_store.pairs_without_resource(transaction, after)
            store.add_problems(tally, problems)
            is_first = False
            await asyncio.sleep(0)

    async def _verify_audit(self, audit: AuditService, limit: int) -> Finding:
        """Verify the audit trail, one page after the other.

        Raises:
            Refusal: the caller left.
        """
        tally, position, is_first = Tally(limit), "", True
        while is_first or position:
            _check_presence()
            verified = await audit.verify(None, position, {})
            store.add_problems(tally, [asdict(each) for each in verified.problems])
            position, is_first = verified.next_position, False
        tally.close()
        verdict = Verdict.BROKEN if tally.count else Verdict.OK
        rows = tuple(tally.rows)
        return Finding(AUDIT.name, verdict, tally.count, rows, AUDIT.invariant, AUDIT.advice)

    def _scope(self, transaction: Transaction, chunk: Chunk | None = None) -> Scope:
        return Scope(transaction.now, chunk, self._key_ids or ())

    async def _compare_clocks(self, open_transaction: _OpenTransaction) -> Finding:
        """Compare this machine's clock with the database's."""
        difference = rules.NO_DIFFERENCE
        if not self._database.has_one_process:
            async with open_transaction() as transaction:
                before = self._clock.now()
                shown = await store.database_clock(transaction)
                difference = rules.clock_difference(before, shown, self._clock.now())
        verdict = rules.clock_verdict(difference)
        rows: tuple[rules.Row, ...] = ()
        if verdict is not Verdict.OK:
            rows = ({"database_ahead_seconds": f"{difference.total_seconds():.1f}"},)
        return Finding(CLOCK.name, verdict, len(rows), rows, CLOCK.invariant, CLOCK.advice)

    def _finding(self, check: Check, tally: Tally) -> Finding:
        if self._is_skipped(check):
            return Finding(check.name, Verdict.SKIPPED, 0, (), check.invariant, NO_KEYRING)
        tally.close()
        severity = check.severity
        if check.needs_core and not self._has_core:
            severity = Verdict.WARNING
        verdict = severity if tally.count else Verdict.OK
        return Finding(
            check.name, verdict, tally.count, tuple(tally.rows), check.invariant, check.advice
        )

    def _is_skipped(self, check: Check) -> bool:
        return check.needs_keyring and self._key_ids is None


def _check_presence() -> None:
    """Raise Refusal if the caller left."""
    if current_presence().left:
        raise Refusal(Reason.ERROR_REASON_SERVICE_UNAVAILABLE, "the caller left")
