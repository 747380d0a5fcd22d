"""Lays idempotency around every mutating action, whichever door it came through."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from core.caller import current_caller
from core.database.transactions import CommitUnknownError, Database, DatabaseUnavailableError
from core.errors import RETRY_SECONDS, Reason, Refusal, ReplayedRefusal
from core.idempotency.call import (
    Answer,
    IdempotentCall,
    Replay,
    call_of,
    is_kept,
    key_reused,
    set_call,
)
from core.idempotency.service import Idempotency
from core.server.pipeline import Behaviour, Context, UnaryInterceptor
from rpc.catalogue import mutating_actions
from rpc.metadata import REPLAYED_METADATA

logger = logging.getLogger("core")

JOIN_SECONDS = 24.0
"""How long a call waits for another of its key, below the adapter's deadline of 25 s."""


@dataclass(frozen=True, slots=True)
class _Running:
    """A keyed call that this process carries out, for others of its key to join."""

    call: IdempotentCall
    answer: asyncio.Future[Message]


class IdempotencyInterceptor(UnaryInterceptor):
    """Carries a keyed call out once, has equal ones join it, and replays its answer after that.

    An action runs in one transaction with its record. Those that call a gateway or commit in
    groups keep their records themselves; what they leave to do is done here.
    """

    def __init__(self, idempotency: Idempotency, database: Database) -> None:
        """Keep records by `idempotency`, in transactions of `database`."""
        self._idempotency = idempotency
        self._database = database
        self._mutations = mutating_actions()
        self._running: dict[tuple[str, str], _Running] = {}

    async def around(
        self, path: str, behaviour: Behaviour, request: Message, context: Context
    ) -> Message:
        """Carry out, join or replay the call."""
        method = self._mutations.get(path)
        if method is None:
            return await behaviour(request, context)
        call = call_of(current_caller(), method.descriptor.name, request)

        async def carry_out() -> Message:
            try:
                if method.keeps_own_idempotency_record:
                    return await self._by_use_case(call, behaviour(request, context))
                return await self._at_once(call, behaviour, request, context)
            except Replay as replay:
                return await _replayed(replay.answer, method.descriptor, context)

        return await (self._once(call, carry_out) if call.is_keyed else carry_out())

    async def _once(self, call: IdempotentCall, carry_out: Any) -> Message:
        """Carry the call out unless one of its key runs here, which is joined instead."""
        identity = (call.business_id, call.key)
        if (running := self._running.get(identity)) is not None:
            if not running.call.is_same_request_as(call):
                raise key_reused()
            return await _joined(running)
        running = _Running(call, asyncio.get_running_loop().create_future())
        self._running[identity] = running
        try:
            response: Message = await carry_out()
        except BaseException as error:
            running.answer.set_exception(error)
            running.answer.exception()  # seen: there may be nobody who joined
            raise
        else:
            running.answer.set_result(response)
            return response
        finally:
            del self._running[identity]

    async def _at_once(
        self, call: IdempotentCall, behaviour: Behaviour, request: Message, context: Context
    ) -> Message:
        """Carry out an action that commits once, its record in the same transaction."""
        response: Message | None = None
        try:
            async with self._database.shared_transaction(call.action) as transaction:
                await self._idempotency.replay_if_answered(transaction, call)
                response = await behaviour(request, context)
                await self._idempotency.keep(transaction, call, Answer.response(response))
        except CommitUnknownError:
            assert response is not None, "what was to be committed is known"
            if not await self._idempotency.took_place(call):
                raise DatabaseUnavailableError("the commit did not take place") from None
        except (Replay, DatabaseUnavailableError):
            raise
        except Exception as error:
            await self._keep_or_replay(call, error)
            raise
        return response

    async def _keep_or_replay(self, call: IdempotentCall, error: Exception) -> None:
        """Keep a refusal, which rolled everything back, unless another run was faster.

        That may be what made this one fail, so any failure looks for its answer first.

        Raises:
            Replay: it was.
        """
        if not call.is_keyed or call.is_kept:
            return
        try:
            if isinstance(error, Refusal) and is_kept(error):
                await self._idempotency.keep_alone(call, Answer.refusal(error))
            elif not isinstance(error, Refusal):
                async with self._database.read() as transaction:
                    await self._idempotency.replay_if_answered(transaction, call)
        except (DatabaseUnavailableError, CommitUnknownError):
            logger.warning("the answer to a keyed call is not kept")

    async def _by_use_case(self, call: IdempotentCall, work: Any) -> Message:
        """Carry out an action that keeps its record, and keep what it has not kept itself."""
        set_call(call)
        try:
            response: Message = await work
        except Refusal as refusal:
            await self._keep_or_replay(call, refusal)
            raise
        if call.is_keyed and not call.is_kept:
            try:
                await self._idempotency.keep_alone(call, Answer.response(response))
            except (DatabaseUnavailableError, CommitUnknownError):
                # Repeating it finds at the gateway what this run made there.
                logger.warning("the answer to a keyed call is not kept")
        return response


async def _joined(running: _Running) -> Message:
    """Wait for the call of the same key.

    Raises:
        Refusal: REQUEST_IN_PROGRESS where it takes longer than this caller can wait.
    """
    logger.info("call joined")
    try:
        async with asyncio.timeout(JOIN_SECONDS):
            return await asyncio.shield(running.answer)
    except TimeoutError:
        raise Refusal(
            Reason.ERROR_REASON_REQUEST_IN_PROGRESS,
            "The request with this idempotency key is still running. Send it again to learn "
            "its answer.",
            retry_after_seconds=RETRY_SECONDS,
        ) from None


async def _replayed(answer: Answer, method: MethodDescriptor, context: Context) -> Message:
    """Return or raise what the call was answered before, marked as said again."""
    if not context.done():  # the caller may have left, and others of the key have joined
        await context.send_initial_metadata(((REPLAYED_METADATA, "true"),))
    if answer.is_refusal:
        raise ReplayedRefusal(answer.status())
    return answer.message(message_factory.GetMessageClass(method.output_type))
