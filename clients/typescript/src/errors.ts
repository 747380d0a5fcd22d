// What a call can fail with.
//
// NiviscoError
// ├── ApiError               the API answered with a refusal
// ├── ConnectionFailedError  no answer arrived
// └── UnexpectedAnswerError  what arrived is not an answer of the API

import { CODE_OF_STATUS } from "./codes.js";

/** What is wrong with one field of a request. */
export interface FieldProblem {
  readonly field: string;
  readonly description: string;
}

/** Which call failed. */
export interface CallIds {
  readonly requestId: string;
  readonly idempotencyKey: string | null;
}

/** A call that did not succeed. None of its properties holds a key. */
export class NiviscoError extends Error {
  /** The id to quote to support. */
  readonly requestId: string;
  /** The key of a call that changes something: with it the same call is safe to repeat. */
  readonly idempotencyKey: string | null;
  /** Whether the call may have taken effect all the same, by this try or an earlier one. */
  outcomeIsUnknown: boolean;

  constructor(message: string, ids: CallIds) {
    super(message);
    this.name = new.target.name;
    this.requestId = ids.requestId;
    this.idempotencyKey = ids.idempotencyKey;
    this.outcomeIsUnknown = ids.idempotencyKey !== null;
  }
}

/** The API refused the call. */
export class ApiError extends NiviscoError {
  readonly httpStatus: number;
  /** One of `ErrorCode`, or newer than this library. Null where the answer has none. */
  readonly code: string | null;
  /** With `INVALID_FIELDS`, what is wrong with which field. */
  readonly fields: readonly FieldProblem[];
  /** With `CARD_DECLINED`, why, in the gateway's words. */
  readonly declineCode: string | null;
  /** The gateway's id of the payment that was refused, where there is one. */
  readonly transactionId: string | null;
  /** After how many seconds to try again, where the API says so. */
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
    const problems: unknown[] = Array.isArray(body["fields"]) ? body["fields"] : [];
    this.fields = problems.filter(isObject).map((problem) => ({
      field: text(problem["field"]) ?? "",
      description: text(problem["description"]) ?? "",
    }));
  }
}

/** No answer arrived within the time. */
export class ConnectionFailedError extends NiviscoError {}

/** What arrived is not an answer of the API: the address may be wrong, or a proxy answered. */
export class UnexpectedAnswerError extends NiviscoError {
  readonly httpStatus: number;
  /** After how many seconds to try again, where the answer says so. */
  readonly retryAfter: number | null;

  constructor(httpStatus: number, retryAfter: number | null, ids: CallIds) {
    super(`HTTP ${httpStatus} with what is no answer of the API; check the URL`, ids);
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
