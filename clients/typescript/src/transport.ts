/** Sends calls by HTTP, and again where that is safe and has a use. */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { inspect } from "node:util";

import { INTEGERS, SECRETS } from "./actions.js";
import { ApiError, DeclinedError, NiviscoError, NoAnswerError } from "./errors.js";
import { VERSION } from "./version.js";

const FIRST_PAUSE_MS = 250;
const LONGEST_MS = 86_400_000;
const STRING_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/gs;

type Json = Record<string, unknown>;

/** Whom to call, as whom, and how patiently. */
export interface Options {
  readonly businessId: string;
  readonly apiKey: string;
  readonly baseUrl: string;
  /** Milliseconds for a call with all its attempts; 30,000 if absent. */
  readonly timeoutMs?: number;
  /** 4 if absent. */
  readonly maxAttempts?: number;
  /** Allow plain http to another machine, where the network is trusted. */
  readonly allowPlainHttp?: boolean;
}

export class Transport {
  readonly #credentials: { business_id: string; api_key: string };
  readonly #url: string;
  readonly #timeoutMs: number;
  readonly #maxAttempts: number;

  constructor(options: Options) {
    const url = new URL(options.baseUrl);
    if (url.protocol !== "https:" && url.protocol !== "http:") {
      throw new TypeError("baseUrl must be an https:// address");
    }
    if (url.username !== "" || url.password !== "") {
      throw new TypeError("baseUrl must hold no user name or password");
    }
    if (url.protocol === "http:" && !options.allowPlainHttp && !isLoopback(url.hostname)) {
      throw new TypeError(
        "baseUrl is plain http, which would show the API key to the network: " +
          "use https, or allowPlainHttp where the network is trusted",
      );
    }
    this.#credentials = { business_id: options.businessId, api_key: options.apiKey };
    this.#url = url.href;
    this.#timeoutMs = options.timeoutMs ?? 30_000;
    this.#maxAttempts = options.maxAttempts ?? 4;
    if (!(this.#timeoutMs > 0 && this.#timeoutMs <= LONGEST_MS) || !(this.#maxAttempts >= 1)) {
      throw new RangeError(
        "timeoutMs must be above 0, at most a day, and maxAttempts at least 1",
      );
    }
  }

  async call<Result>(action: string, fields: object, mutates: boolean): Promise<Result> {
    const deadline = performance.now() + this.#timeoutMs;
    const given: Json = { ...fields };
    if (mutates) {
      given.idempotency_key ??= randomUUID();
    }
    refuseFractions(given);
    const key = given.idempotency_key as string | undefined;
    const body = JSON.stringify({ ...given, ...this.#credentials, action });
    for (let attempt = 1; ; attempt++) {
      try {
        return (await this.#attempt(action, body, key, deadline)) as Result;
      } catch (error) {
        const pause = error instanceof NiviscoError ? pauseAfter(error, attempt) : undefined;
        const hasTime = pause !== undefined && performance.now() + pause < deadline;
        if (!hasTime || attempt >= this.#maxAttempts) {
          throw error;
        }
        await sleep(pause);
      }
    }
  }

  async #attempt(
    action: string,
    body: string,
    key: string | undefined,
    deadline: number,
  ): Promise<Json> {
    let answer: Response;
    let text: string;
    try {
      answer = await fetch(this.#url, {
        method: "POST",
        body,
        headers: {
          "Content-Type": "application/json",
          "User-Agent": `nivisco-typescript/${VERSION}`,
        },
        redirect: "manual",
        signal: AbortSignal.timeout(Math.max(1, Math.ceil(deadline - performance.now()))),
      });
      text = await answer.text();
    } catch (error) {
      throw new NoAnswerError(`no answer came: ${causeOf(error)}`, action, key);
    }
    return read(answer, text, action, key);
  }
}

function read(answer: Response, text: string, action: string, key: string | undefined): Json {
  const status = answer.status;
  let body = parse(text);
  if (typeof body?.success !== "boolean") {
    if (status < 300 || status >= 500 || isWorthRepeating(status)) {
      throw new NoAnswerError(`the answer, HTTP ${status}, is not one of the API`, action, key);
    }
    body = {}; // something before the API refused, and nothing came to it
  }
  if (answer.ok && body.success === true) {
    delete body.success;
    return hideSecrets(body);
  }
  const after = answer.headers.get("retry-after") ?? "";
  const Kind = status === 402 ? DeclinedError : ApiError;
  throw new Kind(
    action,
    key,
    status,
    body,
    /^\d+$/.test(after) ? Number(after) : undefined,
    answer.headers.get("x-request-id") ?? undefined,
  );
}

/** JSON.parse makes floats of amounts: every number becomes its text, and whole counts numbers. */
function parse(text: string): Json | undefined {
  const exact = text.replace(STRING_OR_NUMBER, (token) =>
    token.startsWith('"') ? token : `"${token}"`,
  );
  try {
    const parsed: unknown = JSON.parse(exact, (name, value: unknown) =>
      INTEGERS.has(name) && typeof value === "string" ? Number(value) : value,
    );
    return typeof parsed === "object" && parsed !== null ? (parsed as Json) : undefined;
  } catch {
    return undefined;
  }
}

/** What is logged of a result shows no key that it holds. */
function hideSecrets(result: Json): Json {
  if (Object.keys(result).some((name) => SECRETS.has(name))) {
    Object.defineProperty(result, inspect.custom, {
      value: () =>
        Object.fromEntries(
          Object.entries(result).map(([name, value]) => [
            name,
            SECRETS.has(name) ? "(hidden)" : value,
          ]),
        ),
    });
  }
  return result;
}

/** Milliseconds to wait before the next attempt; undefined where that has no use. */
function pauseAfter(error: NiviscoError, attempt: number): number | undefined {
  const refused = error instanceof ApiError ? error : undefined;
  if (refused && !isWorthRepeating(refused.status)) {
    return undefined;
  }
  const longest = FIRST_PAUSE_MS * 2 ** (attempt - 1);
  const pause = longest * (0.5 + Math.random() / 2);
  return Math.max(pause, (refused?.retryAfter ?? 0) * 1000);
}

function isWorthRepeating(status: number): boolean {
  return status === 429 || (status >= 500 && status !== 501);
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(host);
}

function refuseFractions(value: unknown): void {
  if (typeof value === "number" && !Number.isSafeInteger(value)) {
    throw new TypeError('a fraction is not exact: give an amount as text, for example "25.50"');
  }
  if (typeof value === "object" && value !== null) {
    Object.values(value).forEach(refuseFractions);
  }
}

function causeOf(error: unknown): string {
  const { name, cause } = error as { name?: string; cause?: { code?: string } };
  return cause?.code ?? name ?? "unknown";
}
