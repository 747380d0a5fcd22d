"""The attempts that this process runs: their waiting callers, and their results. No I/O."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from core.caller import Presence
from core.payments.store import Payment, PaymentKey
from core.wallet.store import Wallet


@dataclass(frozen=True, slots=True)
class ChargeResult:
    """A payment whose card was charged, and of a funding the wallet just after the credit."""

    payment: Payment
    wallet: Wallet | None = None

    @property
    def transaction_id(self) -> str:
        """The gateway's id of the payment."""
        assert self.payment.transaction_id is not None, "a charged payment has the gateway's id"
        return self.payment.transaction_id


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that a task of this process runs."""

    resumed: bool
    """Whether it was open before, so that its callers were promised not to be charged twice."""
    result: "asyncio.Future[ChargeResult]"
    waiting: list[Presence] = field(default_factory=list)
    """The callers that wait for the result, or waited until they left."""

    @property
    def is_joinable(self) -> bool:
        """Whether an equal request without a key means this charge, as no caller waits for it.

        A resumed one is joinable until a caller received the response.
        """
        is_awaited = any(not presence.left for presence in self.waiting)
        return not self._is_answered and (self.resumed or not is_awaited)

    @property
    def is_responding(self) -> bool:
        """Whether its result is on the way to the callers, and none has it yet."""
        return self.result.done() and not self._is_answered

    @property
    def _is_answered(self) -> bool:
        return any(presence.is_answered for presence in self.waiting)


class InFlightAttempts:
    """The attempts of this process, from their start until the response is delivered."""

    def __init__(self) -> None:
        """Start with none."""
        self._attempts: dict[PaymentKey, Attempt] = {}

    def get(self, key: PaymentKey) -> Attempt | None:
        """Return the attempt on a payment, or None."""
        return self._attempts.get(key)

    def all(self) -> Mapping[PaymentKey, Attempt]:
        """Return a copy of all attempts."""
        return dict(self._attempts)

    def add(self, key: PaymentKey, presence: Presence, *, resumed: bool) -> Attempt:
        """Add an attempt with its first caller."""
        assert key not in self._attempts, "a payment has one attempt at a time"
        result: asyncio.Future[ChargeResult] = asyncio.get_running_loop().create_future()
        attempt = Attempt(resumed, result, [presence])
        self._attempts[key] = attempt
        return attempt

    def resolve(self, key: PaymentKey, result: ChargeResult) -> None:
        """Pass the result to the callers that joined."""
        self._attempts[key].result.set_result(result)

    def fail(self, key: PaymentKey, error: BaseException) -> None:
        """Pass the error to the callers that joined, and remove the attempt."""
        attempt = self._attempts.pop(key)
        attempt.result.set_exception(error)
        attempt.result.exception()  # retrieved, as there may be no caller that joined

    def remove(self, key: PaymentKey) -> None:
        """Remove a resolved attempt."""
        del self._attempts[key]
