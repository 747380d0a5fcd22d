"""What goes wrong at the gateway during a scenario: named faults, as orders to its stand-in."""

import random
from dataclasses import dataclass
from typing import Any

INTENTS = "/v1/payment_intents"
ANY = "/v1/"


@dataclass(frozen=True, slots=True)
class Order:
    """One order: which requests meet what. `method` None means any."""

    kind: str
    path: str
    method: str | None = "POST"
    seconds: float = 0.0

    def as_json(self, account: str, times: int) -> dict[str, Any]:
        """Return the order for the requests of an account."""
        match = {"path": self.path, "account": account}
        if self.method:
            match["method"] = self.method
        body: dict[str, Any] = {"kind": self.kind, "match": match, "times": times}
        return body | ({"seconds": self.seconds} if self.seconds else {})


FAULTS: dict[str, tuple[Order, ...]] = {
    "none": (),
    "reset_before": (Order("reset_before", ANY),),
    "reset_after": (Order("reset_after", ANY),),
    "slow": (Order("delay_after", ANY, seconds=0.2),),
    "slower_than_we_wait": (Order("delay", INTENTS, seconds=1.2),),
    "cut": (Order("cut_body", ANY, None),),
    "late_landing": (Order("late_landing", ANY, seconds=0.3),),
    "duplicate": (Order("duplicate", ANY),),
    "listing_lag": (
        Order("reset_after", INTENTS),
        Order("listing_lag", INTENTS, "GET", seconds=600.0),
    ),
    "server_error": (Order("error_500_after", INTENTS),),
    "turned_away": (Order("rate_limit", ANY),),
}
"""A 500 before the effect is not among them: Stripe replays it for the key's life, so that nobody
but a person can tell the outcome, which is what `needs_review` says."""
HOLD = Order("delay_after", INTENTS, seconds=60.0)
"""Keeps a charge that was made from being answered, until the faults are cleared."""
DELAY = Order("delay_after", INTENTS, seconds=0.7)
"""Makes a charge outlast a renewal of its lease."""
TIMES_MAX = 8
"""A call is resent once by itself, so that few faults of a kind change nothing."""


def orders_of(fault: str, account: str, dice: random.Random) -> list[dict[str, Any]]:
    """Return what to order at the stand-in for a fault."""
    times = 1 if fault == "slower_than_we_wait" else dice.randint(1, TIMES_MAX)
    return [order.as_json(account, times) for order in FAULTS[fault]]
