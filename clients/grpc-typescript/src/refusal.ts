/** Why a call did not succeed, read from the details that the server sends with a status. */

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

/** What is wrong with one field. */
export interface FieldProblem {
  /** The path, for example `user.email`. */
  field: string;
  description: string;
}

/** A call that was refused, or whose answer did not arrive: what {@link Refusal.from} reads. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  /** Names never change their meaning; new ones may come. */
  readonly reason: Reason;
  readonly code: Code;
  /** More about the reason, for example `decline_code`. */
  readonly metadata: Readonly<Record<string, string>>;
  /** All that is wrong with the request, by field. */
  readonly fields: readonly FieldProblem[];
  /** When to send the same request again, where the server says so. */
  readonly retryAfterMs: number | undefined;

  private constructor(error: ConnectError) {
    super(error.rawMessage, { cause: error });
    const info = error.findDetails(ErrorInfoSchema).find(({ domain }) => domain === DOMAIN);
    const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
    this.code = error.code;
    // Without a reason it was not the core that answered, and nobody says what it did. This is also
    // what a message that cannot be sent reads as: an error too cautious rather than too sure.
    this.reason = info?.reason ?? "OUTCOME_UNKNOWN";
    this.metadata = info?.metadata ?? {};
    this.fields = error
      .findDetails(BadRequestSchema)
      .flatMap(({ fieldViolations }) => fieldViolations)
      .map(({ field, description }) => ({ field, description }));
    this.retryAfterMs = delay && Number(delay.seconds) * 1000 + delay.nanos / 1e6;
  }

  /** Read any error that a call throws. */
  static from(error: unknown): Refusal {
    return error instanceof Refusal ? error : new Refusal(ConnectError.from(error));
  }
}
