"""What actions take and answer. Generated from the API's reference: do not edit.

An amount is text such as `25.5`, exactly as it was answered. A time is `YYYY-MM-DD HH:MM:SS`, UTC.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import List, Literal, Optional, TypedDict, Union

Amount = Union[str, int, Decimal]
"""An exact amount in the currency's main unit, such as `"25.50"`."""


@dataclass(frozen=True)
class ValidateBusinessBusiness:
    """The business that the credentials belong to."""

    business_id: str
    """The id of the business that the credentials belong to."""


@dataclass(frozen=True)
class ValidateBusinessResult:
    """What `validate_business` answers."""

    business: ValidateBusinessBusiness
    """The business that the credentials belong to."""


@dataclass(frozen=True)
class GetBusinessInfoBusiness:
    """The calling business."""

    business_id: str
    """The id of the business."""
    name: str
    """The name of the business."""
    email: str
    """The address that the business is reached at. It is at the business's domain."""
    domain: str
    """The internet domain of the business. It never changes."""
    created_at: str
    """When the business was registered."""


@dataclass(frozen=True)
class GetBusinessInfoResult:
    """What `get_business_info` answers."""

    business: GetBusinessInfoBusiness
    """The calling business."""


class RegisterBusinessNewBusinessInput(TypedDict):
    """The business to register."""

    name: str
    """The name of the business, 1 to 200 characters."""
    email: str
    """The address that the business is reached at. It must be at `domain`, compared without case."""
    domain: str
    """The internet domain of the business, for example `northwindcoffee.com`."""


@dataclass(frozen=True)
class RegisterBusinessResult:
    """What `register_business` answers."""

    message: str
    """A sentence for a person."""
    business_id: str
    """The id of the new business, a UUID."""
    api_key: str = field(repr=False)
    """The API key of the new business, 64 hexadecimal digits. Store it now."""
    domain: str
    """The internet domain of the new business."""


class ModifyBusinessUpdatesInput(TypedDict, total=False):
    """The new values."""

    name: str
    """The new name, 1 to 200 characters."""
    email: str
    """The new e-mail address, at the business's domain."""


@dataclass(frozen=True)
class ModifyBusinessResult:
    """What `modify_business` answers."""

    message: str
    """A sentence for a person."""
    business_id: str
    """The id of the business."""
    updated_fields: List[str]
    """The names of the fields that were given."""


@dataclass(frozen=True)
class ChangeApiKeyResult:
    """What `change_api_key` answers."""

    message: str
    """A sentence for a person."""
    business_id: str
    """The id of the business."""
    api_key: str = field(repr=False)
    """The new API key, 64 hexadecimal digits. Store it now."""


class _AddStripeCredentialsCredentialsInputRequired(TypedDict):
    env: Literal["TEST", "LIVE"]
    """The environment that the keys are for. TEST keys hold `_test_`, LIVE keys `_live_`."""
    stripe_secret_key: str
    """The secret (`sk_…`) or restricted (`rk_…`) key."""
    stripe_public_key: str
    """The publishable key (`pk_…`)."""


class AddStripeCredentialsCredentialsInput(
    _AddStripeCredentialsCredentialsInputRequired, total=False
):
    """The keys to store."""

    stripe_webhook_secret: str
    """The signing secret of the webhook endpoint (`whsec_…`)."""
    account_id: str
    """The account to act for (`acct_…`), where it is not the key's own."""


@dataclass(frozen=True)
class AddStripeCredentialsResult:
    """What `add_stripe_credentials` answers."""

    message: str
    """A sentence for a person."""
    env: str
    """The environment that the keys are for."""


class _ModifyStripeCredentialsCredentialsInputRequired(TypedDict):
    env: Literal["TEST", "LIVE"]
    """The environment whose keys change."""


class ModifyStripeCredentialsCredentialsInput(
    _ModifyStripeCredentialsCredentialsInputRequired, total=False
):
    """The keys to change."""

    stripe_secret_key: str
    """The secret (`sk_…`) or restricted (`rk_…`) key."""
    stripe_public_key: str
    """The publishable key (`pk_…`)."""
    stripe_webhook_secret: str
    """The signing secret of the webhook endpoint (`whsec_…`)."""
    account_id: str
    """The account to act for (`acct_…`), where it is not the key's own."""


@dataclass(frozen=True)
class ModifyStripeCredentialsResult:
    """What `modify_stripe_credentials` answers."""

    message: str
    """A sentence for a person."""
    env: str
    """The environment whose keys changed."""


class _AddAuthorizeCredentialsCredentialsInputRequired(TypedDict):
    env: Literal["TEST", "LIVE"]
    """The environment that the keys are for."""
    api_login_id: str
    """The API login id, at most 25 characters."""
    transaction_key: str
    """The transaction key, at most 32 characters; one of over 16 is refused when it is used."""


class AddAuthorizeCredentialsCredentialsInput(
    _AddAuthorizeCredentialsCredentialsInputRequired, total=False
):
    """The keys to store."""

    signature_key: str
    """The signature key that webhooks are signed with, hexadecimal digits."""


@dataclass(frozen=True)
class AddAuthorizeCredentialsResult:
    """What `add_authorize_credentials` answers."""

    message: str
    """A sentence for a person."""
    env: str
    """The environment that the keys are for."""


class _ModifyAuthorizeCredentialsCredentialsInputRequired(TypedDict):
    env: Literal["TEST", "LIVE"]
    """The environment whose keys change."""


class ModifyAuthorizeCredentialsCredentialsInput(
    _ModifyAuthorizeCredentialsCredentialsInputRequired, total=False
):
    """The keys to change."""

    api_login_id: str
    """The API login id, at most 25 characters."""
    transaction_key: str
    """The transaction key, at most 32 characters; one of over 16 is refused when it is used."""
    signature_key: str
    """The signature key that webhooks are signed with, hexadecimal digits."""


@dataclass(frozen=True)
class ModifyAuthorizeCredentialsResult:
    """What `modify_authorize_credentials` answers."""

    message: str
    """A sentence for a person."""
    env: str
    """The environment whose keys changed."""


@dataclass(frozen=True)
class ValidateUserUser:
    """The user."""

    user_id: str
    """The id of the user."""
    active: bool
    """Whether the user is active."""


@dataclass(frozen=True)
class ValidateUserResult:
    """What `validate_user` answers."""

    user: ValidateUserUser
    """The user."""


@dataclass(frozen=True)
class GetUserInfoUser:
    """The user."""

    user_id: str
    """The id of the user."""
    name: str
    """The user's name."""
    email: str
    """The user's e-mail address."""
    created_at: str
    """When the user was created."""


@dataclass(frozen=True)
class GetUserInfoResult:
    """What `get_user_info` answers."""

    user: GetUserInfoUser
    """The user."""


@dataclass(frozen=True)
class GetAllUsersUser:
    """The users of this page."""

    user_id: str
    """The id of the user."""
    name: str
    """The user's name."""
    email: str
    """The user's e-mail address."""


@dataclass(frozen=True)
class GetAllUsersResult:
    """What `get_all_users` answers."""

    count: int
    """How many users this page holds."""
    total: int
    """How many users there are in all."""
    users: List[GetAllUsersUser]
    """The users of this page."""


class UpdateUserUpdatesInput(TypedDict, total=False):
    """The new values."""

    name: str
    """The new name, 1 to 200 characters."""
    email: str
    """The new e-mail address."""
    active: bool
    """Whether the user is active. No money of an inactive user moves, and lists leave them out."""


@dataclass(frozen=True)
class UpdateUserResult:
    """What `update_user` answers."""

    message: str
    """A sentence for a person."""
    updated_fields: List[str]
    """The names of the fields that were given."""


class _CreateUserUserInputRequired(TypedDict):
    name: str
    """The user's name, 1 to 200 characters."""
    email: str
    """The user's e-mail address. Two users may share one."""


class CreateUserUserInput(_CreateUserUserInputRequired, total=False):
    """The user to create."""

    currency: str
    """The currency of the user's wallets, ISO 4217 in either case. Absent: `usd`."""


@dataclass(frozen=True)
class CreateUserUser:
    """The new user."""

    user_id: str
    """The id of the user."""


@dataclass(frozen=True)
class CreateUserWallet:
    """The new user's wallet in the business's default environment."""

    wallet_id: str
    """The id of the wallet."""


@dataclass(frozen=True)
class CreateUserResult:
    """What `create_user` answers."""

    user: CreateUserUser
    """The new user."""
    wallet: CreateUserWallet
    """The new user's wallet in the business's default environment."""


@dataclass(frozen=True)
class GetStripePublicKeyResult:
    """What `get_stripe_public_key` answers."""

    env: str
    """The environment that the key is for."""
    stripe_public_key: str
    """The publishable key (`pk_…`), which is no secret."""


@dataclass(frozen=True)
class GetUserCardsCard:
    """The cards, newest first."""

    gateway: str
    """The gateway that keeps the card."""
    brand: str
    """The card's network in lower case, for example `visa`."""
    last4: str
    """The last four digits of the card number."""
    exp_month: int
    """The month that the card expires in, 1 to 12."""
    exp_year: int
    """The year that the card expires in, four digits."""
    card_id: str
    """The id of the saved card."""
    primary: bool
    """Whether a charge through this gateway uses this card."""
    env: str
    """The environment that the card belongs to."""


@dataclass(frozen=True)
class GetUserCardsResult:
    """What `get_user_cards` answers."""

    cards: List[GetUserCardsCard]
    """The cards, newest first."""


@dataclass(frozen=True)
class GetUserPrimaryCardCard:
    """The card that a charge would use."""

    gateway: str
    """The gateway that keeps the card."""
    brand: str
    """The card's network in lower case, for example `visa`."""
    last4: str
    """The last four digits of the card number."""
    exp_month: int
    """The month that the card expires in, 1 to 12."""
    exp_year: int
    """The year that the card expires in, four digits."""
    card_id: str
    """The id of the saved card."""
    primary: bool
    """Whether a charge through this gateway uses this card."""
    env: str
    """The environment that the card belongs to."""


@dataclass(frozen=True)
class GetUserPrimaryCardResult:
    """What `get_user_primary_card` answers."""

    card: GetUserPrimaryCardCard
    """The card that a charge would use."""


@dataclass(frozen=True)
class CreateStripeCustomerCard:
    """The saved card."""

    gateway: str
    """The gateway that keeps the card."""
    brand: str
    """The card's network in lower case, for example `visa`."""
    last4: str
    """The last four digits of the card number."""
    exp_month: int
    """The month that the card expires in, 1 to 12."""
    exp_year: int
    """The year that the card expires in, four digits."""
    card_id: str
    """The id of the saved card."""
    primary: bool
    """Whether a charge through this gateway uses this card."""
    env: str
    """The environment that the card belongs to."""


@dataclass(frozen=True)
class CreateStripeCustomerResult:
    """What `create_stripe_customer` answers."""

    customer_id: str
    """The id of the Stripe customer (`cus_…`). Every card of the user in this environment has the
    same."""
    card: CreateStripeCustomerCard
    """The saved card."""


class _CreateAuthorizeCustomerPaymentProfileInputRequired(TypedDict):
    card_number: str
    """The card number, 12 to 19 digits; Authorize.Net takes at most 16. Its network and check
    digit must fit."""
    exp_month: int
    """The month that the card expires in, 1 to 12."""
    exp_year: int
    """The year that the card expires in, four digits."""


class CreateAuthorizeCustomerPaymentProfileInput(
    _CreateAuthorizeCustomerPaymentProfileInputRequired, total=False
):
    """The card to save."""

    cvv: str
    """The card's security code, 4 digits for American Express and 3 for every other network."""
    postal_code: str
    """The postal code of the billing address."""


@dataclass(frozen=True)
class CreateAuthorizeCustomerResult:
    """What `create_authorize_customer` answers."""

    customer_profile_id: str
    """The id of the customer profile."""
    payment_profile_id: str
    """The id of the payment profile."""


@dataclass(frozen=True)
class ChargeCustomerResult:
    """What `charge_customer` answers."""

    transaction_id: str
    """The gateway's id of the payment, for example `pi_…`."""
    amount: str
    """The amount that was charged."""
    currency: str
    """The currency of the amount, ISO 4217 in lower case, for example `usd`."""
    status: str
    """The status of the payment."""


@dataclass(frozen=True)
class FundCustomerWallet:
    """The credited wallet."""

    wallet_id: str
    """The id of the wallet."""
    balance: str
    """The balance after the credit."""
    currency: str
    """The currency of the amount, ISO 4217 in lower case, for example `usd`."""


@dataclass(frozen=True)
class FundCustomerResult:
    """What `fund_customer` answers."""

    transaction_id: str
    """The gateway's id of the payment, for example `pi_…`."""
    wallet: FundCustomerWallet
    """The credited wallet."""


@dataclass(frozen=True)
class GetPaymentRecordsPayment:
    """The payments of this page."""

    transaction_id: Optional[str]
    """The gateway's id of the payment, for example `pi_…`. Null while no gateway has answered."""
    amount: str
    """The amount of the payment."""
    currency: str
    """The currency of the amount, ISO 4217 in lower case, for example `usd`."""
    status: str
    """The status of the payment."""
    created_at: str
    """When the payment was created."""
    payment_id: str
    """Our id of the payment, `PAY-…`, which the gateway keeps too."""
    user_id: str
    """The user whose card was charged."""
    gateway: str
    """The gateway."""
    env: str
    """The environment."""
    description: Optional[str]
    """What the payment was for."""
    decline_code: Optional[str]
    """Why the card was declined, in the gateway's words."""
    amount_refunded: Optional[str]
    """How much was refunded. Null: nothing."""


@dataclass(frozen=True)
class GetPaymentRecordsResult:
    """What `get_payment_records` answers."""

    count: int
    """How many payments this page holds."""
    total: int
    """How many payments there are in all."""
    payments: List[GetPaymentRecordsPayment]
    """The payments of this page."""


@dataclass(frozen=True)
class GetUserWalletWallet:
    """The wallet."""

    wallet_id: str
    """The id of the wallet."""
    user_id: str
    """The user whose wallet it is."""
    balance: str
    """What the wallet holds."""
    currency: str
    """The currency of the amount, ISO 4217 in lower case, for example `usd`."""
    updated_at: str
    """When the wallet last changed."""


@dataclass(frozen=True)
class GetUserWalletResult:
    """What `get_user_wallet` answers."""

    wallet: GetUserWalletWallet
    """The wallet."""


@dataclass(frozen=True)
class GetWalletHistoryTransaction:
    """The transactions of this page."""

    transaction_id: str
    """The id of the transaction, `WTX-…`."""
    type: str
    """Which way the money moved."""
    amount: str
    """How much moved."""
    currency: str
    """The currency of the amount, ISO 4217 in lower case, for example `usd`."""
    source: str
    """What moved the money."""
    reason: str
    """Why the money moved."""
    description: Optional[str]
    """What the movement was for."""
    created_at: str
    """When the money moved."""


@dataclass(frozen=True)
class GetWalletHistoryResult:
    """What `get_wallet_history` answers."""

    count: int
    """How many transactions this page holds."""
    total: int
    """How many transactions there are in all."""
    transactions: List[GetWalletHistoryTransaction]
    """The transactions of this page."""


@dataclass(frozen=True)
class ChargeWalletResult:
    """What `charge_wallet` answers."""

    wallet_id: str
    """The id of the wallet."""
    new_balance: str
    """The balance after the debit."""
    currency: str
    """The currency of the amount, ISO 4217 in lower case, for example `usd`."""
    type: str
    """Which way the money moved."""
    source: str
    """What moved the money."""
    reason: str
    """Why the money moved."""
    message: str
    """A sentence for a person."""
    transaction_id: str
    """The id of the transaction, `WTX-…`."""


@dataclass(frozen=True)
class AddWalletFundsResult:
    """What `add_wallet_funds` answers."""

    wallet_id: str
    """The id of the wallet."""
    new_balance: str
    """The balance after the credit."""
    currency: str
    """The currency of the amount, ISO 4217 in lower case, for example `usd`."""
    type: str
    """Which way the money moved."""
    source: str
    """What moved the money."""
    reason: str
    """Why the money moved."""
    message: str
    """A sentence for a person."""
    transaction_id: str
    """The id of the transaction, `WTX-…`."""


@dataclass(frozen=True)
class CreateRecurringResult:
    """What `create_recurring` answers."""

    message: str
    """A sentence for a person."""
    recurring_id: str
    """The id of the job, `REC-…`."""
    next_run: str
    """When the job charges next."""
    timezone: str
    """The IANA time zone of the job."""
    upcoming: List[str]
    """The next dates, as many as `preview` asked for."""


@dataclass(frozen=True)
class UpdateRecurringResult:
    """What `update_recurring` answers."""

    message: str
    """A sentence for a person."""


@dataclass(frozen=True)
class PauseRecurringResult:
    """What `pause_recurring` answers."""

    message: str
    """A sentence for a person."""


@dataclass(frozen=True)
class ResumeRecurringResult:
    """What `resume_recurring` answers."""

    message: str
    """A sentence for a person."""


@dataclass(frozen=True)
class CancelRecurringResult:
    """What `cancel_recurring` answers."""

    message: str
    """A sentence for a person."""


@dataclass(frozen=True)
class ListRecurringRecurring:
    """The jobs of this page."""

    recurring_id: str
    """The id of the job."""
    amount: str
    """The amount of every charge."""
    currency: str
    """The currency of the amount, ISO 4217 in lower case, for example `usd`."""
    interval_type: str
    """The unit of the interval."""
    interval_value: int
    """How many units lie between two charges."""
    status: str
    """The state of the job."""
    next_run: Optional[str]
    """When the job charges next, be it a retry. Null when it does not."""
    last_run: Optional[str]
    """When the job last charged. Null when it has not."""
    executed_cycles: int
    """How many charges succeeded."""
    description: Optional[str]
    """What the payments are for."""
    user_id: str
    """The user whom the job charges."""
    source: str
    """The means that the job charges."""
    timezone: str
    """The IANA time zone of the job."""
    end_at: Optional[str]
    """When the job ends. Null: never."""
    max_cycles: Optional[int]
    """After how many successful charges the job is complete. Null: never."""
    catch_up: str
    """What becomes of occurrences missed in a downtime."""
    env: str
    """The environment of the job."""
    upcoming: List[str]
    """The next dates, as many as `preview` asked for."""


@dataclass(frozen=True)
class ListRecurringResult:
    """What `list_recurring` answers."""

    count: int
    """How many jobs this page holds."""
    total: int
    """How many jobs there are in all."""
    recurring: List[ListRecurringRecurring]
    """The jobs of this page."""


@dataclass(frozen=True)
class GetRecurringLogsLog:
    """The rows of this page."""

    log_id: str
    """The id of the row, `LOG-…`."""
    status: str
    """How the attempt ended."""
    message: str
    """A sentence for a person."""
    attempted_at: str
    """When the attempt was made."""
    transaction_id: Optional[str]
    """The payment's or wallet transaction's id. Null where no money moved."""
    recurring_id: str
    """The job."""
    occurrence: str
    """The occurrence that the attempt was for."""


@dataclass(frozen=True)
class GetRecurringLogsResult:
    """What `get_recurring_logs` answers."""

    count: int
    """How many rows this page holds."""
    total: int
    """How many rows there are in all."""
    logs: List[GetRecurringLogsLog]
    """The rows of this page."""
