/** What is known of a call in flight: its ids, and whether an attempt may have taken effect. */

import { randomUUID } from "node:crypto";

import { create } from "@bufbuild/protobuf";
import {
  ConnectError,
  createContextKey,
  createContextValues,
  type Transport,
} from "@connectrpc/connect";

/** What a failed call leaves to know besides its status. */
export interface CallState {
  readonly requestId: string;
  /** Undefined for calls that change nothing. */
  readonly idempotencyKey: string | undefined;
  /** Whether an attempt before the last one may have taken effect. */
  mayHaveHappened: boolean;
}

/** The state of the call of an interceptor's request. */
export const CALL = createContextKey<CallState | undefined>(undefined);

const states = new WeakMap<ConnectError, CallState>();

/** Returns the state of the call that threw the error, if it was one of {@link tracking}. */
export function stateOf(error: ConnectError): CallState | undefined {
  return states.get(error);
}

/**
 * Returns a transport that gives each unary call a request id, each mutating one an idempotency key if
 * it has none, and remembers both for its error.
 *
 * An interceptor could not: an error of a passed deadline is not made from what it throws.
 */
export function tracking(transport: Transport): Transport {
  return {
    async unary(method, signal, timeoutMs, header, input, contextValues = createContextValues()) {
      const message = create(method.input, input) as { idempotencyKey?: string };
      const isChange = "idempotencyKey" in method.input.field;
      const idempotencyKey = isChange ? (message.idempotencyKey ?? randomUUID()) : undefined;
      const headers = new Headers(header);
      const requestId = headers.get("x-request-id") ?? randomUUID();
      headers.set("x-request-id", requestId);
      const state = { requestId, idempotencyKey, mayHaveHappened: false };
      // The caller's message is not changed: sent again by the caller, it is another request.
      const sent = { ...message, ...(isChange && { idempotencyKey }) } as typeof input;
      contextValues.set(CALL, state);
      try {
        return await transport.unary(method, signal, timeoutMs, headers, sent, contextValues);
      } catch (thrown) {
        const error = ConnectError.from(thrown);
        states.set(error, state);
        throw error;
      }
    },
    stream: transport.stream.bind(transport),
  };
}
