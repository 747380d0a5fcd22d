"""What the gateways' books say of each payment, and whether payments, wallets and jobs agree."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from core.gateways.authorize.requests import AUTHORIZATION
from core.gateways.stripe.responses import PAYMENT_ID_KEY
from sandbox.authorize.calls import (
    AUTHORIZED,
    CAPTURED,
    IN_REVIEW,
    REFUNDED,
    get_settled_amount,
)
from tests.prove.gateway_side import FOREIGN

Row = dict[str, Any]
CHARGED: Final = frozenset(("succeeded", "partially_refunded", "refunded", "disputed"))
_MOVING: Final = ("pending", "succeeded", "requires_action")
"""Statuses of a refund that moves money."""
_OPEN_DISPUTES: Final = ("needs_response", "under_review")
_LOST_DISPUTES: Final = ("lost", "appeal_needs_response", "appeal_under_review")


@dataclass(frozen=True, slots=True)
class Truth:
    """A payment by its gateway. Amounts are in minor units."""

    transaction_id: str
    payment_id: str
    description: str
    amount: int
    """What was charged, else what was requested."""
    status: str
    refunded: int = 0
    taken_back: int = 0
    """What a funding's wallet does not have any more."""

    @property
    def is_charged(self) -> bool:
        """Whether the card was charged, whatever followed."""
        return self.status in CHARGED or self.status == "voided"


def stripe_truths(gateway: Row) -> Iterator[Truth]:
    """Return all payments of the account at Stripe, except foreign ones."""
    refunds, disputes = _by_intent(gateway, "refunds"), _by_intent(gateway, "disputes")
    approved = _by_intent(gateway, "charges")
    for intent in gateway.get("payment_intents", []):
        if intent["description"] == FOREIGN:
            continue
        is_approved = any(each["status"] == "succeeded" for each in approved[intent["id"]])
        status, refunded, taken_back = _stripe_status(intent, is_approved=is_approved), 0, 0
        amount = intent["amount"]
        if status == "succeeded":
            amount = intent["amount_received"]
            refunded = sum(
                each["amount"] for each in refunds[intent["id"]] if each["status"] in _MOVING
            )
            lost = [each for each in disputes[intent["id"]] if each["status"] in _LOST_DISPUTES]
            is_open = any(each["status"] in _OPEN_DISPUTES for each in disputes[intent["id"]])
            taken = refunded + sum(_lost(each, intent) for each in lost)
            status = "disputed" if is_open or lost else _by_refunds(refunded, amount)
            refunded, taken_back = min(amount, refunded), min(amount, taken)
        yield Truth(
            intent["id"],
            intent["metadata"].get(PAYMENT_ID_KEY, ""),
            intent["description"] or "",
            amount,
            status,
            refunded,
            taken_back,
        )


def authorize_truths(authorize: Row) -> Iterator[Truth]:
    """Return all payments of the account at Authorize.Net."""
    transactions = authorize.get("transactions", [])
    refunds: Counter[str] = Counter()
    for each in transactions:
        if each["type"] == "refundTransaction" and each["status"] in REFUNDED:
            refunds[each["refunds"]] += _cents(each)
    for each in transactions:
        if each["type"] == "refundTransaction":
            continue
        amount, status, refunded = _cents(each), _authorize_status(each), 0
        taken_back = amount if status == "voided" else 0
        if status == "succeeded":
            refunded = taken_back = min(amount, refunds[each["id"]])
            status = _by_refunds(refunded, amount)
        yield Truth(
            each["id"],
            each["invoice_number"],
            each["description"],
            amount,
            status,
            refunded,
            taken_back,
        )


def _by_intent(gateway: Row, kind: str) -> Mapping[str, list[Row]]:
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for each in gateway.get(kind, []):
        found[each["payment_intent"]].append(each)
    return found


def _stripe_status(intent: Row, *, is_approved: bool) -> str:
    error = intent["last_payment_error"] or {}
    match intent["status"]:
        case "succeeded" | "requires_action":
            return str(intent["status"])
        case "requires_payment_method" if error.get("code") == "authentication_required":
            return "requires_action"
        case "requires_capture":
            return "authorized"
        case "canceled" if is_approved:
            return "voided"
        case _:
            return "declined"


def _authorize_status(transaction: Row) -> str:
    match transaction["status"]:
        case status if status in CAPTURED:
            return "succeeded"
        case status if status in IN_REVIEW:
            return "held_for_review"
        case status if status == AUTHORIZED:
            return "authorized"
        case "voided":
            return "voided"
        case "expired" if transaction["type"] == AUTHORIZATION:  # any other one was in review
            return "voided"
        case _:
            return "declined"


def _lost(dispute: Row, intent: Row) -> int:
    """Return what a lost dispute took; one in another currency took the whole payment."""
    is_same = dispute["currency"] == intent["currency"]
    return int(dispute["amount"] if is_same else intent["amount_received"])


def _by_refunds(refunded: int, amount: int) -> str:
    if refunded == 0:
        return "succeeded"
    return "refunded" if refunded >= amount else "partially_refunded"


def _cents(transaction: Row) -> int:
    return int(get_settled_amount(transaction) * 100)


def differences(truths: Sequence[Truth], payments: Sequence[Row]) -> Iterator[str]:
    """Every payment has the status and the refunded amount that its gateway says."""
    by_transaction = {each.transaction_id: each for each in truths}
    for row in payments:
        truth = by_transaction.get(row["transaction_id"])
        if truth is None:
            continue
        found = (row["status"], row["amount_refunded_minor"])
        if found != (truth.status, truth.refunded):
            yield (
                f"{row['payment_id']} ({row['kind']}, {row['description']}) is {found} here, and"
                f" {(truth.status, truth.refunded)} at its gateway"
            )


def wallet_differences(
    truths: Sequence[Truth], payments: Sequence[Row], movements: Sequence[Row]
) -> Iterator[str]:
    """Every charged funding is one credit, less what the gateway took back; nothing else moves.

    One that was voided was credited before, or never.
    """
    by_transaction = {each.transaction_id: each for each in truths}
    credits_of = Counter(row["payment_id"] for row in movements if row["reason"] == "wallet_fund")
    taken_of: Counter[str] = Counter()
    owed: Counter[str] = Counter()
    for row in movements:
        signed = row["amount_minor"] * (1 if row["type"] == "credit" else -1)
        if row["reason"] in ("refund", "dispute"):
            taken_of[row["payment_id"]] -= signed
        elif row["reason"] == "receivable":
            owed[row["wallet_id"]] += signed
    for row in payments:
        truth = by_transaction.get(row["transaction_id"]) if row["kind"] == "fund" else None
        credited, taken = credits_of.pop(row["payment_id"], 0), taken_of.pop(row["payment_id"], 0)
        is_voided = truth is not None and truth.status == "voided"
        was_charged = truth is not None and truth.status in CHARGED
        is_funded = was_charged or (is_voided and credited == 1)
        wanted = truth.taken_back if truth is not None and is_funded else 0
        name = f"{row['payment_id']} ({row['kind']}, {row['status']})"
        if credited != is_funded:
            yield f"{name} has {credited} credits"
        if taken != wanted:
            yield f"lost: {wanted} were taken back of {name}, and {taken} of its wallet"
    for payment_id in [*credits_of, *taken_of]:
        yield f"a wallet moved for the unknown payment {payment_id}"
    yield from (f"{wallet} is owed {minor}" for wallet, minor in owed.items() if minor < 0)
