"""The operations of a scenario, and what each client knows of its own: the model."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from google.protobuf import message_factory
from google.protobuf.message import Message
from google.type.money_pb2 import Money

from nivisco.payments.v1 import (
    business_pb2,
    cards_pb2,
    credentials_pb2,
    payments_pb2,
    recurring_pb2,
    types_pb2,
    users_pb2,
    wallet_pb2,
)
from rpc.metadata import Credentials
from tests.core.running import METHODS

TEST = types_pb2.ENV_TEST
AUTHORIZE = types_pb2.GATEWAY_AUTHORIZE
CARDS = ("4111111111111111", "5424000000000015", "6011000000000012")
"""Numbers that the sandbox accepts for Authorize.Net."""
AT_AUTHORIZE = {
    "charge": "charge_authorize",
    "fund": "fund_authorize",
    "save_card": "save_authorize",
    "new_customer": "new_profile",
    "job": "job_authorize",
}
"""The same kind of operation at Authorize.Net."""
RETRYABLE = frozenset(
    {"OUTCOME_UNKNOWN", "SERVICE_UNAVAILABLE", "GATEWAY_UNAVAILABLE", "REQUEST_IN_PROGRESS"}
)
"""Reasons after which the same request is sent again. Every other response is final."""

OPEN_REASONS = frozenset({"AUTHENTICATION_REQUIRED", "PENDING_REVIEW"})
"""Refusals of a charge that the cardholder or the merchant may still complete."""
CARD_OF_AUTHENTICATION = "pm_card_authenticationRequired"
CARD_OF_REVIEW = "4222222222222"
"""At Authorize.Net's sandbox, a charge of 253 with it is held for review."""
REVIEWED_UNITS = 253
JOB_DELAY = timedelta(seconds=2)
"""How long after its request a job is due for the first time."""
ZONES = ("UTC", "America/Chicago", "Pacific/Auckland", "Asia/Kolkata")

UNKNOWN_TRIES = 2
MORE_THAN_ANY_WALLET_UNITS = 9_000_000


@dataclass(slots=True)
class Caller:
    """A business that calls the API. A key rotation changes its credentials."""

    credentials: Credentials

    @property
    def business_id(self) -> str:
        """The id of the business."""
        return self.credentials.business_id


@dataclass(frozen=True, slots=True)
class FinalResponse:
    """A success or a refusal that is not to be retried."""

    reason: str
    """Empty for a success."""
    content: Any
    """The message's bytes, or the refusal's message and metadata."""

    @property
    def is_success(self) -> bool:
        """Whether the operation was executed."""
        return not self.reason


@dataclass(frozen=True, slots=True)
class LostResponse:
    """A request without a final response."""

    core: str
    """The core that received it."""
    sent_at: float
    reason: str


@dataclass(slots=True)
class Operation:
    """One operation of a client, with all its retries."""

    number: int
    kind: str
    caller: Caller
    request: Any
    user_id: str = ""
    is_keyed: bool = True
    gives_up: bool = False
    """Whether its client gives up at the first lost response."""
    is_concurrent: bool = False
    """Whether two clients send it concurrently."""
    uses_json: bool = False
    """Whether its client calls over JSON."""
    began_at: float = 0.0
    """By the shared clock."""
    final: list[FinalResponse] = field(default_factory=list)
    lost: list[LostResponse] = field(default_factory=list)
    was_found: bool = False
    """Whether its client found it in the wallet history."""
    started_with: Credentials | None = None
    """The credentials of the first request, which a rotation's retries repeat."""

    def __str__(self) -> str:
        how = ["key" if self.is_keyed else "no key"]
        how += ["over JSON"] if self.uses_json else []
        how += ["gives up"] if self.gives_up else []
        how += ["concurrent"] if self.is_concurrent else []
        return f"{self.kind} {self.number} ({', '.join(how)})"

    @property
    def description(self) -> str:
        """The description of its payment, movement or job, by which the check finds it."""
        return f"op {self.number}"

    @property
    def is_payment(self) -> bool:
        """Whether it charges a card."""
        return self.kind in _PAYMENTS

    @property
    def is_job(self) -> bool:
        """Whether it creates a recurring job."""
        return self.kind.startswith("job")

    @property
    def is_authorize(self) -> bool:
        """Whether it goes to Authorize.Net."""
        return self.kind in AT_AUTHORIZE.values()

    @property
    def is_unknown(self) -> bool:
        """Whether the latest responses were all OUTCOME_UNKNOWN."""
        last = [each.reason for each in self.lost[-UNKNOWN_TRIES:]]
        return last == ["OUTCOME_UNKNOWN"] * UNKNOWN_TRIES

    @property
    def moves_wallet(self) -> bool:
        """Whether it only credits or debits a wallet."""
        return self.kind in ("debit", "credit", "overdraw")

    @property
    def was_executed(self) -> bool:
        """Whether its client knows that it was executed."""
        return self.was_found or any(each.is_success for each in self.final)

    @property
    def was_refused(self) -> bool:
        """Whether its client received a refusal."""
        return any(not each.is_success for each in self.final)

    @property
    def may_complete(self) -> bool:
        """Whether its first response left the charge to the cardholder or the merchant."""
        return bool(self.final) and self.final[0].reason in OPEN_REASONS

    def response(self) -> Any:
        """Return the successful response."""
        success = next(each for each in self.final if each.is_success)
        return response_class(self.request).FromString(success.content)

    def with_other_body(self) -> Message | None:
        """Return another request with the same key; None for a request without a description."""
        if not hasattr(self.request, "description"):
            return None
        other: Any = type(self.request)()
        other.CopyFrom(self.request)
        other.description = "another body"
        return cast(Message, other)


def response_class(request: Message) -> type[Message]:
    """Return the class of the response to a request."""
    method = METHODS[request.DESCRIPTOR.name.removesuffix("Request")]
    return message_factory.GetMessageClass(method.output_type)


@dataclass(frozen=True, slots=True)
class Target:
    """The business and user of an operation."""

    caller: Caller
    user_id: str = ""
    now: float = 0.0
    """Unix seconds by the shared clock."""
    card_number: str = ""
    """Of a card to save at Authorize.Net; empty: any."""


Builder = Callable[[int, Target], Any]


def _charge(number: int, target: Target) -> Any:
    return payments_pb2.ChargeCustomerRequest(
        user_id=target.user_id,
        amount=Money(units=1000 + number, nanos=500_000_000),
        description=f"op {number}",
        env=TEST,
    )


def _fund(number: int, target: Target) -> Any:
    return payments_pb2.FundCustomerRequest(
        user_id=target.user_id,
        amount=Money(units=2000 + number),
        description=f"op {number}",
        env=TEST,
    )


def _charge_authorize(number: int, target: Target) -> Any:
    request = _charge(number, target)
    request.gateway = AUTHORIZE
    return request


def _fund_authorize(number: int, target: Target) -> Any:
    request = _fund(number, target)
    request.gateway = AUTHORIZE
    return request


def _save_authorize(number: int, target: Target) -> Any:
    return cards_pb2.CreateAuthorizeCustomerRequest(
        user_id=target.user_id,
        payment_profile=cards_pb2.CreateAuthorizeCustomerRequest.PaymentProfile(
            card_number=target.card_number or CARDS[number % len(CARDS)],
            exp_month=12,
            exp_year=2090,
            cvv="900",
        ),
        env=TEST,
    )


def _debit(number: int, target: Target) -> Any:
    return wallet_pb2.ChargeWalletRequest(
        user_id=target.user_id,
        amount=Money(units=1 + number),
        description=f"op {number}",
        env=TEST,
    )


def _overdraw(number: int, target: Target) -> Any:
    request = _debit(number, target)
    request.amount.units = MORE_THAN_ANY_WALLET_UNITS
    return request


def _credit(number: int, target: Target) -> Any:
    return wallet_pb2.AddWalletFundsRequest(
        user_id=target.user_id,
        amount=Money(units=300 + number, nanos=250_000_000),
        description=f"op {number}",
        env=TEST,
    )


def _save_card(number: int, target: Target) -> Any:
    token = "pm_card_mastercard" if number % 2 else "pm_card_visa"
    return cards_pb2.CreateStripeCustomerRequest(
        user_id=target.user_id, payment_method_token=token, env=TEST
    )


def _create_user(number: int, target: Target) -> Any:
    return users_pb2.CreateUserRequest(
        user=users_pb2.CreateUserRequest.NewUser(
            name=f"op {number}", email=f"op{number}@example.com"
        )
    )


def _update_user(number: int, target: Target) -> Any:
    return users_pb2.UpdateUserRequest(
        user_id=target.user_id,
        updates=users_pb2.UpdateUserRequest.Updates(name=f"op {number}"),
    )


def _register(number: int, target: Target) -> Any:
    # `number` repeats in every scenario; the caller's id makes the name unique.
    return business_pb2.RegisterBusinessRequest(
        new_business=business_pb2.RegisterBusinessRequest.NewBusiness(
            name=f"{target.user_id} op {number}",
            email="owner@registered.example.com",
            domain="registered.example.com",
        )
    )


def _modify_business(number: int, target: Target) -> Any:
    return business_pb2.ModifyBusinessRequest(
        updates=business_pb2.ModifyBusinessRequest.Updates(name=f"op {number}")
    )


def _change_api_key(number: int, target: Target) -> Any:
    return business_pb2.ChangeApiKeyRequest()


def _add_stripe(number: int, target: Target) -> Any:
    return credentials_pb2.AddStripeCredentialsRequest(
        credentials=credentials_pb2.AddStripeCredentialsRequest.Credentials(
            env=TEST, stripe_secret_key=f"sk_test_op{number}", stripe_public_key=f"pk_test_{number}"
        )
    )


def _modify_stripe(number: int, target: Target) -> Any:
    return credentials_pb2.ModifyStripeCredentialsRequest(
        credentials=credentials_pb2.ModifyStripeCredentialsRequest.Credentials(
            env=TEST, stripe_public_key=f"pk_test_{number}"
        )
    )


def _add_authorize(number: int, target: Target) -> Any:
    return credentials_pb2.AddAuthorizeCredentialsRequest(
        credentials=credentials_pb2.AddAuthorizeCredentialsRequest.Credentials(
            env=TEST, api_login_id=f"login{number}", transaction_key=f"transaction{number}"
        )
    )


def _modify_authorize(number: int, target: Target) -> Any:
    return credentials_pb2.ModifyAuthorizeCredentialsRequest(
        credentials=credentials_pb2.ModifyAuthorizeCredentialsRequest.Credentials(
            env=TEST, api_login_id=f"login{number}"
        )
    )


def _review(number: int, target: Target) -> Any:
    request = _charge_authorize(number, target)
    request.amount.CopyFrom(Money(units=REVIEWED_UNITS))
    return request


def _job(number: int, target: Target) -> Any:
    start = datetime.fromtimestamp(target.now, UTC).replace(microsecond=0) + JOB_DELAY
    return recurring_pb2.CreateRecurringRequest(
        user_id=target.user_id,
        amount=Money(units=3000 + number),
        interval_type=_INTERVALS[number % len(_INTERVALS)],
        source=recurring_pb2.RECURRING_SOURCE_STRIPE,
        description=f"op {number}",
        start_at=start.isoformat(),
        timezone=ZONES[number % len(ZONES)],
        max_cycles=2 if number % 4 == 0 else None,
        catch_up=recurring_pb2.CATCH_UP_ALL if number % 2 else recurring_pb2.CATCH_UP_LATEST,
        env=TEST,
    )


def _job_authorize(number: int, target: Target) -> Any:
    request = _job(number, target)
    request.source = recurring_pb2.RECURRING_SOURCE_AUTHORIZE
    return request


def _job_wallet(number: int, target: Target) -> Any:
    request = _job(number, target)
    request.source = recurring_pb2.RECURRING_SOURCE_WALLET
    request.amount.CopyFrom(Money(units=1, nanos=number * 10**7))
    return request


_PAYMENTS = frozenset(
    {"charge", "fund", "decline", "charge_authorize", "fund_authorize", "authenticate", "review"}
)
_INTERVALS = (
    recurring_pb2.INTERVAL_TYPE_DAY,
    recurring_pb2.INTERVAL_TYPE_WEEK,
    recurring_pb2.INTERVAL_TYPE_MONTH,
)

BUILDERS: dict[str, Builder] = {
    "charge": _charge,
    "fund": _fund,
    "decline": _charge,
    "authenticate": _fund,
    "review": _review,
    "job": _job,
    "job_decline": _job,
    "job_authenticate": _job,
    "job_authorize": _job_authorize,
    "job_wallet": _job_wallet,
    "charge_authorize": _charge_authorize,
    "fund_authorize": _fund_authorize,
    "save_authorize": _save_authorize,
    "save_reviewed": _save_authorize,
    "new_profile": _save_authorize,
    "debit": _debit,
    "credit": _credit,
    "overdraw": _overdraw,
    "save_card": _save_card,
    "new_customer": _save_card,
    "create_user": _create_user,
    "update_user": _update_user,
    "register": _register,
    "modify_business": _modify_business,
    "change_api_key": _change_api_key,
    "add_stripe": _add_stripe,
    "modify_stripe": _modify_stripe,
    "add_authorize": _add_authorize,
    "modify_authorize": _modify_authorize,
}
