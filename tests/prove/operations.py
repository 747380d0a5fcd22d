"""What the clients of a scenario ask for, and what each of them knows of it: the model."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from google.protobuf import message_factory
from google.protobuf.message import Message
from google.type.money_pb2 import Money

from nivisco.payments.v1 import (
    business_pb2,
    cards_pb2,
    credentials_pb2,
    payments_pb2,
    types_pb2,
    users_pb2,
    wallet_pb2,
)
from rpc.metadata import Credentials
from tests.core.running import METHODS

TEST = types_pb2.ENV_TEST
AUTHORIZE = types_pb2.GATEWAY_AUTHORIZE
CARDS = ("4111111111111111", "5424000000000015", "6011000000000012")
"""Numbers that Authorize.Net's stand-in takes."""
AT_AUTHORIZE = {
    "charge": "charge_authorize",
    "fund": "fund_authorize",
    "save_card": "save_authorize",
    "new_customer": "new_profile",
}
"""What is the same at Authorize.Net, where chance picks it."""
RETRYABLE = frozenset(
    {"OUTCOME_UNKNOWN", "SERVICE_UNAVAILABLE", "GATEWAY_UNAVAILABLE", "REQUEST_IN_PROGRESS"}
)
"""Reasons that ask to send the same request again. Every other answer is the last word."""

UNKNOWN_TRIES = 2
MORE_THAN_ANY_WALLET_UNITS = 9_000_000


@dataclass(slots=True)
class Caller:
    """Who asks. A rotation changes the credentials."""

    credentials: Credentials

    @property
    def business_id(self) -> str:
        """The business."""
        return self.credentials.business_id


@dataclass(frozen=True, slots=True)
class FinalResponse:
    """A last word: a response, or a refusal."""

    reason: str
    """Empty for a response."""
    content: Any
    """The response's bytes, or the refusal's sentence and metadata."""

    @property
    def is_response(self) -> bool:
        """Whether it was carried out."""
        return not self.reason


@dataclass(frozen=True, slots=True)
class LostResponse:
    """One sending without a last word."""

    core: str
    """The core that it was sent to."""
    sent_at: float
    reason: str


@dataclass(slots=True)
class Operation:
    """One thing that a client wants, however often it must be sent."""

    number: int
    kind: str
    caller: Caller
    request: Any
    user_id: str = ""
    is_keyed: bool = True
    gives_up: bool = False
    """Whether its client gives up at the first answer that is lost."""
    is_concurrent: bool = False
    """Whether two clients send it at once."""
    uses_json: bool = False
    """Whether its client asks by JSON."""
    began_at: float = 0.0
    """By the proof's clock."""
    told: list[FinalResponse] = field(default_factory=list)
    lost: list[LostResponse] = field(default_factory=list)
    was_found: bool = False
    """Whether its client read in the records that it took place."""
    started_with: Credentials | None = None
    """The credentials that a rotation presents, however often it is sent."""

    def __str__(self) -> str:
        how = ["key" if self.is_keyed else "no key"]
        how += ["by JSON"] if self.uses_json else []
        how += ["gives_up"] if self.gives_up else []
        how += ["sent by two"] if self.is_concurrent else []
        return f"{self.kind} {self.number} ({', '.join(how)})"

    @property
    def description(self) -> str:
        """What is written beside its money, so that books can be compared."""
        return f"op {self.number}"

    @property
    def is_payment(self) -> bool:
        """Whether it charges a card."""
        return self.kind in ("charge", "fund", "decline", "charge_authorize", "fund_authorize")

    @property
    def is_authorize(self) -> bool:
        """Whether it goes to Authorize.Net."""
        return self.kind in AT_AUTHORIZE.values()

    @property
    def is_unknown(self) -> bool:
        """Whether it has been told again and again that its outcome is not known yet."""
        last = [each.reason for each in self.lost[-UNKNOWN_TRIES:]]
        return last == ["OUTCOME_UNKNOWN"] * UNKNOWN_TRIES

    @property
    def moves_wallet(self) -> bool:
        """Whether it moves money of a wallet and nothing else."""
        return self.kind in ("debit", "credit", "overdraw")

    @property
    def was_executed(self) -> bool:
        """Whether its client was told so."""
        return self.was_found or any(told.is_response for told in self.told)

    @property
    def was_refused(self) -> bool:
        """Whether its client was told that it will not be carried out."""
        return any(not told.is_response for told in self.told)

    def response(self) -> Any:
        """Return the response that its client was told."""
        told = next(told for told in self.told if told.is_response)
        return response_class(self.request).FromString(told.content)

    def with_other_body(self) -> Message | None:
        """Return another request under the same key, where there can be one."""
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
    """Whose wallet, card or profile an operation is about."""

    caller: Caller
    user_id: str = ""


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
            card_number=CARDS[number % len(CARDS)], exp_month=12, exp_year=2090, cvv="900"
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
    # `number` repeats in every scenario; the domain tells whose business it is.
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


BUILDERS: dict[str, Builder] = {
    "charge": _charge,
    "fund": _fund,
    "decline": _charge,
    "charge_authorize": _charge_authorize,
    "fund_authorize": _fund_authorize,
    "save_authorize": _save_authorize,
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
