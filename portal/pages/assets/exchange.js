// Sends one request and describes its outcome: a response, or why there is none.

import { JsonError, laidOut, parse } from "./exact-json.js";

/** The timeout that the reference recommends. */
export const TIMEOUT_MS = 30_000;
/** The response headers to show, in this order. */
export const SHOWN_HEADERS = ["X-Request-Id", "X-Error-Code", "Idempotency-Replayed", "Retry-After", "Content-Type"];

/**
 * Sends the body and returns the outcome: `{kind, milliseconds}` and, if `kind` is `response`, also
 * `status`, `phrase`, `headers` and `text`. The other kinds are `unreachable`, `timeout` and
 * `cancelled`, by the AbortSignal `cancel`.
 */
export async function send(address, body, { cancel, timeoutMs = TIMEOUT_MS }) {
  const started = performance.now();
  const ended = (kind, more) => ({ kind, milliseconds: performance.now() - started, ...more });
  const late = AbortSignal.timeout(timeoutMs);
  const stop = new AbortController();
  for (const signal of [cancel, late]) signal.addEventListener("abort", () => stop.abort(), { once: true });
  if (cancel.aborted) stop.abort();
  try {
    const response = await fetch(address, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body,
      cache: "no-store",
      credentials: "omit",
      referrerPolicy: "no-referrer",
      redirect: "error",
      signal: stop.signal,
    });
    const text = await response.text();
    const headers = SHOWN_HEADERS.filter((name) => response.headers.has(name)).map((name) => [name, response.headers.get(name)]);
    return ended("response", { status: response.status, phrase: response.statusText, headers, text });
  } catch {
    return ended(late.aborted ? "timeout" : cancel.aborted ? "cancelled" : "unreachable");
  }
}

/** Returns the parts of the body for display, or null if it is not JSON. */
export function partsOf(outcome) {
  try {
    return laidOut(outcome.text);
  } catch (error) {
    if (error instanceof JsonError) return null;
    throw error;
  }
}

/** Returns the response body as a Map, empty if it is not a JSON object. */
export function bodyOf(outcome) {
  try {
    const body = parse(outcome.text ?? "");
    return body instanceof Map ? body : new Map();
  } catch (error) {
    if (error instanceof JsonError) return new Map();
    throw error;
  }
}

/** Returns the invalid fields in the response, as `{field, description}`. */
export function problemsOf(outcome) {
  const listed = bodyOf(outcome).get("fields");
  return (Array.isArray(listed) ? listed : [])
    .filter((each) => each instanceof Map)
    .map((each) => ({ field: String(each.get("field")), description: String(each.get("description")) }));
}

/** Returns whether the outcome is not final, so that the same request should be sent again. */
export function isOpen(outcome) {
  return outcome.kind !== "response" || outcome.status >= 500 || outcome.status === 429;
}

/** Returns the title of an outcome, and a text about what to do next. */
export function verdict(outcome, { mutates, hasKey, address }) {
  const unknown = !mutates
    ? "It is a read: send it again."
    : hasKey
      ? "It may have taken effect. Send it again with the same idempotency key: it takes effect once."
      : "It may have taken effect. Without an idempotency key, check the records before you send it again.";
  if (outcome.kind === "unreachable") {
    return { title: "No response", text: `${address} did not respond, or the connection broke. ${unknown}` };
  }
  if (outcome.kind === "timeout") {
    return { title: "Timeout", text: `There was no response within ${TIMEOUT_MS / 1000} seconds. ${unknown}` };
  }
  if (outcome.kind === "cancelled") return { title: "Cancelled", text: `You stopped waiting. ${unknown}` };
  const title = `${outcome.status} ${outcome.phrase}`.trim();
  if (partsOf(outcome) === null) {
    return { title, text: "The response is not JSON, so it may not come from the API. It is shown unchanged." };
  }
  const error = bodyOf(outcome).get("error");
  return { title, text: typeof error === "string" ? error : "" };
}
