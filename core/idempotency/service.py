"""Makes mutating calls safe to repeat: one record for each idempotency key of a business.

An action that commits once stores its record in the same transaction. An action that calls a
gateway creates its record before the call and stores the answer with the outcome. Records last 24
hours by the database's clock. Answers are sealed; requests are stored as fingerprints only.
Of the errors only those that are outcomes are stored (core.errors.is_outcome).

    claim      create or continue the record of a call that commits in several steps
    keep       store the answer, in the transaction of its effect
    Replay     raised when the record has an answer
"""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

from google.protobuf.message import Message

from core.database.transactions import (
    CommitUnknownError,
    Database,
    DatabaseUnavailableError,
    Transaction,
)
from core.errors import Refusal
from core.idempotency import store
from core.idempotency.call import ANSWER_SCHEMA, Answer, IdempotentCall, Replay, key_reused
from core.idempotency.same_request import (
    Resolved,
    contents,
    resolved_by_currency,
    resolved_by_payment,
    resolved_env,
    resolved_in,
    response_class_of,
    variants,
)
from core.security.keyring import Keyring, sealing_key_id

KEY_LIFE = timedelta(hours=24)
"""How long an idempotency key is remembered at least: the reference promises it."""
UNKEYED_LIFE = timedelta(hours=1)
"""Lifetime of a record without a key: it only shows whether its transaction committed."""
REAP_SECONDS = 10.0
REAP_BATCH = 1000
TOOK_PLACE_SECONDS = 4.0
"""How long to ask the database whether a commit took place."""
_PAUSE_SECONDS = 0.2
_FINGERPRINT_PURPOSE = "idempotency"


class Idempotency:
    """The records of all businesses."""

    def __init__(
        self, database: Database, keyring: Keyring, longer: timedelta = timedelta()
    ) -> None:
        """Store records in `database`, fingerprinted and sealed with `keyring`.

        Those of keys are remembered for `longer` than KEY_LIFE.
        """
        self._longer = longer
        self._database = database
        self._keyring = keyring

    async def ends(
        self,
        transaction: Transaction,
        calls: Iterable[IdempotentCall],
        records: Mapping[store.RecordKey, store.Record],
    ) -> dict[IdempotentCall, Replay | Refusal]:
        """Return the end of each call that has a record: Replay, or IDEMPOTENCY_KEY_REUSED.

        A call whose record has expired or has no answer has none.
        """
        ends: dict[IdempotentCall, Replay | Refusal] = {}
        for call in calls:
            record = records.get(call.record_key)
            if record is not None and record.expires_at <= transaction.now:
                if await store.delete_closed(transaction, call.record_key):
                    continue
                # It stays, or another run of the call has replaced it since it was read.
                record = await store.find(transaction, call.record_key)
            if record is None:
                continue
            if not await self._is_same(transaction, call, record):
                ends[call] = key_reused()
            elif record.sealed_answer is not None:
                ends[call] = Replay(self._opened(call.record_key, record))
        return ends

    async def replay_if_answered(self, transaction: Transaction, call: IdempotentCall) -> None:
        """Return if the call has no answer yet.

        Raises:
            Replay: the record has an answer.
            Refusal: IDEMPOTENCY_KEY_REUSED.
        """
        if not call.is_keyed:
            return
        record = await store.find(transaction, call.record_key)
        found = {} if record is None else {call.record_key: record}
        for end in (await self.ends(transaction, [call], found)).values():
            raise end

    async def claim(
        self, transaction: Transaction, call: IdempotentCall, payment_id: str | None = None
    ) -> str | None:
        """Create or continue the record of a keyed call, locked until the transaction ends.

        Returns the payment that an earlier run of the call began; a record without one gets
        `payment_id`. Calls without a key have no record. Afterwards `call.env` is the environment
        of the earlier run, and `call.is_continued` whether there was one.

        Raises:
            Replay: the record has an answer.
            Refusal: IDEMPOTENCY_KEY_REUSED.
        """
        if not call.is_keyed:
            return None
        row = self._row(transaction, call, None, payment_id)
        while not await store.insert_missing(transaction, row):
            record = await self._find(transaction, call)
            if record is None:  # expired, and deleted now
                continue
            if record.sealed_answer is not None:
                raise Replay(self._opened(call.record_key, record))
            call.is_continued = True
            if record.payment_id is None and payment_id is not None:
                await self.point_to(transaction, call, payment_id)
            return record.payment_id
        return None

    async def point_to(
        self, transaction: Transaction, call: IdempotentCall, payment_id: str
    ) -> None:
        """Store another payment of a claimed call, so that a later run continues it."""
        if call.is_keyed:
            await store.set_payment(transaction, call.record_key, payment_id)

    async def keep(self, transaction: Transaction, call: IdempotentCall, answer: Answer) -> None:
        """Store the answer; for a call without a key, store only that it took place.

        Raises:
            Replay: another run of the call was faster; the transaction must not commit.
            Refusal: IDEMPOTENCY_KEY_REUSED; likewise.
        """
        row = self.new_record(transaction, call, answer)
        if await store.insert_missing(transaction, row):
            return
        await self.replay_if_answered(transaction, call)
        # The record exists since an earlier step. A refusal says nothing about an open payment.
        assert call.sealed_answer is not None, "a call without a key has no record before"
        stored = await store.set_answer(
            transaction,
            call.record_key,
            _answer_columns(call.sealed_answer),
            unless_payment=answer.is_refusal,
        )
        if not stored:  # the conflicting record may have expired and been deleted
            await store.insert_missing(transaction, row)

    def new_record(
        self, transaction: Transaction, call: IdempotentCall, answer: Answer
    ) -> Mapping[str, Any]:
        """Return the row of a record with the answer, for a transaction that inserts it.

        If the key has a record then, another run of the call was faster, and the transaction must
        not commit.
        """
        if call.is_keyed:
            call.sealed_answer = self._sealed(call.record_key, answer)
        call.is_kept = True
        return self._row(transaction, call, call.sealed_answer)

    async def lock(self, transaction: Transaction, business_id: str, idempotency_key: str) -> None:
        """Lock the record of a key until the transaction ends."""
        await store.lock(transaction, _keyed(business_id, idempotency_key))

    async def keep_for_payment(
        self,
        transaction: Transaction,
        *,
        business_id: str,
        idempotency_key: str,
        payment_id: str,
        answer: Answer,
    ) -> None:
        """Store the outcome of a payment or refund as the answer to the call that began it.

        stored answer    outcome      answer from then on
        none             any          the outcome
        a refusal        a success    the success: the card was charged after all
        a refusal        a refusal    the stored one
        a response       any          the stored one, byte for byte
        """
        key = _keyed(business_id, idempotency_key)
        set_answer = partial(
            store.set_payment_answer,
            transaction,
            key,
            payment_id,
            _answer_columns(self._sealed(key, answer)),
            # A caller that was answered 504 all day must still learn the outcome.
            expires_at=transaction.now + KEY_LIFE + self._longer,
        )
        if await set_answer(replaced=None) or answer.is_refusal:
            return
        record = await store.find(transaction, key, for_update=True)
        if record is not None and record.sealed_answer and self._opened(key, record).is_refusal:
            await set_answer(replaced=record.sealed_answer)

    async def keep_alone(self, call: IdempotentCall, answer: Answer) -> None:
        """Store an answer in a transaction of its own, where the use case stored none.

        Raises:
            Replay: another run of the call was faster.
            DatabaseUnavailableError, CommitUnknownError: it may not be stored.
        """
        async with self._database.transaction("idempotency.keep") as transaction:
            await self.keep(transaction, call, answer)

    async def took_place(self, call: IdempotentCall) -> bool:
        """Return whether the commit that stored this call's record took place.

        Inserts the record again and rolls back, because an insert waits for a concurrent one that
        has not committed yet. Repeats for some seconds while the database is unavailable. An
        existing record may belong to another run of the key, so its answer must be this run's.

        Raises:
            CommitUnknownError: the database gives no answer.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + TOOK_PLACE_SECONDS
        while True:
            try:
                async with self._database.transaction() as transaction:
                    savepoint = await transaction.connection.begin_nested()
                    row = self._row(transaction, call, None)
                    exists = not await store.insert_missing(transaction, row)
                    await savepoint.rollback()
                    if exists and call.is_keyed:
                        stored = await store.stored_answer(transaction, call.record_key)
                        exists = stored is not None and self._is_answer_of(call, stored)
            except (DatabaseUnavailableError, CommitUnknownError) as error:
                if clock() >= deadline:
                    raise CommitUnknownError(str(error)) from None
            else:
                return exists
            await asyncio.sleep(_PAUSE_SECONDS)

    async def reap(self) -> None:
        """Delete expired records, in transactions of up to 1000.

        A record without an answer stays while its payment is open.
        """
        while await self._reap_some() == REAP_BATCH:
            pass

    async def _reap_some(self) -> int:
        async with self._database.transaction("idempotency.reap") as transaction:
            found = await store.expired(transaction, REAP_BATCH)
            if found:
                await store.delete_many(transaction, found)
        return len(found)

    async def _find(self, transaction: Transaction, call: IdempotentCall) -> store.Record | None:
        """Return and lock the record of a call, or None; an expired one is deleted.

        Raises:
            Refusal: IDEMPOTENCY_KEY_REUSED.
        """
        record = await store.find(transaction, call.record_key, for_update=True)
        if record is None:
            return None
        is_expired = record.expires_at <= transaction.now
        if is_expired and await store.delete_closed(transaction, call.record_key):
            return None
        if not await self._is_same(transaction, call, record):
            raise key_reused()
        return record

    async def _is_same(
        self, transaction: Transaction, call: IdempotentCall, record: store.Record
    ) -> bool:
        """Return whether the record's request is the same as the call's."""
        if record.action != call.action:
            return False
        fingerprint = partial(
            self._fingerprint, business_id=call.business_id, key_id=record.fingerprint_key_id
        )
        if record.fingerprint == fingerprint(call.content):
            return True
        if call.request is None:
            return False
        resolved = await self._resolved(transaction, call, call.request, record)
        for variant in variants(call.request, resolved):
            if record.fingerprint in map(fingerprint, contents(variant)):
                if call.env is not None:
                    call.env = resolved_env(variant, call.env)
                return True
        return False

    async def _resolved(
        self,
        transaction: Transaction,
        call: IdempotentCall,
        request: Message,
        record: store.Record,
    ) -> Resolved:
        """Return what the record's request resolved to, by its payment, response or user.

        The currency of a user's wallets never changes.
        """
        if record.payment_id is not None:
            return resolved_by_payment(
                *await store.resolved_by_payment(transaction, call.business_id, record.payment_id)
            )
        answer = None if record.sealed_answer is None else self._opened(call.record_key, record)
        if answer is not None and not answer.is_refusal:
            return resolved_in(answer.message(response_class_of(request)))
        user_id: str | None = getattr(request, "user_id", None)
        currency = user_id and await store.currency_of_user(transaction, call.business_id, user_id)
        return resolved_by_currency(currency) if currency else {}

    def _row(
        self,
        transaction: Transaction,
        call: IdempotentCall,
        sealed_answer: str | None,
        payment_id: str | None = None,
    ) -> Mapping[str, Any]:
        key_id = self._keyring.primary_id
        fingerprint = ""
        if call.is_keyed:
            fingerprint = self._fingerprint(
                call.content, business_id=call.business_id, key_id=key_id
            )
        return {
            "business_id": call.business_id,
            "key": call.key,
            "action": call.action,
            "fingerprint": fingerprint,
            "fingerprint_key_id": key_id,
            "api_key_hash": call.api_key_hash,
            "payment_id": payment_id,
            **_answer_columns(sealed_answer),
            "created_at": transaction.now,
            "expires_at": transaction.now
            + (KEY_LIFE + self._longer if call.is_keyed else UNKEYED_LIFE),
        }

    def _fingerprint(self, content: bytes, *, business_id: str, key_id: str) -> str:
        return self._keyring.fingerprint(
            content, key_id=key_id, business_id=business_id, purpose=_FINGERPRINT_PURPOSE
        )

    def _is_answer_of(self, call: IdempotentCall, stored: str) -> bool:
        """Return whether this run sealed the stored answer, which may be sealed again since."""
        sealed = call.sealed_answer
        if stored == sealed or sealed is None:
            return stored == sealed
        if sealing_key_id(stored) == sealing_key_id(sealed):
            return False
        opened = partial(
            self._keyring.open_bytes,
            business_id=call.business_id,
            purpose=store.answer_purpose(call.record_key),
        )
        return opened(stored) == opened(sealed)

    def _sealed(self, key: store.RecordKey, answer: Answer) -> str:
        return self._keyring.seal_bytes(
            answer.packed(), business_id=key[0], purpose=store.answer_purpose(key)
        )

    def _opened(self, key: store.RecordKey, record: store.Record) -> Answer:
        assert record.sealed_answer is not None, "the record has an answer"
        packed = self._keyring.open_bytes(
            record.sealed_answer, business_id=key[0], purpose=store.answer_purpose(key)
        )
        return Answer.unpacked(packed, schema=record.answer_schema)


async def has_answer_for(
    transaction: Transaction,
    *,
    business_id: str,
    idempotency_key: str,
    action: str,
    api_key_hash: str,
) -> bool:
    """Return whether this API key, retired or not, made this call and the call has an answer.

    Answers may be kept for longer than KEY_LIFE; a retired key may not be used for longer.
    """
    return await store.has_answer_for(
        transaction,
        _keyed(business_id, idempotency_key),
        action=action,
        api_key_hash=api_key_hash,
        since=transaction.now - KEY_LIFE,
    )


async def has_payment_answer(
    transaction: Transaction, *, business_id: str, idempotency_key: str, payment_id: str
) -> bool:
    """Return whether the outcome of a payment is stored as the answer to its key."""
    return await store.has_payment_answer(
        transaction, _keyed(business_id, idempotency_key), payment_id
    )


def _keyed(business_id: str, idempotency_key: str) -> store.RecordKey:
    return business_id, f"key:{idempotency_key}"


def _answer_columns(sealed: str | None) -> dict[str, Any]:
    return {
        "sealed_answer": sealed,
        "answer_schema": None if sealed is None else ANSWER_SCHEMA,
    }
