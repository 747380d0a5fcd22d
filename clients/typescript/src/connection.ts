// Sends calls by fetch, with retries. No redirect is followed.

import { randomUUID } from "node:crypto";
import { setTimeout as pauseFor } from "node:timers/promises";

import {
  ApiError,
  ConnectionFailedError,
  NiviscoError,
  UnexpectedResponseError,
  type CallIds,
} from "./errors.js";
import { parseExact, toJson, type Json } from "./json.js";
import { VERSION } from "./version.js";

const FIRST_PAUSE_MS = 250;
const NOT_IMPLEMENTED = 501;
/** Statuses of errors that are the final outcome, also of an earlier attempt. */
const OUTCOMES = [402, 404, 409];

/** URL and credentials. */
export interface Options {
  /** URL of the API, https; plain http only to this machine. */
  readonly url: string;
  /** Id of the calling business. */
  readonly businessId: string;
  /** Its API key, which belongs on a server. It is never printed. */
  readonly apiKey: string;
  /** Timeout of one call with all its attempts. Defaults to 30 seconds. */
  readonly timeoutMs?: number;
  /** Whether the key may be sent unencrypted to another machine. Defaults to false. */
  readonly allowPlainHttp?: boolean;
}

/** Options of a mutating call. */
export interface ChangeOptions {
  /** Key of this call. Defaults to a new one for every call. */
  readonly idempotencyKey?: string;
}

/** Sends the calls of one business. Neither inspect nor JSON shows private fields. */
export class Connection {
  readonly url: string;
  readonly businessId: string;
  readonly #apiKey: string;
  readonly #timeoutMs: number;

  constructor(options: Options) {
    check(options.url, options.allowPlainHttp ?? false);
    this.url = options.url;
    this.businessId = options.businessId;
    this.#apiKey = options.apiKey;
    this.#timeoutMs = options.timeoutMs ?? 30_000;
  }

  /** Calls a read. */
  async read<T>(action: string, fields: object, read: (json: Json) => T): Promise<T> {
    return this.#send(action, fields, read, null);
  }

  /** Calls a mutating action. */
  async change<T>(
    action: string,
    fields: object,
    read: (json: Json) => T,
    options: ChangeOptions,
  ): Promise<T> {
    return this.#send(action, fields, read, options.idempotencyKey ?? randomUUID());
  }

  async #send<T>(
    action: string,
    fields: object,
    read: (json: Json) => T,
    idempotencyKey: string | null,
  ): Promise<T> {
    const ids = { requestId: randomUUID(), idempotencyKey };
    const body = JSON.stringify({
      business_id: this.businessId,
      api_key: this.#apiKey,
      action,
      ...(toJson(fields) as object),
      ...(idempotencyKey === null ? {} : { idempotency_key: idempotencyKey }),
    });
    const deadline = performance.now() + this.#timeoutMs;
    let mayHaveHappened = false;
    for (let pause = FIRST_PAUSE_MS; ; pause *= 2) {
      try {
        return await this.#attempt(body, read, ids, deadline);
      } catch (problem) {
        if (!(problem instanceof NiviscoError)) {
          throw problem;
        }
        mayHaveHappened ||= problem.outcomeIsUnknown;
        if (!(problem instanceof ApiError && OUTCOMES.includes(problem.httpStatus))) {
          problem.outcomeIsUnknown = mayHaveHappened;
        }
        const wait = waitAfter(problem, pause);
        if (wait === null || performance.now() + wait >= deadline) {
          throw problem;
        }
        await pauseFor(wait);
      }
    }
  }

  async #attempt<T>(
    body: string,
    read: (json: Json) => T,
    ids: CallIds,
    deadline: number,
  ): Promise<T> {
    let response: Response;
    let text: string;
    try {
      response = await fetch(this.url, {
        method: "POST",
        body,
        redirect: "manual",
        headers: {
          "Content-Type": "application/json",
          "User-Agent": `nivisco-node/${VERSION}`,
          "X-Request-Id": ids.requestId,
        },
        signal: AbortSignal.timeout(Math.max(1, Math.ceil(deadline - performance.now()))),
      });
      text = await response.text();
    } catch (error) {
      const wasSent = !failedToConnect(error);
      throw new ConnectionFailedError(`no response (${reasonOf(error)})`, wasSent, ids);
    }
    return result(response, text, read, {
      ...ids,
      requestId: response.headers.get("X-Request-Id") ?? ids.requestId,
    });
  }
}

function result<T>(response: Response, text: string, read: (json: Json) => T, ids: CallIds): T {
  const body = parseExact(text);
  const header = response.headers.get("Retry-After") ?? "";
  const retryAfter = /^\d+$/.test(header) ? Number(header) : null;
  if (!isResponse(body)) {
    throw new UnexpectedResponseError(response.status, retryAfter, ids);
  }
  if (!response.ok || !body.success) {
    const code = response.headers.get("X-Error-Code");
    throw new ApiError({ code, ...body }, response.status, retryAfter, ids);
  }
  try {
    return read({ ...body, request_id: ids.requestId });
  } catch {
    throw new UnexpectedResponseError(response.status, retryAfter, ids);
  }
}

function isResponse(body: unknown): body is Json & { success: boolean } {
  return (
    typeof body === "object" &&
    body !== null &&
    "success" in body &&
    typeof body.success === "boolean"
  );
}

/** Returns how many milliseconds to wait before a retry, or null if it is useless. */
function waitAfter(problem: NiviscoError, pause: number): number | null {
  const wait = pause * (1 + Math.random() / 2);
  if (problem instanceof ApiError || problem instanceof UnexpectedResponseError) {
    const status = problem.httpStatus;
    if (status !== 408 && status !== 429 && (status < 500 || status === NOT_IMPLEMENTED)) {
      return null;
    }
    return Math.max(wait, (problem.retryAfter ?? 0) * 1000);
  }
  return wait;
}

/** Returns the reason of a failed fetch, which is in its cause. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) {
    return String(error);
  }
  const cause = error.cause instanceof Error ? error.cause.message : "";
  return cause === "" ? error.message : `${error.message}: ${cause}`;
}

/** Returns whether a fetch failed before it had a connection, so that nothing was sent. */
function failedToConnect(error: unknown): boolean {
  const cause: unknown = error instanceof Error ? error.cause : null;
  const causes: unknown[] = cause instanceof AggregateError ? cause.errors : [cause];
  return causes.every(
    (each) =>
      each instanceof Error &&
      (("syscall" in each && ["connect", "getaddrinfo"].includes(String(each.syscall))) ||
        ("code" in each && each.code === "UND_ERR_CONNECT_TIMEOUT")),
  );
}

function check(url: string, allowPlainHttp: boolean): void {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    throw new TypeError("the URL must be https://host");
  }
  if (!["http:", "https:"].includes(parsed.protocol) || parsed.username || parsed.password) {
    throw new TypeError("the URL must be https://host, without a user or password in it");
  }
  const isLoopback =
    ["localhost", "[::1]"].includes(parsed.hostname) ||
    /^127\.\d+\.\d+\.\d+$/.test(parsed.hostname);
  if (parsed.protocol === "http:" && !allowPlainHttp && !isLoopback) {
    throw new TypeError(
      "plain http sends the API key in the clear: use https, or allowPlainHttp where the " +
        "network is your own",
    );
  }
}
