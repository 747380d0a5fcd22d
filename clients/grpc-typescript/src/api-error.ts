/** Errors of calls, read from the details of their gRPC status. */

import { Code, ConnectError } from "@connectrpc/connect";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "../gen/google/rpc/error_details_pb.js";
import { ErrorReason } from "../gen/nivisco/payments/v1/errors_pb.js";
import { HTTP_STATUS } from "./statuses.js";
import { stateOf } from "./tracking.js";

const DOMAIN = "payments.nivisco";
/** Statuses of errors that are the final outcome, also of an earlier attempt. */
const OUTCOMES = [402, 404, 409];
const SYSCALLS_OF_CONNECTING = ["connect", "getaddrinfo"];

/** The name of a reason, as in gRPC's ErrorInfo and in the `code` of the JSON endpoint. */
export type Reason = Exclude<keyof typeof ErrorReason, "UNSPECIFIED"> | (string & {});

/** A problem of one field. */
export interface FieldProblem {
  /** The path, for example `user.email`. */
  field: string;
  description: string;
}

/** An error of the API, or a missing response. Create it with {@link ApiError.from}. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  /** Reasons never change their meaning; new ones may be added. */
  readonly reason: Reason;
  readonly code: Code;
  /** More about the reason, for example `decline_code`. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The invalid fields of the request. */
  readonly fields: readonly FieldProblem[];
  /** Milliseconds to wait before a retry, if the server returns them. */
  readonly retryAfterMs: number | undefined;
  /** The id to quote to support. Empty if the error is of no call of `connect`. */
  readonly requestId: string;
  /** Idempotency key of a mutating call, with which the same request is safe to repeat. */
  readonly idempotencyKey: string | undefined;
  /** Whether any of the request may have left: false if no connection was made. */
  readonly wasSent: boolean;
  /** Whether the call may have taken effect, by this attempt or an earlier one. */
  readonly outcomeIsUnknown: boolean;

  private constructor(error: ConnectError) {
    super(error.rawMessage, { cause: error });
    const info = error.findDetails(ErrorInfoSchema).find(({ domain }) => domain === DOMAIN);
    const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
    this.code = error.code;
    // Without a reason the response is not the core's, so the outcome is unknown. A message that
    // cannot be sent is reported alike: too cautious rather than too sure.
    this.reason = info?.reason ?? "OUTCOME_UNKNOWN";
    this.metadata = info?.metadata ?? {};
    this.fields = error
      .findDetails(BadRequestSchema)
      .flatMap(({ fieldViolations }) => fieldViolations)
      .map(({ field, description }) => ({ field, description }));
    const state = stateOf(error);
    this.requestId = state?.requestId ?? "";
    this.idempotencyKey = state?.idempotencyKey;
    this.wasSent = info !== undefined || !failedToConnect(error);
    const isUnknown = info === undefined ? this.wasSent : (statusOf(info.reason) ?? 500) >= 500;
    const isFinal = info !== undefined && OUTCOMES.includes(statusOf(info.reason) ?? 0);
    const isRead = state !== undefined && state.idempotencyKey === undefined;
    this.outcomeIsUnknown =
      !isRead && (isUnknown || (!isFinal && (state?.mayHaveHappened ?? false)));
    this.retryAfterMs = delay && Number(delay.seconds) * 1000 + delay.nanos / 1e6;
  }

  /** Returns the ApiError for any error that a call throws. */
  static from(error: unknown): ApiError {
    return error instanceof ApiError ? error : new ApiError(ConnectError.from(error));
  }
}

function statusOf(reason: string): number | undefined {
  return Object.hasOwn(HTTP_STATUS, reason) ? HTTP_STATUS[reason] : undefined;
}

/** Returns whether a call failed before it had a connection, so that nothing was sent. */
function failedToConnect(error: Error): boolean {
  const causes: unknown[] = [];
  for (let each: unknown = error; each instanceof Error; each = each.cause) {
    causes.push(...(each instanceof AggregateError ? each.errors : [each]));
  }
  return causes.some(
    (each) =>
      each instanceof Error &&
      "syscall" in each &&
      SYSCALLS_OF_CONNECTING.includes(String(each.syscall)),
  );
}
