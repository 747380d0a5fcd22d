"""Which attempts this process works on, who waits for them, and how others join. No I/O."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from core.caller import Presence
from core.payments.store import Payment
from core.wallet.store import Wallet

PaymentKey = tuple[str, str]
"""Business id and payment id."""


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


def is_awaited(waiting: Sequence[Presence]) -> bool:
    """Tell whether one of the callers is still there to be told."""
    return any(not presence.left for presence in waiting)


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that a task of this process carries out."""

    resumed: bool
    """Whether it was open before, so that its callers were promised not to be charged again."""
    result: "asyncio.Future[ChargeResult]"
    waiting: list[Presence] = field(default_factory=list)

    @property
    def is_joinable(self) -> bool:
        """Whether an equal request without a key is the same charge, and not one like it.

        Two callers who both still wait make two charges. But who comes after the first one left,
        or after an answer that promised not to charge twice, means this one.
        """
        is_told = any(presence.is_answered for presence in self.waiting)
        return not is_told and (self.resumed or not is_awaited(self.waiting))


class InFlightAttempts:
    """The attempts of this process."""

    def __init__(self) -> None:
        """Begin with none."""
        self._attempts: dict[PaymentKey, Attempt] = {}

    def get(self, key: PaymentKey) -> Attempt | None:
        """Return the attempt on a payment, or None where this process works on none."""
        return self._attempts.get(key)

    def all(self) -> Mapping[PaymentKey, Attempt]:
        """Return every attempt of this process, as they are now."""
        return dict(self._attempts)

    def begin(self, key: PaymentKey, presence: Presence, *, resumed: bool) -> Attempt:
        """Note that this process begins to work on a payment."""
        assert key not in self._attempts, "a payment has one attempt at a time"
        result: asyncio.Future[ChargeResult] = asyncio.get_running_loop().create_future()
        attempt = Attempt(resumed, result, [presence])
        self._attempts[key] = attempt
        return attempt

    def end(self, key: PaymentKey, outcome: ChargeResult | BaseException) -> None:
        """Note that all is over, and tell those who joined."""
        self.resolve(key, outcome)
        self.forget(key)

    def forget(self, key: PaymentKey) -> None:
        """Note that its callers have been told, or are gone."""
        del self._attempts[key]

    def resolve(self, key: PaymentKey, outcome: ChargeResult | BaseException) -> None:
        """Note that the work is done, and tell those who joined."""
        attempt = self._attempts[key]
        if isinstance(outcome, BaseException):
            attempt.result.set_exception(outcome)
            attempt.result.exception()  # seen: there may be nobody who joined
        else:
            attempt.result.set_result(outcome)
