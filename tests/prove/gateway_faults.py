"""The faults of the gateway during a scenario, as requests to the sandbox's control endpoint."""

import random
from dataclasses import dataclass
from typing import Any

INTENTS = "/v1/payment_intents"
REFUNDS = "/v1/refunds"
ANY = "/v1/"
AUTHORIZE = "/xml/"
CHARGES = "createTransactionRequest"
LISTS = ("getTransactionListForCustomerRequest", "getUnsettledTransactionListRequest")


@dataclass(frozen=True, slots=True)
class Accounts:
    """A business's accounts at the gateways, as the sandbox names them."""

    stripe: str
    authorize: str


@dataclass(frozen=True, slots=True)
class FaultOrder:
    """A fault and the requests that it hits; `method` or `request` None means any."""

    kind: str
    path: str
    method: str | None = "POST"
    seconds: float = 0.0
    request: str | None = None
    """Root element of an Authorize.Net request."""
    times: int = 0
    """0: random."""

    def as_json(self, accounts: Accounts, times: int = 1) -> dict[str, Any]:
        """Return the fault for the requests of a business's account."""
        is_stripe = self.path != AUTHORIZE
        match = {"path": self.path, "account": accounts.stripe if is_stripe else accounts.authorize}
        if self.method:
            match["method"] = self.method
        if self.request:
            match["request"] = self.request
        times = self.times or times
        body: dict[str, Any] = {"kind": self.kind, "match": match, "times": times}
        return body | ({"seconds": self.seconds} if self.seconds else {})


FAULTS: dict[str, tuple[FaultOrder, ...]] = {
    "none": (),
    "reset_before": (FaultOrder("reset_before", ANY), FaultOrder("reset_before", AUTHORIZE)),
    "reset_after": (FaultOrder("reset_after", ANY), FaultOrder("reset_after", AUTHORIZE)),
    "slow": (
        FaultOrder("delay_after", ANY, seconds=0.2),
        FaultOrder("delay_after", AUTHORIZE, seconds=0.2),
    ),
    "timeout": (
        FaultOrder("delay", INTENTS, seconds=1.2, times=1),
        FaultOrder("delay", AUTHORIZE, seconds=1.2, request=CHARGES, times=1),
    ),
    "cut_body": (FaultOrder("cut_body", ANY, None), FaultOrder("cut_body", AUTHORIZE)),
    "late_landing": (
        FaultOrder("late_landing", ANY, seconds=0.3),
        FaultOrder("late_landing", AUTHORIZE, seconds=0.3, request=CHARGES),
    ),
    "duplicate": (
        FaultOrder("duplicate", ANY),
        FaultOrder("duplicate", AUTHORIZE, request=CHARGES),
    ),
    "listing_lag": (
        FaultOrder("reset_after", INTENTS),
        FaultOrder("listing_lag", INTENTS, "GET", seconds=600.0),
        FaultOrder("reset_after", AUTHORIZE, request=CHARGES),
        *(FaultOrder("listing_lag", AUTHORIZE, seconds=600.0, request=each) for each in LISTS),
    ),
    "server_error": (
        FaultOrder("error_500_after", INTENTS),
        FaultOrder("error_500_after", AUTHORIZE, request=CHARGES),
    ),
    "rate_limit": (FaultOrder("rate_limit", ANY), FaultOrder("rate_limit", AUTHORIZE)),
}
"""Without a 500 before the effect: Stripe replays it for the key's life, so that the payment needs
manual review."""
LOST_AND_UNLISTED = "lost_and_unlisted"
ALL_FAULTS: dict[str, tuple[FaultOrder, ...]] = FAULTS | {
    LOST_AND_UNLISTED: (
        FaultOrder("reset_after", AUTHORIZE, request=CHARGES, times=2),
        *(
            FaultOrder("listing_lag", AUTHORIZE, seconds=600.0, request=each, times=3)
            for each in LISTS
        ),
    )
}
"""LOST_AND_UNLISTED is for a single charge at Authorize.Net without duplicate detection, as after a
card was renewed: two responses are lost, and lists lag longer than the settle time."""
HOLD = FaultOrder("delay_after", INTENTS, seconds=60.0)
"""Delays the response to an executed charge until the faults are cleared."""
HOLD_AUTHORIZE = FaultOrder("delay_after", AUTHORIZE, seconds=60.0, request=CHARGES)
LOSE_AUTHORIZE = FaultOrder("reset_before", AUTHORIZE, request=CHARGES)
"""Loses the request, so that nothing is charged and the outcome is unknown."""
LAND_LATE_AT_AUTHORIZE = FaultOrder("late_landing", AUTHORIZE, seconds=600.0, request=CHARGES)
"""Loses the answer, and has the request arrive when the faults are cleared."""
DELAY = FaultOrder("delay_after", INTENTS, seconds=0.7)
"""Makes a charge last longer than a lease renewal."""
HOLD_REFUND = FaultOrder("delay_after", REFUNDS, seconds=60.0)
DELAY_REFUND = FaultOrder("delay_after", REFUNDS, seconds=0.7)
TIMES_MAX = 8
"""More than the core's own single resend, which hides a few faults."""


def fault_orders(fault: str, accounts: Accounts, rng: random.Random) -> list[dict[str, Any]]:
    """Return the sandbox requests for a fault."""
    times = rng.randint(1, TIMES_MAX)
    return [order.as_json(accounts, times) for order in ALL_FAULTS[fault]]
