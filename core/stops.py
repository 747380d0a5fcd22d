"""What operators have stopped, and what that refuses. Pure.

A stop is of `charges`, `recurring` or `everything`, of one business or all, at one gateway or all.

| is begun                                   | charges | recurring | everything      |
|--------------------------------------------|---------|-----------|-----------------|
| charge, authorization or funding of a card | refused | begins    | refused         |
| due cycle of a recurring job, by card      | begins  | waits     | waits           |
| due cycle, from a wallet                   | begins  | waits     | waits, if at    |
|                                            |         |           | all gateways    |
| cycle that `retry_recurring` charges       | refused, if  | refused, as    | refused, as     |
|                                            | by card | a due one | a due one       |
| capture of an authorized payment           | begins  | begins    | refused         |
| debit, credit, hold, capture of a hold,    | begins  | begins    | refused, if at  |
| transfer or settlement in a wallet         |         |           | all gateways    |
| refund, void, release of a hold, reads,    | begins  | begins    | begins          |
| cards, users, jobs, webhooks               |         |           |                 |

What was begun before ends as it ends. A charge without an outcome is looked up at its gateway, and
not sent to it while anything is stopped there.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from core.errors import Reason, Refusal

ALL: Final = "*"
"""Stands for every business, or for every gateway and the wallets."""
RETRY_SECONDS: Final = 60
"""Delay before the retry of what is stopped: it ends when an operator says so."""


class What(Enum):
    """What is stopped. The value is its word."""

    CHARGES = "charges"
    RECURRING = "recurring"
    EVERYTHING = "everything"


@dataclass(frozen=True, slots=True)
class Stops:
    """What is stopped for one business."""

    words: frozenset[str] = frozenset()
    """Of each stop, `<what>:<gateway>`."""

    @classmethod
    def of(cls, listed: str | None) -> "Stops":
        """Return the stops that a statement listed with spaces between them; None: there is none.

        >>> Stops.of("recurring:* charges:stripe").refuse_charge("stripe")
        True
        """
        return cls(frozenset(listed.split())) if listed else NOTHING

    def refuse_charge(self, gateway: str) -> bool:
        """Return whether no card is charged at the gateway by a request."""
        return self._are_of(gateway, What.CHARGES, What.EVERYTHING)

    def refuse_cycle(self, source: str) -> bool:
        """Return whether no cycle is charged from the source, a gateway or `wallet`."""
        return self._are_of(source, What.RECURRING, What.EVERYTHING)

    def refuse_capture(self, gateway: str) -> bool:
        """Return whether no payment is captured at the gateway."""
        return self._are_of(gateway, What.EVERYTHING)

    def refuse_sending(self, gateway: str) -> bool:
        """Return whether a charge without an outcome is not sent to the gateway again."""
        return self._are_of(gateway, *What)

    @property
    def refuse_movement(self) -> bool:
        """Whether no wallet is debited or credited by a request."""
        return self._are_of(ALL, What.EVERYTHING)

    def _are_of(self, gateway: str, *whats: What) -> bool:
        return bool(self.words) and any(
            f"{what.value}:{where}" in self.words for what in whats for where in (gateway, ALL)
        )


NOTHING: Final = Stops()


def payments_stopped() -> Refusal:
    """Return the refusal of what an operator has stopped."""
    return Refusal(
        Reason.ERROR_REASON_PAYMENTS_STOPPED,
        "The operator of this service has stopped such payments for the time being. Nothing was "
        "done. Send the same request again later.",
        retry_after_seconds=RETRY_SECONDS,
    )
