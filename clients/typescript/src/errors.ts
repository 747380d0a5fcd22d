/** What a call rejects with. */

/** What is wrong with one field of a request. */
export interface FieldProblem {
  readonly field: string;
  readonly description: string;
}

/** A call that did not succeed: an ApiError or a NoAnswerError. */
export abstract class NiviscoError extends Error {
  constructor(
    message: string,
    readonly action: string,
    /** Under which to repeat the same call, to learn its outcome; absent for a read. */
    readonly idempotencyKey: string | undefined,
  ) {
    super(message);
    this.name = new.target.name;
  }

  /** Whether what was asked for may have happened all the same. */
  abstract get outcomeUnknown(): boolean;
}

/** The reasons of a 5xx that say that nothing happened. */
const SURE = ["NOT_IMPLEMENTED", "GATEWAY_REFUSED", "GATEWAY_UNAVAILABLE"];

/** The API refused the call. */
export class ApiError extends NiviscoError {
  /** The reason, such as `USER_NOT_FOUND`; some refusals have none. */
  readonly code: string | undefined;
  readonly details: string | undefined;
  /** Why the card was declined. */
  readonly declineCode: string | undefined;
  readonly fields: readonly FieldProblem[];

  constructor(
    action: string,
    idempotencyKey: string | undefined,
    /** The HTTP status. */
    readonly status: number,
    /** The whole answer; its numbers are the texts that were sent. */
    readonly body: Readonly<Record<string, unknown>>,
    /** After how many seconds to repeat the call. */
    readonly retryAfter: number | undefined,
    /** What to quote to support. */
    readonly requestId: string | undefined,
  ) {
    super(String(body.error ?? `HTTP ${status}`), action, idempotencyKey);
    this.code = body.code as string | undefined;
    this.details = body.details as string | undefined;
    this.declineCode = body.decline_code as string | undefined;
    this.fields = (body.fields as FieldProblem[] | undefined) ?? [];
  }

  get outcomeUnknown(): boolean {
    // A 429 says nothing of the attempts before it.
    const isOpen =
      this.status === 429 || (this.status >= 500 && !SURE.includes(this.code ?? ""));
    return this.idempotencyKey !== undefined && isOpen;
  }
}

/** The card was declined, the customer must authenticate, or the wallet holds too little: 402. */
export class DeclinedError extends ApiError {}

/** No usable answer came: unreachable, too late, cut off or not JSON. */
export class NoAnswerError extends NiviscoError {
  get outcomeUnknown(): boolean {
    return this.idempotencyKey !== undefined;
  }
}
