"""What goes wrong at the gateway during a scenario: named faults, as orders to its stand-in."""

import random
from dataclasses import dataclass
from typing import Any

INTENTS = "/v1/payment_intents"
ANY = "/v1/"
AUTHORIZE = "/xml/"
CHARGES = "createTransactionRequest"
LISTS = ("getTransactionListForCustomerRequest", "getUnsettledTransactionListRequest")


@dataclass(frozen=True, slots=True)
class Accounts:
    """A business's accounts at the gateways, as their stand-in names them."""

    stripe: str
    authorize: str


@dataclass(frozen=True, slots=True)
class Order:
    """One order: which requests meet what. `method` or `request` None means any."""

    kind: str
    path: str
    method: str | None = "POST"
    seconds: float = 0.0
    request: str | None = None
    """Authorize.Net's name of it."""
    times: int = 0
    """0: as chance picks."""

    def as_json(self, accounts: Accounts, times: int = 1) -> dict[str, Any]:
        """Return the order for the requests of a business's account."""
        is_stripe = self.path != AUTHORIZE
        match = {"path": self.path, "account": accounts.stripe if is_stripe else accounts.authorize}
        if self.method:
            match["method"] = self.method
        if self.request:
            match["request"] = self.request
        times = self.times or times
        body: dict[str, Any] = {"kind": self.kind, "match": match, "times": times}
        return body | ({"seconds": self.seconds} if self.seconds else {})


FAULTS: dict[str, tuple[Order, ...]] = {
    "none": (),
    "reset_before": (Order("reset_before", ANY), Order("reset_before", AUTHORIZE)),
    "reset_after": (Order("reset_after", ANY), Order("reset_after", AUTHORIZE)),
    "slow": (
        Order("delay_after", ANY, seconds=0.2),
        Order("delay_after", AUTHORIZE, seconds=0.2),
    ),
    "slower_than_we_wait": (
        Order("delay", INTENTS, seconds=1.2, times=1),
        Order("delay", AUTHORIZE, seconds=1.2, request=CHARGES, times=1),
    ),
    "cut": (Order("cut_body", ANY, None), Order("cut_body", AUTHORIZE)),
    "late_landing": (
        Order("late_landing", ANY, seconds=0.3),
        Order("late_landing", AUTHORIZE, seconds=0.3, request=CHARGES),
    ),
    "duplicate": (Order("duplicate", ANY), Order("duplicate", AUTHORIZE, request=CHARGES)),
    "listing_lag": (
        Order("reset_after", INTENTS),
        Order("listing_lag", INTENTS, "GET", seconds=600.0),
        Order("reset_after", AUTHORIZE, request=CHARGES),
        *(Order("listing_lag", AUTHORIZE, seconds=600.0, request=each) for each in LISTS),
    ),
    "server_error": (
        Order("error_500_after", INTENTS),
        Order("error_500_after", AUTHORIZE, request=CHARGES),
    ),
    "turned_away": (Order("rate_limit", ANY), Order("rate_limit", AUTHORIZE)),
}
"""A 500 before the effect is not among them: Stripe replays it for the key's life, so that nobody
but a person can tell the outcome, which is what `needs_review` says."""
TORN_NETS = "torn_nets"
ALL_FAULTS: dict[str, tuple[Order, ...]] = FAULTS | {
    TORN_NETS: (
        Order("reset_after", AUTHORIZE, request=CHARGES, times=2),
        *(Order("listing_lag", AUTHORIZE, seconds=600.0, request=each, times=3) for each in LISTS),
    )
}
"""With one that is for a charge alone, at an Authorize.Net that knows no duplicate again, as after
a card was renewed: its lists lag longer than the settle time, and two answers are lost."""
HOLD = Order("delay_after", INTENTS, seconds=60.0)
"""Keeps a charge that was made from being answered, until the faults are cleared."""
HOLD_AUTHORIZE = Order("delay_after", AUTHORIZE, seconds=60.0, request=CHARGES)
LOSE_AUTHORIZE = Order("reset_before", AUTHORIZE, request=CHARGES)
"""Has a charge come to nothing, and nobody know."""
DELAY = Order("delay_after", INTENTS, seconds=0.7)
"""Makes a charge outlast a renewal of its lease."""
TIMES_MAX = 8
"""A call is resent once by itself, so that few faults of a kind change nothing."""


def orders_of(fault: str, accounts: Accounts, dice: random.Random) -> list[dict[str, Any]]:
    """Return what to order at the stand-in for a fault."""
    times = dice.randint(1, TIMES_MAX)
    return [order.as_json(accounts, times) for order in ALL_FAULTS[fault]]
