"""The requests of operations: one builder for each kind."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from google.type.money_pb2 import Money

from nivisco.payments.v1 import (
    business_pb2,
    cards_pb2,
    credentials_pb2,
    payments_pb2,
    recurring_pb2,
    refunds_pb2,
    types_pb2,
    users_pb2,
    wallet_pb2,
)
from tests.prove.operations import Caller

TEST = types_pb2.ENV_TEST
AUTHORIZE = types_pb2.GATEWAY_AUTHORIZE
CARDS = ("4111111111111111", "5424000000000015", "6011000000000012")
"""Numbers that the sandbox accepts for Authorize.Net."""
CARD_OF_AUTHENTICATION = "pm_card_authenticationRequired"
CARD_OF_REVIEW = "4222222222222"
"""At Authorize.Net's sandbox, a charge of 253 with it is held for review."""
REVIEWED_UNITS = 253
JOB_DELAY = timedelta(seconds=2)
"""How long after its request a job is due for the first time."""
RETRY_DAYS = 27
"""After this a job retries a cycle that its client retries before."""
ZONES = ("UTC", "America/Chicago", "Pacific/Auckland", "Asia/Kolkata")
HOLD_SECONDS = 30 * 86_400
"""Longer than any scenario."""
SHORT_HOLD_SECONDS = 60

MORE_THAN_ANY_WALLET_UNITS = 9_000_000


@dataclass(frozen=True, slots=True)
class Target:
    """The business and user of an operation."""

    caller: Caller
    user_id: str = ""
    now: float = 0.0
    """Unix seconds by the shared clock."""
    card_number: str = ""
    """Of a card to save at Authorize.Net; empty: any."""
    payment_id: str = ""
    """Of the payment to refund, capture or void."""
    card_id: str = ""
    """Of a saved card to change."""
    other_id: str = ""
    """The receiver of a transfer, the hold to close, the job whose cycle is retried, the
    gateway's customer to import, or the API key to revoke."""


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


def _reserve(number: int, target: Target) -> Any:
    request = _charge(number, target)
    request.capture = False
    return request


def _reserve_authorize(number: int, target: Target) -> Any:
    request = _charge_authorize(number, target)
    request.capture = False
    return request


def _capture(number: int, target: Target) -> Any:
    amount = Money(units=1 + number, nanos=250_000_000) if number % 3 else None
    return payments_pb2.CapturePaymentRequest(payment_id=target.payment_id, amount=amount, env=TEST)


def _void(number: int, target: Target) -> Any:
    return payments_pb2.VoidPaymentRequest(payment_id=target.payment_id, env=TEST)


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


def _transfer(number: int, target: Target) -> Any:
    return wallet_pb2.TransferWalletRequest(
        from_user_id=target.user_id,
        to_user_id=target.other_id,
        amount=Money(units=1 + number),
        description=f"op {number}",
        env=TEST,
    )


def _hold(number: int, target: Target) -> Any:
    return wallet_pb2.HoldWalletRequest(
        user_id=target.user_id,
        amount=Money(units=2 + number % 7),
        expires_in_seconds=HOLD_SECONDS,
        description=f"op {number}",
        env=TEST,
    )


def _short_hold(number: int, target: Target) -> Any:
    request = _hold(number, target)
    request.expires_in_seconds = SHORT_HOLD_SECONDS
    return request


def _capture_hold(number: int, target: Target) -> Any:
    amount = Money(units=1 + number % 2) if number % 3 else None
    return wallet_pb2.CaptureHoldRequest(hold_id=target.other_id, amount=amount)


def _release_hold(number: int, target: Target) -> Any:
    return wallet_pb2.ReleaseHoldRequest(hold_id=target.other_id)


def _settle(number: int, target: Target) -> Any:
    """Return a request for an amount of its own, because a settlement has no description."""
    units, cents = divmod(100 + number, 100)
    return wallet_pb2.SettleReceivableRequest(
        user_id=target.user_id, amount=Money(units=units, nanos=cents * 10**7), env=TEST
    )


def _save_card(number: int, target: Target) -> Any:
    token = "pm_card_mastercard" if number % 2 else "pm_card_visa"
    return cards_pb2.CreateStripeCustomerRequest(
        user_id=target.user_id, payment_method_token=token, env=TEST
    )


def _set_up_card(number: int, target: Target) -> Any:
    request = _save_card(number, target)
    request.set_up = True
    return request


def _set_primary(number: int, target: Target) -> Any:
    return cards_pb2.SetPrimaryCardRequest(card_id=target.card_id, user_id=target.user_id)


def _remove_card(number: int, target: Target) -> Any:
    return cards_pb2.RemoveCardRequest(card_id=target.card_id)


def _update_card(number: int, target: Target) -> Any:
    return cards_pb2.UpdateCardRequest(
        card_id=target.card_id, exp_month=12, exp_year=2060 + number % 9
    )


def _import_customer(number: int, target: Target) -> Any:
    return cards_pb2.ImportCustomerRequest(
        user_id=target.user_id,
        gateway=types_pb2.GATEWAY_STRIPE,
        customer_id=target.other_id,
        env=TEST,
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


def _create_api_key(number: int, target: Target) -> Any:
    return business_pb2.CreateApiKeyRequest(
        name=f"op {number}", scopes=[business_pb2.API_KEY_SCOPE_READ]
    )


def _revoke_api_key(number: int, target: Target) -> Any:
    return business_pb2.RevokeApiKeyRequest(key_id=target.other_id)


def _suspend_user(number: int, target: Target) -> Any:
    return users_pb2.SuspendUserRequest(user_id=target.user_id)


def _reactivate_user(number: int, target: Target) -> Any:
    return users_pb2.ReactivateUserRequest(user_id=target.user_id)


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


def _give_back(number: int, target: Target) -> Any:
    return refunds_pb2.RefundPaymentRequest(
        payment_id=target.payment_id,
        amount=Money(units=1 + number),
        description=f"op {number}",
        allow_receivable=True,
        env=TEST,
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


def _job_unpaid(number: int, target: Target) -> Any:
    request = _job(number, target)
    request.interval_type = recurring_pb2.INTERVAL_TYPE_MONTH
    request.ClearField("max_cycles")
    request.retry_days.append(RETRY_DAYS)
    return request


def _job_unpaid_wallet(number: int, target: Target) -> Any:
    request = _job_unpaid(number, target)
    request.source = recurring_pb2.RECURRING_SOURCE_WALLET
    request.amount.CopyFrom(Money(units=1, nanos=number * 10**7))
    return request


def _retry(number: int, target: Target) -> Any:
    return recurring_pb2.RetryRecurringRequest(recurring_id=target.other_id)


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
    "job_unpaid": _job_unpaid,
    "job_unpaid_wallet": _job_unpaid_wallet,
    "retry_card": _retry,
    "retry_wallet": _retry,
    "retry_any": _retry,
    "charge_authorize": _charge_authorize,
    "fund_authorize": _fund_authorize,
    "give_back": _give_back,
    "give_back_authorize": _give_back,
    "reserve": _reserve,
    "reserve_authorize": _reserve_authorize,
    "capture": _capture,
    "capture_authorize": _capture,
    "void": _void,
    "void_authorize": _void,
    "save_authorize": _save_authorize,
    "save_reviewed": _save_authorize,
    "new_profile": _save_authorize,
    "debit": _debit,
    "credit": _credit,
    "overdraw": _overdraw,
    "transfer": _transfer,
    "hold": _hold,
    "short_hold": _short_hold,
    "capture_hold": _capture_hold,
    "release_hold": _release_hold,
    "settle": _settle,
    "save_card": _save_card,
    "new_customer": _save_card,
    "set_primary": _set_primary,
    "remove_card": _remove_card,
    "update_card": _update_card,
    "import_customer": _import_customer,
    "create_user": _create_user,
    "update_user": _update_user,
    "register": _register,
    "modify_business": _modify_business,
    "change_api_key": _change_api_key,
    "create_api_key": _create_api_key,
    "revoke_api_key": _revoke_api_key,
    "suspend_user": _suspend_user,
    "reactivate_user": _reactivate_user,
    "add_stripe": _add_stripe,
    "modify_stripe": _modify_stripe,
    "add_authorize": _add_authorize,
    "modify_authorize": _modify_authorize,
    "set_up_card": _set_up_card,
}
