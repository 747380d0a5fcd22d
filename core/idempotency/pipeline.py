"""The pipeline step that makes every mutating action idempotent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from core.caller import Caller
from core.database.transactions import (
    CommitUnknownError,
    Database,
    DatabaseUnavailableError,
    Transaction,
)
from core.errors import RETRY_SECONDS, Reason, Refusal, ReplayedRefusal, is_outcome
from core.idempotency.call import (
    Answer,
    IdempotentCall,
    Replay,
    call_of,
    key_reused,
    set_call,
)
from core.idempotency.service import Idempotency
from rpc.catalogue import Method, action_name

logger = logging.getLogger("core")

Serve = Callable[[], Awaitable[Message]]
"""Runs the servicer for the request of the call."""
Completion = Callable[[Transaction, str, Any], Awaitable[None]]
"""Adds what a business's response lacks that an older version stored."""
JOIN_SECONDS = 24.0
"""How long a call waits for another one with its key: less than the adapter's 25 s deadline."""


class Ran(NamedTuple):
    """The response of a call that was not refused."""

    response: Message
    is_replayed: bool = False
    """Whether it was stored by an earlier call with the same key."""


@dataclass(frozen=True, slots=True)
class _InFlight:
    """A call with a key that runs in this process, for equal calls to join."""

    call: IdempotentCall
    end: asyncio.Future[Ran]


Prepare = Callable[[Message], Callable[[], Awaitable[None]] | None]
"""Returns what a request needs before its transaction, None if nothing."""


class IdempotentRuns:
    """Runs a call with an idempotency key once; equal calls join it, and later ones replay it.

        the key is                                 a call with the key
        new                                        runs
        in flight in this process                  joins: waits for the same answer
        - with fields that one of the two leaves   waits, and starts over
          out
        answered, in the database                  replays the response or refusal
        used by another action or request          is refused: IDEMPOTENCY_KEY_REUSED

    An action and its record commit in one transaction, unless the method's option
    `keeps_own_idempotency_record` is set. The use case of such an action stores its own answer, and
    this step stores what the use case did not.
    """

    def __init__(
        self,
        idempotency: Idempotency,
        database: Database,
        completions: Mapping[str, Completion],
        settle: Callable[[Message], Awaitable[None]],
        prepare: Prepare = lambda _: None,
    ) -> None:
        """Store records with `idempotency`, in transactions of `database`.

        `completions` are by method name, for responses without complete resources. `settle` waits,
        given the request, until its response may be returned. Equal calls join that wait, so a
        caller whose deadline is shorter gets the response by repeating the request. `prepare`
        returns what a request needs before its transaction, None if nothing.
        """
        self._prepare = prepare
        self._settle = settle
        self._idempotency = idempotency
        self._database = database
        self._completions = completions
        self._in_flight: dict[tuple[str, str], _InFlight] = {}

    async def run(
        self,
        caller: Caller,
        method: Method,
        request: Message,
        serve: Serve,
        *,
        unless_answered: Refusal | None = None,
    ) -> Ran:
        """Run a mutating action with `serve`, or join or replay an earlier run of it.

        With `unless_answered` it does not run.

        Raises:
            ReplayedRefusal: the earlier run was refused, and the refusal was stored.
            Refusal: `unless_answered`, if there is no earlier run with an answer.
        """
        call = call_of(caller, method.descriptor.name, request)

        async def run() -> Ran:
            try:
                if unless_answered is not None:
                    await self._replay_or_refuse(call, unless_answered)
                if method.keeps_own_idempotency_record:
                    ran = Ran(await self._run_with_own_record(call, serve))
                else:
                    if (prepared := self._prepare(request)) is not None:
                        await self._replay_or_prepare(call, prepared)
                    ran = Ran(await self._run_in_one_transaction(call, serve))
            except Replay as replay:
                response = await self._replay(call, replay.answer, method.descriptor)
                ran = Ran(response, is_replayed=True)
            await self._settle(request)
            return ran

        return await (self._join_or(call, run) if call.is_keyed else run())

    async def _join_or(self, call: IdempotentCall, run: Callable[[], Awaitable[Ran]]) -> Ran:
        """Join the call in flight with the same key, or run this one."""
        while (in_flight := self._in_flight.get(call.record_key)) is not None:
            is_same = in_flight.call.is_same_request_as(call)
            if not is_same and not in_flight.call.may_be_same_request_as(call):
                raise key_reused()
            ended = await _ended(in_flight)
            if is_same:
                return ended.result()
            # Its record shows now what it resolved absent fields to.
        in_flight = _InFlight(call, asyncio.get_running_loop().create_future())
        self._in_flight[call.record_key] = in_flight
        try:
            ran = await run()
        except BaseException as error:
            in_flight.end.set_exception(error)
            in_flight.end.exception()  # marks it as retrieved, also if no call joined
            raise
        else:
            in_flight.end.set_result(ran)
            return ran
        finally:
            del self._in_flight[call.record_key]

    async def _run_in_one_transaction(self, call: IdempotentCall, serve: Serve) -> Message:
        """Run an action and store its record in the same transaction."""
        response: Message | None = None
        try:
            async with self._database.shared_transaction(call.action) as transaction:
                await self._idempotency.replay_if_answered(transaction, call)
                response = await serve()
                await self._idempotency.keep(transaction, call, Answer.response(response))
        except CommitUnknownError:
            assert response is not None, "the response exists before the commit"
            if not await self._idempotency.took_place(call):
                raise DatabaseUnavailableError("the commit did not take place") from None
        except (Replay, DatabaseUnavailableError):
            raise
        except Exception as error:
            await self._keep_or_replay(call, error)
            raise
        return response

    async def _replay_or_refuse(self, call: IdempotentCall, refusal: Refusal) -> NoReturn:
        """Refuse a call that has no answer yet."""
        async with self._database.read() as transaction:
            await self._idempotency.replay_if_answered(transaction, call)
        raise refusal

    async def _replay_or_prepare(
        self, call: IdempotentCall, prepared: Callable[[], Awaitable[None]]
    ) -> None:
        """Do what a call needs first, unless the call has an answer."""
        async with self._database.read() as transaction:
            await self._idempotency.replay_if_answered(transaction, call)
        await prepared()

    async def _keep_or_replay(self, call: IdempotentCall, error: Exception) -> None:
        """Store a refusal that is an outcome; its transaction was rolled back.

        A concurrent run of the call may have caused the error, so its answer wins.

        Raises:
            Replay: another run of the call was faster.
        """
        if not call.is_keyed or call.is_kept:
            return
        try:
            if isinstance(error, Refusal) and is_outcome(error):
                await self._idempotency.keep_alone(call, Answer.refusal(error))
            else:
                async with self._database.read() as transaction:
                    await self._idempotency.replay_if_answered(transaction, call)
        except (DatabaseUnavailableError, CommitUnknownError) as failure:
            _log_not_stored(call, failure)

    async def _run_with_own_record(self, call: IdempotentCall, serve: Serve) -> Message:
        """Run an action that stores its own record, and store the answer if it did not."""
        set_call(call)
        try:
            response = await serve()
        except Refusal as refusal:
            await self._keep_or_replay(call, refusal)
            raise
        if call.is_keyed and not call.is_kept:
            try:
                await self._idempotency.keep_alone(call, Answer.response(response))
            except (DatabaseUnavailableError, CommitUnknownError) as failure:
                # A retry finds at the gateway what this run created there.
                _log_not_stored(call, failure)
        return response

    async def _replay(
        self, call: IdempotentCall, answer: Answer, method: MethodDescriptor
    ) -> Message:
        """Return the stored response.

        Raises:
            ReplayedRefusal: a refusal was stored.
        """
        if answer.is_refusal:
            raise ReplayedRefusal(answer.status())
        response = answer.message(message_factory.GetMessageClass(method.output_type))
        complete = self._completions.get(method.name) if answer.lacks_resources else None
        if complete is not None:
            async with self._database.read() as transaction:
                await complete(transaction, call.business_id, response)
        return response


def _log_not_stored(call: IdempotentCall, error: Exception) -> None:
    extra = {"action": action_name(call.action), "reason": str(error)}
    logger.warning("idempotent answer not stored", extra=extra)


async def _ended(in_flight: _InFlight) -> asyncio.Future[Ran]:
    """Return the end of the call in flight once it is there.

    Raises:
        Refusal: REQUEST_IN_PROGRESS after JOIN_SECONDS.
    """
    logger.info("call joined")
    done, _ = await asyncio.wait([in_flight.end], timeout=JOIN_SECONDS)
    if not done:
        raise Refusal(
            Reason.ERROR_REASON_REQUEST_IN_PROGRESS,
            "The request with this idempotency key is still running. Send it again to learn "
            "its answer.",
            retry_after_seconds=RETRY_SECONDS,
        )
    return in_flight.end
