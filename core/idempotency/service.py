"""Makes mutating calls safe to repeat: one record for each idempotency key of a business.

The record of an action that commits once commits with its effect; that of an action that calls a
gateway is begun before the call and answered with the outcome. Answers are kept sealed, requests
only as fingerprints, and both for 24 hours by the database's clock. Validation, wrong credentials
and everything that asks the caller to try again are not kept.

    claim      a call that commits in several steps begins its record
    keep       the answer goes into the record, in the transaction of what it tells
    Replay     raised where the record has an answer already
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from google.protobuf.message import Message
from google.rpc import status_pb2
from sqlalchemy import delete, exists, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from core.caller import Caller
from core.database.bulk_sql import SelectSet
from core.database.schema import idempotency_records as records
from core.database.schema import payments
from core.database.transactions import (
    CommitUnknownError,
    Database,
    DatabaseUnavailableError,
    Transaction,
)
from core.errors import InvalidFields, Reason, Refusal, http_status_of, status_of
from core.ids import new_request_id
from core.security.keyring import Keyring

KEY_LIFE = timedelta(hours=24)
UNKEYED_LIFE = timedelta(hours=1)
"""How long the record of a call without a key stays: it only tells whether it was committed."""
REAP_SECONDS = 10.0
REAPED_AT_ONCE = 1000
_KEPT_STATUSES = frozenset({402, 404, 409})
"""HTTP statuses of refusals that are the outcome of a call, and not a reason to send it again."""
_KEY = (records.c.business_id, records.c.key)
_INSERT = {
    "postgresql": postgresql.insert(records).on_conflict_do_nothing().returning(*_KEY),
    "sqlite": sqlite.insert(records).on_conflict_do_nothing().returning(*_KEY),
}
_PURPOSE = "idempotency"
TOOK_PLACE_SECONDS = 4.0
"""For how long the database is asked whether a commit took place."""
_PAUSE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call was answered: its response, or the google.rpc.Status of a refusal."""

    payload: bytes = field(repr=False)
    is_refusal: bool

    @classmethod
    def response(cls, message: Message) -> "Answer":
        """Keep a response."""
        return cls(message.SerializeToString(deterministic=True), is_refusal=False)

    @classmethod
    def refusal(cls, refusal: Refusal) -> "Answer":
        """Keep a refusal."""
        return cls(status_of(refusal).SerializeToString(deterministic=True), is_refusal=True)

    def status(self) -> status_pb2.Status:
        """Return the status of a refusal."""
        assert self.is_refusal, "a response has no status of its own"
        return status_pb2.Status.FromString(self.payload)

    @classmethod
    def unpacked(cls, packed: bytes) -> "Answer":
        """Read what `packed` wrote."""
        return cls(packed[1:], is_refusal=packed[:1] == b"R")

    def packed(self) -> bytes:
        """Return the answer as it is sealed."""
        return (b"R" if self.is_refusal else b"A") + self.payload


class Replay(Exception):
    """The call was carried out before; this is what it was answered."""

    def __init__(self, answer: Answer) -> None:
        super().__init__("answered before")
        self.answer = answer


@dataclass(eq=False, slots=True)
class IdempotentCall:
    """A mutating call as its record sees it."""

    business_id: str
    sent_key: str | None
    """What the caller sent."""
    key: str
    """The record's: the caller's, or an id of this call alone; the two never meet."""
    action: str
    """The method's name in the schema."""
    content: bytes = field(repr=False)
    """The request without its key, in one form for equal requests."""
    api_key_hash: str = field(repr=False)
    is_kept: bool = False
    """Whether its answer is in the record, so that nothing is left to do."""
    sealed_answer: str | None = field(default=None, repr=False)
    """As this run stored it, or was about to; no other run's is the same text."""

    @property
    def is_keyed(self) -> bool:
        """Whether the caller sent a key."""
        return self.sent_key is not None

    def is_same_request_as(self, other: "IdempotentCall") -> bool:
        """Tell whether both ask for the same."""
        return (self.action, self.content) == (other.action, other.content)


def call_of(caller: Caller, action: str, request: Message) -> IdempotentCall:
    """Return the call of an action whose request has a field `idempotency_key`."""
    bare = type(request)()
    bare.CopyFrom(request)
    bare.ClearField("idempotency_key")
    bare.DiscardUnknownFields()
    sent: str = request.idempotency_key  # type: ignore[attr-defined] # the field asked for above
    return IdempotentCall(
        business_id=caller.business_id,
        sent_key=sent or None,
        key=f"key:{sent}" if sent else f"call:{new_request_id()}",
        action=action,
        content=bare.SerializeToString(deterministic=True),
        api_key_hash=caller.api_key_hash,
    )


_call: ContextVar[IdempotentCall] = ContextVar("call")


def current_call() -> IdempotentCall:
    """Return the mutating call that the running task carries out."""
    return _call.get()


def set_call(call: IdempotentCall) -> None:
    """Remember the call for the running task."""
    _call.set(call)


def is_kept(refusal: Refusal) -> bool:
    """Tell whether a refusal is an outcome, to be told again, and not an invitation to retry."""
    return not isinstance(refusal, InvalidFields) and http_status_of(refusal) in _KEPT_STATUSES


def key_reused() -> Refusal:
    """Make the answer to a key that was used for another request or action."""
    return Refusal(
        Reason.ERROR_REASON_IDEMPOTENCY_KEY_REUSED,
        "The idempotency key was used for another request; use a new one",
    )


class Idempotency:
    """The records of all businesses."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        """Keep records in `database`, fingerprinted and sealed under `keyring`."""
        self._database = database
        self._keyring = keyring

    async def earlier(
        self, transaction: Transaction, calls: Sequence[IdempotentCall]
    ) -> dict[IdempotentCall, Replay | Refusal]:
        """Return how each call ends that has a record already, of several calls at once.

        With a Replay where the record has an answer, with IDEMPOTENCY_KEY_REUSED where it is of
        another request.
        """
        keyed = {(call.business_id, call.key): call for call in calls if call.is_keyed}
        if not keyed:
            return {}
        rows = await _RECORDS.execute(transaction.connection, list(keyed))
        ends: dict[IdempotentCall, Replay | Refusal] = {}
        for row in rows:
            call = keyed[row.business_id, row.key]
            if await self._is_over(transaction, call, row):
                continue
            if not self._is_same(call, row):
                ends[call] = key_reused()
            elif row.sealed_answer is not None:
                ends[call] = Replay(self._opened(call, row.sealed_answer))
        return ends

    async def replay_if_answered(self, transaction: Transaction, call: IdempotentCall) -> None:
        """Let a call pass whose record has no answer.

        Raises:
            Replay: it has one.
            Refusal: IDEMPOTENCY_KEY_REUSED.
        """
        for end in (await self.earlier(transaction, [call])).values():
            raise end

    async def claim(self, transaction: Transaction, call: IdempotentCall) -> str | None:
        """Begin the record of a keyed call, or go on with it; hold it to the transaction's end.

        Returns the payment that an earlier run of the call began. Calls without a key have none.

        Raises:
            Replay: the record has an answer.
            Refusal: IDEMPOTENCY_KEY_REUSED.
        """
        if not call.is_keyed:
            return None
        row = await self._find(transaction, call)
        if row is None:
            if not await self._in_the_way(transaction, [(call, None)]):
                return None
            row = await self._find(transaction, call)
            assert row is not None, "a record in the way is there"
        if row.sealed_answer is not None:
            raise Replay(self._opened(call, row.sealed_answer))
        payment_id: str | None = row.payment_id
        return payment_id

    async def point_to(
        self, transaction: Transaction, call: IdempotentCall, payment_id: str
    ) -> None:
        """Remember the payment of a claimed call, so that a later run goes on with it."""
        if call.is_keyed:
            await transaction.connection.execute(
                update(records)
                .where(*_is(call.business_id, call.key))
                .values(payment_id=payment_id)
            )

    async def keep(self, transaction: Transaction, call: IdempotentCall, answer: Answer) -> None:
        """Store the answer with what it tells; of a call without a key, only that it took place.

        Raises:
            Replay: another run of the call was faster, and the transaction must not commit.
            Refusal: IDEMPOTENCY_KEY_REUSED; likewise.
        """
        if not await self.keep_all(transaction, {call: answer}):
            return
        await self.replay_if_answered(transaction, call)
        # Begun in an earlier step. A refusal on the way says nothing of a payment that is open.
        unless_open = [records.c.payment_id.is_(None)] if answer.is_refusal else []
        updated = await transaction.connection.execute(
            update(records)
            .where(*_is(call.business_id, call.key), *unless_open)
            .values(sealed_answer=call.sealed_answer)
        )
        if updated.rowcount == 0:  # perhaps the one in the way was over, and is gone now
            await self.keep_all(transaction, {call: answer})

    async def keep_all(
        self, transaction: Transaction, answers: Mapping[IdempotentCall, Answer]
    ) -> list[IdempotentCall]:
        """Store many answers with what they tell, and return the calls that have a record already.

        Then another run of those was faster, and the transaction must not commit.
        """
        in_order = sorted(answers, key=lambda call: (call.business_id, call.key))
        for call in in_order:
            if call.is_keyed:
                call.sealed_answer = self._sealed(call.business_id, call.key, answers[call])
        in_the_way = await self._in_the_way(
            transaction, [(call, call.sealed_answer) for call in in_order]
        )
        for call in answers:
            call.is_kept = True
        return in_the_way

    async def hold(self, transaction: Transaction, business_id: str, idempotency_key: str) -> None:
        """Keep every other call of the key waiting, to the end of the transaction."""
        await transaction.connection.execute(
            select(records.c.key)
            .where(*_is(business_id, f"key:{idempotency_key}"))
            .with_for_update()
        )

    async def keep_for_payment(
        self,
        transaction: Transaction,
        *,
        business_id: str,
        idempotency_key: str,
        payment_id: str,
        answer: Answer,
    ) -> None:
        """Store what became of a payment as the answer to the call that began it."""
        key = f"key:{idempotency_key}"
        await transaction.connection.execute(
            update(records)
            .where(
                *_is(business_id, key),
                records.c.payment_id == payment_id,
                records.c.sealed_answer.is_(None),
            )
            .values(
                sealed_answer=self._sealed(business_id, key, answer),
                # Who was told all day that the outcome is not known yet has to hear it.
                expires_at=transaction.now + KEY_LIFE,
            )
        )

    async def keep_alone(self, call: IdempotentCall, answer: Answer) -> None:
        """Store an answer in a transaction of its own, where the use case stored none.

        Raises:
            Replay: another run of the call was faster.
            DatabaseUnavailableError, CommitUnknownError: it may not be stored.
        """
        async with self._database.transaction() as transaction:
            await self.keep(transaction, call, answer)

    async def took_place(self, call: IdempotentCall) -> bool:
        """Tell whether the commit took place that was to store this call's record.

        Asked by inserting it again, because an insert waits for one that is still under way; for
        some seconds, while the database is away. A record in the way may be another run's of the
        same key, or an old one that this run was to replace, so its answer has to be this run's.

        Raises:
            CommitUnknownError: the database does not tell.
        """
        clock = asyncio.get_running_loop().time
        give_up = clock() + TOOK_PLACE_SECONDS
        while True:
            try:
                async with self._database.transaction() as transaction:
                    attempt = await transaction.connection.begin_nested()
                    is_there = bool(await self._in_the_way(transaction, [(call, None)]))
                    await attempt.rollback()
                    if is_there and call.is_keyed:
                        stored = await transaction.connection.scalar(
                            select(records.c.sealed_answer).where(*_is(call.business_id, call.key))
                        )
                        is_there = stored is not None and stored == call.sealed_answer
            except (DatabaseUnavailableError, CommitUnknownError) as error:
                if clock() >= give_up:
                    raise CommitUnknownError(str(error)) from None
            else:
                return is_there
            await asyncio.sleep(_PAUSE_SECONDS)

    async def reap(self) -> None:
        """Delete the records whose time is over, so many in each transaction.

        A record without an answer whose payment's outcome is still open stays.
        """
        while await self._reap_some() == REAPED_AT_ONCE:
            pass

    async def _reap_some(self) -> int:
        async with self._database.transaction() as transaction:
            rows = await transaction.connection.execute(
                select(*_KEY)
                .where(
                    records.c.expires_at <= transaction.now,
                    _IS_CLOSED,
                )
                .limit(REAPED_AT_ONCE)
                .with_for_update(skip_locked=True)
            )
            found = [tuple(row) for row in rows]
            if found:
                await transaction.connection.execute(
                    delete(records).where(tuple_(*_KEY).in_(found))
                )
        return len(found)

    async def _find(self, transaction: Transaction, call: IdempotentCall) -> Any:
        """Return the row of a call's record and hold it, or None; one whose time is over is gone.

        Raises:
            Refusal: IDEMPOTENCY_KEY_REUSED.
        """
        rows = await transaction.connection.execute(
            select(*_COLUMNS).where(*_is(call.business_id, call.key)).with_for_update()
        )
        row = rows.one_or_none()
        if row is None or await self._is_over(transaction, call, row):
            return None
        if not self._is_same(call, row):
            raise key_reused()
        return row

    async def _is_over(self, transaction: Transaction, call: IdempotentCall, row: Any) -> bool:
        """Delete a record whose time is over, and tell whether it was."""
        if row.expires_at > transaction.now:
            return False
        deleted = await transaction.connection.execute(
            delete(records).where(*_is(call.business_id, call.key), _IS_CLOSED)
        )
        return bool(deleted.rowcount == 1)

    def _is_same(self, call: IdempotentCall, row: Any) -> bool:
        fingerprint = self._fingerprint(call, row.fingerprint_key_id)
        return bool(row.action == call.action and row.fingerprint == fingerprint)

    async def _in_the_way(
        self, transaction: Transaction, calls: Sequence[tuple[IdempotentCall, str | None]]
    ) -> list[IdempotentCall]:
        """Insert records with their sealed answers; return the calls that have one already.

        On PostgreSQL this waits for records that are not committed yet.
        """
        key_id = self._keyring.primary_id
        rows = [
            {
                "business_id": call.business_id,
                "key": call.key,
                "action": call.action,
                "fingerprint": self._fingerprint(call, key_id) if call.is_keyed else "",
                "fingerprint_key_id": key_id,
                "api_key_hash": call.api_key_hash,
                "payment_id": None,
                "sealed_answer": sealed,
                "created_at": transaction.now,
                "expires_at": transaction.now + (KEY_LIFE if call.is_keyed else UNKEYED_LIFE),
            }
            for call, sealed in calls
        ]
        result = await transaction.connection.execute(
            _INSERT[transaction.connection.dialect.name], rows
        )
        inserted = {tuple(row) for row in result}
        return [call for call, _ in calls if (call.business_id, call.key) not in inserted]

    def _fingerprint(self, call: IdempotentCall, key_id: str) -> str:
        return self._keyring.fingerprint(
            call.content, key_id=key_id, business_id=call.business_id, purpose=_PURPOSE
        )

    def _sealed(self, business_id: str, key: str, answer: Answer) -> str:
        return self._keyring.seal_bytes(
            answer.packed(), business_id=business_id, purpose=f"{_PURPOSE}/{key}"
        )

    def _opened(self, call: IdempotentCall, sealed: str) -> Answer:
        return Answer.unpacked(
            self._keyring.open_bytes(
                sealed, business_id=call.business_id, purpose=f"{_PURPOSE}/{call.key}"
            )
        )


async def was_answered_to(
    transaction: Transaction,
    *,
    business_id: str,
    idempotency_key: str,
    action: str,
    api_key_hash: str,
) -> bool:
    """Tell whether this API key, retired or not, made this call and the call has its answer."""
    found = await transaction.connection.execute(
        select(records.c.key).where(
            *_is(business_id, f"key:{idempotency_key}"),
            records.c.action == action,
            records.c.api_key_hash == api_key_hash,
            records.c.sealed_answer.is_not(None),
            records.c.expires_at > transaction.now,
        )
    )
    return found.one_or_none() is not None


_COLUMNS = (
    *_KEY,
    records.c.action,
    records.c.fingerprint,
    records.c.fingerprint_key_id,
    records.c.payment_id,
    records.c.sealed_answer,
    records.c.expires_at,
)


_RECORDS = SelectSet(select(*_COLUMNS), records, key=("business_id", "key"))
_PAYMENT_IS_OPEN = exists().where(
    payments.c.business_id == records.c.business_id,
    payments.c.payment_id == records.c.payment_id,
    payments.c.status.in_(["pending", "needs_review"]),
)
_IS_CLOSED = or_(records.c.sealed_answer.is_not(None), ~_PAYMENT_IS_OPEN)


def _is(business_id: str, key: str) -> tuple[Any, Any]:
    return (records.c.business_id == business_id, records.c.key == key)
