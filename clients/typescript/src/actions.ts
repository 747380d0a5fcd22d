/**
 * What actions take and answer. Generated from the API's reference: do not edit.
 *
 * An amount is text such as "25.5", exactly as it was answered. A time is "YYYY-MM-DD HH:MM:SS", UTC.
 */

/** The fields of answers that hold a whole number. */
export const INTEGERS: ReadonlySet<string> = new Set([
  "count",
  "executed_cycles",
  "exp_month",
  "exp_year",
  "interval_value",
  "max_cycles",
  "total",
]);

/** The fields of answers that are never logged. */
export const SECRETS: ReadonlySet<string> = new Set(["api_key"]);

/** The business that the credentials belong to. */
export interface ValidateBusinessBusiness {
  /** The id of the business that the credentials belong to. */
  readonly business_id: string;
}

/** What `validate_business` answers. */
export interface ValidateBusinessResult {
  /** The business that the credentials belong to. */
  readonly business: ValidateBusinessBusiness;
}

/** The calling business. */
export interface GetBusinessInfoBusiness {
  /** The id of the business. */
  readonly business_id: string;
  /** The name of the business. */
  readonly name: string;
  /** The address that the business is reached at. It is at the business's domain. */
  readonly email: string;
  /** The internet domain of the business. It never changes. */
  readonly domain: string;
  /** When the business was registered. */
  readonly created_at: string;
}

/** What `get_business_info` answers. */
export interface GetBusinessInfoResult {
  /** The calling business. */
  readonly business: GetBusinessInfoBusiness;
}

/** The business to register. */
export interface RegisterBusinessNewBusinessInput {
  /** The name of the business, 1 to 200 characters. */
  readonly name: string;
  /** The address that the business is reached at. It must be at `domain`, compared without case. */
  readonly email: string;
  /** The internet domain of the business, for example `northwindcoffee.com`. */
  readonly domain: string;
}

/** What `register_business` takes. */
export interface RegisterBusinessRequest {
  /** The business to register. */
  readonly new_business: RegisterBusinessNewBusinessInput;
  /** Makes the call safe to repeat for 24 hours, 1 to 64 printable characters. */
  readonly idempotency_key?: string | undefined;
}

/** What `register_business` answers. */
export interface RegisterBusinessResult {
  /** A sentence for a person. */
  readonly message: string;
  /** The id of the new business, a UUID. */
  readonly business_id: string;
  /** The API key of the new business, 64 hexadecimal digits. Store it now. */
  readonly api_key: string;
  /** The internet domain of the new business. */
  readonly domain: string;
}

/** The new values. */
export interface ModifyBusinessUpdatesInput {
  /** The new name, 1 to 200 characters. */
  readonly name?: string | undefined;
  /** The new e-mail address, at the business's domain. */
  readonly email?: string | undefined;
}

/** What `modify_business` takes. */
export interface ModifyBusinessRequest {
  /** The new values. */
  readonly updates: ModifyBusinessUpdatesInput;
  /** Makes the call safe to repeat for 24 hours, 1 to 64 printable characters. */
  readonly idempotency_key?: string | undefined;
}

/** What `modify_business` answers. */
export interface ModifyBusinessResult {
  /** A sentence for a person. */
  readonly message: string;
  /** The id of the business. */
  readonly business_id: string;
  /** The names of the fields that were given. */
  readonly updated_fields: readonly string[];
}

/** What `change_api_key` takes. */
export interface ChangeApiKeyRequest {
  /** Makes the call safe to repeat for 24 hours, 1 to 64 printable characters. */
  readonly idempotency_key?: string | undefined;
}

/** What `change_api_key` answers. */
export interface ChangeApiKeyResult {
  /** A sentence for a person. */
  readonly message: string;
  /** The id of the business. */
  readonly business_id: string;
  /** The new API key, 64 hexadecimal digits. Store it now. */
  readonly api_key: string;
}

/** The keys to store. */
export interface AddStripeCredentialsCredentialsInput {
  /** The environment that the keys are for. TEST keys hold `_test_`, LIVE keys `_live_`. */
  readonly env: "TEST" | "LIVE";
  /** The secret (`sk_…`) or restricted (`rk_…`) key. */
  readonly stripe_secret_key: string;
  /** The publishable key (`pk_…`). */
  readonly stripe_public_key: string;
  /** The signing secret of the webhook endpoint (`whsec_…`). */
  readonly stripe_webhook_secret?: string | undefined;
  /** The account to act for (`acct_…`), where it is not the key's own. */
  readonly account_id?: string | undefined;
}

/** What `add_stripe_credentials` takes. */
export interface AddStripeCredentialsRequest {
  /** The keys to store. */
  readonly credentials: AddStripeCredentialsCredentialsInput;
  /** Makes the call safe to repeat for 24 hours, 1 to 64 printable characters. */
  readonly idempotency_key?: string | undefined;
}

/** What `add_stripe_credentials` answers. */
export interface AddStripeCredentialsResult {
  /** A sentence for a person. */
  readonly message: string;
  /** The environment that the keys are for. */
  readonly env: string;
}

/** The keys to change. */
export interface ModifyStripeCredentialsCredentialsInput {
  /** The environment whose keys change. */
  readonly env: "TEST" | "LIVE";
  /** The secret (`sk_…`) or restricted (`rk_…`) key. */
  readonly stripe_secret_key?: string | undefined;
  /** The publishable key (`pk_…`). */
  readonly stripe_public_key?: string | undefined;
  /** The signing secret of the webhook endpoint (`whsec_…`). */
  readonly stripe_webhook_secret?: string | undefined;
  /** The account to act for (`acct_…`), where it is not the key's own. */
  readonly account_id?: string | undefined;
}

/** What `modify_stripe_credentials` takes. */
export interface ModifyStripeCredentialsRequest {
  /** The keys to change. */
  readonly credentials: ModifyStripeCredentialsCredentialsInput;
  /** Makes the call safe to repeat for 24 hours, 1 to 64 printable characters. */
  readonly idempotency_key?: string | undefined;
}

/** What `modify_stripe_credentials` answers. */
export interface ModifyStripeCredentialsResult {
  /** A sentence for a person. */
  readonly message: string;
  /** The environment whose keys changed. */
  readonly env: string;
}

/** The keys to store. */
export interface AddAuthorizeCredentialsCredentialsInput {
  /** The environment that the keys are for. */
  readonly env: "TEST" | "LIVE";
  /** The API login id, at most 25 characters. */
  readonly api_login_id: string;
  /** The transaction key, at most 32 characters; one of over 16 is refused when it is used. */
  readonly transaction_key: string;
  /** The signature key that webhooks are signed with, hexadecimal digits. */
  readonly signature_key?: string | undefined;
}

/** What `add_authorize_credentials` takes. */
export interface AddAuthorizeCredentialsRequest {
  /** The keys to store. */
  readonly credentials: AddAuthorizeCredentialsCredentialsInput;
  /** Makes the call safe to repeat for 24 hours, 1 to 64 printable characters. */
  readonly idempotency_key?: string | undefined;
}

/** What `add_authorize_credentials` answers. */
export interface AddAuthorizeCredentialsResult {
  /** A sentence for a person. */
  readonly message: string;
  /** The environment that the keys are for. */
  readonly env: string;
}

/** The keys to change. */
export interface ModifyAuthorizeCredentialsCredentialsInput {
  /** The environment whose keys change. */
  readonly env: "TEST" | "LIVE";
  /** The API login id, at most 25 characters. */
  readonly api_login_id?: string | undefined;
  /** The transaction key, at most 32 characters; one of over 16 is refused when it is used. */
  readonly transaction_key?: string | undefined;
  /** The signature key that webhooks are signed with, hexadecimal digits. */
  readonly signature_key?: string | undefined;
}

/** What `modify_authorize_credentials` takes. */
export interface ModifyAuthorizeCredentialsRequest {
  /** The keys to change. */
  readonly credentials: ModifyAuthorizeCredentialsCredentialsInput;
  /** Makes the call safe to repeat for 24 hours, 1 to 64 printable characters. */
  readonly idempotency_key?: string | undefined;
}

/** What `modify_authorize_credentials` answers. */
export interface ModifyAuthorizeCredentialsResult {
  /** A sentence for a person. */
  readonly message: string;
  /** The environment whose keys changed. */
  readonly env: string;
}

/** What `validate_user` takes. */
export interface ValidateUserRequest {
  /** The id of the user, for example `USR-5678`. */
  readonly user_id: string;
}

/** The user. */
export interface ValidateUserUser {
  /** The id of the user. */
  readonly user_id: string;
  /** Whether the user is active. */
  readonly active: boolean;
}

/** What `validate_user` answers. */
export interface ValidateUserResult {
  /** The user. */
  readonly user: ValidateUserUser;
}

/** What `get_user_info` takes. */
export interface GetUserInfoRequest {
  /** The id of the user, for example `USR-5678`. */
  readonly user_id: string;
}

/** The user. */
export interface GetUserInfoUser {
  /** The id of the user. */
  readonly user_id: string;
  /** The user's name. */
  readonly name: string;
  /** The user's e-mail address. */
  readonly email: string;
  /** When the user was created. */
  readonly created_at: string;
}

/** What `get_user_info` answers. */
export interface GetUserInfoResult {
  /** The user. */
  readonly user: GetUserInfoUser;
}

/** What `get_all_users` takes. */
export interface GetAllUsersRequest {
  /** The page, from 1. Absent: 1. */
  readonly page?: number | undefined;
  /** How many a page holds, 1 to 100. Absent: 25. */
  readonly limit?: number | undefined;
  /** Only users created at this time or later. */
  readonly from_date?: string | undefined;
  /** Only users created at this time or earlier. A date alone includes that day. */
  readonly to_date?: string | undefined;
}

/** The users of this page. */
export interface GetAllUsersUser {
  /** The id of the user. */
  readonly user_id: string;
  /** The user's name. */
  readonly name: string;
  /** The user's e-mail address. */
  readonly email: string;
}

/** What `get_all_users` answers. */
export interface GetAllUsersResult {
  /** How many users this page holds. */
  readonly count: number;
  /** How many users there are in all. */
  readonly total: number;
  /** The users of this page. */
  readonly users: readonly GetAllUsersUser[];
}

/** The new values. */
export interface UpdateUserUpdatesInput {
  /** The new name, 1 to 200 characters. */
  readonly name?: string | undefined;
  /** The new e-mail address. */
  readonly email?: string | undefined;
  /** Whether the user is active. No money of an inactive user moves, and lists leave them out. */
  readonly active?: boolean | undefined;
}

/** What `update_user` takes. */
export interface UpdateUserRequest {
  /** The id of the user, for example `USR-5678`. */
  readonly user_id: string;
  /** The new values. */
  readonly updates: UpdateUserUpdatesInput;
  /** Makes the call safe to repeat for 24 hours, 1 to 64 printable characters. */
  readonly idempotency_key?: string | undefined;
}

/** What `update_user` answers. */
export interface UpdateUserResult {
  /** A sentence for a person. */
  readonly message: string;
  /** The names of the fields that were given. */
  readonly updated_fields: readonly string[];
}

/** The user to create. */
export interface CreateUserUserInput {
  /** The user's name, 1 to 200 characters. */
  readonly name: string;
  /** The user's e-mail address. Two users may share one. */
  readonly email: string;
  /** The currency of the user's wallets, ISO 4217 in either case. Absent: `usd`. */
  readonly currency?: string | undefined;
}

/** What `create_user` takes. */
export interface CreateUserRequest {
  /** The user to create. */
  readonly user: CreateUserUserInput;
  /** Makes the call safe to repeat for 24 hours, 1 to 64 printable characters. */
  readonly idempotency_key?: string | undefined;
}

/** The new user. */
export interface CreateUserUser {
  /** The id of the user. */
  readonly user_id: string;
}

/** The new user's wallet in the business's default environment. */
export interface CreateUserWallet {
  /** The id of the wallet. */
  readonly wallet_id: string;
}

/** What `create_user` answers. */
export interface CreateUserResult {
  /** The new user. */
  readonly user: CreateUserUser;
  /** The new user's wallet in the business's default environment. */
  readonly wallet: CreateUserWallet;
}

/** What `get_stripe_public_key` takes. */
export interface GetStripePublicKeyRequest {
  /** The environment. Absent: the business's default. */
  readonly env?: "TEST" | "LIVE" | undefined;
}

/** What `get_stripe_public_key` answers. */
export interface GetStripePublicKeyResult {
  /** The environment that the key is for. */
  readonly env: string;
  /** The publishable key (`pk_…`), which is no secret. */
  readonly stripe_public_key: string;
}

/** What `get_user_cards` takes. */
export interface GetUserCardsRequest {
  /** The id of the user, for example `USR-5678`. */
  readonly user_id: string;
  /** The environment. Absent: the business's default. */
  readonly env?: "TEST" | "LIVE" | undefined;
}

/** The cards, newest first. */
export interface GetUserCardsCard {
  /** The gateway that keeps the card. */
  readonly gateway: string;
  /** The card's network in lower case, for example `visa`. */
  readonly brand: string;
  /** The last four digits of the card number. */
  readonly last4: string;
  /** The month that the card expires in, 1 to 12. */
  readonly exp_month: number;
  /** The year that the card expires in, four digits. */
  readonly exp_year: number;
  /** The id of the saved card. */
  readonly card_id: string;
  /** Whether a charge through this gateway uses this card. */
  readonly primary: boolean;
  /** The environment that the card belongs to. */
  readonly env: string;
}

/** What `get_user_cards` answers. */
export interface GetUserCardsResult {
  /** The cards, newest first. */
  readonly cards: readonly GetUserCardsCard[];
}

/** What `get_user_primary_card` takes. */
export interface GetUserPrimaryCardRequest {
  /** The id of the user, for example `USR-5678`. */
  readonly user_id: string;
  /** The environment. Absent: the business's default. */
  readonly env?: "TEST" | "LIVE" | undefined;
  /** The gateway. Absent: the user's default gateway. */
  readonly gateway?: "stripe" | "authorize" | undefined;
}

/** The card that a charge would use. */
export interface GetUserPrimaryCardCard {
  /** The gateway that keeps the card. */
  readonly gateway: string;
  /** The card's network in lower case, for example `visa`. */
  readonly brand: string;
  /** The last four digits of the card number. */
  readonly last4: string;
  /** The month that the card expires in, 1 to 12. */
  readonly exp_month: number;
  /** The year that the card expires in, four digits. */
  readonly exp_year: number;
  /** The id of the saved card. */
  readonly card_id: string;
  /** Whether a charge through this gateway uses this card. */
  readonly primary: boolean;
  /** The environment that the card belongs to. */
  readonly env: string;
}

/** What `get_user_primary_card` answers. */
export interface GetUserPrimaryCardResult {
  /** The card that a charge would use. */
  readonly card: GetUserPrimaryCardCard;
}

/** What `create_stripe_customer` takes. */
export interface CreateStripeCustomerRequest {
  /** The id of the user, for example `USR-5678`. */
  readonly user_id: string;
  /** A Stripe payment method (`pm_…`) or card token (`tok_…`), as Stripe's browser library makes
   * them. */
  readonly payment_method_token: string;
  /** Whether charges use this card, and Stripe, from now on. The user's first card is primary in
   * any case. */
  readonly set_as_primary?: boolean | undefined;
  /** The environment. Absent: the business's default. */
  readonly env?: "TEST" | "LIVE" | undefined;
  /** Makes the call safe to repeat for 24 hours, 1 to 64 printable characters. */
  readonly idempotency_key?: string | undefined;
}

/** The saved card. */
export interface CreateStripeCustomerCard {
  /** The gateway that keeps the card. */
  readonly gateway: string;
  /** The card's network in lower case, for example `visa`. */
  readonly brand: string;
  /** The last four digits of the card number. */
  readonly last4: string;
  /** The month that the card expires in, 1 to 12. */
  readonly exp_month: number;
  /** The year that the card expires in, four digits. */
  readonly exp_year: number;
  /** The id of the saved card. */
  readonly card_id: string;
  /** Whether a charge through this gateway uses this card. */
  readonly primary: boolean;
  /** The environment that the card belongs to. */
  readonly env: string;
}

/** What `create_stripe_customer` answers. */
export interface CreateStripeCustomerResult {
  /** The id of the Stripe customer (`cus_…`). Every card of the user in this environment has the
   * same. */
  readonly customer_id: string;
  /** The saved card. */
  readonly card: CreateStripeCustomerCard;
}

/** The card to save. */
export interface CreateAuthorizeCustomerPaymentProfileInput {
  /** The card number, 12 to 19 digits; Authorize.Net takes at most 16. Its network and check
   * digit must fit. */
  readonly card_number: string;
  /** The month that the card expires in, 1 to 12. */
  readonly exp_month: number;
  /** The year that the card expires in, four digits. */
  readonly exp_year: number;
  /** The card's security code, 4 digits for American Express and 3 for every other network. */
  readonly cvv?: string | undefined;
  /** The postal code of the billing address. */
  readonly postal_code?: string | undefined;
}

/** What `create_authorize_customer` takes. */
export interface CreateAuthorizeCustomerRequest {
  /** The id of the user, for example `USR-5678`. */
  readonly user_id: string;
  /** The card to save. */
  readonly payment_profile: CreateAuthorizeCustomerPaymentProfileInput;
  /** Whether charges use this card, and Authorize.Net, from now on. The user's first card is
   * primary in any case. */
  readonly set_as_primary?: boolean | undefined;
  /** The environment. Absent: the business's default. */
  readonly env?: "TEST" | "LIVE" | undefined;
  /** Makes the call safe to repeat for 24 hours, 1 to 64 printable characters. */
  readonly idempotency_key?: string | undefined;
}

/** What `create_authorize_customer` answers. */
export interface CreateAuthorizeCustomerResult {
  /** The id of the customer profile. */
  readonly customer_profile_id: string;
  /** The id of the payment profile. */
  readonly payment_profile_id: string;
}

/** What `charge_customer` takes. */
export interface ChargeCustomerRequest {
  /** The id of the user, for example `USR-5678`. */
  readonly user_id: string;
  /** The amount to charge, above zero. Without a currency: the wallet's. */
  readonly amount: string;
  /** The currency of the amount, ISO 4217 in either case, for example `usd`. */
  readonly currency?: string | undefined;
  /** What the payment is for, at most 500 characters. The gateway shows it. */
  readonly description?: string | undefined;
  /** The environment. Absent: the business's default. */
  readonly env?: "TEST" | "LIVE" | undefined;
  /** The gateway. Absent: the user's default gateway. */
  readonly gateway?: "stripe" | "authorize" | undefined;
  /** Makes the call safe to repeat for 24 hours, 1 to 64 printable characters. */
  readonly idempotency_key?: string | undefined;
}

/** What `charge_customer` answers. */
export interface ChargeCustomerResult {
  /** The gateway's id of the payment, for example `pi_…`. */
  readonly transaction_id: string;
  /** The amount that was charged. */
  readonly amount: string;
  /** The currency of the amount, ISO 4217 in lower case, for example `usd`. */
  readonly currency: string;
  /** The status of the payment. */
  readonly status: string;
}

/** What `fund_customer` takes. */
export interface FundCustomerRequest {
  /** The id of the user, for example `USR-5678`. */
  readonly user_id: string;
  /** The amount to charge and credit, above zero. Its currency is the wallet's, which is also
   * the default. */
  readonly amount: string;
  /** The currency of the amount, ISO 4217 in either case, for example `usd`. */
  readonly currency?: string | undefined;
  /** What the payment is for, at most 500 characters. The gateway and the wallet's history show
   * it. */
  readonly description?: string | undefined;
  /** The environment. Absent: the business's default. */
  readonly env?: "TEST" | "LIVE" | undefined;
  /** The gateway. Absent: the user's default gateway. */
  readonly gateway?: "stripe" | "authorize" | undefined;
  /** Makes the call safe to repeat for 24 hours, 1 to 64 printable characters. */
  readonly idempotency_key?: string | undefined;
}

/** The credited wallet. */
export interface FundCustomerWallet {
  /** The id of the wallet. */
  readonly wallet_id: string;
  /** The balance after the credit. */
  readonly balance: string;
  /** The currency of the amount, ISO 4217 in lower case, for example `usd`. */
  readonly currency: string;
}

/** What `fund_customer` answers. */
export interface FundCustomerResult {
  /** The gateway's id of the payment, for example `pi_…`. */
  readonly transaction_id: string;
  /** The credited wallet. */
  readonly wallet: FundCustomerWallet;
}

/** What `get_payment_records` takes. */
export interface GetPaymentRecordsRequest {
  /** The page, from 1. Absent: 1. */
  readonly page?: number | undefined;
  /** How many a page holds, 1 to 100. Absent: 25. */
  readonly limit?: number | undefined;
  /** Only payments created at this time or later. */
  readonly from_date?: string | undefined;
  /** Only payments created at this time or earlier. A date alone includes that day. */
  readonly to_date?: string | undefined;
  /** Only payments of this user. */
  readonly user_id?: string | undefined;
  /** Only payments with this status. */
  readonly status?: "pending" | "succeeded" | "declined" | "requires_action" | "failed" | "needs_review" | "held_for_review" | "voided" | "partially_refunded" | "refunded" | "disputed" | undefined;
  /** Only payments through this gateway. */
  readonly gateway?: "stripe" | "authorize" | undefined;
  /** Only payments of this environment. Absent: the business's default. */
  readonly env?: "TEST" | "LIVE" | undefined;
}

/** The payments of this page. */
export interface GetPaymentRecordsPayment {
  /** The gateway's id of the payment, for example `pi_…`. Null while no gateway has answered. */
  readonly transaction_id: string | null;
  /** The amount of the payment. */
  readonly amount: string;
  /** The currency of the amount, ISO 4217 in lower case, for example `usd`. */
  readonly currency: string;
  /** The status of the payment. */
  readonly status: string;
  /** When the payment was created. */
  readonly created_at: string;
  /** Our id of the payment, `PAY-…`, which the gateway keeps too. */
  readonly payment_id: string;
  /** The user whose card was charged. */
  readonly user_id: string;
  /** The gateway. */
  readonly gateway: string;
  /** The environment. */
  readonly env: string;
  /** What the payment was for. */
  readonly description: string | null;
  /** Why the card was declined, in the gateway's words. */
  readonly decline_code: string | null;
  /** How much was refunded. Null: nothing. */
  readonly amount_refunded: string | null;
}

/** What `get_payment_records` answers. */
export interface GetPaymentRecordsResult {
  /** How many payments this page holds. */
  readonly count: number;
  /** How many payments there are in all. */
  readonly total: number;
  /** The payments of this page. */
  readonly payments: readonly GetPaymentRecordsPayment[];
}

/** What `get_user_wallet` takes. */
export interface GetUserWalletRequest {
  /** The id of the user, for example `USR-5678`. */
  readonly user_id: string;
  /** The environment. Absent: the business's default. */
  readonly env?: "TEST" | "LIVE" | undefined;
}

/** The wallet. */
export interface GetUserWalletWallet {
  /** The id of the wallet. */
  readonly wallet_id: string;
  /** The user whose wallet it is. */
  readonly user_id: string;
  /** What the wallet holds. */
  readonly balance: string;
  /** The currency of the amount, ISO 4217 in lower case, for example `usd`. */
  readonly currency: string;
  /** When the wallet last changed. */
  readonly updated_at: string;
}

/** What `get_user_wallet` answers. */
export interface GetUserWalletResult {
  /** The wallet. */
  readonly wallet: GetUserWalletWallet;
}

/** What `get_wallet_history` takes. */
export interface GetWalletHistoryRequest {
  /** The id of the user, for example `USR-5678`. */
  readonly user_id: string;
  /** The environment. Absent: the business's default. */
  readonly env?: "TEST" | "LIVE" | undefined;
  /** The page, from 1. Absent: 1. */
  readonly page?: number | undefined;
  /** How many a page holds, 1 to 100. Absent: 25. */
  readonly limit?: number | undefined;
  /** Only transactions at this time or later. */
  readonly from_date?: string | undefined;
  /** Only transactions at this time or earlier. A date alone includes that day. */
  readonly to_date?: string | undefined;
}

/** The transactions of this page. */
export interface GetWalletHistoryTransaction {
  /** The id of the transaction, `WTX-…`. */
  readonly transaction_id: string;
  /** Which way the money moved. */
  readonly type: string;
  /** How much moved. */
  readonly amount: string;
  /** The currency of the amount, ISO 4217 in lower case, for example `usd`. */
  readonly currency: string;
  /** What moved the money. */
  readonly source: string;
  /** Why the money moved. */
  readonly reason: string;
  /** What the movement was for. */
  readonly description: string | null;
  /** When the money moved. */
  readonly created_at: string;
}

/** What `get_wallet_history` answers. */
export interface GetWalletHistoryResult {
  /** How many transactions this page holds. */
  readonly count: number;
  /** How many transactions there are in all. */
  readonly total: number;
  /** The transactions of this page. */
  readonly transactions: readonly GetWalletHistoryTransaction[];
}

/** What `charge_wallet` takes. */
export interface ChargeWalletRequest {
  /** The id of the user, for example `USR-5678`. */
  readonly user_id: string;
  /** The amount to debit, above zero. Its currency is the wallet's, which is also the default. */
  readonly amount: string;
  /** The currency of the amount, ISO 4217 in either case, for example `usd`. */
  readonly currency?: string | undefined;
  /** What the debit is for, at most 500 characters. */
  readonly description?: string | undefined;
  /** The environment. Absent: the business's default. */
  readonly env?: "TEST" | "LIVE" | undefined;
  /** Makes the call safe to repeat for 24 hours, 1 to 64 printable characters. */
  readonly idempotency_key?: string | undefined;
}

/** What `charge_wallet` answers. */
export interface ChargeWalletResult {
  /** The id of the wallet. */
  readonly wallet_id: string;
  /** The balance after the debit. */
  readonly new_balance: string;
  /** The currency of the amount, ISO 4217 in lower case, for example `usd`. */
  readonly currency: string;
  /** Which way the money moved. */
  readonly type: string;
  /** What moved the money. */
  readonly source: string;
  /** Why the money moved. */
  readonly reason: string;
  /** A sentence for a person. */
  readonly message: string;
  /** The id of the transaction, `WTX-…`. */
  readonly transaction_id: string;
}

/** What `add_wallet_funds` takes. */
export interface AddWalletFundsRequest {
  /** The id of the user, for example `USR-5678`. */
  readonly user_id: string;
  /** The amount to credit, above zero. Its currency is the wallet's, which is also the default. */
  readonly amount: string;
  /** The currency of the amount, ISO 4217 in either case, for example `usd`. */
  readonly currency?: string | undefined;
  /** What the credit is for, at most 500 characters. */
  readonly description?: string | undefined;
  /** The environment. Absent: the business's default. */
  readonly env?: "TEST" | "LIVE" | undefined;
  /** Makes the call safe to repeat for 24 hours, 1 to 64 printable characters. */
  readonly idempotency_key?: string | undefined;
}

/** What `add_wallet_funds` answers. */
export interface AddWalletFundsResult {
  /** The id of the wallet. */
  readonly wallet_id: string;
  /** The balance after the credit. */
  readonly new_balance: string;
  /** The currency of the amount, ISO 4217 in lower case, for example `usd`. */
  readonly currency: string;
  /** Which way the money moved. */
  readonly type: string;
  /** What moved the money. */
  readonly source: string;
  /** Why the money moved. */
  readonly reason: string;
  /** A sentence for a person. */
  readonly message: string;
  /** The id of the transaction, `WTX-…`. */
  readonly transaction_id: string;
}

/** What `create_recurring` takes. */
export interface CreateRecurringRequest {
  /** The id of the user, for example `USR-5678`. */
  readonly user_id: string;
  /** The amount of every charge, above zero. Without a currency: `usd`, or the wallet's for
   * source WALLET. */
  readonly amount: string;
  /** The unit of the interval. */
  readonly interval_type: "day" | "week" | "month" | "year";
  /** The currency of the amount, ISO 4217 in either case, for example `usd`. */
  readonly currency?: string | undefined;
  /** How many units lie between two charges, 1 to 1000. Absent: 1. */
  readonly interval_value?: number | undefined;
  /** The means to charge. Absent: the user's default gateway. */
  readonly source?: "stripe" | "authorize" | "wallet" | undefined;
  /** What the payments are for, at most 500 characters. */
  readonly description?: string | undefined;
  /** When the calendar starts, ISO 8601. Without an offset it is local time in `timezone`.
   * Absent: now. */
  readonly start_at?: string | undefined;
  /** The IANA time zone whose wall clock the charges keep, for example `America/Chicago`.
   * Absent: `UTC`. */
  readonly timezone?: string | undefined;
  /** When the job ends, ISO 8601, inclusive. Without an offset it is local time in `timezone`. */
  readonly end_at?: string | undefined;
  /** After how many successful charges the job is complete. Absent: never. */
  readonly max_cycles?: number | undefined;
  /** What becomes of occurrences missed in a downtime. Absent: LATEST. */
  readonly catch_up?: "latest" | "all" | "skip" | undefined;
  /** The environment. Absent: the business's default. The job keeps it. */
  readonly env?: "TEST" | "LIVE" | undefined;
  /** How many of the next dates the answer shows, up to 24. */
  readonly preview?: number | undefined;
  /** Makes the call safe to repeat for 24 hours, 1 to 64 printable characters. */
  readonly idempotency_key?: string | undefined;
}

/** What `create_recurring` answers. */
export interface CreateRecurringResult {
  /** A sentence for a person. */
  readonly message: string;
  /** The id of the job, `REC-…`. */
  readonly recurring_id: string;
  /** When the job charges next. */
  readonly next_run: string;
  /** The IANA time zone of the job. */
  readonly timezone: string;
  /** The next dates, as many as `preview` asked for. */
  readonly upcoming: readonly string[];
}

/** What `update_recurring` takes. */
export interface UpdateRecurringRequest {
  /** The id of the job, for example `REC-123`. */
  readonly recurring_id: string;
  /** The new amount, above zero. */
  readonly amount?: string | undefined;
  /** The currency of the amount, ISO 4217 in either case, for example `usd`. */
  readonly currency?: string | undefined;
  /** The new unit of the interval. */
  readonly interval_type?: "day" | "week" | "month" | "year" | undefined;
  /** The new number of units, 1 to 1000. */
  readonly interval_value?: number | undefined;
  /** The new means to charge. */
  readonly source?: "stripe" | "authorize" | "wallet" | undefined;
  /** The new description, at most 500 characters. */
  readonly description?: string | undefined;
  /** The new start of the calendar, ISO 8601. */
  readonly start_at?: string | undefined;
  /** The new IANA time zone. */
  readonly timezone?: string | undefined;
  /** The new end, ISO 8601, inclusive. */
  readonly end_at?: string | undefined;
  /** The new number of successful charges after which the job is complete. */
  readonly max_cycles?: number | undefined;
  /** The new rule for occurrences missed in a downtime. */
  readonly catch_up?: "latest" | "all" | "skip" | undefined;
  /** The new state: ACTIVE, PAUSED or CANCELLED. */
  readonly status?: "active" | "paused" | "cancelled" | "completed" | undefined;
  /** Makes the call safe to repeat for 24 hours, 1 to 64 printable characters. */
  readonly idempotency_key?: string | undefined;
}

/** What `update_recurring` answers. */
export interface UpdateRecurringResult {
  /** A sentence for a person. */
  readonly message: string;
}

/** What `pause_recurring` takes. */
export interface PauseRecurringRequest {
  /** The id of the job, for example `REC-123`. */
  readonly recurring_id: string;
  /** Makes the call safe to repeat for 24 hours, 1 to 64 printable characters. */
  readonly idempotency_key?: string | undefined;
}

/** What `pause_recurring` answers. */
export interface PauseRecurringResult {
  /** A sentence for a person. */
  readonly message: string;
}

/** What `resume_recurring` takes. */
export interface ResumeRecurringRequest {
  /** The id of the job, for example `REC-123`. */
  readonly recurring_id: string;
  /** Makes the call safe to repeat for 24 hours, 1 to 64 printable characters. */
  readonly idempotency_key?: string | undefined;
}

/** What `resume_recurring` answers. */
export interface ResumeRecurringResult {
  /** A sentence for a person. */
  readonly message: string;
}

/** What `cancel_recurring` takes. */
export interface CancelRecurringRequest {
  /** The id of the job, for example `REC-123`. */
  readonly recurring_id: string;
  /** Makes the call safe to repeat for 24 hours, 1 to 64 printable characters. */
  readonly idempotency_key?: string | undefined;
}

/** What `cancel_recurring` answers. */
export interface CancelRecurringResult {
  /** A sentence for a person. */
  readonly message: string;
}

/** What `list_recurring` takes. */
export interface ListRecurringRequest {
  /** Only jobs of this user. */
  readonly user_id?: string | undefined;
  /** Only jobs in this state. */
  readonly status?: "active" | "paused" | "cancelled" | "completed" | undefined;
  /** The page, from 1. Absent: 1. */
  readonly page?: number | undefined;
  /** How many a page holds, 1 to 100. Absent: 25. */
  readonly limit?: number | undefined;
  /** Only jobs created at this time or later. */
  readonly from_date?: string | undefined;
  /** Only jobs created at this time or earlier. A date alone includes that day. */
  readonly to_date?: string | undefined;
  /** Only jobs of this environment. Absent: the business's default. */
  readonly env?: "TEST" | "LIVE" | undefined;
  /** How many of the next dates each job shows, up to 24. */
  readonly preview?: number | undefined;
}

/** The jobs of this page. */
export interface ListRecurringRecurring {
  /** The id of the job. */
  readonly recurring_id: string;
  /** The amount of every charge. */
  readonly amount: string;
  /** The currency of the amount, ISO 4217 in lower case, for example `usd`. */
  readonly currency: string;
  /** The unit of the interval. */
  readonly interval_type: string;
  /** How many units lie between two charges. */
  readonly interval_value: number;
  /** The state of the job. */
  readonly status: string;
  /** When the job charges next, be it a retry. Null when it does not. */
  readonly next_run: string | null;
  /** When the job last charged. Null when it has not. */
  readonly last_run: string | null;
  /** How many charges succeeded. */
  readonly executed_cycles: number;
  /** What the payments are for. */
  readonly description: string | null;
  /** The user whom the job charges. */
  readonly user_id: string;
  /** The means that the job charges. */
  readonly source: string;
  /** The IANA time zone of the job. */
  readonly timezone: string;
  /** When the job ends. Null: never. */
  readonly end_at: string | null;
  /** After how many successful charges the job is complete. Null: never. */
  readonly max_cycles: number | null;
  /** What becomes of occurrences missed in a downtime. */
  readonly catch_up: string;
  /** The environment of the job. */
  readonly env: string;
  /** The next dates, as many as `preview` asked for. */
  readonly upcoming: readonly string[];
}

/** What `list_recurring` answers. */
export interface ListRecurringResult {
  /** How many jobs this page holds. */
  readonly count: number;
  /** How many jobs there are in all. */
  readonly total: number;
  /** The jobs of this page. */
  readonly recurring: readonly ListRecurringRecurring[];
}

/** What `get_recurring_logs` takes. */
export interface GetRecurringLogsRequest {
  /** Only rows of this job. */
  readonly recurring_id?: string | undefined;
  /** Only rows of this user's jobs. */
  readonly user_id?: string | undefined;
  /** Only rows with this outcome. */
  readonly status?: "succeeded" | "declined" | "requires_action" | "failed" | "skipped" | undefined;
  /** The page, from 1. Absent: 1. */
  readonly page?: number | undefined;
  /** How many a page holds, 1 to 100. Absent: 25. */
  readonly limit?: number | undefined;
  /** Only rows at this time or later. */
  readonly from_date?: string | undefined;
  /** Only rows at this time or earlier. A date alone includes that day. */
  readonly to_date?: string | undefined;
}

/** The rows of this page. */
export interface GetRecurringLogsLog {
  /** The id of the row, `LOG-…`. */
  readonly log_id: string;
  /** How the attempt ended. */
  readonly status: string;
  /** A sentence for a person. */
  readonly message: string;
  /** When the attempt was made. */
  readonly attempted_at: string;
  /** The payment's or wallet transaction's id. Null where no money moved. */
  readonly transaction_id: string | null;
  /** The job. */
  readonly recurring_id: string;
  /** The occurrence that the attempt was for. */
  readonly occurrence: string;
}

/** What `get_recurring_logs` answers. */
export interface GetRecurringLogsResult {
  /** How many rows this page holds. */
  readonly count: number;
  /** How many rows there are in all. */
  readonly total: number;
  /** The rows of this page. */
  readonly logs: readonly GetRecurringLogsLog[];
}
