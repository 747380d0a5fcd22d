// Errors of a call.
//
// NiviscoError
// ├── ApiError               the API returned an error
// ├── ConnectionFailedError  no response arrived
// └── UnexpectedResponseError  the response is not from the API

import { CODE_OF_STATUS } from "./codes.js";

/** A problem of one field of a request. */
export interface FieldProblem {
  readonly field: string;
  readonly description: string;
}

/** Which call failed. */
export interface CallIds {
  readonly requestId: string;
  readonly idempotencyKey: string | null;
}

/** A call that did not succeed. None of its properties contains the API key. */
export class NiviscoError extends Error {
  /** The id to quote to support. */
  readonly requestId: string;
  /** Idempotency key of a mutating call, with which the call is safe to repeat. */
  readonly idempotencyKey: string | null;
  /** Whether the call may have taken effect, by this attempt or an earlier one. */
  outcomeIsUnknown: boolean;

  constructor(message: string, ids: CallIds) {
    super(message);
    this.name = new.target.name;
    this.requestId = ids.requestId;
    this.idempotencyKey = ids.idempotencyKey;
    this.outcomeIsUnknown = ids.idempotencyKey !== null;
  }
}

/** The API returned an error. */
export class ApiError extends NiviscoError {
  readonly httpStatus: number;
  /** One of `ErrorCode`, or newer than this library. Null if the response has none. */
  readonly code: string | null;
  /** With `INVALID_FIELDS`, the invalid fields. */
  readonly fields: readonly FieldProblem[];
  /** With `CARD_DECLINED`, the gateway's decline code. */
  readonly declineCode: string | null;
  /** The gateway's id of the payment, if there is one. */
  readonly transactionId: string | null;
  /** Id of the payment, `PAY-…`, if there is one. */
  readonly paymentId: string | null;
  /**
   * With `AUTHENTICATION_REQUIRED`, what Stripe's browser library needs to have the customer
   * authenticate. For that customer's browser only; printing the error does not show it.
   */
  declare readonly clientSecret: string | null;
  /** The whole response, with more fields than this library may know. Not printed either. */
  declare readonly body: Readonly<Record<string, unknown>>;
  /** Seconds to wait before a retry, if the API returns them. */
  readonly retryAfter: number | null;

  constructor(
    body: Readonly<Record<string, unknown>>,
    httpStatus: number,
    retryAfter: number | null,
    ids: CallIds,
  ) {
    super(text(body["error"]) ?? "", ids);
    this.httpStatus = httpStatus;
    this.outcomeIsUnknown = ids.idempotencyKey !== null && httpStatus >= 500;
    this.retryAfter = retryAfter;
    this.code = text(body["code"]) ?? CODE_OF_STATUS[httpStatus] ?? null;
    this.declineCode = text(body["decline_code"]);
    this.transactionId = text(body["transaction_id"]);
    this.paymentId = text(body["payment_id"]);
    Object.defineProperties(this, {
      clientSecret: { value: text(body["client_secret"]) },
      body: { value: body },
    });
    const problems: unknown[] = Array.isArray(body["fields"]) ? body["fields"] : [];
    this.fields = problems.filter(isObject).map((problem) => ({
      field: text(problem["field"]) ?? "",
      description: text(problem["description"]) ?? "",
    }));
  }
}

/** No response arrived in time. */
export class ConnectionFailedError extends NiviscoError {
  /** Whether any of the request may have left: false if no connection was made. */
  readonly wasSent: boolean;

  constructor(message: string, wasSent: boolean, ids: CallIds) {
    super(message, ids);
    this.wasSent = wasSent;
    this.outcomeIsUnknown = wasSent && ids.idempotencyKey !== null;
  }
}

/** The response is not from the API: the URL may be wrong, or a proxy responded. */
export class UnexpectedResponseError extends NiviscoError {
  readonly httpStatus: number;
  /** Seconds to wait before a retry, if the response has them. */
  readonly retryAfter: number | null;

  constructor(httpStatus: number, retryAfter: number | null, ids: CallIds) {
    super(`HTTP ${httpStatus} with a response that is not from the API; check the URL`, ids);
    this.httpStatus = httpStatus;
    this.retryAfter = retryAfter;
  }
}

function text(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
