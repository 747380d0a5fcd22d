/** The client. Generated from the API's reference: do not edit. */
import type * as actions from "./actions.js";
import { Transport, type Options } from "./transport.js";

/**
 * Calls the API as one business.
 *
 * Every call rejects with a NiviscoError where it does not succeed, and is repeated first where
 * that is safe: an action that changes something carries an idempotency key, one for all its
 * attempts.
 */
export class Client {
  readonly #transport: Transport;

  /** Connects to nothing yet; throws where the URL would show the API key, or is none. */
  constructor(options: Options) {
    this.#transport = new Transport(options);
  }

  /**
   * Confirms the business's credentials.
   *
   * @throws {ApiError} INVALID_CREDENTIALS
   */
  validateBusiness(): Promise<actions.ValidateBusinessResult> {
    return this.#transport.call("validate_business", {}, false);
  }

  /**
   * Returns the business's profile.
   *
   * @throws {ApiError} INVALID_CREDENTIALS
   */
  getBusinessInfo(): Promise<actions.GetBusinessInfoResult> {
    return this.#transport.call("get_business_info", {}, false);
  }

  /**
   * Creates a business and its first API key. Open to the admin business only.
   *
   * @throws {ApiError} ADMIN_ONLY, INVALID_FIELDS
   */
  registerBusiness(
    fields: actions.RegisterBusinessRequest,
  ): Promise<actions.RegisterBusinessResult> {
    return this.#transport.call("register_business", fields, true);
  }

  /**
   * Changes the business's name or e-mail address. The address stays at the business's domain.
   *
   * @throws {ApiError} INVALID_FIELDS
   */
  modifyBusiness(
    fields: actions.ModifyBusinessRequest,
  ): Promise<actions.ModifyBusinessResult> {
    return this.#transport.call("modify_business", fields, true);
  }

  /**
   * Replaces the business's API key. The key that made the call stops working at once.
   */
  changeApiKey(
    fields: actions.ChangeApiKeyRequest = {},
  ): Promise<actions.ChangeApiKeyResult> {
    return this.#transport.call("change_api_key", fields, true);
  }

  /**
   * Stores Stripe keys for an environment.
   *
   * @throws {ApiError} INVALID_FIELDS, CREDENTIALS_EXIST
   */
  addStripeCredentials(
    fields: actions.AddStripeCredentialsRequest,
  ): Promise<actions.AddStripeCredentialsResult> {
    return this.#transport.call("add_stripe_credentials", fields, true);
  }

  /**
   * Changes the Stripe keys of an environment, only what is given.
   *
   * @throws {ApiError} INVALID_FIELDS, CREDENTIALS_NOT_FOUND
   */
  modifyStripeCredentials(
    fields: actions.ModifyStripeCredentialsRequest,
  ): Promise<actions.ModifyStripeCredentialsResult> {
    return this.#transport.call("modify_stripe_credentials", fields, true);
  }

  /**
   * Stores Authorize.Net keys for an environment.
   *
   * @throws {ApiError} INVALID_FIELDS, CREDENTIALS_EXIST
   */
  addAuthorizeCredentials(
    fields: actions.AddAuthorizeCredentialsRequest,
  ): Promise<actions.AddAuthorizeCredentialsResult> {
    return this.#transport.call("add_authorize_credentials", fields, true);
  }

  /**
   * Changes the Authorize.Net keys of an environment, only what is given.
   *
   * @throws {ApiError} INVALID_FIELDS, CREDENTIALS_NOT_FOUND
   */
  modifyAuthorizeCredentials(
    fields: actions.ModifyAuthorizeCredentialsRequest,
  ): Promise<actions.ModifyAuthorizeCredentialsResult> {
    return this.#transport.call("modify_authorize_credentials", fields, true);
  }

  /**
   * Tells whether a user belongs to the business and is active.
   *
   * @throws {ApiError} USER_NOT_FOUND
   */
  validateUser(
    fields: actions.ValidateUserRequest,
  ): Promise<actions.ValidateUserResult> {
    return this.#transport.call("validate_user", fields, false);
  }

  /**
   * Returns a user's profile.
   *
   * @throws {ApiError} USER_NOT_FOUND
   */
  getUserInfo(
    fields: actions.GetUserInfoRequest,
  ): Promise<actions.GetUserInfoResult> {
    return this.#transport.call("get_user_info", fields, false);
  }

  /**
   * Lists the business's active users, newest first.
   */
  getAllUsers(
    fields: actions.GetAllUsersRequest = {},
  ): Promise<actions.GetAllUsersResult> {
    return this.#transport.call("get_all_users", fields, false);
  }

  /**
   * Changes a user's name, e-mail address or activity.
   *
   * @throws {ApiError} USER_NOT_FOUND, INVALID_FIELDS
   */
  updateUser(
    fields: actions.UpdateUserRequest,
  ): Promise<actions.UpdateUserResult> {
    return this.#transport.call("update_user", fields, true);
  }

  /**
   * Creates a user and their wallet in the business's default environment.
   */
  createUser(
    fields: actions.CreateUserRequest,
  ): Promise<actions.CreateUserResult> {
    return this.#transport.call("create_user", fields, true);
  }

  /**
   * Returns the business's Stripe publishable key.
   *
   * @throws {ApiError} CREDENTIALS_MISSING
   */
  getStripePublicKey(
    fields: actions.GetStripePublicKeyRequest = {},
  ): Promise<actions.GetStripePublicKeyResult> {
    return this.#transport.call("get_stripe_public_key", fields, false);
  }

  /**
   * Lists a user's saved cards, newest first.
   *
   * @throws {ApiError} USER_NOT_FOUND
   */
  getUserCards(
    fields: actions.GetUserCardsRequest,
  ): Promise<actions.GetUserCardsResult> {
    return this.#transport.call("get_user_cards", fields, false);
  }

  /**
   * Returns the card that a charge would use.
   *
   * @throws {ApiError} USER_NOT_FOUND, CARD_NOT_FOUND
   */
  getUserPrimaryCard(
    fields: actions.GetUserPrimaryCardRequest,
  ): Promise<actions.GetUserPrimaryCardResult> {
    return this.#transport.call("get_user_primary_card", fields, false);
  }

  /**
   * Saves a card at Stripe from a token, with a Stripe customer for the user.
   *
   * @throws {ApiError} USER_NOT_FOUND, USER_INACTIVE, CREDENTIALS_MISSING, CARD_DECLINED,
   * GATEWAY_REFUSED, GATEWAY_UNAVAILABLE, OUTCOME_UNKNOWN
   */
  createStripeCustomer(
    fields: actions.CreateStripeCustomerRequest,
  ): Promise<actions.CreateStripeCustomerResult> {
    return this.#transport.call("create_stripe_customer", fields, true);
  }

  /**
   * Saves a card at Authorize.Net, with a customer profile for the user.
   *
   * @throws {ApiError} USER_NOT_FOUND, USER_INACTIVE, CREDENTIALS_MISSING, CARD_DECLINED,
   * GATEWAY_REFUSED, GATEWAY_UNAVAILABLE, OUTCOME_UNKNOWN
   */
  createAuthorizeCustomer(
    fields: actions.CreateAuthorizeCustomerRequest,
  ): Promise<actions.CreateAuthorizeCustomerResult> {
    return this.#transport.call("create_authorize_customer", fields, true);
  }

  /**
   * Charges the user's primary card.
   *
   * @throws {ApiError} USER_NOT_FOUND, CARD_NOT_FOUND, CREDENTIALS_MISSING, CARD_DECLINED,
   * AUTHENTICATION_REQUIRED, GATEWAY_REFUSED, GATEWAY_UNAVAILABLE, OUTCOME_UNKNOWN
   */
  chargeCustomer(
    fields: actions.ChargeCustomerRequest,
  ): Promise<actions.ChargeCustomerResult> {
    return this.#transport.call("charge_customer", fields, true);
  }

  /**
   * Charges the user's primary card and credits their wallet with the amount.
   *
   * @throws {ApiError} USER_NOT_FOUND, CARD_NOT_FOUND, CREDENTIALS_MISSING, CARD_DECLINED,
   * AUTHENTICATION_REQUIRED, GATEWAY_REFUSED, GATEWAY_UNAVAILABLE, OUTCOME_UNKNOWN,
   * WALLET_LIMIT
   */
  fundCustomer(
    fields: actions.FundCustomerRequest,
  ): Promise<actions.FundCustomerResult> {
    return this.#transport.call("fund_customer", fields, true);
  }

  /**
   * Lists the business's card payments, newest first.
   */
  getPaymentRecords(
    fields: actions.GetPaymentRecordsRequest = {},
  ): Promise<actions.GetPaymentRecordsResult> {
    return this.#transport.call("get_payment_records", fields, false);
  }

  /**
   * Returns a user's wallet.
   *
   * @throws {ApiError} USER_NOT_FOUND
   */
  getUserWallet(
    fields: actions.GetUserWalletRequest,
  ): Promise<actions.GetUserWalletResult> {
    return this.#transport.call("get_user_wallet", fields, false);
  }

  /**
   * Lists a wallet's transactions, newest first.
   *
   * @throws {ApiError} USER_NOT_FOUND
   */
  getWalletHistory(
    fields: actions.GetWalletHistoryRequest,
  ): Promise<actions.GetWalletHistoryResult> {
    return this.#transport.call("get_wallet_history", fields, false);
  }

  /**
   * Debits a wallet.
   *
   * @throws {ApiError} USER_NOT_FOUND, USER_INACTIVE, WALLET_TOO_LOW
   */
  chargeWallet(
    fields: actions.ChargeWalletRequest,
  ): Promise<actions.ChargeWalletResult> {
    return this.#transport.call("charge_wallet", fields, true);
  }

  /**
   * Credits a wallet.
   *
   * @throws {ApiError} USER_NOT_FOUND, USER_INACTIVE, WALLET_LIMIT
   */
  addWalletFunds(
    fields: actions.AddWalletFundsRequest,
  ): Promise<actions.AddWalletFundsResult> {
    return this.#transport.call("add_wallet_funds", fields, true);
  }

  /**
   * Creates a job. Its first charge is the first occurrence after now.
   *
   * @throws {ApiError} USER_NOT_FOUND, USER_INACTIVE, INVALID_FIELDS
   */
  createRecurring(
    fields: actions.CreateRecurringRequest,
  ): Promise<actions.CreateRecurringResult> {
    return this.#transport.call("create_recurring", fields, true);
  }

  /**
   * Changes a job for the cycles that have not begun.
   *
   * @throws {ApiError} RECURRING_NOT_FOUND, RECURRING_STATE, INVALID_FIELDS
   */
  updateRecurring(
    fields: actions.UpdateRecurringRequest,
  ): Promise<actions.UpdateRecurringResult> {
    return this.#transport.call("update_recurring", fields, true);
  }

  /**
   * Pauses a job; its calendar stays.
   *
   * @throws {ApiError} RECURRING_NOT_FOUND, RECURRING_STATE
   */
  pauseRecurring(
    fields: actions.PauseRecurringRequest,
  ): Promise<actions.PauseRecurringResult> {
    return this.#transport.call("pause_recurring", fields, true);
  }

  /**
   * Resumes a paused job at its next occurrence after now.
   *
   * @throws {ApiError} RECURRING_NOT_FOUND, RECURRING_STATE
   */
  resumeRecurring(
    fields: actions.ResumeRecurringRequest,
  ): Promise<actions.ResumeRecurringResult> {
    return this.#transport.call("resume_recurring", fields, true);
  }

  /**
   * Cancels a job for good. No charge starts after the answer.
   *
   * @throws {ApiError} RECURRING_NOT_FOUND
   */
  cancelRecurring(
    fields: actions.CancelRecurringRequest,
  ): Promise<actions.CancelRecurringResult> {
    return this.#transport.call("cancel_recurring", fields, true);
  }

  /**
   * Lists the business's jobs, newest first.
   */
  listRecurring(
    fields: actions.ListRecurringRequest = {},
  ): Promise<actions.ListRecurringResult> {
    return this.#transport.call("list_recurring", fields, false);
  }

  /**
   * Lists what the business's jobs did, newest first.
   *
   * @throws {ApiError} RECURRING_NOT_FOUND
   */
  getRecurringLogs(
    fields: actions.GetRecurringLogsRequest = {},
  ): Promise<actions.GetRecurringLogsResult> {
    return this.#transport.call("get_recurring_logs", fields, false);
  }
}
