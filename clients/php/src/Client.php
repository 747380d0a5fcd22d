<?php

declare(strict_types=1);

namespace Nivisco\Payments;

/**
 * Calls the API as one business. Generated from the API's reference: do not edit.
 *
 * Every call throws a NiviscoException where it does not succeed, and is repeated first where that
 * is safe: an action that changes something carries an idempotency key, one for all its attempts.
 * An amount is text such as '25.5', exactly as it was answered.
 */
final class Client
{
    private Transport $transport;

    /**
     * @param array{timeout?: float|int, max_attempts?: int, allow_plain_http?: bool} $options
     *     timeout in seconds, for a call with all its attempts
     *
     * @throws \InvalidArgumentException the URL would show the API key, or is none
     */
    public function __construct(
        string $businessId,
        #[\SensitiveParameter]
        string $apiKey,
        string $baseUrl,
        array $options = []
    ) {
        $this->transport = new Transport(
            $businessId,
            $apiKey,
            $baseUrl,
            (float) ($options['timeout'] ?? 30.0),
            $options['max_attempts'] ?? 4,
            $options['allow_plain_http'] ?? false
        );
    }

    /**
     * Confirms the business's credentials.
     *
     * @throws NiviscoException INVALID_CREDENTIALS
     */
    public function validateBusiness(): Result\ValidateBusinessResult
    {
        $answer = $this->transport->call('validate_business', [], false);

        return Result\ValidateBusinessResult::read($answer);
    }

    /**
     * Returns the business's profile.
     *
     * @throws NiviscoException INVALID_CREDENTIALS
     */
    public function getBusinessInfo(): Result\GetBusinessInfoResult
    {
        $answer = $this->transport->call('get_business_info', [], false);

        return Result\GetBusinessInfoResult::read($answer);
    }

    /**
     * Creates a business and its first API key. Open to the admin business only.
     *
     * @param array{new_business: array{name: string, email: string, domain: string}, idempotency_key?: string} $fields
     *     new_business: The business to register.
     *     idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
     *         characters.
     *
     * @throws NiviscoException ADMIN_ONLY, INVALID_FIELDS
     */
    public function registerBusiness(
        #[\SensitiveParameter]
        array $fields
    ): Result\RegisterBusinessResult {
        $answer = $this->transport->call('register_business', $fields, true);

        return Result\RegisterBusinessResult::read($answer);
    }

    /**
     * Changes the business's name or e-mail address. The address stays at the business's
     * domain.
     *
     * @param array{updates: array{name?: string, email?: string}, idempotency_key?: string} $fields
     *     updates: The new values.
     *     idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
     *         characters.
     *
     * @throws NiviscoException INVALID_FIELDS
     */
    public function modifyBusiness(
        #[\SensitiveParameter]
        array $fields
    ): Result\ModifyBusinessResult {
        $answer = $this->transport->call('modify_business', $fields, true);

        return Result\ModifyBusinessResult::read($answer);
    }

    /**
     * Replaces the business's API key. The key that made the call stops working at once.
     *
     * @param array{idempotency_key?: string} $fields
     *     idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
     *         characters.
     *
     * @throws NiviscoException
     */
    public function changeApiKey(
        #[\SensitiveParameter]
        array $fields = []
    ): Result\ChangeApiKeyResult {
        $answer = $this->transport->call('change_api_key', $fields, true);

        return Result\ChangeApiKeyResult::read($answer);
    }

    /**
     * Stores Stripe keys for an environment.
     *
     * @param array{credentials: array{env: 'TEST'|'LIVE', stripe_secret_key: string, stripe_public_key: string, stripe_webhook_secret?: string, account_id?: string}, idempotency_key?: string} $fields
     *     credentials: The keys to store.
     *     idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
     *         characters.
     *
     * @throws NiviscoException INVALID_FIELDS, CREDENTIALS_EXIST
     */
    public function addStripeCredentials(
        #[\SensitiveParameter]
        array $fields
    ): Result\AddStripeCredentialsResult {
        $answer = $this->transport->call('add_stripe_credentials', $fields, true);

        return Result\AddStripeCredentialsResult::read($answer);
    }

    /**
     * Changes the Stripe keys of an environment, only what is given.
     *
     * @param array{credentials: array{env: 'TEST'|'LIVE', stripe_secret_key?: string, stripe_public_key?: string, stripe_webhook_secret?: string, account_id?: string}, idempotency_key?: string} $fields
     *     credentials: The keys to change.
     *     idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
     *         characters.
     *
     * @throws NiviscoException INVALID_FIELDS, CREDENTIALS_NOT_FOUND
     */
    public function modifyStripeCredentials(
        #[\SensitiveParameter]
        array $fields
    ): Result\ModifyStripeCredentialsResult {
        $answer = $this->transport->call('modify_stripe_credentials', $fields, true);

        return Result\ModifyStripeCredentialsResult::read($answer);
    }

    /**
     * Stores Authorize.Net keys for an environment.
     *
     * @param array{credentials: array{env: 'TEST'|'LIVE', api_login_id: string, transaction_key: string, signature_key?: string}, idempotency_key?: string} $fields
     *     credentials: The keys to store.
     *     idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
     *         characters.
     *
     * @throws NiviscoException INVALID_FIELDS, CREDENTIALS_EXIST
     */
    public function addAuthorizeCredentials(
        #[\SensitiveParameter]
        array $fields
    ): Result\AddAuthorizeCredentialsResult {
        $answer = $this->transport->call('add_authorize_credentials', $fields, true);

        return Result\AddAuthorizeCredentialsResult::read($answer);
    }

    /**
     * Changes the Authorize.Net keys of an environment, only what is given.
     *
     * @param array{credentials: array{env: 'TEST'|'LIVE', api_login_id?: string, transaction_key?: string, signature_key?: string}, idempotency_key?: string} $fields
     *     credentials: The keys to change.
     *     idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
     *         characters.
     *
     * @throws NiviscoException INVALID_FIELDS, CREDENTIALS_NOT_FOUND
     */
    public function modifyAuthorizeCredentials(
        #[\SensitiveParameter]
        array $fields
    ): Result\ModifyAuthorizeCredentialsResult {
        $answer = $this->transport->call('modify_authorize_credentials', $fields, true);

        return Result\ModifyAuthorizeCredentialsResult::read($answer);
    }

    /**
     * Tells whether a user belongs to the business and is active.
     *
     * @param array{user_id: string} $fields
     *     user_id: The id of the user, for example `USR-5678`.
     *
     * @throws NiviscoException USER_NOT_FOUND
     */
    public function validateUser(
        #[\SensitiveParameter]
        array $fields
    ): Result\ValidateUserResult {
        $answer = $this->transport->call('validate_user', $fields, false);

        return Result\ValidateUserResult::read($answer);
    }

    /**
     * Returns a user's profile.
     *
     * @param array{user_id: string} $fields
     *     user_id: The id of the user, for example `USR-5678`.
     *
     * @throws NiviscoException USER_NOT_FOUND
     */
    public function getUserInfo(
        #[\SensitiveParameter]
        array $fields
    ): Result\GetUserInfoResult {
        $answer = $this->transport->call('get_user_info', $fields, false);

        return Result\GetUserInfoResult::read($answer);
    }

    /**
     * Lists the business's active users, newest first.
     *
     * @param array{page?: int, limit?: int, from_date?: string, to_date?: string} $fields
     *     page: The page, from 1. Absent: 1.
     *     limit: How many a page holds, 1 to 100. Absent: 25.
     *     from_date: Only users created at this time or later.
     *     to_date: Only users created at this time or earlier. A date alone includes that
     *         day.
     *
     * @throws NiviscoException
     */
    public function getAllUsers(
        #[\SensitiveParameter]
        array $fields = []
    ): Result\GetAllUsersResult {
        $answer = $this->transport->call('get_all_users', $fields, false);

        return Result\GetAllUsersResult::read($answer);
    }

    /**
     * Changes a user's name, e-mail address or activity.
     *
     * @param array{user_id: string, updates: array{name?: string, email?: string, active?: bool}, idempotency_key?: string} $fields
     *     user_id: The id of the user, for example `USR-5678`.
     *     updates: The new values.
     *     idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
     *         characters.
     *
     * @throws NiviscoException USER_NOT_FOUND, INVALID_FIELDS
     */
    public function updateUser(
        #[\SensitiveParameter]
        array $fields
    ): Result\UpdateUserResult {
        $answer = $this->transport->call('update_user', $fields, true);

        return Result\UpdateUserResult::read($answer);
    }

    /**
     * Creates a user and their wallet in the business's default environment.
     *
     * @param array{user: array{name: string, email: string, currency?: string}, idempotency_key?: string} $fields
     *     user: The user to create.
     *     idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
     *         characters.
     *
     * @throws NiviscoException
     */
    public function createUser(
        #[\SensitiveParameter]
        array $fields
    ): Result\CreateUserResult {
        $answer = $this->transport->call('create_user', $fields, true);

        return Result\CreateUserResult::read($answer);
    }

    /**
     * Returns the business's Stripe publishable key.
     *
     * @param array{env?: 'TEST'|'LIVE'} $fields
     *     env: The environment. Absent: the business's default.
     *
     * @throws NiviscoException CREDENTIALS_MISSING
     */
    public function getStripePublicKey(
        #[\SensitiveParameter]
        array $fields = []
    ): Result\GetStripePublicKeyResult {
        $answer = $this->transport->call('get_stripe_public_key', $fields, false);

        return Result\GetStripePublicKeyResult::read($answer);
    }

    /**
     * Lists a user's saved cards, newest first.
     *
     * @param array{user_id: string, env?: 'TEST'|'LIVE'} $fields
     *     user_id: The id of the user, for example `USR-5678`.
     *     env: The environment. Absent: the business's default.
     *
     * @throws NiviscoException USER_NOT_FOUND
     */
    public function getUserCards(
        #[\SensitiveParameter]
        array $fields
    ): Result\GetUserCardsResult {
        $answer = $this->transport->call('get_user_cards', $fields, false);

        return Result\GetUserCardsResult::read($answer);
    }

    /**
     * Returns the card that a charge would use.
     *
     * @param array{user_id: string, env?: 'TEST'|'LIVE', gateway?: 'stripe'|'authorize'} $fields
     *     user_id: The id of the user, for example `USR-5678`.
     *     env: The environment. Absent: the business's default.
     *     gateway: The gateway. Absent: the user's default gateway.
     *
     * @throws NiviscoException USER_NOT_FOUND, CARD_NOT_FOUND
     */
    public function getUserPrimaryCard(
        #[\SensitiveParameter]
        array $fields
    ): Result\GetUserPrimaryCardResult {
        $answer = $this->transport->call('get_user_primary_card', $fields, false);

        return Result\GetUserPrimaryCardResult::read($answer);
    }

    /**
     * Saves a card at Stripe from a token, with a Stripe customer for the user.
     *
     * @param array{user_id: string, payment_method_token: string, set_as_primary?: bool, env?: 'TEST'|'LIVE', idempotency_key?: string} $fields
     *     user_id: The id of the user, for example `USR-5678`.
     *     payment_method_token: A Stripe payment method (`pm_…`) or card token (`tok_…`),
     *         as Stripe's browser library makes them.
     *     set_as_primary: Whether charges use this card, and Stripe, from now on. The
     *         user's first card is primary in any case.
     *     env: The environment. Absent: the business's default.
     *     idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
     *         characters.
     *
     * @throws NiviscoException USER_NOT_FOUND, USER_INACTIVE, CREDENTIALS_MISSING, CARD_DECLINED,
     *     GATEWAY_REFUSED, GATEWAY_UNAVAILABLE, OUTCOME_UNKNOWN
     */
    public function createStripeCustomer(
        #[\SensitiveParameter]
        array $fields
    ): Result\CreateStripeCustomerResult {
        $answer = $this->transport->call('create_stripe_customer', $fields, true);

        return Result\CreateStripeCustomerResult::read($answer);
    }

    /**
     * Saves a card at Authorize.Net, with a customer profile for the user.
     *
     * @param array{user_id: string, payment_profile: array{card_number: string, exp_month: int, exp_year: int, cvv?: string, postal_code?: string}, set_as_primary?: bool, env?: 'TEST'|'LIVE', idempotency_key?: string} $fields
     *     user_id: The id of the user, for example `USR-5678`.
     *     payment_profile: The card to save.
     *     set_as_primary: Whether charges use this card, and Authorize.Net, from now on.
     *         The user's first card is primary in any case.
     *     env: The environment. Absent: the business's default.
     *     idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
     *         characters.
     *
     * @throws NiviscoException USER_NOT_FOUND, USER_INACTIVE, CREDENTIALS_MISSING, CARD_DECLINED,
     *     GATEWAY_REFUSED, GATEWAY_UNAVAILABLE, OUTCOME_UNKNOWN
     */
    public function createAuthorizeCustomer(
        #[\SensitiveParameter]
        array $fields
    ): Result\CreateAuthorizeCustomerResult {
        $answer = $this->transport->call('create_authorize_customer', $fields, true);

        return Result\CreateAuthorizeCustomerResult::read($answer);
    }

    /**
     * Charges the user's primary card.
     *
     * @param array{user_id: string, amount: string|int, currency?: string, description?: string, env?: 'TEST'|'LIVE', gateway?: 'stripe'|'authorize', idempotency_key?: string} $fields
     *     user_id: The id of the user, for example `USR-5678`.
     *     amount: The amount to charge, above zero. Without a currency: the wallet's.
     *     currency: The currency of the amount, ISO 4217 in either case, for example `usd`.
     *     description: What the payment is for, at most 500 characters. The gateway shows
     *         it.
     *     env: The environment. Absent: the business's default.
     *     gateway: The gateway. Absent: the user's default gateway.
     *     idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
     *         characters.
     *
     * @throws NiviscoException USER_NOT_FOUND, CARD_NOT_FOUND, CREDENTIALS_MISSING, CARD_DECLINED,
     *     AUTHENTICATION_REQUIRED, GATEWAY_REFUSED, GATEWAY_UNAVAILABLE,
     *     OUTCOME_UNKNOWN
     */
    public function chargeCustomer(
        #[\SensitiveParameter]
        array $fields
    ): Result\ChargeCustomerResult {
        $answer = $this->transport->call('charge_customer', $fields, true);

        return Result\ChargeCustomerResult::read($answer);
    }

    /**
     * Charges the user's primary card and credits their wallet with the amount.
     *
     * @param array{user_id: string, amount: string|int, currency?: string, description?: string, env?: 'TEST'|'LIVE', gateway?: 'stripe'|'authorize', idempotency_key?: string} $fields
     *     user_id: The id of the user, for example `USR-5678`.
     *     amount: The amount to charge and credit, above zero. Its currency is the
     *         wallet's, which is also the default.
     *     currency: The currency of the amount, ISO 4217 in either case, for example `usd`.
     *     description: What the payment is for, at most 500 characters. The gateway and the
     *         wallet's history show it.
     *     env: The environment. Absent: the business's default.
     *     gateway: The gateway. Absent: the user's default gateway.
     *     idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
     *         characters.
     *
     * @throws NiviscoException USER_NOT_FOUND, CARD_NOT_FOUND, CREDENTIALS_MISSING, CARD_DECLINED,
     *     AUTHENTICATION_REQUIRED, GATEWAY_REFUSED, GATEWAY_UNAVAILABLE,
     *     OUTCOME_UNKNOWN, WALLET_LIMIT
     */
    public function fundCustomer(
        #[\SensitiveParameter]
        array $fields
    ): Result\FundCustomerResult {
        $answer = $this->transport->call('fund_customer', $fields, true);

        return Result\FundCustomerResult::read($answer);
    }

    /**
     * Lists the business's card payments, newest first.
     *
     * @param array{page?: int, limit?: int, from_date?: string, to_date?: string, user_id?: string, status?: 'pending'|'succeeded'|'declined'|'requires_action'|'failed'|'needs_review'|'held_for_review'|'voided'|'partially_refunded'|'refunded'|'disputed', gateway?: 'stripe'|'authorize', env?: 'TEST'|'LIVE'} $fields
     *     page: The page, from 1. Absent: 1.
     *     limit: How many a page holds, 1 to 100. Absent: 25.
     *     from_date: Only payments created at this time or later.
     *     to_date: Only payments created at this time or earlier. A date alone includes
     *         that day.
     *     user_id: Only payments of this user.
     *     status: Only payments with this status.
     *     gateway: Only payments through this gateway.
     *     env: Only payments of this environment. Absent: the business's default.
     *
     * @throws NiviscoException
     */
    public function getPaymentRecords(
        #[\SensitiveParameter]
        array $fields = []
    ): Result\GetPaymentRecordsResult {
        $answer = $this->transport->call('get_payment_records', $fields, false);

        return Result\GetPaymentRecordsResult::read($answer);
    }

    /**
     * Returns a user's wallet.
     *
     * @param array{user_id: string, env?: 'TEST'|'LIVE'} $fields
     *     user_id: The id of the user, for example `USR-5678`.
     *     env: The environment. Absent: the business's default.
     *
     * @throws NiviscoException USER_NOT_FOUND
     */
    public function getUserWallet(
        #[\SensitiveParameter]
        array $fields
    ): Result\GetUserWalletResult {
        $answer = $this->transport->call('get_user_wallet', $fields, false);

        return Result\GetUserWalletResult::read($answer);
    }

    /**
     * Lists a wallet's transactions, newest first.
     *
     * @param array{user_id: string, env?: 'TEST'|'LIVE', page?: int, limit?: int, from_date?: string, to_date?: string} $fields
     *     user_id: The id of the user, for example `USR-5678`.
     *     env: The environment. Absent: the business's default.
     *     page: The page, from 1. Absent: 1.
     *     limit: How many a page holds, 1 to 100. Absent: 25.
     *     from_date: Only transactions at this time or later.
     *     to_date: Only transactions at this time or earlier. A date alone includes that
     *         day.
     *
     * @throws NiviscoException USER_NOT_FOUND
     */
    public function getWalletHistory(
        #[\SensitiveParameter]
        array $fields
    ): Result\GetWalletHistoryResult {
        $answer = $this->transport->call('get_wallet_history', $fields, false);

        return Result\GetWalletHistoryResult::read($answer);
    }

    /**
     * Debits a wallet.
     *
     * @param array{user_id: string, amount: string|int, currency?: string, description?: string, env?: 'TEST'|'LIVE', idempotency_key?: string} $fields
     *     user_id: The id of the user, for example `USR-5678`.
     *     amount: The amount to debit, above zero. Its currency is the wallet's, which is
     *         also the default.
     *     currency: The currency of the amount, ISO 4217 in either case, for example `usd`.
     *     description: What the debit is for, at most 500 characters.
     *     env: The environment. Absent: the business's default.
     *     idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
     *         characters.
     *
     * @throws NiviscoException USER_NOT_FOUND, USER_INACTIVE, WALLET_TOO_LOW
     */
    public function chargeWallet(
        #[\SensitiveParameter]
        array $fields
    ): Result\ChargeWalletResult {
        $answer = $this->transport->call('charge_wallet', $fields, true);

        return Result\ChargeWalletResult::read($answer);
    }

    /**
     * Credits a wallet.
     *
     * @param array{user_id: string, amount: string|int, currency?: string, description?: string, env?: 'TEST'|'LIVE', idempotency_key?: string} $fields
     *     user_id: The id of the user, for example `USR-5678`.
     *     amount: The amount to credit, above zero. Its currency is the wallet's, which is
     *         also the default.
     *     currency: The currency of the amount, ISO 4217 in either case, for example `usd`.
     *     description: What the credit is for, at most 500 characters.
     *     env: The environment. Absent: the business's default.
     *     idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
     *         characters.
     *
     * @throws NiviscoException USER_NOT_FOUND, USER_INACTIVE, WALLET_LIMIT
     */
    public function addWalletFunds(
        #[\SensitiveParameter]
        array $fields
    ): Result\AddWalletFundsResult {
        $answer = $this->transport->call('add_wallet_funds', $fields, true);

        return Result\AddWalletFundsResult::read($answer);
    }

    /**
     * Creates a job. Its first charge is the first occurrence after now.
     *
     * @param array{user_id: string, amount: string|int, interval_type: 'day'|'week'|'month'|'year', currency?: string, interval_value?: int, source?: 'stripe'|'authorize'|'wallet', description?: string, start_at?: string, timezone?: string, end_at?: string, max_cycles?: int, catch_up?: 'latest'|'all'|'skip', env?: 'TEST'|'LIVE', preview?: int, idempotency_key?: string} $fields
     *     user_id: The id of the user, for example `USR-5678`.
     *     amount: The amount of every charge, above zero. Without a currency: `usd`, or the
     *         wallet's for source WALLET.
     *     interval_type: The unit of the interval.
     *     currency: The currency of the amount, ISO 4217 in either case, for example `usd`.
     *     interval_value: How many units lie between two charges, 1 to 1000. Absent: 1.
     *     source: The means to charge. Absent: the user's default gateway.
     *     description: What the payments are for, at most 500 characters.
     *     start_at: When the calendar starts, ISO 8601. Without an offset it is local time
     *         in `timezone`. Absent: now.
     *     timezone: The IANA time zone whose wall clock the charges keep, for example
     *         `America/Chicago`. Absent: `UTC`.
     *     end_at: When the job ends, ISO 8601, inclusive. Without an offset it is local
     *         time in `timezone`.
     *     max_cycles: After how many successful charges the job is complete. Absent: never.
     *     catch_up: What becomes of occurrences missed in a downtime. Absent: LATEST.
     *     env: The environment. Absent: the business's default. The job keeps it.
     *     preview: How many of the next dates the answer shows, up to 24.
     *     idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
     *         characters.
     *
     * @throws NiviscoException USER_NOT_FOUND, USER_INACTIVE, INVALID_FIELDS
     */
    public function createRecurring(
        #[\SensitiveParameter]
        array $fields
    ): Result\CreateRecurringResult {
        $answer = $this->transport->call('create_recurring', $fields, true);

        return Result\CreateRecurringResult::read($answer);
    }

    /**
     * Changes a job for the cycles that have not begun.
     *
     * @param array{recurring_id: string, amount?: string|int, currency?: string, interval_type?: 'day'|'week'|'month'|'year', interval_value?: int, source?: 'stripe'|'authorize'|'wallet', description?: string, start_at?: string, timezone?: string, end_at?: string, max_cycles?: int, catch_up?: 'latest'|'all'|'skip', status?: 'active'|'paused'|'cancelled'|'completed', idempotency_key?: string} $fields
     *     recurring_id: The id of the job, for example `REC-123`.
     *     amount: The new amount, above zero.
     *     currency: The currency of the amount, ISO 4217 in either case, for example `usd`.
     *     interval_type: The new unit of the interval.
     *     interval_value: The new number of units, 1 to 1000.
     *     source: The new means to charge.
     *     description: The new description, at most 500 characters.
     *     start_at: The new start of the calendar, ISO 8601.
     *     timezone: The new IANA time zone.
     *     end_at: The new end, ISO 8601, inclusive.
     *     max_cycles: The new number of successful charges after which the job is complete.
     *     catch_up: The new rule for occurrences missed in a downtime.
     *     status: The new state: ACTIVE, PAUSED or CANCELLED.
     *     idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
     *         characters.
     *
     * @throws NiviscoException RECURRING_NOT_FOUND, RECURRING_STATE, INVALID_FIELDS
     */
    public function updateRecurring(
        #[\SensitiveParameter]
        array $fields
    ): Result\UpdateRecurringResult {
        $answer = $this->transport->call('update_recurring', $fields, true);

        return Result\UpdateRecurringResult::read($answer);
    }

    /**
     * Pauses a job; its calendar stays.
     *
     * @param array{recurring_id: string, idempotency_key?: string} $fields
     *     recurring_id: The id of the job, for example `REC-123`.
     *     idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
     *         characters.
     *
     * @throws NiviscoException RECURRING_NOT_FOUND, RECURRING_STATE
     */
    public function pauseRecurring(
        #[\SensitiveParameter]
        array $fields
    ): Result\PauseRecurringResult {
        $answer = $this->transport->call('pause_recurring', $fields, true);

        return Result\PauseRecurringResult::read($answer);
    }

    /**
     * Resumes a paused job at its next occurrence after now.
     *
     * @param array{recurring_id: string, idempotency_key?: string} $fields
     *     recurring_id: The id of the job, for example `REC-123`.
     *     idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
     *         characters.
     *
     * @throws NiviscoException RECURRING_NOT_FOUND, RECURRING_STATE
     */
    public function resumeRecurring(
        #[\SensitiveParameter]
        array $fields
    ): Result\ResumeRecurringResult {
        $answer = $this->transport->call('resume_recurring', $fields, true);

        return Result\ResumeRecurringResult::read($answer);
    }

    /**
     * Cancels a job for good. No charge starts after the answer.
     *
     * @param array{recurring_id: string, idempotency_key?: string} $fields
     *     recurring_id: The id of the job, for example `REC-123`.
     *     idempotency_key: Makes the call safe to repeat for 24 hours, 1 to 64 printable
     *         characters.
     *
     * @throws NiviscoException RECURRING_NOT_FOUND
     */
    public function cancelRecurring(
        #[\SensitiveParameter]
        array $fields
    ): Result\CancelRecurringResult {
        $answer = $this->transport->call('cancel_recurring', $fields, true);

        return Result\CancelRecurringResult::read($answer);
    }

    /**
     * Lists the business's jobs, newest first.
     *
     * @param array{user_id?: string, status?: 'active'|'paused'|'cancelled'|'completed', page?: int, limit?: int, from_date?: string, to_date?: string, env?: 'TEST'|'LIVE', preview?: int} $fields
     *     user_id: Only jobs of this user.
     *     status: Only jobs in this state.
     *     page: The page, from 1. Absent: 1.
     *     limit: How many a page holds, 1 to 100. Absent: 25.
     *     from_date: Only jobs created at this time or later.
     *     to_date: Only jobs created at this time or earlier. A date alone includes that
     *         day.
     *     env: Only jobs of this environment. Absent: the business's default.
     *     preview: How many of the next dates each job shows, up to 24.
     *
     * @throws NiviscoException
     */
    public function listRecurring(
        #[\SensitiveParameter]
        array $fields = []
    ): Result\ListRecurringResult {
        $answer = $this->transport->call('list_recurring', $fields, false);

        return Result\ListRecurringResult::read($answer);
    }

    /**
     * Lists what the business's jobs did, newest first.
     *
     * @param array{recurring_id?: string, user_id?: string, status?: 'succeeded'|'declined'|'requires_action'|'failed'|'skipped', page?: int, limit?: int, from_date?: string, to_date?: string} $fields
     *     recurring_id: Only rows of this job.
     *     user_id: Only rows of this user's jobs.
     *     status: Only rows with this outcome.
     *     page: The page, from 1. Absent: 1.
     *     limit: How many a page holds, 1 to 100. Absent: 25.
     *     from_date: Only rows at this time or later.
     *     to_date: Only rows at this time or earlier. A date alone includes that day.
     *
     * @throws NiviscoException RECURRING_NOT_FOUND
     */
    public function getRecurringLogs(
        #[\SensitiveParameter]
        array $fields = []
    ): Result\GetRecurringLogsResult {
        $answer = $this->transport->call('get_recurring_logs', $fields, false);

        return Result\GetRecurringLogsResult::read($answer);
    }
}
