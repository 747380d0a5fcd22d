"""Debits and credits wallets in batches: one transaction for the concurrent requests of many.

Each request succeeds or fails on its own, with its own idempotency record. A wallet that another
transaction holds locked, as that of a core that hangs, delays one batch by LOCK_SECONDS:

    batch waits for a lock too long    its wallets are suspected, and it runs again
    suspected wallet is locked         its requests are repeated for LOCK_SECONDS, then 503
    suspected wallet is free           as any other from then on
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from google.type import money_pb2

from core.caller import Caller
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
from core.money import Amount, amount_from_message
from core.users import store as users_store
from core.users.service import check_active, user_not_found
from core.wallet import ledger, store
from core.wallet.messages import MovementResponse, movement_response
from core.wallet.rules import Direction, Movement, MovementRefusal, WalletState

logger = logging.getLogger("core.wallet")

BATCH_SIZE_MAX = 256
LOCKED_PAUSE_SECONDS = 0.05
"""Delay before a request for a locked wallet is repeated."""
_SOURCE_AND_REASON = {
    Direction.DEBIT: ("system", "business_charge"),
    Direction.CREDIT: ("manual", "manual_credit"),
}

_Owner = tuple[str, str, str]
"""Business id, user id and environment of a wallet."""


class WalletLockedError(DatabaseUnavailableError):
    """Another transaction holds the wallet's lock."""


_Outcome = MovementResponse | Refusal | Replay | WalletLockedError


@dataclass(frozen=True, slots=True, eq=False)
class MovementRequest:
    """A caller's request to debit or credit a user's wallet."""

    caller: Caller
    call: IdempotentCall
    direction: Direction
    user_id: str
    env: str
    money: money_pb2.Money
    description: str | None

    @property
    def owner(self) -> _Owner:
        """The owner of the wallet."""
        return self.caller.business_id, self.user_id, self.env


class _AnsweredConcurrently(Exception):
    """Another run of a call stored its answer first; the transaction must roll back."""


class WalletBatch:
    """Runs movement requests in batches."""

    def __init__(self, database: Database, idempotency: Idempotency) -> None:
        """Store wallets in `database`, and answers with `idempotency`."""
        self._database = database
        self._idempotency = idempotency
        self._batcher = Batcher[MovementRequest, MovementResponse](
            self._run_batch, max_size=BATCH_SIZE_MAX
        )
        self._suspected: set[_Owner] = set()
        """Owners of wallets that may be locked by others: a batch does not wait for those."""

    async def move(self, request: MovementRequest) -> MovementResponse:
        """Run the request in a batch and return its response.

        Raises:
            Refusal: USER_NOT_FOUND, USER_INACTIVE, WALLET_TOO_LOW, WALLET_LIMIT or
                IDEMPOTENCY_KEY_REUSED.
            InvalidFields: the amount is not in the wallet's currency.
            Replay: the call has an answer.
            DatabaseUnavailableError: also when others hold the wallet's lock for LOCK_SECONDS.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + LOCK_SECONDS
        while True:
            try:
                return await self._batcher.submit(request)
            except WalletLockedError:
                if clock() >= deadline:
                    raise
            await asyncio.sleep(LOCKED_PAUSE_SECONDS)

    async def _run_batch(
        self, requests: Sequence[MovementRequest]
    ) -> Sequence[MovementResponse | Exception]:
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
                # It waited for another row than a wallet's, such as a new wallet's user.
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
        earlier = await self._idempotency.earlier(transaction, [each.call for each in requests])
        outcomes: dict[MovementRequest, _Outcome] = {
            request: earlier[request.call] for request in requests if request.call in earlier
        }
        movements = await self._movements(
            transaction, [request for request in requests if request not in outcomes], outcomes
        )
        for request, result in (await self._move(transaction, movements)).items():
            match result:
                case MovementRefusal():
                    outcomes[request] = refusal_of(result)
                case WalletState():
                    outcomes[request] = movement_response(
                        movements[request], request.user_id, result
                    )
                case None:
                    outcomes[request] = WalletLockedError("another transaction locks the wallet")
        answers = {
            request.call: answer
            for request, outcome in outcomes.items()
            if request.call not in earlier and (answer := _answer(request, outcome)) is not None
        }
        if answers and await self._idempotency.keep_all(transaction, answers):
            raise _AnsweredConcurrently
        return outcomes

    async def _move(
        self, transaction: Transaction, movements: Mapping[MovementRequest, Movement]
    ) -> dict[MovementRequest, WalletState | MovementRefusal | None]:
        """Make the movements and return their results; None if others lock a suspected wallet.

        Wallets that are waited for are locked first: a transaction that has locked a suspected one
        waits for nothing more, so that it cannot deadlock.
        """
        made = {r: m for r, m in movements.items() if r.owner not in self._suspected}
        results: dict[MovementRequest, WalletState | MovementRefusal | None] = {}
        results.update(await _results(transaction, made))
        if len(made) < len(movements):
            suspected = {r: m for r, m in movements.items() if r not in made}
            free = await store.lock_free_wallets(
                transaction, {(m.business_id, m.wallet_id) for m in suspected.values()}
            )
            made = {r: m for r, m in suspected.items() if (m.business_id, m.wallet_id) in free}
            results.update(dict.fromkeys(suspected))
            results.update(await _results(transaction, made))
        return results

    async def _movements(
        self,
        transaction: Transaction,
        requests: Sequence[MovementRequest],
        outcomes: dict[MovementRequest, _Outcome],
    ) -> Mapping[MovementRequest, Movement]:
        """Return the movements to make, in the order of the requests; refusals go to `outcomes`."""
        users = await users_store.users_by_id(
            transaction, {(each.caller.business_id, each.user_id) for each in requests}
        )
        wallets = await store.wallets_of_users(transaction, {each.owner for each in requests})
        movements: dict[MovementRequest, Movement] = {}
        # Sorted by wallet owner, so that two cores that create wallets cannot deadlock.
        for request in sorted(requests, key=lambda request: request.owner):
            owner = (request.caller.business_id, request.user_id)
            try:
                user = users.get(owner)
                if user is None:
                    raise user_not_found()
                check_active(user)
                wallet = wallets.get(request.owner) or await store.wallet_of_user(
                    transaction,
                    business_id=request.caller.business_id,
                    user_id=request.user_id,
                    env=request.env,
                    currency=user.currency,
                )
                amount = amount_in_currency(request.money, wallet.currency)
            except Refusal as refusal:
                outcomes[request] = refusal
                continue
            movements[request] = _movement(request, wallet, amount)
        return {request: movements[request] for request in requests if request in movements}


async def _results(
    transaction: Transaction, movements: Mapping[MovementRequest, Movement]
) -> dict[MovementRequest, WalletState | MovementRefusal]:
    if not movements:
        return {}
    results = await ledger.move(transaction, list(movements.values()))
    return dict(zip(movements, results, strict=True))


def _movement(request: MovementRequest, wallet: store.Wallet, amount: Amount) -> Movement:
    source, reason = _SOURCE_AND_REASON[request.direction]
    return Movement(
        business_id=request.caller.business_id,
        wallet_id=wallet.wallet_id,
        transaction_id=new_wallet_transaction_id(),
        direction=request.direction,
        amount_minor=amount.minor,
        source=source,
        reason=reason,
        description=request.description,
    )


def _answer(request: MovementRequest, outcome: _Outcome) -> Answer | None:
    """Return the answer to store for a request, or None if its key stays free."""
    match outcome:
        case Refusal():
            is_stored = request.call.is_keyed and is_outcome(outcome)
            return Answer.refusal(outcome) if is_stored else None
        case Replay() | WalletLockedError():
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
                Reason.ERROR_REASON_WALLET_TOO_LOW, "The wallet's balance is below the amount"
            )
        case MovementRefusal.WALLET_LIMIT:
            return Refusal(
                Reason.ERROR_REASON_WALLET_LIMIT,
                "The credit would lift the wallet's balance above its limit",
            )
        case _:
            assert_never(refusal)
