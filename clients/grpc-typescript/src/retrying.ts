/** Sends a call again where that cannot do the work twice. */

import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";

import { clone } from "@bufbuild/protobuf";
import { Code, type Interceptor, type UnaryRequest } from "@connectrpc/connect";
import { Refusal } from "./refusal.js";

const FIRST_PAUSE_MS = 250;
const WORTH_REPEATING: ReadonlySet<string> = new Set([
  "INTERNAL",
  "RATE_LIMITED",
  "REQUEST_IN_PROGRESS",
  "GATEWAY_UNAVAILABLE",
  "OUTCOME_UNKNOWN",
  "SERVICE_UNAVAILABLE",
]);

/** The status codes of what may pass by itself; what is final has others. */
const PASSING: ReadonlySet<Code> = new Set([
  Code.Internal,
  Code.ResourceExhausted,
  Code.Unavailable,
  Code.Unknown,
]);

/**
 * Repeat what may yet succeed, after 250 ms, then twice as long, or when the server says.
 *
 * A request that changes something is given an idempotency key where it has none, so that all tries
 * are one effect. The caller's deadline covers them all; once it has passed, nothing is sent.
 */
export function retrying(attempts: number): Interceptor {
  return (next) => async (call) => {
    if (call.stream) return next(call);
    const request = withKey(call);
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await next(request);
      } catch (error) {
        const refusal = Refusal.from(error);
        const again = attempt < attempts && !request.signal.aborted && isWorthRepeating(refusal);
        if (!again || !(await waited(refusal, attempt, request.signal))) throw error;
      }
    }
  };
}

/** The caller's own message is left alone: sent once more by them, it is another request. */
function withKey(call: UnaryRequest): UnaryRequest {
  if (!("idempotencyKey" in call.method.input.field)) return call;
  const message = clone(call.method.input, call.message) as { idempotencyKey?: string };
  message.idempotencyKey ??= randomUUID();
  return { ...call, message } as UnaryRequest;
}

function isWorthRepeating({ code, reason }: Refusal): boolean {
  return PASSING.has(code) && WORTH_REPEATING.has(reason);
}

/** Whether the time until the next try came before the caller's deadline. */
async function waited(refusal: Refusal, attempt: number, signal: AbortSignal): Promise<boolean> {
  const backoff = FIRST_PAUSE_MS * 2 ** (attempt - 1) * (0.75 + Math.random() / 2);
  const milliseconds = Math.max(backoff, refusal.retryAfterMs ?? 0);
  return pause(milliseconds, true, { signal }).catch(() => false);
}
