"""The blocking client. Generated from the API's reference: do not edit."""

from types import TracebackType
from typing import Literal, Optional, Type

from . import models
from .calls import Settings
from .models import Amount
from .transport import Transport


class Client:
    """Calls the API as one business.

    Every call raises a NiviscoError where it does not succeed, and is repeated first where that is
    safe: an action that changes something carries an idempotency key, one for all its attempts.
    """

    def __init__(
        self,
        business_id: str,
        api_key: str,
        base_url: str,
        *,
        timeout: float = 30.0,
        max_attempts: int = 4,
        allow_plain_http: bool = False,
    ) -> None:
        """Connect to nothing yet; `timeout` is in seconds, for a call with all its attempts.

        Raises:
            ValueError: the URL would show the API key, or is none.
        """
        self._settings = Settings(
            business_id, api_key, base_url, timeout, max_attempts, allow_plain_http
        )
        self._transport = Transport(self._settings)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._settings.business_id!r}, {self._settings.base_url!r})"

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def validate_business(
        self,
    ) -> models.ValidateBusinessResult:
        """Confirms the business's credentials.

        Raises:
            ApiError: INVALID_CREDENTIALS
        """
        return self._transport.call(
            "validate_business",
            {},
            models.ValidateBusinessResult,
            mutates=False,
        )

    def get_business_info(
        self,
    ) -> models.GetBusinessInfoResult:
        """Returns the business's profile.

        Raises:
            ApiError: INVALID_CREDENTIALS
        """
        return self._transport.call(
            "get_business_info",
            {},
            models.GetBusinessInfoResult,
            mutates=False,
        )

    def register_business(
        self,
        *,
        new_business: models.RegisterBusinessNewBusinessInput,
        idempotency_key: Optional[str] = None,
    ) -> models.RegisterBusinessResult:
        """Creates a business and its first API key. Open to the admin business only.

        Args:
            new_business: The business to register.
            idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
                characters.

        Raises:
            ApiError: ADMIN_ONLY, INVALID_FIELDS
        """
        return self._transport.call(
            "register_business",
            {
                "new_business": new_business,
                "idempotency_key": idempotency_key,
            },
            models.RegisterBusinessResult,
            mutates=True,
        )

    def modify_business(
        self,
        *,
        updates: models.ModifyBusinessUpdatesInput,
        idempotency_key: Optional[str] = None,
    ) -> models.ModifyBusinessResult:
        """Changes the business's name or e-mail address. The address stays at the business's
        domain.

        Args:
            updates: The new values.
            idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
                characters.

        Raises:
            ApiError: INVALID_FIELDS
        """
        return self._transport.call(
            "modify_business",
            {
                "updates": updates,
                "idempotency_key": idempotency_key,
            },
            models.ModifyBusinessResult,
            mutates=True,
        )

    def change_api_key(
        self,
        *,
        idempotency_key: Optional[str] = None,
    ) -> models.ChangeApiKeyResult:
        """Replaces the business's API key. The key that made the call stops working at once.

        Args:
            idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
                characters.
        """
        return self._transport.call(
            "change_api_key",
            {
                "idempotency_key": idempotency_key,
            },
            models.ChangeApiKeyResult,
            mutates=True,
        )

    def add_stripe_credentials(
        self,
        *,
        credentials: models.AddStripeCredentialsCredentialsInput,
        idempotency_key: Optional[str] = None,
    ) -> models.AddStripeCredentialsResult:
        """Stores Stripe keys for an environment.

        Args:
            credentials: The keys to store.
            idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
                characters.

        Raises:
            ApiError: INVALID_FIELDS, CREDENTIALS_EXIST
        """
        return self._transport.call(
            "add_stripe_credentials",
            {
                "credentials": credentials,
                "idempotency_key": idempotency_key,
            },
            models.AddStripeCredentialsResult,
            mutates=True,
        )

    def modify_stripe_credentials(
        self,
        *,
        credentials: models.ModifyStripeCredentialsCredentialsInput,
        idempotency_key: Optional[str] = None,
    ) -> models.ModifyStripeCredentialsResult:
        """Changes the Stripe keys of an environment, only what is given.

        Args:
            credentials: The keys to change.
            idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
                characters.

        Raises:
            ApiError: INVALID_FIELDS, CREDENTIALS_NOT_FOUND
        """
        return self._transport.call(
            "modify_stripe_credentials",
            {
                "credentials": credentials,
                "idempotency_key": idempotency_key,
            },
            models.ModifyStripeCredentialsResult,
            mutates=True,
        )

    def add_authorize_credentials(
        self,
        *,
        credentials: models.AddAuthorizeCredentialsCredentialsInput,
        idempotency_key: Optional[str] = None,
    ) -> models.AddAuthorizeCredentialsResult:
        """Stores Authorize.Net keys for an environment.

        Args:
            credentials: The keys to store.
            idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
                characters.

        Raises:
            ApiError: INVALID_FIELDS, CREDENTIALS_EXIST
        """
        return self._transport.call(
            "add_authorize_credentials",
            {
                "credentials": credentials,
                "idempotency_key": idempotency_key,
            },
            models.AddAuthorizeCredentialsResult,
            mutates=True,
        )

    def modify_authorize_credentials(
        self,
        *,
        credentials: models.ModifyAuthorizeCredentialsCredentialsInput,
        idempotency_key: Optional[str] = None,
    ) -> models.ModifyAuthorizeCredentialsResult:
        """Changes the Authorize.Net keys of an environment, only what is given.

        Args:
            credentials: The keys to change.
            idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
                characters.

        Raises:
            ApiError: INVALID_FIELDS, CREDENTIALS_NOT_FOUND
        """
        return self._transport.call(
            "modify_authorize_credentials",
            {
                "credentials": credentials,
                "idempotency_key": idempotency_key,
            },
            models.ModifyAuthorizeCredentialsResult,
            mutates=True,
        )

    def validate_user(
        self,
        *,
        user_id: str,
    ) -> models.ValidateUserResult:
        """Tells whether a user belongs to the business and is active.

        Args:
            user_id: The id of the user, for example `USR-5678`.

        Raises:
            ApiError: USER_NOT_FOUND
        """
        return self._transport.call(
            "validate_user",
            {
                "user_id": user_id,
            },
            models.ValidateUserResult,
            mutates=False,
        )

    def get_user_info(
        self,
        *,
        user_id: str,
    ) -> models.GetUserInfoResult:
        """Returns a user's profile.

        Args:
            user_id: The id of the user, for example `USR-5678`.

        Raises:
            ApiError: USER_NOT_FOUND
        """
        return self._transport.call(
            "get_user_info",
            {
                "user_id": user_id,
            },
            models.GetUserInfoResult,
            mutates=False,
        )

    def get_all_users(
        self,
        *,
        page: Optional[int] = None,
        limit: Optional[int] = None,
        from_date: Optional[str] = None,
        to_date: Optional[str] = None,
    ) -> models.GetAllUsersResult:
        """Lists the business's active users, newest first.

        Args:
            page: The page, from 1. Absent: 1.
            limit: How many a page holds, 1 to 100. Absent: 25.
            from_date: Only users created at this time or later.
            to_date: Only users created at this time or earlier. A date alone includes that
                day.
        """
        return self._transport.call(
            "get_all_users",
            {
                "page": page,
                "limit": limit,
                "from_date": from_date,
                "to_date": to_date,
            },
            models.GetAllUsersResult,
            mutates=False,
        )

    def update_user(
        self,
        *,
        user_id: str,
        updates: models.UpdateUserUpdatesInput,
        idempotency_key: Optional[str] = None,
    ) -> models.UpdateUserResult:
        """Changes a user's name, e-mail address or activity.

        Args:
            user_id: The id of the user, for example `USR-5678`.
            updates: The new values.
            idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
                characters.

        Raises:
            ApiError: USER_NOT_FOUND, INVALID_FIELDS
        """
        return self._transport.call(
            "update_user",
            {
                "user_id": user_id,
                "updates": updates,
                "idempotency_key": idempotency_key,
            },
            models.UpdateUserResult,
            mutates=True,
        )

    def create_user(
        self,
        *,
        user: models.CreateUserUserInput,
        idempotency_key: Optional[str] = None,
    ) -> models.CreateUserResult:
        """Creates a user and their wallet in the business's default environment.

        Args:
            user: The user to create.
            idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
                characters.
        """
        return self._transport.call(
            "create_user",
            {
                "user": user,
                "idempotency_key": idempotency_key,
            },
            models.CreateUserResult,
            mutates=True,
        )

    def get_stripe_public_key(
        self,
        *,
        env: Optional[Literal["TEST", "LIVE"]] = None,
    ) -> models.GetStripePublicKeyResult:
        """Returns the business's Stripe publishable key.

        Args:
            env: The environment. Absent: the business's default.

        Raises:
            ApiError: CREDENTIALS_MISSING
        """
        return self._transport.call(
            "get_stripe_public_key",
            {
                "env": env,
            },
            models.GetStripePublicKeyResult,
            mutates=False,
        )

    def get_user_cards(
        self,
        *,
        user_id: str,
        env: Optional[Literal["TEST", "LIVE"]] = None,
    ) -> models.GetUserCardsResult:
        """Lists a user's saved cards, newest first.

        Args:
            user_id: The id of the user, for example `USR-5678`.
            env: The environment. Absent: the business's default.

        Raises:
            ApiError: USER_NOT_FOUND
        """
        return self._transport.call(
            "get_user_cards",
            {
                "user_id": user_id,
                "env": env,
            },
            models.GetUserCardsResult,
            mutates=False,
        )

    def get_user_primary_card(
        self,
        *,
        user_id: str,
        env: Optional[Literal["TEST", "LIVE"]] = None,
        gateway: Optional[Literal["stripe", "authorize"]] = None,
    ) -> models.GetUserPrimaryCardResult:
        """Returns the card that a charge would use.

        Args:
            user_id: The id of the user, for example `USR-5678`.
            env: The environment. Absent: the business's default.
            gateway: The gateway. Absent: the user's default gateway.

        Raises:
            ApiError: USER_NOT_FOUND, CARD_NOT_FOUND
        """
        return self._transport.call(
            "get_user_primary_card",
            {
                "user_id": user_id,
                "env": env,
                "gateway": gateway,
            },
            models.GetUserPrimaryCardResult,
            mutates=False,
        )

    def create_stripe_customer(
        self,
        *,
        user_id: str,
        payment_method_token: str,
        set_as_primary: Optional[bool] = None,
        env: Optional[Literal["TEST", "LIVE"]] = None,
        idempotency_key: Optional[str] = None,
    ) -> models.CreateStripeCustomerResult:
        """Saves a card at Stripe from a token, with a Stripe customer for the user.

        Args:
            user_id: The id of the user, for example `USR-5678`.
            payment_method_token: A Stripe payment method (`pm_…`) or card token (`tok_…`),
                as Stripe's browser library makes them.
            set_as_primary: Whether charges use this card, and Stripe, from now on. The
                user's first card is primary in any case.
            env: The environment. Absent: the business's default.
            idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
                characters.

        Raises:
            ApiError: USER_NOT_FOUND, USER_INACTIVE, CREDENTIALS_MISSING, CARD_DECLINED,
                GATEWAY_REFUSED, GATEWAY_UNAVAILABLE, OUTCOME_UNKNOWN
        """
        return self._transport.call(
            "create_stripe_customer",
            {
                "user_id": user_id,
                "payment_method_token": payment_method_token,
                "set_as_primary": set_as_primary,
                "env": env,
                "idempotency_key": idempotency_key,
            },
            models.CreateStripeCustomerResult,
            mutates=True,
        )

    def create_authorize_customer(
        self,
        *,
        user_id: str,
        payment_profile: models.CreateAuthorizeCustomerPaymentProfileInput,
        set_as_primary: Optional[bool] = None,
        env: Optional[Literal["TEST", "LIVE"]] = None,
        idempotency_key: Optional[str] = None,
    ) -> models.CreateAuthorizeCustomerResult:
        """Saves a card at Authorize.Net, with a customer profile for the user.

        Args:
            user_id: The id of the user, for example `USR-5678`.
            payment_profile: The card to save.
            set_as_primary: Whether charges use this card, and Authorize.Net, from now on.
                The user's first card is primary in any case.
            env: The environment. Absent: the business's default.
            idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
                characters.

        Raises:
            ApiError: USER_NOT_FOUND, USER_INACTIVE, CREDENTIALS_MISSING, CARD_DECLINED,
                GATEWAY_REFUSED, GATEWAY_UNAVAILABLE, OUTCOME_UNKNOWN
        """
        return self._transport.call(
            "create_authorize_customer",
            {
                "user_id": user_id,
                "payment_profile": payment_profile,
                "set_as_primary": set_as_primary,
                "env": env,
                "idempotency_key": idempotency_key,
            },
            models.CreateAuthorizeCustomerResult,
            mutates=True,
        )

    def charge_customer(
        self,
        *,
        user_id: str,
        amount: Amount,
        currency: Optional[str] = None,
        description: Optional[str] = None,
        env: Optional[Literal["TEST", "LIVE"]] = None,
        gateway: Optional[Literal["stripe", "authorize"]] = None,
        idempotency_key: Optional[str] = None,
    ) -> models.ChargeCustomerResult:
        """Charges the user's primary card.

        Args:
            user_id: The id of the user, for example `USR-5678`.
            amount: The amount to charge, above zero. Without a currency: the wallet's.
            currency: The currency of the amount, ISO 4217 in either case, for example
                `usd`.
            description: What the payment is for, at most 500 characters. The gateway shows
                it.
            env: The environment. Absent: the business's default.
            gateway: The gateway. Absent: the user's default gateway.
            idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
                characters.

        Raises:
            ApiError: USER_NOT_FOUND, CARD_NOT_FOUND, CREDENTIALS_MISSING, CARD_DECLINED,
                AUTHENTICATION_REQUIRED, GATEWAY_REFUSED, GATEWAY_UNAVAILABLE, OUTCOME_UNKNOWN
        """
        return self._transport.call(
            "charge_customer",
            {
                "user_id": user_id,
                "amount": amount,
                "currency": currency,
                "description": description,
                "env": env,
                "gateway": gateway,
                "idempotency_key": idempotency_key,
            },
            models.ChargeCustomerResult,
            mutates=True,
        )

    def fund_customer(
        self,
        *,
        user_id: str,
        amount: Amount,
        currency: Optional[str] = None,
        description: Optional[str] = None,
        env: Optional[Literal["TEST", "LIVE"]] = None,
        gateway: Optional[Literal["stripe", "authorize"]] = None,
        idempotency_key: Optional[str] = None,
    ) -> models.FundCustomerResult:
        """Charges the user's primary card and credits their wallet with the amount.

        Args:
            user_id: The id of the user, for example `USR-5678`.
            amount: The amount to charge and credit, above zero. Its currency is the
                wallet's, which is also the default.
            currency: The currency of the amount, ISO 4217 in either case, for example
                `usd`.
            description: What the payment is for, at most 500 characters. The gateway and
                the wallet's history show it.
            env: The environment. Absent: the business's default.
            gateway: The gateway. Absent: the user's default gateway.
            idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
                characters.

        Raises:
            ApiError: USER_NOT_FOUND, CARD_NOT_FOUND, CREDENTIALS_MISSING, CARD_DECLINED,
                AUTHENTICATION_REQUIRED, GATEWAY_REFUSED, GATEWAY_UNAVAILABLE, OUTCOME_UNKNOWN,
                WALLET_LIMIT
        """
        return self._transport.call(
            "fund_customer",
            {
                "user_id": user_id,
                "amount": amount,
                "currency": currency,
                "description": description,
                "env": env,
                "gateway": gateway,
                "idempotency_key": idempotency_key,
            },
            models.FundCustomerResult,
            mutates=True,
        )

    def get_payment_records(
        self,
        *,
        page: Optional[int] = None,
        limit: Optional[int] = None,
        from_date: Optional[str] = None,
        to_date: Optional[str] = None,
        user_id: Optional[str] = None,
        status: Optional[
            Literal[
                "pending",
                "succeeded",
                "declined",
                "requires_action",
                "failed",
                "needs_review",
                "held_for_review",
                "voided",
                "partially_refunded",
                "refunded",
                "disputed",
            ]
        ] = None,
        gateway: Optional[Literal["stripe", "authorize"]] = None,
        env: Optional[Literal["TEST", "LIVE"]] = None,
    ) -> models.GetPaymentRecordsResult:
        """Lists the business's card payments, newest first.

        Args:
            page: The page, from 1. Absent: 1.
            limit: How many a page holds, 1 to 100. Absent: 25.
            from_date: Only payments created at this time or later.
            to_date: Only payments created at this time or earlier. A date alone includes
                that day.
            user_id: Only payments of this user.
            status: Only payments with this status.
            gateway: Only payments through this gateway.
            env: Only payments of this environment. Absent: the business's default.
        """
        return self._transport.call(
            "get_payment_records",
            {
                "page": page,
                "limit": limit,
                "from_date": from_date,
                "to_date": to_date,
                "user_id": user_id,
                "status": status,
                "gateway": gateway,
                "env": env,
            },
            models.GetPaymentRecordsResult,
            mutates=False,
        )

    def get_user_wallet(
        self,
        *,
        user_id: str,
        env: Optional[Literal["TEST", "LIVE"]] = None,
    ) -> models.GetUserWalletResult:
        """Returns a user's wallet.

        Args:
            user_id: The id of the user, for example `USR-5678`.
            env: The environment. Absent: the business's default.

        Raises:
            ApiError: USER_NOT_FOUND
        """
        return self._transport.call(
            "get_user_wallet",
            {
                "user_id": user_id,
                "env": env,
            },
            models.GetUserWalletResult,
            mutates=False,
        )

    def get_wallet_history(
        self,
        *,
        user_id: str,
        env: Optional[Literal["TEST", "LIVE"]] = None,
        page: Optional[int] = None,
        limit: Optional[int] = None,
        from_date: Optional[str] = None,
        to_date: Optional[str] = None,
    ) -> models.GetWalletHistoryResult:
        """Lists a wallet's transactions, newest first.

        Args:
            user_id: The id of the user, for example `USR-5678`.
            env: The environment. Absent: the business's default.
            page: The page, from 1. Absent: 1.
            limit: How many a page holds, 1 to 100. Absent: 25.
            from_date: Only transactions at this time or later.
            to_date: Only transactions at this time or earlier. A date alone includes that
                day.

        Raises:
            ApiError: USER_NOT_FOUND
        """
        return self._transport.call(
            "get_wallet_history",
            {
                "user_id": user_id,
                "env": env,
                "page": page,
                "limit": limit,
                "from_date": from_date,
                "to_date": to_date,
            },
            models.GetWalletHistoryResult,
            mutates=False,
        )

    def charge_wallet(
        self,
        *,
        user_id: str,
        amount: Amount,
        currency: Optional[str] = None,
        description: Optional[str] = None,
        env: Optional[Literal["TEST", "LIVE"]] = None,
        idempotency_key: Optional[str] = None,
    ) -> models.ChargeWalletResult:
        """Debits a wallet.

        Args:
            user_id: The id of the user, for example `USR-5678`.
            amount: The amount to debit, above zero. Its currency is the wallet's, which is
                also the default.
            currency: The currency of the amount, ISO 4217 in either case, for example
                `usd`.
            description: What the debit is for, at most 500 characters.
            env: The environment. Absent: the business's default.
            idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
                characters.

        Raises:
            ApiError: USER_NOT_FOUND, USER_INACTIVE, WALLET_TOO_LOW
        """
        return self._transport.call(
            "charge_wallet",
            {
                "user_id": user_id,
                "amount": amount,
                "currency": currency,
                "description": description,
                "env": env,
                "idempotency_key": idempotency_key,
            },
            models.ChargeWalletResult,
            mutates=True,
        )

    def add_wallet_funds(
        self,
        *,
        user_id: str,
        amount: Amount,
        currency: Optional[str] = None,
        description: Optional[str] = None,
        env: Optional[Literal["TEST", "LIVE"]] = None,
        idempotency_key: Optional[str] = None,
    ) -> models.AddWalletFundsResult:
        """Credits a wallet.

        Args:
            user_id: The id of the user, for example `USR-5678`.
            amount: The amount to credit, above zero. Its currency is the wallet's, which is
                also the default.
            currency: The currency of the amount, ISO 4217 in either case, for example
                `usd`.
            description: What the credit is for, at most 500 characters.
            env: The environment. Absent: the business's default.
            idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
                characters.

        Raises:
            ApiError: USER_NOT_FOUND, USER_INACTIVE, WALLET_LIMIT
        """
        return self._transport.call(
            "add_wallet_funds",
            {
                "user_id": user_id,
                "amount": amount,
                "currency": currency,
                "description": description,
                "env": env,
                "idempotency_key": idempotency_key,
            },
            models.AddWalletFundsResult,
            mutates=True,
        )

    def create_recurring(
        self,
        *,
        user_id: str,
        amount: Amount,
        interval_type: Literal["day", "week", "month", "year"],
        currency: Optional[str] = None,
        interval_value: Optional[int] = None,
        source: Optional[Literal["stripe", "authorize", "wallet"]] = None,
        description: Optional[str] = None,
        start_at: Optional[str] = None,
        timezone: Optional[str] = None,
        end_at: Optional[str] = None,
        max_cycles: Optional[int] = None,
        catch_up: Optional[Literal["latest", "all", "skip"]] = None,
        env: Optional[Literal["TEST", "LIVE"]] = None,
        preview: Optional[int] = None,
        idempotency_key: Optional[str] = None,
    ) -> models.CreateRecurringResult:
        """Creates a job. Its first charge is the first occurrence after now.

        Args:
            user_id: The id of the user, for example `USR-5678`.
            amount: The amount of every charge, above zero. Without a currency: `usd`, or
                the wallet's for source WALLET.
            interval_type: The unit of the interval.
            currency: The currency of the amount, ISO 4217 in either case, for example
                `usd`.
            interval_value: How many units lie between two charges, 1 to 1000. Absent: 1.
            source: The means to charge. Absent: the user's default gateway.
            description: What the payments are for, at most 500 characters.
            start_at: When the calendar starts, ISO 8601. Without an offset it is local time
                in `timezone`. Absent: now.
            timezone: The IANA time zone whose wall clock the charges keep, for example
                `America/Chicago`. Absent: `UTC`.
            end_at: When the job ends, ISO 8601, inclusive. Without an offset it is local
                time in `timezone`.
            max_cycles: After how many successful charges the job is complete. Absent:
                never.
            catch_up: What becomes of occurrences missed in a downtime. Absent: LATEST.
            env: The environment. Absent: the business's default. The job keeps it.
            preview: How many of the next dates the answer shows, up to 24.
            idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
                characters.

        Raises:
            ApiError: USER_NOT_FOUND, USER_INACTIVE, INVALID_FIELDS
        """
        return self._transport.call(
            "create_recurring",
            {
                "user_id": user_id,
                "amount": amount,
                "currency": currency,
                "interval_type": interval_type,
                "interval_value": interval_value,
                "source": source,
                "description": description,
                "start_at": start_at,
                "timezone": timezone,
                "end_at": end_at,
                "max_cycles": max_cycles,
                "catch_up": catch_up,
                "env": env,
                "preview": preview,
                "idempotency_key": idempotency_key,
            },
            models.CreateRecurringResult,
            mutates=True,
        )

    def update_recurring(
        self,
        *,
        recurring_id: str,
        amount: Optional[Amount] = None,
        currency: Optional[str] = None,
        interval_type: Optional[Literal["day", "week", "month", "year"]] = None,
        interval_value: Optional[int] = None,
        source: Optional[Literal["stripe", "authorize", "wallet"]] = None,
        description: Optional[str] = None,
        start_at: Optional[str] = None,
        timezone: Optional[str] = None,
        end_at: Optional[str] = None,
        max_cycles: Optional[int] = None,
        catch_up: Optional[Literal["latest", "all", "skip"]] = None,
        status: Optional[Literal["active", "paused", "cancelled", "completed"]] = None,
        idempotency_key: Optional[str] = None,
    ) -> models.UpdateRecurringResult:
        """Changes a job for the cycles that have not begun.

        Args:
            recurring_id: The id of the job, for example `REC-123`.
            amount: The new amount, above zero.
            currency: The currency of the amount, ISO 4217 in either case, for example
                `usd`.
            interval_type: The new unit of the interval.
            interval_value: The new number of units, 1 to 1000.
            source: The new means to charge.
            description: The new description, at most 500 characters.
            start_at: The new start of the calendar, ISO 8601.
            timezone: The new IANA time zone.
            end_at: The new end, ISO 8601, inclusive.
            max_cycles: The new number of successful charges after which the job is
                complete.
            catch_up: The new rule for occurrences missed in a downtime.
            status: The new state: ACTIVE, PAUSED or CANCELLED.
            idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
                characters.

        Raises:
            ApiError: RECURRING_NOT_FOUND, RECURRING_STATE, INVALID_FIELDS
        """
        return self._transport.call(
            "update_recurring",
            {
                "recurring_id": recurring_id,
                "amount": amount,
                "currency": currency,
                "interval_type": interval_type,
                "interval_value": interval_value,
                "source": source,
                "description": description,
                "start_at": start_at,
                "timezone": timezone,
                "end_at": end_at,
                "max_cycles": max_cycles,
                "catch_up": catch_up,
                "status": status,
                "idempotency_key": idempotency_key,
            },
            models.UpdateRecurringResult,
            mutates=True,
        )

    def pause_recurring(
        self,
        *,
        recurring_id: str,
        idempotency_key: Optional[str] = None,
    ) -> models.PauseRecurringResult:
        """Pauses a job; its calendar stays.

        Args:
            recurring_id: The id of the job, for example `REC-123`.
            idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
                characters.

        Raises:
            ApiError: RECURRING_NOT_FOUND, RECURRING_STATE
        """
        return self._transport.call(
            "pause_recurring",
            {
                "recurring_id": recurring_id,
                "idempotency_key": idempotency_key,
            },
            models.PauseRecurringResult,
            mutates=True,
        )

    def resume_recurring(
        self,
        *,
        recurring_id: str,
        idempotency_key: Optional[str] = None,
    ) -> models.ResumeRecurringResult:
        """Resumes a paused job at its next occurrence after now.

        Args:
            recurring_id: The id of the job, for example `REC-123`.
            idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
                characters.

        Raises:
            ApiError: RECURRING_NOT_FOUND, RECURRING_STATE
        """
        return self._transport.call(
            "resume_recurring",
            {
                "recurring_id": recurring_id,
                "idempotency_key": idempotency_key,
            },
            models.ResumeRecurringResult,
            mutates=True,
        )

    def cancel_recurring(
        self,
        *,
        recurring_id: str,
        idempotency_key: Optional[str] = None,
    ) -> models.CancelRecurringResult:
        """Cancels a job for good. No charge starts after the answer.

        Args:
            recurring_id: The id of the job, for example `REC-123`.
            idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
                characters.

        Raises:
            ApiError: RECURRING_NOT_FOUND
        """
        return self._transport.call(
            "cancel_recurring",
            {
                "recurring_id": recurring_id,
                "idempotency_key": idempotency_key,
            },
            models.CancelRecurringResult,
            mutates=True,
        )

    def list_recurring(
        self,
        *,
        user_id: Optional[str] = None,
        status: Optional[Literal["active", "paused", "cancelled", "completed"]] = None,
        page: Optional[int] = None,
        limit: Optional[int] = None,
        from_date: Optional[str] = None,
        to_date: Optional[str] = None,
        env: Optional[Literal["TEST", "LIVE"]] = None,
        preview: Optional[int] = None,
    ) -> models.ListRecurringResult:
        """Lists the business's jobs, newest first.

        Args:
            user_id: Only jobs of this user.
            status: Only jobs in this state.
            page: The page, from 1. Absent: 1.
            limit: How many a page holds, 1 to 100. Absent: 25.
            from_date: Only jobs created at this time or later.
            to_date: Only jobs created at this time or earlier. A date alone includes that
                day.
            env: Only jobs of this environment. Absent: the business's default.
            preview: How many of the next dates each job shows, up to 24.
        """
        return self._transport.call(
            "list_recurring",
            {
                "user_id": user_id,
                "status": status,
                "page": page,
                "limit": limit,
                "from_date": from_date,
                "to_date": to_date,
                "env": env,
                "preview": preview,
            },
            models.ListRecurringResult,
            mutates=False,
        )

    def get_recurring_logs(
        self,
        *,
        recurring_id: Optional[str] = None,
        user_id: Optional[str] = None,
        status: Optional[
            Literal["succeeded", "declined", "requires_action", "failed", "skipped"]
        ] = None,
        page: Optional[int] = None,
        limit: Optional[int] = None,
        from_date: Optional[str] = None,
        to_date: Optional[str] = None,
    ) -> models.GetRecurringLogsResult:
        """Lists what the business's jobs did, newest first.

        Args:
            recurring_id: Only rows of this job.
            user_id: Only rows of this user's jobs.
            status: Only rows with this outcome.
            page: The page, from 1. Absent: 1.
            limit: How many a page holds, 1 to 100. Absent: 25.
            from_date: Only rows at this time or later.
            to_date: Only rows at this time or earlier. A date alone includes that day.

        Raises:
            ApiError: RECURRING_NOT_FOUND
        """
        return self._transport.call(
            "get_recurring_logs",
            {
                "recurring_id": recurring_id,
                "user_id": user_id,
                "status": status,
                "page": page,
                "limit": limit,
                "from_date": from_date,
                "to_date": to_date,
            },
            models.GetRecurringLogsResult,
            mutates=False,
        )
