/** Retries calls that take effect once. */

import { setTimeout as pause } from "node:timers/promises";

import { Code, type Interceptor } from "@connectrpc/connect";
import { ApiError } from "./api-error.js";
import { CALL } from "./tracking.js";

const FIRST_PAUSE_MS = 250;
const RETRYABLE: ReadonlySet<string> = new Set([
  "INTERNAL",
  "RATE_LIMITED",
  "REQUEST_IN_PROGRESS",
  "GATEWAY_UNAVAILABLE",
  "OUTCOME_UNKNOWN",
  "SERVICE_UNAVAILABLE",
]);

/** Status codes of transient errors. */
const TRANSIENT: ReadonlySet<Code> = new Set([
  Code.Aborted, // of a connection that broke
  Code.Internal,
  Code.ResourceExhausted,
  Code.Unavailable,
  Code.Unknown,
]);

/**
 * Retries transient errors with exponential backoff from 250 ms, or after the server's delay.
 *
 * A mutating request has an idempotency key, so that all attempts take effect once. The caller's
 * deadline covers all attempts.
 */
export function retrying(attempts: number): Interceptor {
  return (next) => async (request) => {
    if (request.stream) return next(request);
    const state = request.contextValues.get(CALL);
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await next(request);
      } catch (error) {
        const failure = ApiError.from(error);
        const again = attempt < attempts && !request.signal.aborted && isRetryable(failure);
        if (!again) throw error;
        // Only now: the error of the last attempt says itself whether that one may have taken effect.
        if (state !== undefined) state.mayHaveHappened ||= failure.outcomeIsUnknown;
        if (!(await waited(failure, attempt, request.signal))) throw error;
      }
    }
  };
}

function isRetryable({ code, reason }: ApiError): boolean {
  return TRANSIENT.has(code) && RETRYABLE.has(reason);
}

/** Waits before the next attempt; returns whether the caller's deadline has not passed. */
async function waited(failure: ApiError, attempt: number, signal: AbortSignal): Promise<boolean> {
  const backoff = FIRST_PAUSE_MS * 2 ** (attempt - 1) * (0.75 + Math.random() / 2);
  const milliseconds = Math.max(backoff, failure.retryAfterMs ?? 0);
  return pause(milliseconds, true, { signal }).catch(() => false);
}
