/** Errors of calls, read from the details of their gRPC status. */

import { Code, ConnectError } from "@connectrpc/connect";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "../gen/google/rpc/error_details_pb.js";
import { ErrorReason } from "../gen/nivisco/payments/v1/errors_pb.js";

const DOMAIN = "payments.nivisco";

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
    this.retryAfterMs = delay && Number(delay.seconds) * 1000 + delay.nanos / 1e6;
  }

  /** Returns the ApiError for any error that a call throws. */
  static from(error: unknown): ApiError {
    return error instanceof ApiError ? error : new ApiError(ConnectError.from(error));
  }
}
