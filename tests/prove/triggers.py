"""Triggers: the workload that makes a core reach each failpoint."""

from dataclasses import dataclass
from typing import Final

from core.payments.attempts import LEASE
from core.payments.rules import resume_policies
from core.payments.store import LOOK_TIME
from tests.prove.requests import SHORT_HOLD_SECONDS
from tests.prove.scenario import ANY_MOMENT

LEASE_OVER_SECONDS: Final = LEASE.total_seconds() + 1
KEY_FORGOTTEN_SECONDS: Final = resume_policies()["stripe"].resend_life.total_seconds() + 60
"""After this the core no longer relies on the gateway's idempotency key."""
KEY_GONE_SECONDS: Final = 24 * 3600.0 + 60
"""After this the sandbox has forgotten the idempotency key."""
CLOSING_LOST_SECONDS: Final = LOOK_TIME.total_seconds() + 1
"""After this a core looks at a capture or void that one began, or looked at, and did not end."""
SETTLE_SECONDS: Final = 20.0
"""The settle time at Authorize.Net, in this test."""
UNKEYED_OVER_SECONDS: Final = 61 * 60.0

GATEWAY_EVENT: Final = "gateway_event"
"""A trigger's kind: something happens at a gateway without the core."""
FOREIGN_EVENT: Final = "foreign_event"
"""A trigger's kind: an event of a payment that is not ours, which therefore waits."""
REFUND_EVENT: Final = "refund_authorize"
"""A trigger's kind: an event that does not name its payment, which is therefore looked up."""
CARD_RENEWAL: Final = "card_renewal"
CARD_SET_UP: Final = "card_set_up"
CARD_CHANGES: Final = (CARD_RENEWAL, CARD_SET_UP)
"""Triggers' kinds: a card changes at Stripe, which sends an event."""
RETRIES: Final = ("retry_card", "retry_wallet")
"""Triggers' kinds: a client retries the failed cycle of a job that it creates first."""
POISON_PAYMENT: Final = "poison_payment"
POISON_CLAIM: Final = "poison_claim"
POISON_EXECUTION: Final = "poison_execution"
POISON_KEYS: Final = "poison_keys"
POISON_EVENT: Final = "poison_event"
"""Triggers' kinds: rows that a core fails to look at, to claim or to execute, lacks keys for, or
cannot apply an event to."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """What makes a core reach a failpoint."""

    kind: str
    """The kind of operation."""
    is_keyed: bool | None = True
    """None: with or without an idempotency key."""
    needs_pending_charge: bool = False
    """Whether the core before must die during a gateway call whose client has given up."""
    at_start: bool = False
    """Whether a core reaches it only while it starts."""
    advance_seconds: float = LEASE_OVER_SECONDS
    """How far the clock advances at the restart before it."""
    needs_expired: bool = False
    """Whether records must expire first: an operation without a key, and an hour."""
    is_exclusive: bool = False
    """Whether no other operation reaches it."""
    loses_request: bool = False
    """Whether a charge at Authorize.Net must be lost on the way, with an unknown outcome."""
    needs_retry: bool = False
    """Whether its client must retry, as only that shows an error."""
    slows_gateway: bool = False
    """Whether a charge must outlast a lease renewal."""
    passes_seconds: float = 0.0
    """How far the clock advances after the operation, so that the core looks at it again."""
    has_webhooks: bool = False
    """Whether gateways must send events."""
    has_jobs: bool = False
    """Whether a scheduler must run."""

    @property
    def is_background(self) -> bool:
        """Whether a core reaches it after the operation's response."""
        is_later = self.passes_seconds > 0
        return self.has_webhooks or self.has_jobs or self.has_poison or is_later

    @property
    def has_poison(self) -> bool:
        """Whether a row that cannot be carried out must be due."""
        return self.kind.startswith("poison_")

    @property
    def needs_authorize(self) -> bool:
        """Whether it needs an account at Authorize.Net."""
        return self.kind.endswith("_authorize")


_CHARGE: Final = Trigger("fund", is_keyed=None)
_CAPTURE: Final = Trigger("capture", is_keyed=None, is_exclusive=True)
_JOB: Final = Trigger("job", has_jobs=True)
_WALLET_JOB: Final = Trigger("job_wallet", has_jobs=True)
_TRIGGERS: Final = {
    ANY_MOMENT: _CHARGE,
    "audit.append": Trigger("credit", is_keyed=None, passes_seconds=1.0),
    "cards.claim": Trigger("save_card"),
    "cards.find": Trigger("remove_card", is_exclusive=True),
    "cards.find_to_update": Trigger("update_card", is_exclusive=True),
    "cards.update": Trigger("update_card", is_exclusive=True),
    "cards.remove": Trigger("remove_card", is_exclusive=True),
    "cards.keep_card": Trigger("save_card"),
    "cards.keep_customer": Trigger("new_customer", is_exclusive=True),
    "credentials.check_keyring": Trigger("charge", at_start=True, is_exclusive=True),
    "idempotency.keep": Trigger("save_card"),
    "idempotency.reap": Trigger("credit", is_keyed=False, needs_expired=True),
    "cards.claim_import": Trigger("import_customer", is_exclusive=True),
    "cards.import": Trigger("import_customer", is_exclusive=True),
    "payments.begin": _CHARGE,
    "payments.close": _CAPTURE,
    "payments.close_again": Trigger(
        "capture",
        is_keyed=None,
        is_exclusive=True,
        needs_pending_charge=True,
        advance_seconds=CLOSING_LOST_SECONDS,
    ),
    "payments.write_closing": _CAPTURE,
    "payments.record_resend": Trigger(
        "fund_authorize", is_keyed=None, is_exclusive=True, loses_request=True
    ),
    "payments.renew_leases": Trigger("fund", is_keyed=None, is_exclusive=True, slows_gateway=True),
    "payments.record_delivery": Trigger("fund", is_keyed=False),
    "payments.sweep": Trigger("fund", is_keyed=None, is_exclusive=True, needs_pending_charge=True),
    "payments.write_outcome": _CHARGE,
    "wallet.move": Trigger("credit", is_keyed=None),
    "wallet.expire_hold": Trigger("short_hold", passes_seconds=SHORT_HOLD_SECONDS + 1.0),
    "refunds.begin": Trigger("give_back"),
    "refunds.write_outcome": Trigger("give_back"),
    "refunds.record_resend": Trigger("give_back_authorize", is_exclusive=True, loses_request=True),
    "refunds.renew_leases": Trigger("give_back", is_exclusive=True, slows_gateway=True),
    "refunds.sweep": Trigger("give_back", is_exclusive=True, needs_pending_charge=True),
    "payments.follow": Trigger("authenticate", has_webhooks=True, passes_seconds=31.0),
    "payments.cancel": Trigger("authenticate", has_webhooks=True, passes_seconds=25 * 3600.0),
    "payments.without_keys": Trigger(POISON_KEYS),
    "due_work.record_failure": Trigger(POISON_PAYMENT),
    "recurring.retry": Trigger("retry_wallet", has_jobs=True),
    "recurring.end_retry": Trigger("retry_card", has_jobs=True),
    "recurring.claim": _JOB,
    "recurring.claim_one": Trigger(POISON_CLAIM, has_jobs=True),
    "recurring.claim_failed": Trigger(POISON_CLAIM, has_jobs=True),
    "recurring.failed": Trigger(POISON_EXECUTION, has_jobs=True),
    "recurring.renew_leases": Trigger("job", has_jobs=True, slows_gateway=True),
    "recurring.execute": _WALLET_JOB,
    "recurring.end": _JOB,
    "cards.follow": Trigger(CARD_RENEWAL, has_webhooks=True),
    "cards.keep_set_up": Trigger(CARD_SET_UP, has_webhooks=True),
    "cards.remove_again": Trigger("remove_card", has_webhooks=True),
    "webhooks.receive": Trigger(GATEWAY_EVENT, has_webhooks=True),
    "webhooks.store": Trigger(POISON_EVENT),
    "webhooks.take_due": Trigger(FOREIGN_EVENT, has_webhooks=True),
    "webhooks.apply": Trigger(FOREIGN_EVENT, has_webhooks=True),
    "webhooks.complete": Trigger(REFUND_EVENT, has_webhooks=True),
    "gateway.charge": _CHARGE,
    "gateway.save_card": Trigger("save_card"),
    "gateway.create_customer": Trigger("new_customer", is_exclusive=True),
    "gateway.update_card": Trigger("update_card", is_exclusive=True),
    "gateway.remove_card": Trigger("remove_card", is_exclusive=True),
    "gateway.look_up_charge": Trigger(
        "fund",
        is_keyed=None,
        is_exclusive=True,
        needs_pending_charge=True,
        advance_seconds=KEY_GONE_SECONDS,
    ),
    "gateway.capture_payment": _CAPTURE,
    "gateway.cancel_payment": Trigger("void", is_keyed=None, is_exclusive=True),
    "gateway.refund": Trigger("give_back"),
    "gateway.look_up_refund": Trigger(
        "give_back",
        is_exclusive=True,
        needs_pending_charge=True,
        advance_seconds=KEY_GONE_SECONDS,
    ),
    "frame.read": _CHARGE,
    "frame.write": _CHARGE,
    "frame.lose": Trigger("fund", is_keyed=False, needs_retry=True),
    "RegisterBusiness": Trigger("register", is_keyed=None, is_exclusive=True),
    "ModifyBusiness": Trigger("modify_business", is_keyed=None, is_exclusive=True),
    "ChangeApiKey": Trigger("change_api_key", is_keyed=None, is_exclusive=True),
    "AddStripeCredentials": Trigger("add_stripe", is_keyed=None, is_exclusive=True),
    "ModifyStripeCredentials": Trigger("modify_stripe", is_keyed=None, is_exclusive=True),
    "AddAuthorizeCredentials": Trigger("add_authorize", is_keyed=None, is_exclusive=True),
    "ModifyAuthorizeCredentials": Trigger("modify_authorize", is_keyed=None, is_exclusive=True),
    "SetPrimaryCard": Trigger("set_primary", is_keyed=None, is_exclusive=True),
    "UpdateUser": Trigger("update_user", is_keyed=None, is_exclusive=True),
    "CreateApiKey": Trigger("create_api_key", is_exclusive=True),
    "RevokeApiKey": Trigger("revoke_api_key", is_exclusive=True),
    "SuspendUser": Trigger("suspend_user", is_exclusive=True),
    "ReactivateUser": Trigger("reactivate_user", is_exclusive=True),
    "CreateUser": Trigger("create_user", is_keyed=None),
    "TransferWallet": Trigger("transfer"),
    "HoldWallet": Trigger("hold"),
    "CaptureHold": Trigger("capture_hold", is_exclusive=True),
    "ReleaseHold": Trigger("release_hold", is_exclusive=True),
    "SettleReceivable": Trigger("settle", is_exclusive=True),
}


def trigger_of(point: str) -> Trigger:
    """Return the trigger of a failpoint.

    Raises:
        KeyError: there is none; a newly named transaction or action needs a line above.
    """
    return _TRIGGERS[point.rpartition(".")[0] or point]
