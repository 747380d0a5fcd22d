"""Delivery of successes to callers without a key: who responds, and whether a caller received it.

A success counts as unanswered until its delivery is recorded, so that a caller that received
nothing and retries is not charged twice. Its presence says whether a caller did: on a stream it
ends with an acknowledgement (`core.server.stream_connection`). That note alone is deferred: one
transaction records what gathered while the last one ran, and begins RECORD_GAP_SECONDS after it at
the earliest. Until then this core knows from its memory who received what, and equal requests at
other cores wait.

    the callers of a success               recorded
    one received it                        answered; an equal request is another charge
    all left without it                    no core responds; an equal request gets the success
    one still waits, or its row is locked  nothing yet
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.caller import Presence
from core.database.batching import Batcher
from core.database.transactions import (
    CommitUnknownError,
    Database,
    DatabaseUnavailableError,
    Transaction,
)
from core.payments import delivery_store
from core.payments.store import Payment, PaymentKey

logger = logging.getLogger("core.payments")

RESPONSE_LIFE = timedelta(seconds=6)
"""How long an equal request waits for a core that sends a response, which may have died."""
RECORD_GAP_SECONDS = 0.025
"""Time between the beginnings of two transactions: a delivery is recorded within 250 ms
as long as the database answers."""
RECORDED_MAX = 500
"""Deliveries in one transaction."""
RETRY_SECONDS_MAX = 2.0
"""Longest delay between two tries to record deliveries, which go on until they are recorded."""


@dataclass(frozen=True, slots=True, eq=False)
class _Delivery:
    """A success and the callers that it is sent to."""

    payment: Payment
    waiting: Sequence[Presence]
    """Grows when callers join."""

    @property
    def key(self) -> PaymentKey:
        """The payment's key."""
        return self.payment.business_id, self.payment.payment_id

    @property
    def is_received(self) -> bool | None:
        """Whether a caller received the success; None while one may still receive it."""
        if any(presence.is_answered for presence in self.waiting):
            return True
        return False if all(presence.left for presence in self.waiting) else None

    async def ended(self) -> None:
        """Wait until a caller received the success, or all have left."""
        for presence in self.waiting:
            await presence.ended()
            if presence.is_answered:
                return


class Deliveries:
    """The deliveries of this core."""

    def __init__(self, database: Database, core_id: str) -> None:
        """Record deliveries in `database`; `core_id` is this core's."""
        self._database = database
        self._core_id = core_id
        self._batches = Batcher[_Delivery, bool | None](self._record_batch, max_size=RECORDED_MAX)
        self._next_batch_at = 0.0
        self._recording: set[asyncio.Task[None]] = set()

    def is_response_in_flight(self, payment: Payment, now: datetime) -> bool:
        """Return whether a live core is sending the response of an unanswered success."""
        is_core_alive = (
            payment.responding_core == self._core_id or not self._database.has_one_process
        )
        return (
            payment.responding_core is not None
            and is_core_alive
            and payment.updated_at > now - RESPONSE_LIFE
        )

    async def take_response(self, transaction: Transaction, payment: Payment) -> None:
        """Store that this core sends the response of an unanswered success."""
        await delivery_store.set_responding_core(transaction, payment, self._core_id)

    def record(
        self,
        payment: Payment,
        waiting: Sequence[Presence],
        then: Callable[[], None] = lambda: None,
    ) -> None:
        """Store, once the responses are sent, whether a caller received the success.

        Calls `then` at once when that is stored: nobody joins between.
        """
        recording = asyncio.create_task(self._record(_Delivery(payment, waiting), then))
        self._recording.add(recording)
        recording.add_done_callback(self._recording.discard)

    async def drain(self, timeout_seconds: float) -> None:
        """Wait until all deliveries are recorded."""
        if self._recording:
            await asyncio.wait(set(self._recording), timeout=timeout_seconds)

    async def _record(self, delivery: _Delivery, then: Callable[[], None]) -> None:
        try:
            while True:
                await delivery.ended()
                recorded = await self._batches.submit(delivery)
                if recorded is not None and recorded == delivery.is_received:
                    return  # else a caller joined meanwhile
        finally:
            then()

    async def _record_batch(self, deliveries: Sequence[_Delivery]) -> Sequence[bool | None]:
        """Record deliveries, and return what is recorded of each; repeats until it is possible."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._next_batch_at - loop.time()))
        self._next_batch_at = loop.time() + RECORD_GAP_SECONDS
        pause = 0.05
        while True:
            try:
                async with self._database.transaction("payments.record_delivery") as transaction:
                    return await self._record_in(transaction, deliveries)
            except (DatabaseUnavailableError, CommitUnknownError):
                logger.warning(
                    "response deliveries not recorded, retrying",
                    extra={"deliveries": len(deliveries)},
                )
            await asyncio.sleep(pause)
            pause = min(2 * pause, RETRY_SECONDS_MAX)

    async def _record_in(
        self, transaction: Transaction, deliveries: Sequence[_Delivery]
    ) -> list[bool | None]:
        """Record what has ended; rows that others lock are left for the next batch.

        A request that joins has locked the row before, so it is either seen here or waits.
        """
        responses = await delivery_store.lock_free_responses(
            transaction, list({delivery.key for delivery in deliveries})
        )
        recorded = [
            delivery.is_received if delivery.key in responses else None for delivery in deliveries
        ]
        await delivery_store.record_responses(
            transaction,
            self._core_id,
            [
                (responses[delivery.key], is_received)
                for delivery, is_received in zip(deliveries, recorded, strict=True)
                if is_received is not None
            ],
        )
        return recorded
