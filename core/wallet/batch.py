"""Debits and credits wallets in batches: one transaction for the concurrent requests of many.

A batch is two statements and a commit: core.wallet.batch_store. Each request succeeds or fails on
its own, with its own idempotency record. A wallet that another transaction holds locked, as that of
a core that hangs, delays one batch by LOCK_SECONDS:

    batch waits for a lock too long    its wallets are suspected, and it runs again
    suspected wallet is locked         its requests are repeated for LOCK_SECONDS, then 503
    suspected wallet is free           as any other from then on

A batch with credits of a business that settles receivables has one more statement, and some more
for each of these wallets that owes something: core.wallet.settling.

A batch never deadlocks: it locks wallets in the order of their keys, then inserts idempotency
records in the order of theirs, and waits for nothing else. A wallet that does not exist yet is
created outside of batches.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import assert_never

from google.type import money_pb2

from core.business import caps
from core.caller import Caller, Origin, current_origin
from core.database.batching import Batcher
from core.database.engines import LOCK_SECONDS
from core.database.transactions import (
    CommitUnknownError,
    Database,
    DatabaseUnavailableError,
    LockTimeoutError,
    Transaction,
)
from core.errors import InvalidFields, Reason, Refusal, is_outcome
from core.idempotency.call import Answer, IdempotentCall, Replay
from core.idempotency.service import Idempotency
from core.ids import new_wallet_transaction_id
from core.metrics import WALLET_BATCH_MOVEMENTS
from core.money import Amount, amount_from_message
from core.stops import payments_stopped
from core.users.service import inactivity, user_not_found
from core.wallet import batch_store, ledger, store
from core.wallet.batch_store import Found, LockedWallet, Owner
from core.wallet.ledger import WalletKey
from core.wallet.messages import MovementResponse, movement_response
from core.wallet.rules import Direction, Movement, MovementRefusal
from core.wallet.settling import settlements

logger = logging.getLogger("core.wallet")

BATCH_SIZE_MAX = 256
LOCKED_PAUSE_SECONDS = 0.05
"""Delay before a request for a locked wallet is repeated."""
_SOURCE_AND_REASON = {
    Direction.DEBIT: ("system", "business_charge"),
    Direction.CREDIT: ("manual", "manual_credit"),
}


class WalletLockedError(DatabaseUnavailableError):
    """Another transaction holds the wallet's lock."""


class _WalletMissing(Exception):
    """The user has no wallet of this environment yet."""

    def __init__(self, currency: str) -> None:
        super().__init__("the wallet does not exist")
        self.currency = currency
        """Of the user's wallets."""


_Outcome = MovementResponse | Refusal | Replay | WalletLockedError | _WalletMissing


@dataclass(slots=True, eq=False)
class MovementRequest:
    """A caller's request to debit or credit a user's wallet."""

    caller: Caller
    call: IdempotentCall
    direction: Direction
    user_id: str
    env: str
    money: money_pb2.Money
    description: str | None
    origin: Origin = field(default_factory=current_origin)

    @property
    def owner(self) -> Owner:
        """The owner of the wallet."""
        return self.caller.business_id, self.user_id, self.env


class _AnsweredConcurrently(Exception):
    """Another run of a call stored its answer first; the transaction must roll back."""


class WalletBatch:
    """Runs movement requests in batches."""

    def __init__(self, database: Database, idempotency: Idempotency) -> None:
        """Store wallets in `database`, and answers with `idempotency`.

        A batch takes requests of any business. All its statements have keys that begin with
        business_id, so that a database which is distributed by it needs a batcher for each node
        here, and nothing else.
        """
        self._database = database
        self._idempotency = idempotency
        self._batcher = Batcher[MovementRequest, MovementResponse](
            self._run_batch, max_size=BATCH_SIZE_MAX
        )
        self._suspected: set[Owner] = set()
        """Owners of wallets that may be locked by others: a batch does not wait for those."""

    async def move(self, request: MovementRequest) -> MovementResponse:
        """Run the request in a batch and return its response.

        Raises:
            Refusal: USER_NOT_FOUND, PAYMENTS_STOPPED, USER_INACTIVE, WALLET_TOO_LOW, WALLET_LIMIT,
                API_KEY_CAPPED or IDEMPOTENCY_KEY_REUSED.
            InvalidFields: the amount is not in the wallet's currency.
            Replay: the call has an answer.
            DatabaseUnavailableError: also when others hold the wallet's lock for LOCK_SECONDS.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + LOCK_SECONDS
        while True:
            try:
                if request.caller.caps is not None:
                    return await self._move_alone(request)
                return await self._batcher.submit(request)
            except _WalletMissing as missing:
                await self._create_wallet(request, missing.currency)
            except WalletLockedError:
                if clock() >= deadline:
                    raise
                await asyncio.sleep(LOCKED_PAUSE_SECONDS)

    async def _move_alone(self, request: MovementRequest) -> MovementResponse:
        """Run the request of an API key with caps: above them, its transaction rolls back."""
        (outcome,) = await self._run_batch([request])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def _create_wallet(self, request: MovementRequest, currency: str) -> None:
        """Create the request's wallet, in a transaction that no other request waits for.

        If its commit is not confirmed, the next batch shows whether it took place.
        """
        business_id, user_id, env = request.owner
        owner = {"business_id": business_id, "user_id": user_id, "env": env}
        with suppress(CommitUnknownError):
            async with self._database.transaction() as transaction:
                await store.wallet_of_user(transaction, **owner, currency=currency)

    async def _run_batch(
        self, requests: Sequence[MovementRequest]
    ) -> Sequence[MovementResponse | Exception]:
        WALLET_BATCH_MOVEMENTS.observe((), len(requests))
        while True:
            outcomes: dict[MovementRequest, _Outcome] = {}
            try:
                async with self._database.transaction("wallet.move") as transaction:
                    outcomes = await self._run_in(transaction, requests)
            except _AnsweredConcurrently:
                continue  # the next attempt replays the answer
            except CommitUnknownError:
                return await self._resolve_unconfirmed(
                    requests, [outcomes[request] for request in requests]
                )
            except LockTimeoutError as error:
                if self._suspect(requests, error):
                    continue
                # It waited for another row than a wallet's: an idempotency record.
                return await self._run_each(requests, error)
            except DatabaseUnavailableError:
                raise
            except Exception as error:  # noqa: BLE001 - must not fail the other requests
                return await self._run_each(requests, error)
            self._trust_unlocked(outcomes)
            return [outcomes[request] for request in requests]

    def _suspect(self, requests: Sequence[MovementRequest], error: LockTimeoutError) -> bool:
        """Suspect the wallets of all requests, and return whether any was not before."""
        owners = {request.owner for request in requests}
        if owners <= self._suspected:
            return False
        logger.warning("wallet batch waited for a lock", extra={"reason": str(error)})
        self._suspected |= owners
        return True

    def _trust_unlocked(self, outcomes: Mapping[MovementRequest, _Outcome]) -> None:
        """No longer suspect the wallets that were not locked."""
        if self._suspected:
            self._suspected -= {
                request.owner
                for request, outcome in outcomes.items()
                if not isinstance(outcome, WalletLockedError)
            }

    async def _run_each(
        self, requests: Sequence[MovementRequest], error: Exception
    ) -> Sequence[MovementResponse | Exception]:
        """Run the requests of a batch that failed one by one; a single one has failed."""
        if len(requests) == 1:
            return [error]
        logger.error("wallet batch failed, running its requests one by one", exc_info=error)
        return [await self._run_alone(request) for request in requests]

    async def _run_alone(self, request: MovementRequest) -> MovementResponse | Exception:
        try:
            (outcome,) = await self._run_batch([request])
        except Exception as error:  # noqa: BLE001 - raised to the caller of this request
            return error
        return outcome

    async def _resolve_unconfirmed(
        self, requests: Sequence[MovementRequest], outcomes: Sequence[_Outcome]
    ) -> Sequence[MovementResponse | Exception]:
        """Return the outcomes of requests whose commit was not confirmed.

        They are one transaction, so the record of one of them shows for all whether it committed.
        One look-up, because each takes seconds while the database is unavailable.
        """
        failure: Exception | None = None
        for request, outcome in zip(requests, outcomes, strict=True):
            if isinstance(outcome, Exception):
                continue
            try:
                if not await self._idempotency.took_place(request.call):
                    failure = DatabaseUnavailableError("the commit did not take place")
            except CommitUnknownError as unknown:
                failure = unknown
            break
        return [each if isinstance(each, Exception) else failure or each for each in outcomes]

    async def _run_in(
        self, transaction: Transaction, requests: Sequence[MovementRequest]
    ) -> dict[MovementRequest, _Outcome]:
        """Make the movements that are possible, store every answer and return all outcomes.

        Raises:
            _AnsweredConcurrently: a call got an answer since the transaction began.
        """
        found = await self._find(transaction, requests)
        ends = await self._idempotency.ends(
            transaction, (each.call for each in requests), found.records
        )
        outcomes: dict[MovementRequest, _Outcome] = {}
        movements: dict[MovementRequest, Movement] = {}
        for request in requests:
            planned = ends.get(request.call) or _planned(request, found)
            if isinstance(planned, Movement):
                movements[request] = planned
            else:
                outcomes[request] = planned
        wallets = {
            (owner[0], wallet.wallet_id): wallet.state for owner, wallet in found.wallets.items()
        }
        moves = list(movements.values())
        decided = ledger.decide(wallets, moves)
        if settled := await settlements(transaction, _owing(movements), decided):
            decided = ledger.decide(wallets, [*moves, *settled])
        results = decided.results[: len(moves)]
        for (request, movement), result in zip(movements.items(), results, strict=True):
            outcomes[request] = (
                refusal_of(result)
                if isinstance(result, MovementRefusal)
                else movement_response(movement, request.user_id, result)
            )
        records = [
            self._idempotency.new_record(transaction, request.call, answer)
            for request in sorted(requests, key=lambda each: each.call.record_key)
            if request.call not in ends
            and (answer := _answer(request, outcomes[request])) is not None
        ]
        assert len(records) >= len(decided.applied) - len(settled), "every movement has a record"
        if records and not await ledger.write(transaction, decided, records):
            raise _AnsweredConcurrently
        for request, movement in movements.items():
            if request.caller.caps is not None and not isinstance(outcomes[request], Exception):
                currency = found.wallets[request.owner].state.currency
                moved = Amount(movement.amount_minor, currency)
                await caps.reserve(transaction, request.caller, moved)
        return outcomes

    async def _find(self, transaction: Transaction, requests: Sequence[MovementRequest]) -> Found:
        """Lock the wallets of the requests, and return what exists.

        Wallets that are waited for are locked first: a transaction that has locked a suspected one
        waits for no other, so that it cannot deadlock.
        """
        keys = [each.call.record_key for each in requests if each.call.is_keyed]
        assert len(set(keys)) == len(keys), "a call joins the one in flight with its key"
        found = Found()
        for is_suspected in (False, True):
            some = [each for each in requests if (each.owner in self._suspected) is is_suspected]
            if some:
                await batch_store.read(
                    transaction,
                    found,
                    dict.fromkeys(each.owner for each in some),
                    [each.call.record_key for each in some if each.call.is_keyed],
                    skip_locked=is_suspected,
                )
        return found


def _planned(request: MovementRequest, found: Found) -> Movement | _Outcome:
    """Return the movement to make, or the outcome of a request that none is made for."""
    user = found.users.get(request.owner[:2])
    if user is None:
        return user_not_found()
    if user.is_stopped:
        return payments_stopped()
    if (inactive := inactivity(user)) is not None:
        return inactive
    if request.owner in found.locked_by_others:
        return WalletLockedError("another transaction locks the wallet")
    wallet = found.wallets.get(request.owner)
    if wallet is None:
        return _WalletMissing(user.currency)
    try:
        return _movement(request, wallet)
    except InvalidFields as refusal:
        return refusal


def _owing(movements: Mapping[MovementRequest, Movement]) -> set[WalletKey]:
    """Return the wallets whose receivables are to be settled after these movements."""
    return {
        (movement.business_id, movement.wallet_id)
        for request, movement in movements.items()
        if request.caller.settles_receivables and request.direction is Direction.CREDIT
    }


def _movement(request: MovementRequest, wallet: LockedWallet) -> Movement:
    source, reason = _SOURCE_AND_REASON[request.direction]
    return Movement(
        business_id=request.caller.business_id,
        wallet_id=wallet.wallet_id,
        transaction_id=new_wallet_transaction_id(),
        direction=request.direction,
        amount_minor=amount_in_currency(request.money, wallet.state.currency).minor,
        source=source,
        reason=reason,
        description=request.description,
        origin=request.origin,
    )


def _answer(request: MovementRequest, outcome: _Outcome) -> Answer | None:
    """Return the answer to store for a request, or None if its key stays free."""
    match outcome:
        case Refusal():
            is_stored = request.call.is_keyed and is_outcome(outcome)
            return Answer.refusal(outcome) if is_stored else None
        case Replay() | WalletLockedError() | _WalletMissing():
            return None
        case _:
            return Answer.response(outcome)


def amount_in_currency(money: money_pb2.Money, currency: str) -> Amount:
    """Return the amount in minor units of the wallet's currency.

    Raises:
        InvalidFields: the amount names another currency, or has too many decimals.
    """
    if money.currency_code and money.currency_code.lower() != currency:
        raise InvalidFields.of("amount.currency_code", f"must be the wallet's currency, {currency}")
    return amount_from_message(money, currency)


def refusal_of(refusal: MovementRefusal) -> Refusal:
    """Return the refusal of a movement that was not made."""
    match refusal:
        case MovementRefusal.WALLET_TOO_LOW:
            return Refusal(
                Reason.ERROR_REASON_WALLET_TOO_LOW,
                "The wallet's available balance is below the amount",
            )
        case MovementRefusal.WALLET_LIMIT:
            return Refusal(
                Reason.ERROR_REASON_WALLET_LIMIT,
                "The credit would lift the wallet's balance above its limit",
            )
        case _:
            assert_never(refusal)
