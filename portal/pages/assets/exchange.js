// Sends one request and tells what came of it as what it is: an answer, or which lack of one.

import { JsonError, laidOut, parse } from "./exact-json.js";

/** How long the API's documentation has a client wait. */
export const TIMEOUT_MS = 30_000;
/** The headers of an answer that its reader may need, in the order that they are shown. */
export const SHOWN_HEADERS = ["X-Request-Id", "Idempotency-Replayed", "Retry-After", "Content-Type"];

/**
 * Sends the body and returns what came of it: `{kind, milliseconds}` and, where `kind` is `answered`,
 * also `status`, `phrase`, `headers` and `text`. The other kinds are `unreachable`, `timeout` and
 * `cancelled`, which is what `cancel`, an AbortSignal, leads to.
 */
export async function send(address, body, { cancel, timeoutMs = TIMEOUT_MS }) {
  const started = performance.now();
  const ended = (kind, more) => ({ kind, milliseconds: performance.now() - started, ...more });
  const late = AbortSignal.timeout(timeoutMs);
  const stop = new AbortController();
  for (const signal of [cancel, late]) signal.addEventListener("abort", () => stop.abort(), { once: true });
  if (cancel.aborted) stop.abort();
  try {
    const answer = await fetch(address, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body,
      cache: "no-store",
      credentials: "omit",
      referrerPolicy: "no-referrer",
      redirect: "error",
      signal: stop.signal,
    });
    const text = await answer.text();
    const headers = SHOWN_HEADERS.filter((name) => answer.headers.has(name)).map((name) => [name, answer.headers.get(name)]);
    return ended("answered", { status: answer.status, phrase: answer.statusText, headers, text });
  } catch {
    return ended(late.aborted ? "timeout" : cancel.aborted ? "cancelled" : "unreachable");
  }
}

/** Returns the parts of the body for display, or null where it is not JSON. */
export function partsOf(outcome) {
  try {
    return laidOut(outcome.text);
  } catch (error) {
    if (error instanceof JsonError) return null;
    throw error;
  }
}

/** Returns the answer's body as a Map, or an empty one where it is no JSON object. */
export function bodyOf(outcome) {
  try {
    const body = parse(outcome.text ?? "");
    return body instanceof Map ? body : new Map();
  } catch (error) {
    if (error instanceof JsonError) return new Map();
    throw error;
  }
}

/** Returns what the server says is wrong with which field, as `{field, description}`. */
export function problemsOf(outcome) {
  const listed = bodyOf(outcome).get("fields");
  return (Array.isArray(listed) ? listed : [])
    .filter((each) => each instanceof Map)
    .map((each) => ({ field: String(each.get("field")), description: String(each.get("description")) }));
}

/** Whether nobody can say yet that the same request, sent again, would do nothing new. */
export function isOpen(outcome) {
  return outcome.kind !== "answered" || outcome.status >= 500 || outcome.status === 429;
}

/** Returns in one sentence each what an outcome is and what it means for whoever sent the request. */
export function verdict(outcome, { mutates, hasKey, address }) {
  const unknown = !mutates
    ? "It only reads: send it again."
    : hasKey
      ? "It may have been carried out. Send it again with the same idempotency key: it has one effect."
      : "It may have been carried out. Without an idempotency key, look before you send it again.";
  if (outcome.kind === "unreachable") {
    return { title: "No answer", text: `Nothing answered at ${address}, or the connection broke. ${unknown}` };
  }
  if (outcome.kind === "timeout") {
    return { title: "No answer in time", text: `There was no answer within ${TIMEOUT_MS / 1000} seconds. ${unknown}` };
  }
  if (outcome.kind === "cancelled") return { title: "Cancelled", text: `You stopped waiting. ${unknown}` };
  const title = `${outcome.status} ${outcome.phrase}`.trim();
  if (partsOf(outcome) === null) {
    return { title, text: "The answer is not JSON, so it may not come from the API itself. It is shown as it arrived." };
  }
  const error = bodyOf(outcome).get("error");
  return { title, text: typeof error === "string" ? error : "" };
}
