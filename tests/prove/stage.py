"""What leads a core to each failpoint, so that a kill there is sure to strike."""

from dataclasses import dataclass
from typing import Final

from core.payments.attempts import LEASE
from core.payments.rules import resuming_by_gateway
from tests.prove.scenario import MOMENT

LEASE_OVER_SECONDS: Final = LEASE.total_seconds() + 1
KEY_FORGOTTEN_SECONDS: Final = resuming_by_gateway()["stripe"].resend_life.total_seconds() + 60
"""After this the core no longer trusts the gateway to know a key."""
KEY_GONE_SECONDS: Final = 24 * 3600.0 + 60
"""After this the gateway's stand-in has indeed forgotten it."""
SETTLE_SECONDS: Final = 20.0
"""The settle time at Authorize.Net, in the proof."""
UNKEYED_OVER_SECONDS: Final = 61 * 60.0


@dataclass(frozen=True, slots=True)
class Bait:
    """What leads to a place."""

    kind: str
    """The operation."""
    is_keyed: bool | None = True
    """None: either."""
    needs_held: bool = False
    """Whether the core before must die with a charge at the gateway whose client left."""
    needs_start: bool = False
    """Whether only a core that starts passes it."""
    jump_seconds: float = LEASE_OVER_SECONDS
    """How much time passes at the restart before it."""
    needs_expired: bool = False
    """Whether records must be over: an operation without a key, and an hour."""
    is_alone: bool = False
    """Whether only this operation passes it, and nothing that runs beside."""
    loses_charge: bool = False
    """Whether a charge at Authorize.Net must come to nothing, and nobody know."""
    slows_gateway: bool = False
    """Whether a charge must outlast a renewal of leases."""


_CHARGE: Final = Bait("fund", is_keyed=None)
_BAITS: Final = {
    MOMENT: _CHARGE,
    "cards.service.CardsService._save#1": Bait("save_card"),
    "cards.service.CardsService._save#2": Bait("save_card"),
    "cards.service.CardsService._remember": Bait("new_customer", is_alone=True),
    "credentials.keyring_check.check_keyring": Bait("charge", needs_start=True, is_alone=True),
    "idempotency.service.Idempotency.keep_alone": Bait("save_card"),
    "wallet.batch.WalletBatch._carry_out": Bait("credit", is_keyed=None),
    "idempotency.service.Idempotency._reap_some": Bait(
        "credit", is_keyed=False, needs_expired=True
    ),
    "payments.attempts.Attempts.renew_leases": Bait(
        "fund", is_keyed=None, is_alone=True, slows_gateway=True
    ),
    "payments.attempts.Attempts._note_sent": Bait(
        "fund_authorize", is_keyed=None, is_alone=True, loses_charge=True
    ),
    "payments.attempts.Attempts._set_answered": Bait("fund", is_keyed=False),
    "payments.attempts.Attempts._write": _CHARGE,
    "payments.service.PaymentsService._committed": _CHARGE,
    "payments.sweep.Sweep.run": Bait("fund", is_keyed=None, is_alone=True, needs_held=True),
    "gateway.charge": _CHARGE,
    "gateway.save_card": Bait("save_card"),
    "gateway.create_customer": Bait("new_customer", is_alone=True),
    "gateway.look_up_charge": Bait(
        "fund", is_keyed=None, is_alone=True, needs_held=True, jump_seconds=KEY_GONE_SECONDS
    ),
}
_ACTIONS: Final = {
    "RegisterBusiness": "register",
    "ModifyBusiness": "modify_business",
    "ChangeApiKey": "change_api_key",
    "AddStripeCredentials": "add_stripe",
    "ModifyStripeCredentials": "modify_stripe",
    "AddAuthorizeCredentials": "add_authorize",
    "ModifyAuthorizeCredentials": "modify_authorize",
    "UpdateUser": "update_user",
    "CreateUser": "create_user",
}


def bait_of(point: str) -> Bait:
    """Return what leads to a failpoint.

    Raises:
        KeyError: nothing is known that does; a new transaction in core/ needs a line here.
    """
    place = point.rpartition(".")[0] or point
    if "/" in place:
        kind = _ACTIONS[place.rpartition("/")[2]]
        return Bait(kind, is_keyed=None, is_alone=kind != "create_user")
    return _BAITS[place]
